"""The cards area: blocks of lines with one card selected, scrolling when there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.view_cards import CardsLayout, cards_lines, name_line, plan_cards, vitals
from gpudesk.ui.widgets.focusable import FocusableWidget
from gpudesk.ui.widgets.panel import frame_lines

if TYPE_CHECKING:
    from textual import events
    from textual.geometry import Size

    from gpudesk.ui.scene import Scene
    from gpudesk.ui.widgets.panel import Painted


class CardsPanel(FocusableWidget):
    """Every card with its bar, figures and history."""

    BINDINGS = bindings_for(Scope.LIST)

    class Opened(Message):
        """A card was asked for its details."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.frame = Frame.NONE
        self.selected = 0
        """Position of the selected card."""
        self._top = 0
        self._scene: Scene | None = None
        self._layout: CardsLayout = plan_cards(0, 80, 4)

    def set_scene(self, scene: Scene) -> None:
        """Take a new desk."""
        self._scene = scene
        self.selected = max(0, min(self.selected, len(scene.desk.cards) - 1))

    def lines(self, size: Size) -> list[Painted]:
        """Compose what is visible."""
        scene = self._scene
        if scene is None:
            return []
        inner, count = body_width(size.width, self.frame), size.height - self.frame.lines
        self._layout = plan_cards(len(scene.desk.cards), inner, count, boxed=self.frame is Frame.BOX)
        every = cards_lines(scene, self._layout, inner, selected=self.selected if self.has_focus else None)
        self._keep_visible(len(every), count)
        thumb = None
        if len(every) > count > 0:
            length = max(1, count * count // len(every))
            first = (count - length) * self._top // max(1, len(every) - count)
            thumb = (first, first + length - 1)
        title, right = self._heading(scene, scrolls=thumb is not None)
        return frame_lines(
            [(line, "") for line in every[self._top : self._top + count]],
            size.width,
            size.height,
            self.frame,
            title=title,
            right=right,
            focused=self.has_focus,
            thumb=thumb,
        )

    def _heading(self, scene: Scene, *, scrolls: bool) -> tuple[Line, Line]:
        """Return what stands in the frame: the one card's name and vitals, or how many cards there are."""
        cards = scene.desk.cards
        role = "title-focus" if self.has_focus else "title"
        if self._layout.framed_head and cards:
            return name_line(cards[0], scene, role=role), () if cards[0].card.error else vitals(cards[0].card)
        position = (Span(f"{self.selected + 1}/{len(cards)}", "dim"),) if scrolls else ()
        return (Span("Cards", role), Span(f" {len(cards)}" if cards else "", "dim")), position

    def _keep_visible(self, total: int, lines: int) -> None:
        """Scroll so that the selected card is on the screen."""
        first = self.selected // self._layout.columns * self._layout.block_lines
        last = min(total, first + self._layout.block_lines)
        self._top = max(min(self._top, first), last - lines)
        self._top = max(0, min(self._top, total - lines))

    def _go(self, position: int) -> None:
        count = len(self._scene.desk.cards) if self._scene is not None else 0
        if count:
            self.selected = max(0, min(position, count - 1))
            self.redraw()

    def action_move(self, rows: int) -> None:
        """Select the card above or below."""
        self._go(self.selected + rows * self._layout.columns)

    def action_page(self, pages: int) -> None:
        """Select a card one page away."""
        self._go(self.selected + pages * max(1, self.size.height // self._layout.block_lines))

    def action_first(self) -> None:
        """Select the first card."""
        self._go(0)

    def action_last(self) -> None:
        """Select the last card."""
        self._go(1 << 30)

    def action_details(self) -> None:
        """Ask for the details of the selected card."""
        if self._scene is not None and self._scene.desk.cards:
            self.post_message(self.Opened(self._scene.desk.cards[self.selected].card.index))

    def action_card(self, index: int) -> None:
        """Ask for the details of the card with an index."""
        self.post_message(self.Opened(index))

    def action_next_sort(self) -> None:
        """Cards stay in the driver's order."""
        self.notify("cards stay in the driver's order", timeout=3)

    def action_reverse_sort(self) -> None:
        """Cards stay in the driver's order."""
        self.action_next_sort()

    def clicked(self, event: events.Click) -> None:
        """Select the card under the mouse; a second click opens it."""
        y = self._top + event.y - (1 if self.frame is not Frame.NONE else 0)
        columns = self._layout.columns
        column = min(columns - 1, event.x * columns // max(1, self.size.width))
        self._go(y // self._layout.block_lines * columns + column)
        if event.chain > 1:
            self.action_details()

    def wheel_turned(self, step: int) -> None:
        """Select the card above or below."""
        self.action_move(step)
