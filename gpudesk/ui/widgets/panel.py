"""Widgets that draw whole lines themselves and repaint only those that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from gpudesk.ui.cells import Line, Span, action_at, fit_line, line_width, spread
from gpudesk.ui.layout import Frame, body_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.geometry import Size

    from gpudesk.ui.palette import Palette


class Painted(NamedTuple):
    """One line as it is drawn: a body on its ground, with the frame's pieces left and right of it."""

    body: Line
    ground: str = ""
    before: Line = ()
    after: Line = ()

    @property
    def spans(self) -> Line:
        """All of it, left to right."""
        return (*self.before, *self.body, *self.after)


def paint(painted: Painted, palette: Palette, width: int) -> Strip:
    """Turn a line into what Textual draws."""
    style = palette.style
    ground = painted.ground
    segments = [Segment(span.text, style(span.role)) for span in painted.before]
    segments += [Segment(span.text, style(span.role, ground)) for span in painted.body]
    segments += [Segment(span.text, style(span.role)) for span in painted.after]
    return Strip(segments).adjust_cell_length(width, style(""))


class LineWidget(Widget):
    """A widget made of lines; it composes them when asked and repaints those that differ, nothing else."""

    def __init__(self, lines: Callable[[Size], Sequence[Painted]] | None = None, *, id: str) -> None:  # noqa: A002
        """Make the widget.

        Args:
            lines: composes the lines for a size; subclasses override `lines` instead.
            id: Textual's id.
        """
        super().__init__(id=id)
        self._compose_lines = lines
        self._painted: list[Painted] = []
        self._painted_for: Size | None = None
        self._palette: Palette | None = None

    def lines(self, size: Size) -> Sequence[Painted]:
        """Compose the lines for a size, top to bottom."""
        return () if self._compose_lines is None else self._compose_lines(size)

    def show(self, palette: Palette) -> None:
        """Compose anew and repaint what changed."""
        size = self.size
        if palette is not self._palette or size != self._painted_for:
            # Everything is painted; `render_line` composes when Textual asks, once the size is known.
            self._palette = palette
            self._painted_for = None
            self.refresh()
            return
        new = list(self.lines(size))
        old = self._painted
        self._painted = new
        changed = [
            Region(0, y, size.width, 1)
            for y in range(max(len(old), len(new)))
            if y >= len(old) or y >= len(new) or old[y] != new[y]
        ]
        if changed:
            self.refresh(*changed)

    def redraw(self) -> None:
        """Compose anew, with the palette there is; before the first scene there is nothing to draw."""
        if self._palette is not None:
            self.show(self._palette)

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        size = self.size
        if self._palette is None:
            return Strip.blank(size.width)
        if self._painted_for != size:
            self._painted = list(self.lines(size))
            self._painted_for = size
        painted = self._painted[y] if y < len(self._painted) else Painted(())
        return paint(painted, self._palette, size.width)

    @property
    def shown_text(self) -> list[str]:
        """The lines as plain text, for tests and for whoever reads a screen aloud."""
        return ["".join(span.text for span in painted.spans) for painted in self._painted]

    async def _run_action_at(self, event: events.Click) -> bool:
        """Run the action of the span that was clicked."""
        if not 0 <= event.y < len(self._painted):
            return False
        action = action_at(self._painted[event.y].spans, event.x)
        if not action:
            return False
        event.stop()
        await self.run_action(action)
        return True

    async def on_click(self, event: events.Click) -> None:
        """Run the action under the mouse; elsewhere it is the widget's own business."""
        if not await self._run_action_at(event):
            self.clicked(event)

    def clicked(self, event: events.Click) -> None:
        """Take a click that hit no action. Not an `on_` handler: Textual runs those of every base class."""


def frame_lines(
    body: Sequence[tuple[Line, str]],
    width: int,
    height: int,
    frame: Frame,
    *,
    title: Line = (),
    right: Line = (),
    focused: bool = False,
    thumb: tuple[int, int] | None = None,
) -> list[Painted]:
    """Put a frame around lines.

    Args:
        body: lines and their grounds, each at most the body's width.
        width: cells of the whole.
        height: lines of the whole; too few body lines are followed by empty ones.
        frame: which frame.
        title: shown in the frame's first line, at the left.
        right: the same, at the right.
        focused: draw the frame in the color of the focus.
        thumb: first and last body line of the scroll bar's thumb, None without scroll bar.
    """
    role = "frame-focus" if focused else "frame"
    inner = body_width(width, frame)
    boxed = frame is Frame.BOX
    lines: list[Painted] = []
    if boxed:
        heading = spread((Span("─", role), *_padded(title)), (*_padded(right), Span("─", role)), width - 2,
                         gap=0, fill=Span("─", role))  # fmt: skip
        lines.append(Painted((Span("╭", role), *heading, Span("╮", role))))
    elif frame is Frame.TITLE:
        heading = spread((Span("─", role), *_padded(title)), _padded(right), width, gap=0, fill=Span("─", role))
        lines.append(Painted(heading))
    for index in range(max(0, height - frame.lines)):
        line, ground = body[index] if index < len(body) else ((), "")
        held = thumb is not None and thumb[0] <= index <= thumb[1]
        edge = Span("┃" if boxed else "▐", "thumb") if held else Span("│" if boxed else " ", role)
        cells = (Span(" "), *fit_line(line, inner), Span(" ")) if boxed else (Span(" "), *fit_line(line, inner))
        lines.append(Painted(cells, ground, (Span("│", role),) if boxed else (), (edge,)))
    if boxed and height >= 2:
        lines.append(Painted((Span("╰" + "─" * max(0, width - 2) + "╯", role),)))
    return lines[:height]


def _padded(line: Line) -> Line:
    return (Span(" "), *line, Span(" ")) if line and line_width(line) else ()
