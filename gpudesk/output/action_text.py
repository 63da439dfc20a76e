"""Previews, progress and outcomes of actions as plain text: what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.step_words import step_words
from gpudesk.actions.values import Ending
from gpudesk.units import duration, gibibytes, percent

if TYPE_CHECKING:
    from gpudesk.actions.values import JournalEntry, Outcome, Preview, Progress
    from gpudesk.output.status_text import Style


def preview_lines(preview: Preview, style: Style) -> list[str]:
    """Say what an action would do: the figures, what is lost, the steps, what else is worth knowing."""
    heading = style.heading(f"{preview.action.value} {preview.subject}")
    if preview.refusal is not None:
        return [heading, *(f"  {note}" for note in preview.notes)]
    if not preview.steps:
        return [f"{heading}: it is so already", *(f"  {note}" for note in preview.notes)]
    figures = _figures(preview)
    lines = [f"{heading}: {', '.join(figures)}" if figures else heading]
    lines += [style.caution(f"  lost: {text}") for text in preview.loses]
    lines += [f"  {number}. {step_words(step)}" for number, step in enumerate(preview.steps, 1)]
    lines += [f"  note: {note}" for note in preview.notes]
    return [style.plain(line) for line in lines]


def _figures(preview: Preview) -> list[str]:
    figures = [preview.verdict] if preview.verdict is not None else []
    if preview.needs_bytes:
        figures.append(f"takes {gibibytes(preview.needs_bytes)}")
    if preview.frees_bytes:
        figures.append(f"frees {gibibytes(preview.frees_bytes)}")
    if preview.free_after_bytes is not None:
        figures.append(f"{gibibytes(preview.free_after_bytes)} free then")
    if preview.expected_seconds:
        figures.append(f"about {seconds_text(preview.expected_seconds)}")
    return figures


def outcome_lines(outcome: Outcome, style: Style) -> list[str]:
    """Say how an action that ended well ended: a line for each step that was carried out."""
    lines = [result.seen for result in outcome.steps] or [outcome.message]
    told = "; ".join(lines)
    rest = outcome.message.removeprefix(told).removeprefix("; ") if outcome.steps else ""
    lines += [rest] if rest else []
    return [style.plain(line) for line in lines]


def progress_text(progress: Progress) -> str:
    """Say how a running action is doing, on one line: `1/2 loading qwen3:14b  4.1 s of about 6.0 s`."""
    place = f"{progress.number}/{progress.total} " if progress.total > 1 and progress.step is not None else ""
    parts = [f"{place}{progress.text}"]
    if progress.completed_bytes is not None and progress.total_bytes:
        share = progress.completed_bytes / progress.total_bytes
        done = gibibytes(progress.completed_bytes)
        parts.append(f"{done} of {gibibytes(progress.total_bytes)}, {percent(share)}")
    elapsed = seconds_text(progress.elapsed_seconds)
    if progress.expected_seconds is not None:
        parts.append(f"{elapsed} of about {seconds_text(progress.expected_seconds)}")
    else:
        parts.append(elapsed)
    return "  ".join(parts)


def journal_line(entry: JournalEntry, style: Style) -> str:
    """Write one line of the journal, by the local clock."""
    at = entry.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    what = f"{entry.action} {entry.subject}"
    ending = entry.ending.value if entry.ending is Ending.DONE else style.caution(entry.ending.value)
    why = f" ({entry.why})" if entry.why else ""
    return style.plain(
        f"{at}  {entry.who.value:<7}  {what}: {ending} in {seconds_text(entry.seconds)}, {entry.message}{why}"
    )


def seconds_text(seconds: float) -> str:
    """Write a short time with a digit after the point, a long one by its largest units."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
