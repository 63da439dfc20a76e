"""A sheet over the desk: scrollable lines in a box, at the side where there is room, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout
from textual.screen import ModalScreen

from gpudesk.keymap import BINDINGS as REGISTRY
from gpudesk.keymap import Scope, display_key, keys_of
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import Target
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.view_detail import detail
from gpudesk.ui.view_help import help_lines
from gpudesk.ui.widgets.panel import frame_lines
from gpudesk.ui.widgets.scrolling import ScrollingWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.widget import Widget

    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene
    from gpudesk.ui.widgets.panel import Painted

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


class Sheet(ScrollingWidget):
    """Scrollable lines in a box."""

    def __init__(self, contents: Callable[[int], tuple[Line, Sequence[Line]]], hint: Line) -> None:
        """Make the sheet.

        Args:
            contents: returns title and lines for a width.
            hint: shown at the right of the title.
        """
        super().__init__(Frame.BOX, id="sheet")
        self._contents = contents
        self._hint = hint

    def lines(self, size: Size) -> list[Painted]:
        """Compose the visible part."""
        title, text = self._contents(body_width(size.width, self.frame))
        body, thumb = self.seen(text, size.height)
        return frame_lines(
            body, size.width, size.height, self.frame, title=title, right=self._hint, focused=True, thumb=thumb
        )


class SheetScreen(SceneScreen, ModalScreen[None], inherit_bindings=False):
    """The screen a sheet is on; the desk shows through beside it and goes on."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)
    AUTO_FOCUS = "#sheet"

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self.keymap = keymap
        back = next(action for action in REGISTRY if action.id == "back")
        key = display_key(keys_of(back, keymap)[0])
        hint = (Span(key, "key", "screen.back"), Span(" back", "dim", "screen.back"))
        self.sheet = Sheet(self._contents, hint)
        self._sheet_layout = SheetLayout()
        self._scene: Scene | None = None

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

    def _contents(self, width: int) -> tuple[Line, Sequence[Line]]:
        return ((), ()) if self._scene is None else self.contents(self._scene, width)

    def show(self, scene: Scene, palette: Palette) -> None:
        """Draw a scene."""
        self._scene = scene
        self.sheet.show(palette)

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

    def __init__(self, keymap: Mapping[str, str], *, read_only: bool = False) -> None:
        super().__init__(keymap)
        self._read_only = read_only

    def contents(self, _scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the help text."""
        return (Span("Help", "title-focus"),), help_lines(self.keymap, width, read_only=self._read_only)
