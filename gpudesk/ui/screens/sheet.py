"""A sheet over the desk: scrollable lines in a box, at the side where there is room, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout
from textual.message import Message
from textual.screen import ModalScreen

from gpudesk.keymap import BINDINGS as REGISTRY
from gpudesk.keymap import Scope, display_key, keys_of
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.view_detail import Target, detail
from gpudesk.ui.view_help import help_lines
from gpudesk.ui.widgets.panel import LineWidget, frame_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.widget import Widget

    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene

SIDE_WIDTH = 84
"""Cells of a sheet that leaves the desk visible beside it."""


def sheet_region(width: int, height: int) -> tuple[int, int, int, int]:
    """Return where a sheet stands: at the right where the desk keeps at least 40 cells, else over everything."""
    if width >= SIDE_WIDTH + 40:
        return width - SIDE_WIDTH, 1, SIDE_WIDTH, max(1, height - 2)
    return 0, 0, width, height


class SheetLayout(Layout):
    """Puts the sheet where `sheet_region` says."""

    name = "sheet"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Place the sheet; toasts and tooltips stay with Textual."""
        sheets = [child for child in children if isinstance(child, Sheet)]
        others = [child for child in children if not isinstance(child, Sheet)]
        region = Region(*sheet_region(size.width, size.height))
        placements = [WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, sheet) for sheet in sheets]
        if others:
            placements += VerticalLayout().arrange(parent, others, size, greedy)
        return placements


class Sheet(LineWidget):
    """Scrollable lines in a box."""

    can_focus = True
    BINDINGS = bindings_for(Scope.DETAIL)

    class Changed(Message):
        """Scrolled or resized: wants to be drawn."""

    def __init__(self) -> None:
        super().__init__(id="sheet")
        self._top = 0
        self._total = 0

    @property
    def body_width(self) -> int:
        """Cells for text."""
        return body_width(self.size.width, Frame.BOX)

    @property
    def page_lines(self) -> int:
        """Lines of text that are seen at once."""
        return max(1, self.size.height - Frame.BOX.lines)

    def show(self, title: Line, hint: Line, lines: Sequence[Line], palette: Palette) -> None:
        """Draw the visible part."""
        self._total = len(lines)
        room = self.page_lines
        self._top = max(0, min(self._top, self._total - room))
        thumb = None
        if self._total > room:
            size = max(1, room * room // self._total)
            first = (room - size) * self._top // max(1, self._total - room)
            thumb = (first, first + size - 1)
        body = [(line, "") for line in lines[self._top : self._top + room]]
        framed = frame_lines(
            body, self.size.width, self.size.height, Frame.BOX, title=title, right=hint, focused=True, thumb=thumb
        )
        self.draw(framed, palette)

    def _to(self, line: int) -> None:
        self._top = line
        self.post_message(self.Changed())

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self._to(self._top + lines)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self._to(self._top + pages * max(1, self.page_lines - 1))

    def action_scroll_to(self, end: int) -> None:
        """Scroll to the top or to the end."""
        self._to(self._total if end else 0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll down."""
        event.stop()
        self.action_scroll(2)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll up."""
        event.stop()
        self.action_scroll(-2)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.post_message(self.Changed())


class SheetScreen(SceneScreen, ModalScreen[None], inherit_bindings=False):
    """The screen a sheet is on; the desk shows through beside it and goes on."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)
    AUTO_FOCUS = "#sheet"

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self.keymap = keymap
        self.sheet = Sheet()
        self._sheet_layout = SheetLayout()
        self._scene: Scene | None = None
        self._palette: Palette | None = None

    @property
    def layout(self) -> Layout:
        """The layout with the sheet at the side."""
        return self._sheet_layout

    def compose(self) -> ComposeResult:
        """Put the sheet on the screen."""
        yield self.sheet

    def contents(self, scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return title and lines."""
        raise NotImplementedError

    def show(self, scene: Scene, palette: Palette) -> None:
        """Draw a scene."""
        self._scene, self._palette = scene, palette
        self._draw()

    def _draw(self) -> None:
        if self._scene is None or self._palette is None or self.sheet.size.width <= 0:
            return
        title, lines = self.contents(self._scene, self.sheet.body_width)
        back = next(action for action in REGISTRY if action.id == "back")
        key = display_key(keys_of(back, self.keymap)[0])
        self.sheet.show(title, (Span(key, "key", "screen.back"), Span(" back", "dim", "screen.back")), lines,
                        self._palette)  # fmt: skip

    def on_sheet_changed(self, event: Sheet.Changed) -> None:
        """Draw the sheet."""
        event.stop()
        self._draw()

    async def on_click(self, event: events.Click) -> None:
        """A click beside the sheet closes it."""
        if event.widget is self:
            self.action_back()

    def action_back(self) -> None:
        """Close the sheet."""
        self.dismiss()


class DetailScreen(SheetScreen, inherit_bindings=False):
    """Everything known of one thing."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)

    def __init__(self, target: Target, keymap: Mapping[str, str]) -> None:
        super().__init__(keymap)
        self.target = target

    def contents(self, scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the target's details."""
        found = detail(self.target, scene, width)
        return found.title, found.lines


class HelpScreen(SheetScreen, inherit_bindings=False):
    """Keys, signs and columns."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)

    def contents(self, _scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the help text."""
        return (Span("Help", "title-focus"),), help_lines(self.keymap, width)
