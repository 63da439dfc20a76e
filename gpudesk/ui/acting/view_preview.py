"""A preview as lines: what is loaded, what goes, what is lost, how much memory and how many seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.step_words import step_words
from gpudesk.actions.values import ActionId
from gpudesk.records import replace
from gpudesk.ui.cells import Line, Span, wrap
from gpudesk.ui.detail_lines import paragraphs
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from gpudesk.actions.values import Preview, Refusal

VERDICTS = {
    "fits": ("✓ fits", "good"),
    "tight": ("≈ tight", "warn"),
    "spills": ("◐ spills: part of it would run on the CPU", "warn"),
    "does not fit": ("✗ does not fit", "error"),
}
"""Glyph, words and role, the planner's."""

_ACTIONS = {ActionId.DELETE: "delete", ActionId.DERIVE: "make", ActionId.KEEP: "keep-alive of", ActionId.APPLY: "apply"}
"""Actions whose word to type is not the word to read."""


def action_words(preview: Preview) -> str:
    """Name an action in words: `delete qwen3:14b`."""
    return f"{_ACTIONS.get(preview.action, preview.action)} {preview.subject}"


def seconds_words(seconds: float) -> str:
    """Write an expected duration: it is no promise."""
    return f"about {duration(max(1.0, seconds))}"


def refusal_lines(refusal: Refusal, width: int) -> list[Line]:
    """Say why not, and what to do."""
    lines = paragraphs([refusal.message], width, mark="✗", role="error")
    if refusal.hint:
        lines += paragraphs([refusal.hint], width, mark="→")
    return lines


def summary(preview: Preview) -> Line:
    """Return verdict, memory and seconds in one line."""
    spans: list[Span] = []
    if preview.verdict is not None:
        word, role = VERDICTS.get(preview.verdict, (preview.verdict, ""))
        spans.append(Span(word, role))
    facts = []
    if preview.needs_bytes is not None:
        facts.append(f"needs {gibibytes(preview.needs_bytes)}")
    if preview.frees_bytes:
        facts.append(f"frees {gibibytes(preview.frees_bytes)}")
    if preview.free_after_bytes is not None:
        facts.append(f"{gibibytes(preview.free_after_bytes)} free then")
    if preview.expected_seconds is not None and preview.steps:
        facts.append(seconds_words(preview.expected_seconds))
    for fact in facts:
        spans += [Span("  ") if spans else Span(""), Span(fact, "strong" if not spans else "text")]
    return tuple(span for span in spans if span.text)


def preview_lines(preview: Preview, width: int) -> list[Line]:
    """Return everything a preview says."""
    if preview.refusal is not None:
        lines = refusal_lines(preview.refusal, width)
        # What it takes may be known; that it fits would contradict the refusal.
        figures = summary(replace(preview, verdict=None) if preview.verdict in ("fits", "tight") else preview)
        return [*lines, *([figures] if figures else []), *paragraphs(preview.notes, width, role="dim")]
    if not preview.steps:
        return [(Span("✓ ", "good"), Span("nothing to do: it is so already")),
                *paragraphs(preview.notes, width, role="dim")]  # fmt: skip
    lines = []
    if line := summary(preview):
        lines += _wrapped(line, width)
    lines += paragraphs((f"{text}" for text in preview.loses), width, mark="!", role="warn")
    numbered = len(preview.steps) > 1
    for number, step in enumerate(preview.steps, 1):
        mark = f"{number} " if numbered else "▸ "
        for index, piece in enumerate(wrap(step_words(step, because=not preview.loses), max(8, width - 2))):
            lines.append((Span(mark if index == 0 else "  ", "accent"), Span(piece)))
    return [*lines, *paragraphs(preview.notes, width, role="dim")]


def _wrapped(line: Line, width: int) -> list[Line]:
    """Break a line of facts between its spans."""
    lines: list[Line] = []
    current: list[Span] = []
    used = 0
    for span in line:
        if used + len(span.text) > width and current:
            lines.append(tuple(current))
            current, used = [], 0
        if span.text.strip() or current:
            current.append(span)
            used += len(span.text)
    return [*lines, tuple(current)] if current else lines
