"""The lines above the footer: what is running and how far it is, then how it ended and what to press."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.values import Ending, StepKind
from gpudesk.ui.acting.journal import ENDINGS
from gpudesk.ui.acting.view_preview import action_words
from gpudesk.ui.cells import Line, Span, clip, fit_line, line_width, spread, wrap
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from gpudesk.actions.values import Outcome, Preview, Progress
    from gpudesk.ui.acting.work import Work

BAR_LEAST, BAR_MOST = 6, 24
MESSAGE_LINES = 3
"""Lines of a failure; the journal has all of it."""
DONE_LINES = 2
"""Lines of what went well, where one is not enough."""
BYTES_WIDTH = 60
"""Cells from which there is room for bytes beside seconds."""
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
    right = (Span(_clock_words(work, elapsed_seconds, width), "dim"), Span(" "), *right)
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


def preparing_line(subject: str, width: int, cancel_key: str) -> Line:
    """Return that it is being found out what an action comes to, and the key that takes it back."""
    left: Line = (Span(" ▸ ", "accent"), Span(f"finding out what {subject} takes", "strong"))
    right: Line = (Span(f" {cancel_key}", "key", "app.act('cancel')"), Span(" cancel ", "dim", "app.act('cancel')"))
    return fit_line(spread(left, right, width, gap=1), width)


def _clock_words(work: Work, elapsed_seconds: float, width: int) -> str:
    """Return how far it is in bytes and seconds; of a download how fast it comes and what that leaves."""
    progress = work.progress
    if progress is None:
        return duration(elapsed_seconds)
    seconds = duration(progress.elapsed_seconds)
    if progress.expected_seconds is not None:
        seconds = f"{seconds} of about {duration(max(1.0, progress.expected_seconds))}"
    if not progress.total_bytes or progress.completed_bytes is None:
        return seconds
    done = f"{gibibytes(progress.completed_bytes, unit=False)} of {gibibytes(progress.total_bytes)}"
    if progress.step is None or progress.step.kind is not StepKind.PULL:
        return f"{done}, {seconds}" if width >= BYTES_WIDTH else seconds
    return f"{done}{_pace_words(work.bytes_per_second, progress.total_bytes - progress.completed_bytes)}"


def _pace_words(bytes_per_second: float | None, left_bytes: int) -> str:
    if bytes_per_second is None or left_bytes <= 0:
        return ""
    if bytes_per_second <= 0:
        return ", nothing arrives"
    return f", {bytes_per_second / 1e6:.0f} MB/s, {duration(left_bytes / bytes_per_second)} left"


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
        return _done_lines(preview, outcome, head, width)
    keys = (
        Span(f" {dismiss_key}", "key", "screen.back"), Span(" dismiss ", "dim", "screen.back"),
        Span(f" {journal_key}", "key", "app.act('journal')"), Span(" journal ", "dim", "app.act('journal')"),
    )  # fmt: skip
    first = spread((Span(f" {glyph} ", role), Span(head, role)), keys, width, gap=1)
    lines = [fit_line(first, width)]
    message = _pieces(outcome.message, max(8, width - 4), MESSAGE_LINES)
    lines += [fit_line((Span(f"   {piece}"),), width) for piece in message]
    if outcome.hint:
        pieces = _pieces(outcome.hint, max(8, width - 6), 2)
        lines += [
            fit_line((Span("   → " if index == 0 else "     ", "accent"), Span(piece)), width)
            for index, piece in enumerate(pieces)
        ]
    return lines


def _done_lines(preview: Preview, outcome: Outcome, head: str, width: int) -> list[Line]:
    """Return how it went well: in one line where there is room, else with what was seen beneath.

    What was seen is the answer (how much memory came back, what the engine unloaded for it), so it is not cut off.
    """
    glyph, role = ENDINGS[Ending.DONE]
    left: Line = (Span(f" {glyph} ", role), Span(head, "strong"))
    right: Line = (Span(f" {outcome.seconds:.1f} s ", "dim"),)
    seen = outcome.message.removeprefix(f"{preview.subject} ")
    line = (*left, Span(f"  {seen}", "dim"))
    if line_width(line) + line_width(right) + 1 <= width:
        return [fit_line(spread(line, right, width, gap=1), width)]
    pieces = _pieces(seen, max(8, width - 4), DONE_LINES)
    return [
        fit_line(spread(left, right, width, gap=1), width),
        *(fit_line((Span(f"   {piece}", "dim"),), width) for piece in pieces),
    ]


def _pieces(text: str, width: int, most: int) -> list[str]:
    """Break a text into at most so many lines; dots say that there is more of it in the journal."""
    pieces = wrap(text, width)
    if len(pieces) <= most:
        return pieces
    return [*pieces[: most - 1], f"{clip(pieces[most - 1], width - 2)} …"]
