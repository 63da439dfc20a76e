"""The planner's widgets: the cards under the plan, the list to choose from, the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.planner.choices import Choice
from gpudesk.ui.planner.view_choices import CHOICES
from gpudesk.ui.widgets.panel import LineWidget, frame_lines
from gpudesk.ui.widgets.row_list import RowList
from gpudesk.ui.widgets.scrolling import ScrollingWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.geometry import Size

    from gpudesk.ui.widgets.panel import Painted


class PlanCards(LineWidget):
    """Bars of now and of the plan."""

    def __init__(self, contents: Callable[[int, int], Sequence[Line]], *, id: str) -> None:  # noqa: A002 - Textual's
        """Make the widget.

        Args:
            contents: returns the lines for a width and a number of lines.
            id: Textual's id.
        """
        super().__init__(id=id)
        self.frame = Frame.NONE
        self.title: Line = ()
        self._contents = contents

    def lines(self, size: Size) -> list[Painted]:
        """Compose what is visible."""
        inner, room = body_width(size.width, self.frame), size.height - self.frame.lines
        body = [(line, "") for line in self._contents(inner, room)]
        return frame_lines(body, size.width, size.height, self.frame, title=self.title)


class ChoiceList(RowList[Choice]):
    """The list of models: enter and space choose."""

    BINDINGS = bindings_for(Scope.CHOICES)

    def __init__(self, choose: Callable[[str], None], *, id: str) -> None:  # noqa: A002 - Textual's name
        """Make the list.

        Args:
            choose: adds a model to the plan or takes it out. Called at once: a message would come after the next
                key, which may mean the model that is not chosen yet.
            id: Textual's id.
        """
        super().__init__(CHOICES, id=id)
        self._choose = choose

    def action_choose(self, name: str | None = None) -> None:
        """Add a model to the plan or take it out: the named one, else the one under the cursor."""
        if name is None:
            name = self.selected.name if self.selected is not None else None
        if name is not None:
            self._choose(name)

    def action_details(self) -> None:
        """Enter chooses here: details are in the answer."""
        self.action_choose()

    def action_move(self, rows: int) -> None:
        """Move the cursor; the answer follows."""
        super().action_move(rows)
        self.post_message(self.Changed())

    def clicked(self, event: events.Click) -> None:
        """Put the cursor under the mouse; a second click chooses."""
        super().clicked(event)
        self.post_message(self.Changed())


class AnswerPanel(ScrollingWidget):
    """The answer, scrollable."""

    def __init__(self, contents: Callable[[int], Sequence[Line]], *, id: str) -> None:  # noqa: A002 - Textual's name
        """Make the panel.

        Args:
            contents: returns all lines for a width.
            id: Textual's id.
        """
        super().__init__(Frame.TITLE, id=id)
        self._contents = contents

    def lines(self, size: Size) -> list[Painted]:
        """Compose the visible part."""
        body, thumb = self.seen(self._contents(body_width(size.width, self.frame)), size.height)
        role = "title-focus" if self.has_focus else "title"
        right: Line = (Span(f"{self.lines_below} more ↓", "dim"),) if self.lines_below else ()
        return frame_lines(
            body, size.width, size.height, self.frame,
            title=(Span("Answer", role),), right=right, focused=self.has_focus, thumb=thumb,
        )  # fmt: skip
