"""The stacked bar of a card: every holder's share of the memory in cells that add up exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from gpudesk.domain.desk import CardState, Holder, HolderKind
from gpudesk.ui.cells import Line, Span, clip
from gpudesk.ui.marks import letter, shade
from gpudesk.units import gibibytes

PROCESS_FILL = "▒"
UNATTRIBUTED_FILL = "░"
RESERVE_FILL = "╱"
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
    state: CardState, marks: Mapping[str, int], *, reserve_bytes: int = 0, colored: bool = True
) -> list[Segment]:
    """Divide a card into the segments of its bar: models, other processes, unattributed, free, reserve.

    The reserve is the part of the free memory that the user wants left alone; it is drawn at the far end.
    """
    segments: list[Segment] = []
    for holder in state.holders:
        figure = gibibytes(holder.memory_bytes, unit=False)
        if holder.kind is HolderKind.MODEL:
            mark = marks.get(holder_key(holder))
            fill = " " if colored else MODEL_FILLS_WITHOUT_COLOR[shade(mark) % len(MODEL_FILLS_WITHOUT_COLOR)]
            tag, role = letter(mark), f"fill-{shade(mark)}"
        elif holder.kind is HolderKind.PROCESS:
            tag, role, fill = PROCESS_FILL, "fill-process", PROCESS_FILL
        else:
            tag, role, fill = UNATTRIBUTED_FILL, "fill-unattributed", UNATTRIBUTED_FILL
        text = f"{tag} {holder.name} {figure}"
        segments.append(Segment(text, tag, holder.memory_bytes, role, fill, text))
    free = state.free_bytes or 0
    reserve = min(reserve_bytes, free)
    if free - reserve > 0:
        text = f"free {gibibytes(free - reserve, unit=False)}"
        segments.append(Segment(text, "", free - reserve, "fill-free", FREE_FILL, ""))
    if reserve > 0:
        text = f"reserve {gibibytes(reserve, unit=False)}"
        segments.append(Segment(text, RESERVE_FILL, reserve, "fill-reserve", RESERVE_FILL, f"{RESERVE_FILL} {text}"))
    return segments


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
    if tag and cells >= 10:
        return f" {clip(segment.label, cells - 2)} "
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
        if segment.short and len(text) <= 3 and patterned:
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
    return tuple(spans), [segment for segment in unlabeled if segment.legend]
