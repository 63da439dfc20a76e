"""The stacked bar of a card: every holder's share of the memory in cells that add up exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from gpudesk.domain.desk import CardState, Holder, HolderKind
from gpudesk.records import dataclass
from gpudesk.ui.cells import Line, Span, clip
from gpudesk.ui.marks import letter, shade
from gpudesk.units import gibibytes

PROCESS_FILL = "▒"
UNATTRIBUTED_FILL = "░"
RESERVE_FILL = "╱"
LABEL_CELLS = 14
"""Cells from which on a process has a segment of its own."""
FREE_FILL = " "
MODEL_FILLS_WITHOUT_COLOR = ("▓", "▚", "▦", "▤")
"""Patterns that tell neighbors apart where there are no shades."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of the bar."""

    label: str
    """What is written into it where it fits: `A qwen3:14b 9.8`."""
    short: str
    """What is written where only a cell or two are left: `A`."""
    memory_bytes: int
    role: str
    fill: str
    legend: str
    """What the legend says when the label did not fit."""


def holder_key(holder: Holder) -> str:
    """Return the key of the model behind a holder, as `LoadedModel.key` writes it."""
    return f"{holder.engine_url} {holder.name}"


def segments_of(
    state: CardState, marks: Mapping[str, int], *, reserve_bytes: int = 0, colored: bool = True, width: int = 80
) -> list[Segment]:
    """Divide a card into the segments of its bar: models, other processes, unattributed, free, reserve.

    Processes too small for a label of their own in `width` cells are one segment: each would otherwise take a cell.
    The reserve is the part of the free memory that the user wants left alone; it is drawn at the far end.
    """
    segments: list[Segment] = []
    total = sum(holder.memory_bytes for holder in state.holders) + (state.free_bytes or 0)
    small = [
        holder
        for holder in state.holders
        if holder.kind is HolderKind.PROCESS and holder.memory_bytes * width < total * LABEL_CELLS
    ]
    merged = small if len(small) > 1 else []
    for holder in state.holders:
        if holder in merged:
            continue
        if holder.kind is HolderKind.MODEL:
            mark = marks.get(holder_key(holder))
            fill = " " if colored else MODEL_FILLS_WITHOUT_COLOR[shade(mark) % len(MODEL_FILLS_WITHOUT_COLOR)]
            segments.append(_segment(letter(mark), holder.name, holder.memory_bytes, f"fill-{shade(mark)}", fill))
        elif holder.kind is HolderKind.PROCESS:
            segments.append(_segment(PROCESS_FILL, holder.name, holder.memory_bytes, "fill-process", PROCESS_FILL))
    if merged:
        held = sum(holder.memory_bytes for holder in merged)
        segments.append(_segment(PROCESS_FILL, f"{len(merged)} processes", held, "fill-process", PROCESS_FILL))
    for holder in state.holders:
        if holder.kind is HolderKind.UNATTRIBUTED:
            role = "fill-unattributed"
            segments.append(_segment(UNATTRIBUTED_FILL, holder.name, holder.memory_bytes, role, UNATTRIBUTED_FILL))
    free = state.free_bytes or 0
    reserve = min(reserve_bytes, free)
    if free - reserve > 0:
        # One figure for what is free, the same as in words below: the reserve is part of it.
        label = f"free {gibibytes(free, unit=False)}"
        segments.append(Segment(label, "", free - reserve, "fill-free", FREE_FILL, ""))
    if reserve > 0:
        segments.append(_segment(RESERVE_FILL, "reserve", reserve, "fill-reserve", RESERVE_FILL))
    return segments


def _segment(tag: str, name: str, memory_bytes: int, role: str, fill: str) -> Segment:
    """Return a segment whose label is tag, name and figure."""
    text = f"{tag} {name} {gibibytes(memory_bytes, unit=False)}".strip()
    return Segment(text, tag, memory_bytes, role, fill, text if tag and tag != RESERVE_FILL else "")


def divide(weights: Sequence[int], width: int) -> list[int]:
    """Divide `width` cells in proportion to `weights`, adding up exactly.

    Everything above zero gets at least one cell as long as there are cells enough: a small model must be seen.
    The rest goes by largest remainder.
    """
    total = sum(weights)
    if total <= 0 or width <= 0:
        return [0] * len(weights)
    exact = [weight * width / total for weight in weights]
    cells = [int(share) for share in exact]
    if sum(1 for weight in weights if weight > 0) <= width:
        cells = [max(1, cell) if weight > 0 else 0 for cell, weight in zip(cells, weights, strict=True)]
    while sum(cells) < width:
        index = max(range(len(cells)), key=lambda i: (weights[i] > 0, exact[i] - cells[i]))
        cells[index] += 1
    while sum(cells) > width:
        index = max(range(len(cells)), key=lambda i: (cells[i] > 1, cells[i] - exact[i]))
        cells[index] -= 1
    return cells


def _label_in(segment: Segment, cells: int) -> str:
    """Return what to write into `cells` cells: the whole label, a cut one that still says something, or a letter."""
    if cell_len(segment.label) + 2 <= cells:
        return f" {segment.label} "
    tag = segment.short
    figures = f" {tag} {gibibytes(segment.memory_bytes, unit=False)} "
    if tag and cells >= 16:
        return f" {clip(segment.label, cells - 2)} "
    if tag and cells >= cell_len(figures):
        return figures
    if tag and cells >= 3:
        return f" {tag} "
    return tag if cells >= 1 else ""


def draw_bar(segments: Sequence[Segment], width: int) -> tuple[Line, list[Segment]]:
    """Draw the bar.

    Returns:
        The line, exactly `width` cells, and the segments whose label did not fit whole: the legend's.
    """
    spans: list[Span] = []
    unlabeled: list[Segment] = []
    shares = divide([segment.memory_bytes for segment in segments], width)
    for segment, cells in zip(segments, shares, strict=True):
        if cells == 0:
            unlabeled.append(segment)
            continue
        text = _label_in(segment, cells)
        if segment.label not in text:
            unlabeled.append(segment)
        patterned = segment.role in ("fill-process", "fill-unattributed", "fill-reserve")
        if patterned and segment.label not in text:
            text = ""
        if text:
            spans.append(Span(text, segment.role))
        rest = cells - cell_len(text)
        if rest:
            role = segment.role if segment.fill == " " else f"{segment.role}-pattern"
            spans.append(Span(segment.fill * rest, role))
    missing = width - sum(shares)
    if missing > 0:
        spans.append(Span("·" * missing, "fill-free-pattern"))
    legend = [segment for segment in unlabeled if segment.legend]
    # Models last: the table below names them, and tells nothing of the others.
    legend.sort(key=lambda segment: segment.role[5:].isdecimal())
    return tuple(spans), legend
