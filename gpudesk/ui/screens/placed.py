"""Screens whose parts stand where a plan says, and that go from part to part."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout

from gpudesk.ui.cells import Span
from gpudesk.ui.layout import SMALLEST_HEIGHT, SMALLEST_WIDTH, Place
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.widgets.panel import LineWidget, Painted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from textual.app import ComposeResult
    from textual.geometry import Size
    from textual.message import Message
    from textual.widget import Widget


class PlacesLayout(Layout):
    """Puts each child where the plan of the screen says; toasts and tooltips where Textual would."""

    name = "places"

    def __init__(self, plan: Callable[[Size], Mapping[str, Place]], planned: Container[str | None]) -> None:
        """Make the layout.

        Args:
            plan: divides a screen: places by the id of what stands there.
            planned: ids that are the plan's business; what has no place in it is not shown.
        """
        self._plan, self._planned = plan, planned
        self._vertical = VerticalLayout()

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Place the children."""
        places = self._plan(size)
        placements: list[WidgetPlacement] = []
        others = [child for child in children if child.id not in self._planned]
        for child in children:
            place = places.get(child.id or "")
            if place is not None:
                region = Region(place.x, place.y, place.width, place.height)
                placements.append(WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, child))
        if others:
            placements += self._vertical.arrange(parent, others, size, greedy)
        return placements


class PlacedScreen(SceneScreen, inherit_bindings=False):
    """A screen of panels; whoever derives from it makes them and hands them to `put`."""

    def __init__(self) -> None:
        """Begin without parts."""
        super().__init__()
        self._news = threading.Lock()
        self._early: list[Message] | None = []
        """What it was told before it was there."""
        self._panels: dict[str, LineWidget] = {}
        self._places: dict[str, Place] = {}
        self._layout = PlacesLayout(self.plan_places, ())

    def put(self, *panels: LineWidget) -> None:
        """Take the parts, from top to bottom."""
        self._panels = {panel.id or "": panel for panel in panels}
        self._layout = PlacesLayout(self.plan_places, {*self._panels, "filter"})

    @property
    def layout(self) -> Layout:
        """The layout that follows `plan_places`."""
        return self._layout

    def compose(self) -> ComposeResult:
        """Put every part on the screen."""
        yield from self._panels.values()

    def plan_places(self, size: Size) -> dict[str, Place]:
        """Divide the screen."""
        raise NotImplementedError

    # --- news ---------------------------------------------------------------------------------------------------

    def tell(self, message: Message) -> None:
        """Tell the screen something from another thread; what comes before it is there, it is told then."""
        with self._news:
            if self._early is not None:
                self._early.append(message)
                return
        if self.is_running:
            self.post_message(message)

    def on_mount(self) -> None:
        """Take what was worked out meanwhile."""
        with self._news:
            early, self._early = self._early or [], None
        for message in early:
            self.post_message(message)

    # --- focus --------------------------------------------------------------------------------------------------

    def parts(self) -> list[Widget]:
        """Return what can have the focus, from the first to the last."""
        raise NotImplementedError

    def focus_part(self, part: Widget) -> None:
        """Give a part the focus."""
        self.set_focus(part)

    def action_focus_next(self) -> None:
        """Focus the next part."""
        self._focus_beside(1)

    def action_focus_previous(self) -> None:
        """Focus the part before."""
        self._focus_beside(-1)

    def _focus_beside(self, step: int) -> None:
        parts = self.parts()
        if parts:
            # With the focus elsewhere, forward is the first and backward the last.
            position = parts.index(self.focused) if self.focused in parts else min(0, -step)
            self.focus_part(parts[(position + step) % len(parts)])


def small_lines(_size: Size) -> list[Painted]:
    """Say that the terminal is too small."""
    return too_small("esc goes back")


def too_small(way_out: str) -> list[Painted]:
    """Say that the terminal is too small, and which key leads out."""
    text = f"gpudesk needs {SMALLEST_WIDTH}×{SMALLEST_HEIGHT}"
    return [Painted((Span(text, "warn"),)), Painted((Span(way_out, "dim"),))]
