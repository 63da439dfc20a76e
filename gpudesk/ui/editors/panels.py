"""What the editors' screen consists of and what its parts show; keys are `screen`'s business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, fit_line
from gpudesk.ui.editors.layout import plan_editors
from gpudesk.ui.editors.view_detail import change_lines, finding_lines
from gpudesk.ui.editors.view_lists import EDITORS, OPTIONS, ROLE_ROWS, ROLE_WORDS, RoleRow, fit_line_of, role_rows
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.screens.placed import PlacedScreen, small_lines
from gpudesk.ui.view_footer import footer_line
from gpudesk.ui.view_title import title_line
from gpudesk.ui.widgets.panel import LineWidget, Painted, frame_lines
from gpudesk.ui.widgets.row_list import RowList
from gpudesk.ui.widgets.scrolling import ScrollingWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.geometry import Size

    from gpudesk.exports.overview import EditorState
    from gpudesk.exports.values import Role, Way
    from gpudesk.ui.editors.working import Answer
    from gpudesk.ui.layout import Place
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene


class EditorList(RowList["EditorState"]):
    """The editors; what is beneath follows the cursor."""

    def _go(self, index: int) -> None:
        super()._go(index)
        self.post_message(self.Changed())


class RoleList(RowList[RoleRow]):
    """Where models come from, a model per role, the way it is written: left and right change them."""

    BINDINGS = bindings_for(Scope.EDITOR_ROLES)


class DetailPanel(ScrollingWidget):
    """The change or the findings, scrollable."""

    def __init__(self, contents: Callable[[int], tuple[Line, Sequence[Line]]], *, id: str) -> None:  # noqa: A002
        """Make the panel.

        Args:
            contents: returns title and all lines for a width.
            id: Textual's id.
        """
        super().__init__(Frame.TITLE, id=id)
        self._contents = contents

    def to_top(self) -> None:
        """Show the beginning: it is about something else now."""
        self._top = 0

    def lines(self, size: Size) -> list[Painted]:
        """Compose the visible part."""
        title, text = self._contents(body_width(size.width, self.frame))
        body, thumb = self.seen(text, size.height)
        right: Line = (Span(f"{self.lines_below} more ↓", "dim"),) if self.lines_below else ()
        return frame_lines(
            body, size.width, size.height, self.frame, title=title, right=right, focused=self.has_focus, thumb=thumb
        )


class EditorPanels(PlacedScreen, inherit_bindings=False):
    """The parts of the screen, drawn from the newest answer."""

    def __init__(self, *, banner: str | None, keymap: Mapping[str, str], read_only: bool = False) -> None:
        """Make every part.

        Args:
            banner: the demo's line.
            keymap: the user's keys.
            read_only: nothing may be written.
        """
        super().__init__()
        self._banner, self._keymap, self._read_only = banner, keymap, read_only
        self.answer: Answer | None = None
        self.scene: Scene | None = None
        self.checking = False
        """Findings are shown instead of the change."""
        self.picking: Role | None = None
        """The role a model is being chosen for."""
        self.typing = False
        self.reading = False
        """The detail was gone to by a key, and gets room: after a click, what was clicked stays where it is."""
        self._palette: Palette | None = None
        self.title_bar = LineWidget(self._title_lines, id="title")
        self.editors = EditorList(EDITORS, id="editors")
        self.roles = RoleList(ROLE_ROWS, id="roles")
        self.options = RowList(OPTIONS, id="options")
        self.detail = DetailPanel(self._detail_lines, id="detail")
        self.put(
            self.title_bar, LineWidget(self._banner_lines, id="banner"), self.editors, self.roles, self.options,
            self.detail, LineWidget(self._footer_lines, id="footer"), LineWidget(small_lines, id="small"),
        )  # fmt: skip

    def plan_places(self, size: Size) -> dict[str, Place]:
        """Divide the screen."""
        places = plan_editors(
            size.width, size.height, editors=len(self.answer.states) if self.answer is not None else 1,
            banner=self._banner is not None, reading=self.reading, typing=self.typing,
        )  # fmt: skip
        if self.picking is not None and "editors" in places:
            places["options"] = places.pop("editors")
        self._places = places
        for name, place in places.items():
            widget = self._panels.get(name)
            if isinstance(widget, (RowList, DetailPanel)):
                widget.frame = place.frame
        return places

    # --- what is selected ---------------------------------------------------------------------------------------

    @property
    def state(self) -> EditorState | None:
        """The editor under the cursor."""
        return self.editors.selected

    @property
    def way(self) -> Way | None:
        """How the selected editor would be written."""
        export = self.answer.export if self.answer is not None else None
        if export is not None and self.state is not None and export.editor == self.state.id:
            return export.way
        return self.state.ways[0] if self.state is not None and self.state.ways else None

    # --- drawing ------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw what is known."""
        scene, palette = self.scene, self._palette
        if scene is None or palette is None:
            return
        answer = self.answer
        self.editors.set_items(answer.states if answer is not None else (), scene)
        self.editors.title = self._title("Editors", self.editors)
        self.editors.empty = [(Span("looking for editors…", "dim"),)]
        self.roles.set_items(role_rows(answer, self.way, scene.desk), scene)
        together = answer.together if answer is not None else None
        self.roles.title = (*self._title("Models", self.roles), Span(" "), *fit_line_of(together))
        self.roles.empty = [(Span("looking for models…", "dim"),)]
        self.options.set_items(answer.judged if answer is not None else (), scene)
        self.options.title = (
            *self._title(f"For {ROLE_WORDS[self.picking]}" if self.picking is not None else "", self.options),
            Span("  enter takes it, esc goes back", "dim"),
        )
        known = answer.options if answer is not None else None
        nobody = known is not None and self.picking is not None and not known.get(self.picking)
        self.options.empty = [(Span("no installed model can do this" if nobody else "working out what fits…", "dim"),)]
        for name, widget in self._panels.items():
            if name in self._places or not self._places:
                widget.show(palette)

    def arrange_anew(self) -> None:
        """Divide the screen again."""
        # Through a child: a screen does not drop its own cached arrangement (textual widget.py, 8.2.8).
        self.title_bar.refresh(layout=True)
        self.call_after_refresh(self.draw)

    def _title(self, text: str, widget: RowList[Any]) -> Line:
        return (Span(text, "title-focus" if widget.has_focus else "title"),)

    def _title_lines(self, size: Size) -> list[Painted]:
        return [] if self.scene is None else [Painted(title_line(self.scene, size.width, read_only=self._read_only))]

    def _banner_lines(self, size: Size) -> list[Painted]:
        return [Painted(fit_line((Span(f" {self._banner} ", "banner"),), size.width))]

    def _footer_lines(self, size: Size) -> list[Painted]:
        scopes = [Scope.EVERYWHERE, Scope.EDITORS, Scope.PANELS]
        if self.focused is self.roles:
            scopes.append(Scope.EDITOR_ROLES)
        first = (Scope.EDITOR_ROLES, Scope.EDITORS)
        acting = not self._read_only
        return [Painted(footer_line(scopes, self._keymap, size.width, first=first, acting=acting))]

    def _detail_lines(self, width: int) -> tuple[Line, Sequence[Line]]:
        state, answer = self.state, self.answer
        focus = "title-focus" if self.detail.has_focus else "title"
        count = len(state.wrong) if state is not None else 0
        check = f"Check: {count}" if count else "Check"
        title = (
            Span("Change", "dim" if self.checking else focus, "screen.turn('change')"), Span("  "),
            Span(check, focus if self.checking else "warn" if count else "dim", "screen.turn('check')"),
        )  # fmt: skip
        if self.checking:
            return title, finding_lines(state, width)
        fresh = answer is None or state is None or answer.export is None or answer.export.editor == state.id
        return title, change_lines(answer if fresh else None, width)
