"""Aligned columns of plain text that fit a width: the least important columns go first, then the first one is cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from gpudesk.records import dataclass

GAP = "  "

FIRST_WIDTH = 40
"""Cells of the first column below which it is not cut to keep another column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    """Aligned to the right, as numbers are."""
    rank: int = 0
    """Columns with the highest rank are left out first; 0 is never left out."""


def cells(text: str) -> int:
    """Return how many terminal cells a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, width: int) -> str:
    """Cut a text to `width` cells, with `…` where something is missing."""
    if cells(text) <= width:
        return text
    kept = ""
    for character in text:
        if cells(kept) + cells(character) > width - 1:
            break
        kept += character
    return f"{kept}…" if width > 0 else ""


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Fill a text up with spaces to `width` cells."""
    space = " " * max(0, width - cells(text))
    return f"{space}{text}" if right else f"{text}{space}"


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lay out a table; the first line is the header. A column that is empty in every row is left out."""
    if not rows:
        return []
    kept = [number for number, _ in enumerate(columns) if number == 0 or any(row[number] for row in rows)]
    widths = [max(cells(columns[n].title), *(cells(row[n]) for row in rows)) for n in range(len(columns))]
    first = min(widths[0], FIRST_WIDTH)
    while first + sum(widths[n] for n in kept[1:]) + len(GAP) * (len(kept) - 1) > width:
        loosest = max(kept, key=lambda n: (columns[n].rank, n))
        if columns[loosest].rank == 0:
            break
        kept.remove(loosest)
    rest = sum(widths[n] for n in kept[1:]) + len(GAP) * (len(kept) - 1)
    widths[0] = min(widths[0], max(8, width - rest))
    lines = []
    for row in ([column.title for column in columns], *rows):
        parts = [padded(cut(row[n], widths[n]), widths[n], right=columns[n].right) for n in kept]
        lines.append(GAP.join(parts).rstrip())
    return lines


def wrapped(parts: Sequence[str], width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Join parts with commas into lines of at most `width`; a single part is never broken."""
    lines: list[str] = []
    line = first
    for number, part in enumerate(parts):
        piece = part + ("," if number < len(parts) - 1 else "")
        joined = f"{line}{piece}" if line in {first, rest} else f"{line} {piece}"
        if cells(joined) > width and line not in {first, rest}:
            lines.append(line)
            joined = f"{rest}{piece}"
        line = joined
    return [*lines, line] if parts else []
