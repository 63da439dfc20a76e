"""What details are made of: facts, headings, paragraphs under a mark."""

from __future__ import annotations

from collections.abc import Iterable

from gpudesk.records import dataclass
from gpudesk.ui.cells import Line, Span, fit, wrap
from gpudesk.units import UNKNOWN

LABEL_WIDTH = 17


@dataclass(frozen=True, slots=True)
class Target:
    """What a detail view is about; found anew on every desk, by key."""

    kind: str
    """`model`, `card`, `process`, `event` or `problem`."""
    key: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A title and lines."""

    title: Line
    lines: tuple[Line, ...]


def heading(text: str) -> Line:
    """Return a section's heading."""
    return (Span(text, "title-focus"),)


def fact(label: str, value: str | None, width: int, *, role: str = "", note: str = "") -> list[Line]:
    """Return `label  value`, wrapped under itself; a dash where the value is unknown."""
    known = value is not None and value != ""
    text = value if known and value is not None else UNKNOWN
    room = max(8, width - LABEL_WIDTH)
    lines: list[Line] = []
    for index, piece in enumerate(wrap(text, room)):
        spans = [Span(fit(label if index == 0 else "", LABEL_WIDTH), "dim"), Span(piece, role if known else "faint")]
        lines.append(tuple(spans))
    if note:
        lines.extend((Span(" " * LABEL_WIDTH), Span(piece, "dim")) for piece in wrap(note, room))
    return lines


def styled_fact(label: str, value: Line) -> Line:
    """Return `label  value` with a value that has its own styles."""
    return (Span(fit(label, LABEL_WIDTH), "dim"), *value)


def paragraphs(texts: Iterable[str], width: int, *, mark: str = "·", role: str = "") -> list[Line]:
    """Return each text wrapped, under its mark."""
    lines: list[Line] = []
    for text in texts:
        for index, piece in enumerate(wrap(text, max(8, width - 2))):
            lines.append((Span(f"{mark} " if index == 0 else "  ", "dim"), Span(piece, role)))
    return lines
