"""Applies the division of the planner's screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout

if TYPE_CHECKING:
    from textual.geometry import Size
    from textual.widget import Widget

    from gpudesk.ui.planner.panels import PlannerPanels


class PlacesLayout(Layout):
    """Puts each child where the plan of the screen says; toasts and tooltips where Textual would."""

    name = "planner-places"

    def __init__(self, screen: PlannerPanels) -> None:
        self._screen = screen
        self._vertical = VerticalLayout()

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Place the children."""
        places = self._screen.plan_places(size)
        placements: list[WidgetPlacement] = []
        others = [child for child in children if child.id not in self._screen.planned]
        for child in children:
            place = places.get(child.id or "")
            if place is not None:
                region = Region(place.x, place.y, place.width, place.height)
                placements.append(WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, child))
        if others:
            placements += self._vertical.arrange(parent, others, size, greedy)
        return placements
