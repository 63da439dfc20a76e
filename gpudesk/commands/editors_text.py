"""What `gpudesk editors` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.values import Role, Severity
from gpudesk.exports.written import copies_of
from gpudesk.output.columns import Column, table
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.editor_desk import Picked
    from gpudesk.exports.editor import Editor
    from gpudesk.exports.overview import EditorState
    from gpudesk.exports.values import Chosen, ChosenModel, Export, Finding
    from gpudesk.exports.written import Write
    from gpudesk.output.status_text import Style

_COLUMNS = (Column("EDITOR"), Column("NAME", rank=1), Column("STATE"), Column("FILE", rank=2))


def list_lines(states: Sequence[EditorState], style: Style) -> list[str]:
    """Return every editor with its state and its main file."""
    rows = [(state.id, state.name, state.words, _main_file(state)) for state in states]
    head, *lines = table(_COLUMNS, rows, style.width)
    return [style.heading(head), *(style.plain(line) for line in lines)]


def _main_file(state: EditorState) -> str:
    there = [found for found in state.files if found.exists]
    return shortened(there[0].path) if there else ""


def show_lines(state: EditorState, writes: Sequence[Write], style: Style) -> list[str]:
    """Return the files of one editor, and what was written there."""
    lines = [style.heading(f"{state.name}: {state.words}")]
    if state.problem is not None:
        lines.append(style.alarm(f"  {state.problem}"))
    lines += [
        f"  {found.kind}: {shortened(found.path)}{'' if found.exists else ' (not there)'}" for found in state.files
    ]
    if not state.files:
        lines.append("  its configuration is printed, not written")
    lines.append(f"  set up by: {', '.join(way.value for way in state.ways)}")
    for write in writes[:5]:
        paths = ", ".join(shortened(file.path) for file in write.files)
        verb = "written" if write.back_to is None else "restored"
        lines.append(f"  {verb} {write.at:%Y-%m-%d %H:%M:%S} UTC: {paths}")
        lines += [f"    before: {shortened(copy)}" for copy in copies_of([write])]
    if state.findings:
        lines.append(f"  gpudesk editors check {state.id}  says what is wrong")
    return [style.plain(line) for line in lines]


def check_lines(states: Sequence[EditorState], style: Style) -> list[str]:
    """Return what is wrong, by file; each finding with what happens and what to do."""
    lines: list[str] = []
    for state in states:
        if state.problem is not None:
            lines += [style.alarm(f"{state.name}: {state.problem}"), ""]
        for path in dict.fromkeys(finding.path for finding in state.findings):
            lines.append(style.heading(shortened(path)))
            for finding in state.findings:
                if finding.path == path:
                    lines += _finding_lines(finding, style)
            lines.append("")
    wrong = sum(len(state.wrong) for state in states)
    fixable = sum(1 for state in states for finding in state.findings if finding.edits)
    if not states:
        lines.append("no editor was found on this computer")
    elif not lines:
        lines.append(f"nothing is wrong: {', '.join(state.name for state in states)}")
    elif wrong:
        hint = f"; gpudesk editors check --fix  settles {fixable}" if fixable else ""
        lines.append(f"{wrong} {'finding' if wrong == 1 else 'findings'}{hint}")
    return [style.plain(line).rstrip() for line in lines]


def _finding_lines(finding: Finding, style: Style) -> list[str]:
    paint = {Severity.ERROR: style.alarm, Severity.WARNING: style.caution}.get(finding.severity, str)
    place = f"line {finding.line}: " if finding.line is not None else ""
    where = f"{finding.where}: " if finding.where else ""
    lines = [f"  {place}{paint(finding.severity.value)}: {where}{finding.message} [{finding.code}]"]
    lines.append(f"      {finding.effect}")
    if finding.fix is not None:
        lines.append(f"      -> {finding.fix}{' (--fix does it)' if finding.edits else ''}")
    return lines


def chosen_lines(editor: Editor, picked: Picked, chosen: Chosen, export: Export) -> tuple[str, ...]:
    """Return what the editor is set up with."""
    lines = [f"{editor.name}, {export.way.value}, models {picked.origin}:"]
    lines += [f"  {', '.join(role.value for role in model.roles)}: {model_words(model)}" for model in chosen.models]
    return tuple(lines)


def model_words(model: ChosenModel) -> str:
    """Return a model as it will be asked for: `qwen3:14b, context 16384, stays forever`."""
    words = [model.name]
    if model.context_length is not None and set(model.roles) != {Role.EMBED}:
        words.append(f"context {model.context_length}{' (baked in)' if model.context_baked_in else ''}")
    seconds = model.keep_alive.seconds
    words.append("stays forever" if seconds is None else f"stays {seconds:.0f} s")
    return ", ".join(words)


def diff_lines(export: Export, style: Style) -> list[str]:
    """Return the change as a unified diff, secrets hidden; or what is to be put somewhere by hand."""
    from gpudesk.exports.differences import difference, masked

    changes = any(change.changes for change in export.changes)
    lines = [_painted(line, style) for line in difference(export).splitlines()] if changes else []
    if export.snippet is not None:
        lines += masked(export.snippet).splitlines()
    return lines


def _painted(line: str, style: Style) -> str:
    if line.startswith(("--- ", "+++ ", "# ")):
        return style.heading(line)
    return style.alarm(line) if line.startswith("-") else line
