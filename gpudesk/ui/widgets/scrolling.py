"""More lines than there is room for: where they are scrolled to, and the keys and the wheel that scroll them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.layout import Frame
from gpudesk.ui.widgets.focusable import FocusableWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.ui.cells import Line

WHEEL_LINES = 2


def thumb_of(top: int, room: int, total: int) -> tuple[int, int] | None:
    """Return the first and last line of a scroll bar's thumb; None where all lines are visible."""
    if total <= room or room <= 0:
        return None
    length = max(1, room * room // total)
    first = (room - length) * top // (total - room)
    return first, first + length - 1


class ScrollingWidget(FocusableWidget):
    """Lines of which a part is visible, in a frame."""

    BINDINGS = bindings_for(Scope.DETAIL)

    def __init__(self, frame: Frame, *, id: str) -> None:  # noqa: A002 - Textual's name
        """Make the widget, scrolled to the top.

        Args:
            frame: takes lines off the room.
            id: Textual's id.
        """
        super().__init__(id=id)
        self.frame = frame
        self._top = 0
        self._total = 0
        self._room = 1

    @property
    def page_lines(self) -> int:
        """Lines that are seen at once."""
        return max(1, self.size.height - self.frame.lines)

    @property
    def lines_below(self) -> int:
        """How many lines are below those last composed."""
        return max(0, self._total - self._top - self._room)

    def seen(self, text: Sequence[Line], height: int) -> tuple[list[tuple[Line, str]], tuple[int, int] | None]:
        """Return the lines that are seen, for `frame_lines`, and the thumb beside them; never past the end."""
        self._room = max(1, height - self.frame.lines)
        self._total = len(text)
        self._top = max(0, min(self._top, self._total - self._room))
        shown = text[self._top : self._top + self._room]
        return [(line, "") for line in shown], thumb_of(self._top, self._room, self._total)

    def _to(self, line: int) -> None:
        self._top = line
        self.redraw()

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self._to(self._top + lines)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._to(self._top + pages * max(1, self.page_lines - 1))

    def action_scroll_to(self, end: int) -> None:
        """Scroll to the top or to the end."""
        self._to(self._total if end else 0)

    def wheel_turned(self, step: int) -> None:
        """Scroll."""
        self.action_scroll(step * WHEEL_LINES)
