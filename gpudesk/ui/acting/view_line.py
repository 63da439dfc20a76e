"""The lines above the footer: what is running and how far it is, then how it ended and what to press."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.values import Ending
from gpudesk.ui.acting.journal import ENDINGS
from gpudesk.ui.acting.view_preview import action_words
from gpudesk.ui.cells import Line, Span, fit_line, line_width, spread, wrap
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from gpudesk.actions.values import Outcome, Preview, Progress
    from gpudesk.ui.acting.work import Work

BAR_LEAST, BAR_MOST = 6, 24
MESSAGE_LINES = 3
"""Lines of a failure; the journal has all of it."""
_ENDING_WORDS = {
    Ending.DONE: "done",
    Ending.UNDONE: "failed and taken back",
    Ending.FAILED: "failed",
    Ending.REFUSED: "refused",
}


def running_line(work: Work, elapsed_seconds: float, width: int, cancel_key: str) -> Line:
    """Return what is running, how far it is, and the key that takes it back."""
    progress = work.progress
    undoing = work.canceled or (progress is not None and progress.step is None)
    text = progress.text if progress is not None else action_words(work.preview)
    if work.canceled:
        text = f"canceled, {text}"
    right: Line
    if undoing:
        right = (Span(" bringing back what was there ", "dim"),)
    else:
        right = (Span(f" {cancel_key}", "key", "app.act('cancel')"), Span(" cancel ", "dim", "app.act('cancel')"))
    left: Line = (Span(" ▸ ", "warn" if undoing else "accent"), Span(text, "strong"))
    right = (Span(_clock_words(progress, elapsed_seconds), "dim"), Span(" "), *right)
    if progress is not None and progress.total > 1 and progress.step is not None:
        step = Span(f"  step {progress.number} of {progress.total}", "dim")
        if line_width((*left, step, *right)) + 1 <= width:
            left = (*left, step)
    ratio = _ratio(progress)
    room = width - line_width(left) - line_width(right) - 4
    if ratio is not None and room >= BAR_LEAST:
        cells = min(BAR_MOST, room)
        full = round(ratio * cells)
        right = (Span("█" * full, "accent"), Span("░" * (cells - full), "faint"), Span("  "), *right)
    return fit_line(spread(left, right, width, gap=1), width)


def _clock_words(progress: Progress | None, elapsed_seconds: float) -> str:
    if progress is None:
        return duration(elapsed_seconds)
    if progress.total_bytes and progress.completed_bytes is not None:
        done = f"{gibibytes(progress.completed_bytes, unit=False)} of {gibibytes(progress.total_bytes)}"
        rate = progress.completed_bytes / progress.elapsed_seconds if progress.elapsed_seconds > 1 else 0.0
        left = (progress.total_bytes - progress.completed_bytes) / rate if rate > 0 else None
        speed = f", {rate / 1e6:.0f} MB/s" if rate > 0 else ""
        return f"{done}{speed}{f', {duration(left)} left' if left is not None else ''}"
    elapsed = duration(progress.elapsed_seconds)
    if progress.expected_seconds is None:
        return elapsed
    return f"{elapsed} of about {duration(max(1.0, progress.expected_seconds))}"


def _ratio(progress: Progress | None) -> float | None:
    """Return how far it is; a load that takes longer than expected is nearly done until it is."""
    if progress is None or progress.step is None:
        return None
    if progress.total_bytes and progress.completed_bytes is not None:
        return min(1.0, progress.completed_bytes / progress.total_bytes)
    if progress.expected_seconds:
        return min(0.95, progress.elapsed_seconds / progress.expected_seconds)
    return None


def outcome_lines(preview: Preview, outcome: Outcome, width: int, dismiss_key: str, journal_key: str) -> list[Line]:
    """Return how an action ended; one that did not end well says what to do and which key puts the lines away."""
    glyph, role = ENDINGS[outcome.ending]
    word = "canceled" if outcome.canceled and outcome.ending is Ending.UNDONE else _ENDING_WORDS[outcome.ending]
    head = f"{action_words(preview)}: {word}"
    if outcome.ending is Ending.DONE:
        line = (Span(f" {glyph} ", role), Span(head, "strong"), Span(f"  {outcome.message}", "dim"))
        return [fit_line(spread(line, (Span(f" {outcome.seconds:.1f} s ", "dim"),), width, gap=1), width)]
    keys = (
        Span(f" {dismiss_key}", "key", "screen.back"), Span(" dismiss ", "dim", "screen.back"),
        Span(f" {journal_key}", "key", "app.act('journal')"), Span(" journal ", "dim", "app.act('journal')"),
    )  # fmt: skip
    first = spread((Span(f" {glyph} ", role), Span(head, role)), keys, width, gap=1)
    lines = [fit_line(first, width)]
    message = wrap(outcome.message, max(8, width - 4))[:MESSAGE_LINES]
    lines += [fit_line((Span(f"   {piece}"),), width) for piece in message]
    if outcome.hint:
        pieces = wrap(outcome.hint, max(8, width - 6))[:2]
        lines += [
            fit_line((Span("   → " if index == 0 else "     ", "accent"), Span(piece)), width)
            for index, piece in enumerate(pieces)
        ]
    return lines
