"""What `gpudesk editors` changes: shown first, confirmed, all files or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands import acting
from gpudesk.commands.editors_session import EditorMeans, EditorSession, open_editors
from gpudesk.commands.editors_text import chosen_lines, diff_lines
from gpudesk.errors import ExitCode, RefusedError, UsageError
from gpudesk.exports.overview import is_found, migrating
from gpudesk.output import diagnostics
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.domain.desk import Desk
    from gpudesk.editor_desk import Picked
    from gpudesk.exports.editor import Editor
    from gpudesk.exports.values import Chosen, Export, Way
    from gpudesk.exports.writing import Applied
    from gpudesk.output.desk_json import Value


def write(editor: Editor, given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    """Set an editor up, or show how that would be done; return the exit code."""
    writes = given["what"] == "write" and not given["dry_run"]
    if writes:
        acting.refuse_read_only(means.settings)
    from gpudesk.exports.write_checks import check_within

    way = _way(editor, given)
    with open_editors(means, whole=True) as session:
        picked, chosen = _chosen(given, session)
        into = session.around.path_of(given["path"]) if given["path"] is not None else None
        export = editor.export(chosen, session.around, way, into=into)
        if writes:
            check_within((change.path for change in export.changes), session.around.bounds)
        export = replace(export, named=given["path"] is not None)
        if given["path"] is None and not is_found(editor.files(session.around), session.around):
            chosen = replace(chosen, warnings=(f"{editor.name} was not found on this computer", *chosen.warnings))
        if not given["json"]:
            _tell(chosen_lines(editor, picked, chosen, export), session, warn=chosen.warnings, notes=export.notes)
        question = f"Set up {editor.name} so?"
        applied = _carried_out(export, given, session, out, question, picked=picked, chosen=chosen)
        if applied is not None and applied.paths:
            diagnostics.say(f"gpudesk: {editor.name} is set up; gpudesk editors restore {editor.id}  takes it back")
    return ExitCode.OK


def migrate(editor: Editor, given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    """Make a file in the present format of one in a deprecated format."""
    writes = given["what"] == "write" and not given["dry_run"]
    if writes:
        acting.refuse_read_only(means.settings)
    with means.folders() as folders:
        session = EditorSession(means.around(folders), folders, means.settings)
        export = migrating(editor, session.around)
        if not given["json"]:
            _tell((), session, notes=export.notes)
        if _carried_out(export, given, session, out, f"Migrate the configuration of {editor.name}?") is not None:
            diagnostics.say(f"gpudesk: the configuration of {editor.name} is migrated")
    return ExitCode.OK


def restore(editor: Editor, given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    """Take back the last write; return the exit code."""
    if not given["dry_run"]:
        acting.refuse_read_only(means.settings)
    from gpudesk.exports.undoing import undoing

    with means.folders() as folders:
        session = EditorSession(means.around(folders), folders, means.settings)
        export = undoing(editor, session.around, state=folders.state)
        if not given["json"]:
            _tell((), session, notes=export.notes)
        if _carried_out(export, given, session, out, f"Restore the files of {editor.name}?") is not None:
            diagnostics.say(f"gpudesk: the files of {editor.name} are as they were")
    return ExitCode.OK


def _carried_out(
    export: Export,
    given: Mapping[str, Any],
    session: EditorSession,
    out: TextIO,
    question: str,
    *,
    picked: Picked | None = None,
    chosen: Chosen | None = None,
) -> Applied | None:
    """Show the change, make it where that is wanted and confirmed, and write the document where one is wanted."""
    applied, refusal = None, None
    if given["what"] == "diff" or given["dry_run"]:
        _print_change(export, given, session, out)
    else:
        try:
            if confirmed(export, given, session, out, question):
                applied = make_change(export, session)
        except RefusedError as error:
            refusal = error
    if given["json"]:
        from gpudesk.output.editors_json import export_document

        write_document(out, export_document(export, picked, chosen, applied))
    if refusal is not None:
        raise refusal
    return applied


def _way(editor: Editor, given: Mapping[str, Any]) -> Way:
    from gpudesk.exports.values import Way

    asked = Way.OWN_FILE if given["block"] else Way.MERGE if given["merge"] else editor.ways[0]
    if asked not in editor.ways:
        words = " or ".join(way.value for way in editor.ways)
        raise UsageError(f"{editor.name} cannot be set up by {asked.value}", f"It is done by {words}")
    return asked


def _chosen(given: Mapping[str, Any], session: EditorSession) -> tuple[Picked, Chosen]:
    from gpudesk.editor_desk import choose
    from gpudesk.exports.chosen import ROLES

    assert session.choice is not None
    words = {role: given[role.value] for role in ROLES if given[role.value] is not None}
    if not words and given["set_name"] is None:
        _check_models(session.desk)
    return choose(session.choice, words, given["set_name"], suggest=given["suggest"])


def _check_models(desk: Desk | None) -> None:
    """Raise what is wrong when there is nothing to choose from."""
    if desk is not None and (desk.models or desk.installed):
        return
    silent = next((engine for engine in desk.engines if not engine.reachable), None) if desk is not None else None
    if silent is not None:
        raise UsageError(f"no model is known: {silent.url} does not answer", silent.hint)
    raise UsageError("no model is installed", "Download one, for example: gpudesk pull qwen2.5-coder:7b")


def confirmed(export: Export, given: Mapping[str, Any], session: EditorSession, out: TextIO, question: str) -> bool:
    """Show the change; return whether it shall be made.

    Raises:
        RefusedError: nobody is there to ask, or the answer was no.
    """
    if not any(change.changes for change in export.changes):
        _print_change(export, given, session, out)
        return False
    if not given["yes"] or given["dry_run"]:
        _print_change(export, given, session, out)
    if given["dry_run"]:
        return False
    if given["yes"]:
        return True
    out.flush()
    if not acting.can_ask():
        raise RefusedError("nothing was written: it was not confirmed", "Add --yes to write it")
    if not acting.ask(f"{question} [y/N] "):
        raise RefusedError("nothing was written")
    return True


def make_change(export: Export, session: EditorSession) -> Applied:
    """Change the files; what happened to one that changed meanwhile is shown.

    Raises:
        ExportError: that was not possible; every file is as it was.
    """
    from gpudesk.exports.writing import ChangedMeanwhileError, apply

    try:
        applied = apply(export, state=session.folders.state, within=session.around.bounds)
    except ChangedMeanwhileError as error:
        diagnostics.say(error.difference)
        raise
    for note in applied.notes:
        diagnostics.say(f"gpudesk: {note}")
    return applied


def _print_change(export: Export, given: Mapping[str, Any], session: EditorSession, out: TextIO) -> None:
    if given["json"]:
        return
    for line in diff_lines(export, acting.style_for(out, session.settings)):
        out.write(line + "\n")
    if export.changes and not any(change.changes for change in export.changes):
        diagnostics.say("gpudesk: it is so already")


def _tell(
    lines: tuple[str, ...], session: EditorSession, *, warn: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> None:
    """Say beside the data what was chosen, and what is to be known before it is written."""
    if session.banner is not None:
        diagnostics.say(session.banner)
    for line in lines:
        diagnostics.say(line)
    for text in warn:
        diagnostics.say(f"warning: {text}")
    for text in notes:
        if text not in warn:
            diagnostics.say(f"note: {text}")


def write_lines(out: TextIO, lines: list[str], session: EditorSession) -> None:
    """Print lines; those of a demo say so."""
    banner = [session.banner] if session.banner is not None else []
    out.write("\n".join([*banner, *lines]) + "\n")


def write_document(out: TextIO, document: dict[str, Value]) -> None:
    """Print JSON."""
    from gpudesk.output.desk_json import to_json

    out.write(to_json(document, indented=True) + "\n")
