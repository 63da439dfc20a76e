"""A history as a filled braille area with a fixed 0..1 range.

Fixed, because a range taken from the data makes a rise from 3 to 5 percent fill the graph and a flat line
vanish (textual renderables/sparkline.py scales to the minimum and maximum of its data).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""Dots of a braille cell's left and right column when filled 0 to 4 high (Unicode 2800..28FF)."""

DOTS_PER_ROW = 4


def resample(points: Sequence[float | None], count: int) -> list[float | None]:
    """Stretch or squeeze `points` to `count` values; of several squeezed into one, the highest is kept."""
    size = len(points)
    if size == 0 or count <= 0:
        return [None] * max(0, count)
    if count >= size:
        return [points[index * size // count] for index in range(count)]
    result: list[float | None] = []
    for index in range(count):
        known = [v for v in points[index * size // count : (index + 1) * size // count] if v is not None]
        result.append(max(known) if known else None)
    return result


def _dots(value: float | None, rows: int) -> int:
    """Return how many dots high a value stands; anything above zero shows at least one."""
    if value is None:
        return 0
    clamped = min(1.0, max(0.0, value))
    dots = round(clamped * rows * DOTS_PER_ROW)
    return max(dots, 1) if clamped > 0 else dots


@lru_cache(maxsize=1024)
def _column(left: int, right: int, rows: int) -> tuple[str, ...]:
    """Return one cell's column, top first, for two neighbors that stand `left` and `right` dots high."""
    cells: list[str] = []
    for row in range(rows - 1, -1, -1):
        base = row * DOTS_PER_ROW
        bits = _LEFT[min(DOTS_PER_ROW, max(0, left - base))] | _RIGHT[min(DOTS_PER_ROW, max(0, right - base))]
        cells.append(chr(0x2800 + bits) if bits else " ")
    return tuple(cells)


def area(points: Sequence[float | None], width: int, rows: int) -> list[str]:
    """Draw points, oldest first, as `rows` lines of `width` braille cells, top line first."""
    if width <= 0:
        return [""] * rows
    heights = [_dots(value, rows) for value in resample(points, width * 2)]
    columns = [_column(left, right, rows) for left, right in zip(heights[::2], heights[1::2], strict=True)]
    return ["".join(line) for line in zip(*columns, strict=True)]
