"""A box over the desk in which something is asked; the desk shows through and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.layouts.vertical import VerticalLayout
from textual.screen import ModalScreen

from gpudesk.keymap import BINDINGS as REGISTRY
from gpudesk.keymap import Scope, display_key, keys_of
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, line_width
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.widgets.panel import LineWidget, Painted, frame_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.geometry import Size
    from textual.widget import Widget

    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene

WIDTH = 76
"""Cells of a dialog, where there are so many."""
ASK_LINE = "ask"
"""Id of the line that is typed into; it covers the dialog's first line."""
_FRAME = 2
_MARGIN = 2
"""Lines of the desk that stay visible above and below."""

ALWAYS: tuple[str, ...] = ("back", "interrupt", "suspend", "help")
"""What works in a dialog of what works everywhere: no letter may leave or repaint while something is asked."""


def dialog_bindings(*scopes: Scope) -> list[BindingType]:
    """Return the keys of a dialog."""
    everywhere = [binding for name in ALWAYS for binding in bindings_for(Scope.EVERYWHERE, only=name)]
    return [*everywhere, *bindings_for(Scope.DIALOG, *scopes)]


class DialogLayout(Layout):
    """Centers the box at the height its contents want."""

    name = "dialog"

    def __init__(self, screen: DialogScreen) -> None:
        self._screen = screen

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Place the box and the line in it; toasts and tooltips stay with Textual."""
        region = self._screen.region_in(size.width, size.height)
        self._screen.placed(region, (size.width, size.height))
        placements, others = [], []
        for child in children:
            if child.id == "dialog":
                placements.append(WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, child))
            elif child.id == ASK_LINE:
                line = Region(region.x + 1, region.y + 1, max(1, region.width - 2), 1)
                placements.append(WidgetPlacement(line, NULL_OFFSET, NULL_SPACING, child, order=1))
            else:
                others.append(child)
        if others:
            placements += VerticalLayout().arrange(parent, others, size, greedy)
        return placements


class DialogBody(LineWidget):
    """The box."""

    can_focus = True


class DialogScreen(SceneScreen, ModalScreen[None], inherit_bindings=False):
    """A question. Subclasses say what stands in it and what the keys do."""

    BINDINGS = dialog_bindings()
    AUTO_FOCUS = "#dialog"

    def __init__(self, keymap: Mapping[str, str], title: str) -> None:
        super().__init__()
        self.keymap = keymap
        self.heading = title
        self.scene: Scene | None = None
        self.palette: Palette | None = None
        self.box = DialogBody(self._box_lines, id="dialog")
        self._dialog_layout = DialogLayout(self)
        self._top = 0
        self._room = 1
        self._most = 1
        """Lines there is room for, keys and frame taken off."""
        self._placed = Region()
        self._top_on: tuple[int, tuple[int, int]] | None = None
        """Line on which the box stood first, and the size of the screen it stood on."""

    @property
    def layout(self) -> Layout:
        """The layout with the box in the middle."""
        return self._dialog_layout

    def compose(self) -> ComposeResult:
        """Put the box on the screen."""
        yield self.box

    # --- what subclasses say ------------------------------------------------------------------------------------

    def fixed(self, width: int, room: int) -> list[tuple[Line, str]]:  # noqa: ARG002 - subclasses need them
        """Return the lines that are always seen, with their grounds; at most `room` of them."""
        return []

    def below(self, width: int) -> Sequence[Line]:  # noqa: ARG002 - subclasses need it
        """Return the lines beneath, which scroll where there is no room."""
        return ()

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys that matter here: id of the key, word, action."""
        return (("dialog_accept", "do it", "screen.accept"), ("back", "back", "screen.back"))

    def look(self) -> None:
        """Look at a new desk before it is drawn."""

    def action_accept(self) -> None:
        """Do it."""

    def action_yes(self) -> None:
        """Do it, though something is lost."""

    def action_move(self, lines: int) -> None:
        """Go up or down."""

    def action_change(self, step: int) -> None:
        """Take another choice."""

    # --- drawing ------------------------------------------------------------------------------------------------

    def show(self, scene: Scene, palette: Palette) -> None:
        """Draw a scene."""
        self.scene, self.palette = scene, palette
        self.look()
        self.draw()

    def draw(self) -> None:
        """Draw what stands in the box now, at the height it needs."""
        if self.palette is None:
            return
        if self.is_running and self.region_in(*self.size) != self._placed:
            # Through a child: a screen does not drop its own cached arrangement (textual widget.py, 8.2.8).
            self.box.refresh(layout=True)
        self.box.show(self.palette)

    def region_in(self, width: int, height: int) -> Region:
        """Return where the box stands."""
        wide = min(WIDTH, width - (2 if width > WIDTH else 0))
        most = height if height < 16 else height - _MARGIN
        inner = body_width(wide, Frame.BOX)
        self._most = most - _FRAME - 1
        own = len(self.fixed(inner, self._most))
        wanted = own + len(self.below(inner)) + _FRAME + 1
        tall = max(min(wanted, most), min(4, height))
        top = max(0, (height - tall) // 2)
        if self._top_on is not None and self._top_on[1] == (width, height):
            top = min(self._top_on[0], height - tall)
        return Region((width - wide) // 2, top, wide, tall)

    def placed(self, region: Region, size: tuple[int, int]) -> None:
        """Take note of where the box is: it stays there while it can, so that no choice moves under the eye."""
        self._placed = region
        if self._top_on is None or self._top_on[1] != size:
            self._top_on = region.y, size

    def _box_lines(self, size: Size) -> list[Painted]:
        width = body_width(size.width, Frame.BOX)
        fixed = self.fixed(width, max(self._most, size.height - _FRAME - 1))
        below = list(self.below(width))
        self._room = max(0, size.height - _FRAME - 1 - len(fixed))
        self._top = max(0, min(self._top, len(below) - self._room))
        shown = below[self._top : self._top + self._room]
        rest = len(below) - self._top - len(shown)
        if rest > 0 and shown:
            shown[-1] = (Span(f"… {rest + 1} more lines, pgdn", "dim"),)
        lines = [*fixed, *((line, "") for line in shown)]
        lines += [((), "")] * (size.height - _FRAME - 1 - len(lines))
        lines.append((self._hint_line(width), ""))
        title = (Span(self.heading, "title-focus"),)
        return frame_lines(lines, size.width, size.height, Frame.BOX, title=title, focused=True)

    def key_of(self, identifier: str) -> str:
        """Return a key as it is shown."""
        action = next(action for action in REGISTRY if action.id == identifier)
        return display_key(keys_of(action, self.keymap)[0])

    def _hint_line(self, width: int) -> Line:
        spans: list[Span] = []
        for identifier, word, action in self.hints():
            gap = (Span("   "),) if spans else ()
            entry = (*gap, Span(self.key_of(identifier), "key", action), Span(f" {word}", "dim", action))
            if line_width((*spans, *entry)) > width:
                break
            spans.extend(entry)
        return tuple(spans)

    # --- keys ---------------------------------------------------------------------------------------------------

    def action_page(self, pages: int) -> None:
        """Scroll what is beneath."""
        self._top += pages * max(1, self._room - 1)
        self.draw()

    def action_back(self) -> None:
        """Close it; nothing is done."""
        self.dismiss()

    def on_click(self, event: events.Click) -> None:
        """A click beside the box closes it."""
        if event.widget is self:
            self.action_back()
