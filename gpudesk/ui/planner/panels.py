"""What the planner's screen consists of, where its parts stand, and what they show; keys are `screen`'s business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.keymap import Scope
from gpudesk.ui.cells import Line, Span, fit_line
from gpudesk.ui.planner.layout import plan_planner
from gpudesk.ui.planner.view_answer import answer_lines, reading_words
from gpudesk.ui.planner.view_bars import cards_lines
from gpudesk.ui.planner.view_choices import KNOWN_CARDS
from gpudesk.ui.planner.widgets import AnswerPanel, ChoiceList, PlanCards
from gpudesk.ui.screens.placed import PlacedScreen, small_lines
from gpudesk.ui.view_footer import footer_line
from gpudesk.ui.view_title import title_line
from gpudesk.ui.widgets.panel import LineWidget, Painted
from gpudesk.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.geometry import Size
    from textual.widget import Widget

    from gpudesk.ui.layout import Place
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.planner.board import Board
    from gpudesk.ui.scene import Scene


class PlannerPanels(PlacedScreen, inherit_bindings=False):
    """The parts of the planner, drawn from its board."""

    def __init__(self, board: Board, *, banner: str | None, keymap: Mapping[str, str], read_only: bool = False) -> None:
        """Make every part.

        Args:
            board: what is chosen and what comes of it.
            banner: the demo's line.
            keymap: the user's keys.
            read_only: nothing may be changed.
        """
        super().__init__()
        self.board = board
        self._banner, self._keymap, self._read_only = banner, keymap, read_only
        self._scene: Scene | None = None
        self._palette: Palette | None = None
        self._typing: str | None = None
        """What the input line is for: `filter` or `file`."""
        self._picking = False
        self.title_bar = LineWidget(self._title_lines, id="title")
        self.banner_bar = LineWidget(self._banner_lines, id="banner")
        self.footer_bar = LineWidget(self._footer_lines, id="footer")
        self.small = LineWidget(small_lines, id="small")
        self.cards = PlanCards(self._cards_lines, id="plan-cards")
        self.list = ChoiceList(self.choose, id="choices")
        self.known_cards = RowList(KNOWN_CARDS, id="known")
        self.answer = AnswerPanel(self._answer_lines, id="answer")
        self.put(
            self.title_bar, self.banner_bar, self.cards, self.list, self.known_cards, self.answer, self.footer_bar,
            self.small,
        )  # fmt: skip

    def plan_places(self, size: Size) -> dict[str, Place]:
        """Divide the screen."""
        places = plan_planner(
            size.width, size.height, cards=len(self.board.ground.cards), choices=len(self.board.choices),
            banner=self._banner is not None, typing=self._typing is not None,
        )  # fmt: skip
        if self._picking and "choices" in places:
            places["known"] = places.pop("choices")
        self._places = places
        for name, place in places.items():
            widget = self._panels.get(name)
            if isinstance(widget, (PlanCards, AnswerPanel, RowList)):
                widget.frame = place.frame
        return places

    def show(self, scene: Scene, palette: Palette) -> None:
        """Take a new moment: cards and loaded models may have changed."""
        self._scene, self._palette = scene, palette
        cards = len(self.board.ground.cards)
        rows = len(self.board.choices)
        self.board.look(scene)
        if (len(self.board.ground.cards), len(self.board.choices)) != (cards, rows):
            # Through a child: a screen does not drop its own cached arrangement (textual widget.py, 8.2.8).
            self.title_bar.refresh(layout=True)
        self._draw()

    def _again(self) -> None:
        if self._scene is not None and self._palette is not None:
            self.show(self._scene, self._palette)

    def choose(self, name: str) -> None:
        """Add a model to the plan or take it out."""
        raise NotImplementedError

    # --- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        scene, palette = self._scene, self._palette
        if scene is None or palette is None:
            return
        self.list.set_items(self.board.choices, scene)
        role = "title-focus" if self.list.has_focus else "title"
        count = sum(choice.chosen for choice in self.board.choices)
        self.list.title = (Span("Models", role), Span(f" {count} chosen of {len(self.board.choices)}", "dim"))
        self.list.empty = [(Span("no installed model is known; a adds a .gguf file by its path", "dim"),)]
        self.known_cards.title = (Span("Cards", "title-focus"), Span("  enter plans with it, esc goes back", "dim"))
        self.cards.title = (Span("The plan on the cards", "title"),)
        for name, widget in self._panels.items():
            if name in self._places or not self._places:
                widget.show(palette)

    def _title_lines(self, size: Size) -> list[Painted]:
        return [] if self._scene is None else [Painted(title_line(self._scene, size.width, read_only=self._read_only))]

    def _banner_lines(self, size: Size) -> list[Painted]:
        return [Painted(fit_line((Span(f" {self._banner} ", "banner"),), size.width))]

    def _footer_lines(self, size: Size) -> list[Painted]:
        scopes = [Scope.EVERYWHERE, Scope.PLANNER]
        if isinstance(self.focused, ChoiceList):
            scopes.append(Scope.CHOICES)
        scopes.append(Scope.PANELS)
        reading = self.board.headers.reading
        extra: Line = (Span(f" {reading_words(reading)} ", "accent"),) if reading.going_on else ()
        first, acting = (Scope.CHOICES, Scope.PLANNER), not self._read_only
        return [Painted(footer_line(scopes, self._keymap, size.width, extra, first=first, acting=acting))]

    def _cards_lines(self, width: int, room: int) -> list[Line]:
        if self._scene is None:
            return []
        return cards_lines(self.board.plan, self.board.choices, self._scene, self.board.ground, width, room)

    def _answer_lines(self, width: int) -> list[Line]:
        selected = self.list.selected.name if self.list.selected is not None else None
        return answer_lines(
            self.board.plan,
            self.board.choices,
            self.board.ground,
            self.board.headers.reading,
            width,
            self.board.problem,
            selected,
            partial=self.board.partial,
        )

    # --- focus --------------------------------------------------------------------------------------------------

    def parts(self) -> list[Widget]:
        """Return the lists and the answer."""
        names = ("known", "choices", "answer")
        return [self._panels[name] for name in names if name in self._places]
