"""What stands beneath the lists: the change as a diff, or what is wrong in the editor's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.exports.differences import difference, masked
from gpudesk.exports.values import Export, Severity
from gpudesk.paths import shortened
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import paragraphs

if TYPE_CHECKING:
    from gpudesk.exports.overview import EditorState
    from gpudesk.exports.values import FileChange, Finding
    from gpudesk.ui.editors.working import Answer

_TONES = {Severity.ERROR: "error", Severity.WARNING: "warn", Severity.HINT: "dim"}


def change_lines(answer: Answer | None, width: int) -> list[Line]:
    """Return warnings, notes and the diff."""
    if answer is None:
        return [(Span("reading…", "dim"),)]
    if answer.choice_problem is not None:
        return paragraphs((answer.choice_problem,), width, mark="!", role="warn")
    lines: list[Line] = []
    if answer.chosen is not None:
        lines += paragraphs(answer.chosen.warnings, width, mark="!", role="warn")
    if answer.export_problem is not None:
        return [*lines, *paragraphs((answer.export_problem,), width, mark="!", role="error")]
    if answer.export is not None:
        warned = answer.chosen.warnings if answer.chosen is not None else ()
        lines += paragraphs((note for note in answer.export.notes if note not in warned), width, role="dim")
        if lines:
            lines.append(())
        lines += diff_lines(answer.export)
    return lines


def diff_lines(export: Export) -> list[Line]:
    """Return an export's diff; a line of it is never wrapped, because its first column says what it is."""
    lines: list[Line] = []
    if any(change.changes for change in export.changes):
        lines += [_painted(line) for line in difference(export).splitlines()]
    elif export.changes:
        lines.append((Span("it is set up so already", "good"),))
    if export.snippet is not None:
        if lines:
            lines.append(())
        lines += [(Span(line.expandtabs(4)),) for line in masked(export.snippet).splitlines()]
    return lines


def _painted(line: str) -> Line:
    line = line.expandtabs(4)
    if line.startswith(("--- ", "+++ ")):
        return (Span(line, "strong"),)
    role = {"+": "good", "-": "error", "@": "accent", "#": "dim"}.get(line[:1], "")
    return (Span(line, role),)


def finding_lines(state: EditorState | None, width: int) -> list[Line]:
    """Return what is wrong in an editor's files, each with what happens and what to do."""
    if state is None:
        return []
    lines: list[Line] = []
    if state.problem is not None:
        lines += paragraphs((state.problem,), width, mark="!", role="error")
    for path in dict.fromkeys(finding.path for finding in state.findings):
        if lines:
            lines.append(())
        lines.append((Span(shortened(path), "strong"),))
        for finding in state.findings:
            if finding.path == path:
                lines += _finding(finding, width)
    if not lines:
        there = any(found.exists for found in state.files)
        lines.append((Span("nothing is wrong in its files" if there else "it has no files yet", "good"),))
    return lines


def _finding(finding: Finding, width: int) -> list[Line]:
    place = f"line {finding.line}: " if finding.line is not None else ""
    tone = _TONES[finding.severity]
    said = f"{place}{finding.severity.value}: {finding.where + ': ' if finding.where else ''}{finding.message}"
    lines = paragraphs((said,), width, mark="!" if finding.severity is not Severity.HINT else "·", role=tone)
    lines += _indented(paragraphs((finding.effect,), width - 2, mark=" "))
    if finding.fix is not None:
        fix = f"{finding.fix}{' (x does it)' if finding.edits else ''}"
        lines += _indented(paragraphs((fix,), width - 2, mark="→", role="accent"))
    return lines


def _indented(lines: Sequence[Line]) -> list[Line]:
    return [(Span("  "), *line) for line in lines]


def file_lines(export: Export) -> list[Line]:
    """Return what happens to which file."""
    return [_file(change) for change in export.changes]


def _file(change: FileChange) -> Line:
    if not change.changes:
        verb, role = "touch ", "dim"
    elif change.before is None:
        verb, role = "new   ", "good"
    elif change.after is None:
        verb, role = "remove", "error"
    else:
        verb, role = "change", "warn"
    return (Span(verb, role), Span(f" {shortened(change.path)}"), Span(f"  {change.why}", "dim"))
