"""Text measured in terminal cells, and lines made of styled spans: what every view function returns.

A span names a *role* (`dim`, `warn`, `fill-2`), never a color: the palette turns roles into styles when a line is
drawn, so that the views stay plain data and a change of theme costs no view its cache.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

ELLIPSIS = "…"


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    role: str = ""
    """Named style, see `palette`."""
    action: str = ""
    """Action run by a click on it, as a binding names it: `desk.tab('events')`."""


Line = tuple[Span, ...]
"""One row of the screen, left to right."""


def cells(text: str) -> int:
    """Return the cells a text takes. Nearly everything is printable ASCII, where that is its length."""
    return len(text) if text.isascii() else cell_len(text)


def clip(text: str, width: int) -> str:
    """Cut `text` to at most `width` cells, ending in an ellipsis where something is missing."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Clip or pad `text` to exactly `width` cells."""
    text = clip(text, width)
    padding = " " * max(0, width - cells(text))
    return padding + text if right else text + padding


def line_width(line: Line) -> int:
    """Return the cells a line takes."""
    width = 0
    for span in line:
        text = span[0]
        width += len(text) if text.isascii() else cell_len(text)
    return width


def clip_line(line: Line, width: int) -> Line:
    """Cut a line to at most `width` cells; the span that does not fit ends in an ellipsis."""
    if line_width(line) <= width:
        return line
    kept: list[Span] = []
    left = width
    for span in line:
        taken = cells(span.text)
        if taken <= left:
            kept.append(span)
            left -= taken
            continue
        cut = clip(span.text, left)
        if cut:
            kept.append(span._replace(text=cut))
        elif kept and cells(kept[-1].text) > 1 and not kept[-1].text.isspace():
            last = kept[-1]
            kept[-1] = last._replace(text=clip(last.text + "  ", cells(last.text)))
        break
    return tuple(kept)


def fit_line(line: Line, width: int, *, right: bool = False) -> Line:
    """Clip or pad a line to exactly `width` cells."""
    missing = width - line_width(line)
    if missing < 0:
        line = clip_line(line, width)
        missing = width - line_width(line)
    if missing <= 0:
        return line
    if len(line) == 1:
        # One span instead of two: most cells of a table come here.
        text, role, action = line[0]
        padding = " " * missing
        return (Span(padding + text if right else text + padding, role, action),)
    gap = Span(" " * missing)
    return (gap, *line) if right else (*line, gap)


def spread(left: Line, right: Line, width: int, *, gap: int = 2, fill: Span | None = None) -> Line:
    """Put `left` and `right` at the two ends of exactly `width` cells.

    Where both do not fit, `left` is cut first, down to a third of the room, then `right`.
    """
    right = clip_line(right, max(0, width - min(line_width(left), max(width // 3, 1)) - gap))
    left = clip_line(left, width - line_width(right) - (gap if right else 0))
    between = width - line_width(left) - line_width(right)
    middle = Span(" " * between) if fill is None else fill._replace(text=fill.text * between)
    return tuple(span for span in (*left, middle, *right) if span.text)


def wrap(text: str, width: int) -> list[str]:
    """Break `text` at spaces into lines of at most `width` cells; a longer word is cut in pieces."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        candidate = f"{current} {word}" if current else word
        if cells(candidate) <= width:
            current = candidate
            continue
        if current:
            lines.append(current)
        current = word
        while cells(current) > width > 0:
            piece = set_cell_size(current, width).rstrip(" ") or current[0]
            lines.append(piece)
            current = current[len(piece) :]
    if current or not lines:
        lines.append(current)
    return lines


def action_at(line: Line, column: int) -> str:
    """Return the action of the span under a column, or an empty string."""
    position = 0
    for span in line:
        position += cells(span.text)
        if column < position:
            return span.action
    return ""
