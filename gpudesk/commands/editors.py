"""`gpudesk editors`: configurations of editors that match what is resident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands import acting
from gpudesk.commands.editors_change import confirmed, make_change, migrate, restore, write, write_document, write_lines
from gpudesk.commands.editors_session import EditorMeans, EditorSession, open_editors
from gpudesk.commands.editors_text import check_lines, list_lines, show_lines
from gpudesk.errors import ExitCode, UsageError
from gpudesk.output import diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.exports.editor import Editor
    from gpudesk.exports.overview import EditorState


def run(given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    """Run one of them and return the exit code.

    Raises:
        UsageError: no such editor, model or working set.
        ExportError: a file of an editor cannot be read, understood or changed.
        RefusedError: read-only, or it needs a confirmation.
    """
    what, name = given["what"], given["editor"]
    if what in {"show", "diff", "write", "restore"} and name is None:
        raise UsageError(f"editors {what} needs the name of an editor", "gpudesk editors list  lists them")
    _check_options(given)
    if what == "list":
        return _list(given, means, out)
    if what == "check":
        return _check(given, means, out)
    from gpudesk.exports.registry import editor

    chosen = editor(name)
    if what == "show":
        return _show(chosen, given, means, out)
    if what == "restore":
        return restore(chosen, given, means, out)
    if given["migrate"]:
        return migrate(chosen, given, means, out)
    return write(chosen, given, means, out)


def _check_options(given: Mapping[str, Any]) -> None:
    by_hand = [f"--{role}" for role in ("chat", "autocomplete", "embed") if given[role] is not None]
    asked = [*by_hand[:1], *(["--set"] if given["set_name"] is not None else []), *(["--suggest"] * given["suggest"])]
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} each say which models", "Give one of them")
    if given["what"] not in {"diff", "write"}:
        words = (*asked, "--block" * given["block"], "--merge" * given["merge"], "--path" * (given["path"] is not None),
                 "--migrate" * given["migrate"])  # fmt: skip
        odd = next((word for word in words if word), None)
        if odd is not None:
            raise UsageError(f"{odd} is an option of editors diff and editors write")
    if given["migrate"] and (asked or given["path"] or given["block"] or given["merge"]):
        raise UsageError("--migrate goes without other models, ways and paths", "Set the editor up afterwards")
    if given["fix"] and given["what"] != "check":
        raise UsageError("--fix is an option of editors check")


# --- looking ----------------------------------------------------------------------------------------------------


def _states(name: str | None, session: EditorSession) -> list[EditorState]:
    from gpudesk.exports.overview import state_of
    from gpudesk.exports.registry import editor, editors

    asked = editors() if name is None else (editor(name),)
    return [state_of(each, session.around, session.desk, session.fits) for each in asked]


def _list(given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    with open_editors(means, whole=False) as session:
        states = _states(given["editor"], session)
        if given["json"]:
            from gpudesk.output.editors_json import states_document

            write_document(out, states_document(states))
        else:
            write_lines(out, list_lines(states, acting.style_for(out, session.settings)), session)
    return ExitCode.OK


def _show(editor: Editor, given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    from gpudesk.exports.writing import backups

    with open_editors(means, whole=False) as session:
        (state,) = _states(editor.id, session)
        writes = backups(editor.id, state=session.folders.state)
        if given["json"]:
            from gpudesk.output.editors_json import show_document

            write_document(out, show_document(state, writes))
        else:
            write_lines(out, show_lines(state, writes, acting.style_for(out, session.settings)), session)
    return ExitCode.OK


def _check(given: Mapping[str, Any], means: EditorMeans, out: TextIO) -> int:
    if given["fix"] and not given["dry_run"]:
        acting.refuse_read_only(means.settings)
    with open_editors(means, whole=False) as session:
        states = [state for state in _states(given["editor"], session) if state.found or given["editor"]]
        fixed = 0
        if given["fix"]:
            for state in states:
                fixed += _fix(state, given, session, out)
            if fixed and not given["dry_run"]:
                states = [state for state in _states(given["editor"], session) if state.found or given["editor"]]
        if given["json"]:
            from gpudesk.output.editors_json import check_document

            write_document(out, check_document(states, fixed))
        else:
            write_lines(out, check_lines(states, acting.style_for(out, session.settings)), session)
            if session.desk is None and any(state.found for state in states):
                diagnostics.say("gpudesk: no engine answered in time: what is installed and pinned was not looked at")
    wrong = any(state.wrong or state.problem is not None for state in states)
    return ExitCode.FAILED if wrong else ExitCode.OK


def _fix(state: EditorState, given: Mapping[str, Any], session: EditorSession, out: TextIO) -> int:
    """Make the safe fixes of one editor; return how many findings that settles."""
    from gpudesk.exports.overview import all_fixes
    from gpudesk.exports.registry import editor

    export, fixed = all_fixes(editor(state.id), session.around, session.desk)
    if not fixed:
        return 0
    count = f"{len(fixed)} {'finding' if len(fixed) == 1 else 'findings'} of {state.name}"
    if confirmed(export, given, session, out, f"Fix {count}?"):
        make_change(export, session)
        diagnostics.say(f"gpudesk: fixed {count}")
    return len(fixed)
