"""`gpudesk set save|list|show|edit|delete`: working sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions.previews import present_set
from gpudesk.commands import acting
from gpudesk.commands.acting_session import open_session
from gpudesk.errors import ExitCode, RefusedError, UsageError
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.commands.acting_session import ActingMeans
    from gpudesk.domain.working_set import SetModel, WorkingSet
    from gpudesk.output.desk_json import Value
    from gpudesk.stores.working_sets import ListedSet, WorkingSetStore

SCHEMA_VERSION = 1


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Run one of them and return the exit code.

    Raises:
        UsageError: no such set, no name, something is wrong in a set.
        RefusedError: read-only, or it needs a confirmation.
        StoreError: a file cannot be read or written.
        SourceError: to save, an engine has to tell what is loaded.
    """
    from gpudesk.stores.working_sets import WorkingSetStore

    what, name = given["what"], given["name"]
    if what == "list":
        if name is not None:
            raise UsageError(f"set list takes no name: {name}", f"gpudesk set show {name}  shows one")
        with means.folders() as folders:
            return _list(WorkingSetStore(folders.data), given, out)
    if name is None:
        raise UsageError(f"set {what} needs the name of a set", "gpudesk set list  lists them")
    if what == "save":
        return _save(name, given, means, out)
    with means.folders() as folders:
        store = WorkingSetStore(folders.data)
        if what == "show":
            return _show(store, name, given, out)
        acting.refuse_read_only(means.settings)
        if what == "edit":
            from gpudesk.commands.editing import edit

            return edit(store, name, out)
        return _delete(store, name, given, out)


def _list(store: WorkingSetStore, given: Mapping[str, Any], out: TextIO) -> int:
    listed = store.list()
    if given["json"]:
        _write(out, {"schema_version": SCHEMA_VERSION, "sets": [_listed_value(each) for each in listed]})
        return ExitCode.OK
    for each in listed:
        out.write(_listed_line(each) + "\n")
        for problem in each.problems:
            out.write(f"  wrong: {problem}\n")
    if not listed:
        out.write("no working sets; gpudesk set save NAME makes one of what is loaded\n")
    return ExitCode.OK


def _listed_line(listed: ListedSet) -> str:
    working_set = listed.working_set
    if working_set is None:
        return listed.name
    described = f" - {working_set.description}" if working_set.description else ""
    key = f" [{working_set.key}]" if working_set.key else ""
    return f"{listed.name}{key}: {', '.join(_model_text(model) for model in working_set.models) or 'empty'}{described}"


def _model_text(model: SetModel) -> str:
    context = f"@{model.context_length}" if model.context_length is not None else ""
    return f"{model.name}{context}{' (pinned)' if model.pinned else ''}"


def _show(store: WorkingSetStore, name: str, given: Mapping[str, Any], out: TextIO) -> int:
    """Print a set with everything it includes, so that what is printed can be handed on as it is."""
    whole = replace(store.read(name), includes=())
    if given["json"]:
        _write(out, {"schema_version": SCHEMA_VERSION, "set": _value(whole)})
        return ExitCode.OK
    from gpudesk.stores.working_set_toml import to_toml

    out.write(to_toml(whole))
    return ExitCode.OK


def _save(name: str, given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Store what is loaded; of a set that is there, its description and its key stay."""
    acting.refuse_read_only(means.settings)
    with open_session(means) as session:
        store = session.acting.sets
        earlier = store.read_as_written(name) if name in store.names() else None
        present = present_set(session.desk, name)
        if not present.models:
            raise RefusedError("nothing is loaded: there is nothing to save")
        if earlier is not None:
            present = replace(
                present, description=earlier.description, key=earlier.key, keeps_others=earlier.keeps_others
            )
        if earlier == present:
            out.write(f"set {name} is so already\n")
            return ExitCode.OK
        if not given["dry_run"]:
            if earlier is not None:
                _confirm(given, f"set {name} as it is: {_names(earlier)}")
            store.write(present)
    if given["json"]:
        _write(out, {"schema_version": SCHEMA_VERSION, "set": _value(present)})
    else:
        out.write(f"{'would save' if given['dry_run'] else 'saved'} {name}: {_names(present)}\n")
    return ExitCode.OK


def _delete(store: WorkingSetStore, name: str, given: Mapping[str, Any], out: TextIO) -> int:
    if name not in store.names():
        store.delete(name)  # says so, with the nearest name
    users = store.included_by(name)
    if not given["dry_run"]:
        broken = f"; {', '.join(users)} would no longer work: {'they include' if users[1:] else 'it includes'} it"
        _confirm(given, f"set {name}{broken if users else ''}")
        store.delete(name)
    if given["json"]:
        deleted: dict[str, Value] = {"name": name, "included_by": list(users)}
        _write(out, {"schema_version": SCHEMA_VERSION, "deleted": deleted})
    else:
        out.write(f"{'would delete' if given['dry_run'] else 'deleted'} set {name}\n")
    return ExitCode.OK


def _confirm(given: Mapping[str, Any], lost: str) -> None:
    if given["yes"]:
        return
    if not acting.can_ask():
        raise RefusedError(f"not done without a confirmation: lost is {lost}", "Add --yes to do it all the same")
    if not acting.ask(f"lost: {lost}\nDo it? [y/N] "):
        raise RefusedError("not confirmed")


def _names(working_set: WorkingSet) -> str:
    return ", ".join(_model_text(model) for model in working_set.models) or "empty"


def _listed_value(listed: ListedSet) -> dict[str, Value]:
    return {
        "name": listed.name,
        "set": None if listed.working_set is None else _value(listed.working_set),
        "problems": list(listed.problems),
    }


def _value(working_set: WorkingSet) -> dict[str, Value]:
    return {
        "name": working_set.name,
        "description": working_set.description,
        "key": working_set.key,
        "includes": list(working_set.includes),
        "keeps_others": working_set.keeps_others,
        "models": [
            {
                "model": model.name,
                "engine": model.engine_url,
                "context_length": model.context_length,
                "keep_alive_seconds": None if model.keep_alive is None else model.keep_alive.wire,
                "pinned": model.pinned,
            }
            for model in working_set.models
        ],
    }


def _write(out: TextIO, content: dict[str, Value]) -> None:
    from gpudesk.output.desk_json import to_json

    out.write(to_json(content, indented=True) + "\n")
