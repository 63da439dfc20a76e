"""The main screen: cards, loaded models, and the lists below."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, fit_line
from gpudesk.ui.detail_lines import Target
from gpudesk.ui.layout import LOWER_TABS, Contents, Place, is_wide, plan_desk
from gpudesk.ui.screens.placed import PlacedScreen, too_small
from gpudesk.ui.view_footer import filter_footer_line, footer_line
from gpudesk.ui.view_lower import EVENTS, INSTALLED, PROBLEMS, PROCESSES, OtherProcess, other_processes
from gpudesk.ui.view_models import LOADED
from gpudesk.ui.view_states import empty_lines, list_note
from gpudesk.ui.view_title import title_line
from gpudesk.ui.widgets.cards_panel import CardsPanel
from gpudesk.ui.widgets.panel import LineWidget, Painted
from gpudesk.ui.widgets.row_list import RowList

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.geometry import Size
    from textual.widget import Widget
    from textual.widgets import Input

    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import InstalledModel
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene

ROOMY_WIDTH = 72
"""Cells from which the tabs stand further apart."""
TAB_WORDS = {"installed": "Installed", "processes": "Processes", "events": "Events", "problems": "Problems"}
LIST_NAMES = ("loaded", *LOWER_TABS)
WORDS = {"loaded": "loaded models", "installed": "installed models", "processes": "other processes",
         "events": "events", "problems": "problems"}  # fmt: skip
DETAIL_KINDS = {"loaded": "model", "installed": "model", "processes": "process", "events": "event",
                "problems": "problem"}  # fmt: skip


class DeskScreen(PlacedScreen, inherit_bindings=False):
    """Everything at one look."""

    BINDINGS = bindings_for(Scope.EVERYWHERE, Scope.PANELS, Scope.DESK)
    SCOPES = frozenset({Scope.PANELS, Scope.DESK, Scope.LIST})
    AUTO_FOCUS = "#loaded"

    def __init__(self, *, banner: str | None, keymap: Mapping[str, str], read_only: bool = False) -> None:
        super().__init__()
        self._read_only = read_only
        self.action_lines: Callable[[int], list[Line]] | None = None
        """Returns what stands above the footer: the running action, or how the last one ended."""
        self.dismiss_outcome: Callable[[], bool] | None = None
        """Puts the outcome away; tells whether there was one."""
        self._banner = banner
        self._keymap = keymap
        self._tab = "installed"
        self._scene: Scene | None = None
        self._palette: Palette | None = None
        self._contents = Contents(banner=banner is not None)
        self._processes: tuple[OtherProcess, ...] = ()
        self._events: tuple[Any, ...] = ()
        self._derived_from: tuple[object, ...] = ()
        self._filter_target: RowList[Any] | None = None
        self.title_bar = LineWidget(self._title_lines, id="title")
        self.banner_bar = LineWidget(self._banner_lines, id="banner")
        self.action_bar = LineWidget(self._action_lines, id="action")
        self.footer_bar = LineWidget(self._footer_lines, id="footer")
        self.small = LineWidget(lambda _size: too_small("q quits"), id="small")
        self.cards = CardsPanel(id="cards")
        self.loaded = RowList(LOADED, id="loaded")
        self.installed = RowList(INSTALLED, id="installed")
        self.processes = RowList(PROCESSES, id="processes")
        self.events = RowList(EVENTS, id="events")
        self.problems = RowList(PROBLEMS, id="problems")
        self.lists: dict[str, RowList[Any]] = {
            rows.table.id: rows for rows in (self.loaded, self.installed, self.processes, self.events, self.problems)
        }
        self.put(
            self.title_bar, *(() if banner is None else (self.banner_bar,)), self.cards, *self.lists.values(),
            self.action_bar, self.footer_bar, self.small,
        )  # fmt: skip

    def plan_places(self, size: Size) -> dict[str, Place]:
        """Divide the screen for its present contents."""
        self._places = plan_desk(size.width, size.height, self._contents)
        for name, place in self._places.items():
            if name == "cards":
                self.cards.frame = place.frame
            elif name in self.lists:
                self.lists[name].frame = place.frame
        if self._scene is not None:
            self._title_lists(self._scene)
        return self._places

    # --- drawing ------------------------------------------------------------------------------------------------

    def show(self, scene: Scene, palette: Palette) -> None:
        """Draw a scene."""
        self._scene, self._palette = scene, palette
        desk = scene.desk
        self._derive(desk)
        contents = Contents(
            cards=len(desk.cards),
            loaded=len(desk.models) or len(empty_lines("loaded", scene)),
            processes=len(self._processes),
            problems=len(desk.problems),
            tab=self._tab,
            banner=self._banner is not None,
            filtering=self._contents.filtering,
            action=len(self._action_text(self.size.width)),
        )
        self._arrange(contents)
        self.cards.set_scene(scene)
        self.loaded.set_items(_by_mark(desk.models, scene.marks), scene)
        self.installed.set_items(desk.installed, scene)
        self.processes.set_items(self._processes, scene)
        self.events.set_items(self._events, scene)
        self.problems.set_items(desk.problems, scene)
        self._draw()

    def _arrange(self, contents: Contents) -> None:
        """Divide the screen anew where its contents want it."""
        if contents != self._contents:
            self._contents = contents
            if plan_desk(*self.size, contents) != self._places:
                # Through a child: a screen does not drop its own cached arrangement (textual widget.py, 8.2.8).
                self.title_bar.refresh(layout=True)

    def show_action(self) -> None:
        """Draw the running action, or how the last one ended."""
        if self._palette is not None:
            self._arrange(replace(self._contents, action=len(self._action_text(self.size.width))))
            self.action_bar.show(self._palette)

    def _action_text(self, width: int) -> list[Line]:
        return self.action_lines(width) if self.action_lines is not None and width > 0 else []

    def _action_lines(self, size: Size) -> list[Painted]:
        return [Painted(line, "head") for line in self._action_text(size.width)]

    def _derive(self, desk: Desk) -> None:
        """Compute what follows from the desk and is not in it, only when its basis changed."""
        basis = (desk.cards, desk.processes, desk.models, desk.events)
        if len(basis) == len(self._derived_from) and all(
            new is old for new, old in zip(basis, self._derived_from, strict=True)
        ):
            return
        self._derived_from = basis
        self._processes = other_processes(desk)
        self._events = tuple(reversed(desk.events))

    def _draw(self) -> None:
        """Draw every panel that is seen."""
        scene, palette = self._scene, self._palette
        if scene is None or palette is None:
            return
        self._title_lists(scene)
        for name, widget in self._panels.items():
            if name in self._places or not self._places:
                widget.show(palette)

    def _title_lines(self, size: Size) -> list[Painted]:
        return [] if self._scene is None else [Painted(title_line(self._scene, size.width, read_only=self._read_only))]

    def _banner_lines(self, size: Size) -> list[Painted]:
        return [Painted(fit_line((Span(f" {self._banner} ", "banner"),), size.width))]

    def _footer_lines(self, size: Size) -> list[Painted]:
        if self._contents.filtering:
            return [Painted(filter_footer_line(self._keymap, size.width))]
        scopes = [Scope.EVERYWHERE, Scope.PANELS, Scope.DESK]
        if isinstance(self.focused, (RowList, CardsPanel)):
            scopes.append(Scope.LIST)
        return [Painted(footer_line(scopes, self._keymap, size.width, acting=not self._read_only))]

    def _title_lists(self, scene: Scene) -> None:
        """Give each list its title, or the tabs where only one list is seen, and what to say when it is empty."""
        wide = is_wide(*self.size) and "installed" in self._places and len(self._places) > 0
        lower = [name for name in LOWER_TABS if name in self._places]
        for name, rows in self.lists.items():
            rows.empty = empty_lines(name, scene)
            rows.note = list_note(name, scene)
            if name == "loaded":
                rows.title = _own_title("Loaded models", rows)
            elif wide and len(lower) > 1:
                several = len(lower) == 2 and name != "installed"
                rows.title = self._tabs_line(LOWER_TABS[1:]) if several else _own_title(TAB_WORDS[name], rows)
            else:
                rows.title = self._tabs_line(LOWER_TABS)

    def _tabs_line(self, names: tuple[str, ...]) -> Line:
        """Return the tabs with their keys and counts; the shown one stands out."""
        spans: list[Span] = []
        gap = Span("   " if self.size.width >= ROOMY_WIDTH else "  ")
        for name in names:
            if spans:
                spans.append(gap)
            number = LOWER_TABS.index(name) + 1
            action = f"screen.tab('{name}')"
            shown = name in self._places
            total = self.lists[name].counts[1]
            alarming = name == "problems" and total > 0
            spans.append(Span(f"{number} ", "key" if not shown else "title-focus", action))
            spans.append(Span(TAB_WORDS[name], "title-focus" if shown else "dim", action))
            spans.append(Span(f" {total}", "warn" if alarming else "dim", action))
        return tuple(spans)

    # --- the filter ---------------------------------------------------------------------------------------------

    def _filtered_list(self) -> RowList[Any]:
        """Return the list that `/` is about: the one with the focus, otherwise the shown lower one."""
        if isinstance(self.focused, RowList):
            return self.focused
        return self.lists[self._tab if self._tab in self._places else "installed"]

    async def action_filter(self) -> None:
        """Open the line in which the filter is typed."""
        if self.query("#filter"):
            return
        from gpudesk.ui.widgets.filter_line import FilterLine

        rows = self._filtered_list()
        self._filter_target = rows
        self._contents = replace(self._contents, filtering=True)
        line = FilterLine(rows.filter_text, f"filter {WORDS[rows.table.id]}")
        await self.mount(line)
        line.focus()
        self._draw()

    async def _close_filter(self) -> None:
        self._contents = replace(self._contents, filtering=False)
        await self.query("#filter").remove()
        if self._filter_target is not None:
            self.set_focus(self._filter_target)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        if self._filter_target is not None:
            self._filter_target.set_filter(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go on in the list."""
        event.stop()
        await self._close_filter()

    async def action_back(self) -> None:
        """Close the filter line, else clear the focused list's filter."""
        rows = self._filtered_list()
        if self.query("#filter"):
            rows = self._filter_target or rows
            await self._close_filter()
        elif self.dismiss_outcome is not None and self.dismiss_outcome():
            self.show_action()
            return
        rows.set_filter("")

    # --- what is asked of it ------------------------------------------------------------------------------------

    def on_row_list_changed(self, event: RowList.Changed) -> None:
        """Draw what else shows the focus and the filter."""
        event.stop()
        self._draw()

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        """Show the row's details."""
        event.stop()
        self.open_detail(Target(DETAIL_KINDS[event.rows.table.id], event.key))

    def on_cards_panel_opened(self, event: CardsPanel.Opened) -> None:
        """Show the card's details."""
        event.stop()
        self.open_detail(Target("card", f"{event.index}"))

    def selected_model(self) -> LoadedModel | InstalledModel | None:
        """Return the model under the cursor, where a list of models has the focus: the cursor is seen only then."""
        if self.focused is self.loaded:
            return self.loaded.selected
        return self.installed.selected if self.focused is self.installed else None

    def open_detail(self, target: Target) -> None:
        """Put the detail sheet over the desk; no toast shall cover it."""
        from gpudesk.ui.screens.sheet import DetailScreen

        sheet = DetailScreen(target, self._keymap)
        if self._scene is not None and self._palette is not None:
            sheet.show(self._scene, self._palette)
        self.app.clear_notifications()
        self.app.push_screen(sheet)

    def parts(self) -> list[Widget]:
        """Return the panels that are seen, from top to bottom."""
        names = [name for name in ("cards", *LIST_NAMES) if name in self._places]
        return [self._panels[name] for name in names]

    def action_tab(self, name: str) -> None:
        """Show a lower list and focus it."""
        if name not in LOWER_TABS:
            return
        self._tab = name
        if name not in self._places and self._scene is not None and self._palette is not None:
            self.show(self._scene, self._palette)
        self.set_focus(self.lists[name])


def _by_mark(models: Sequence[LoadedModel], marks: Mapping[str, int]) -> tuple[LoadedModel, ...]:
    """Order models by their letters, which they keep; the engine's order changes with every use of a model."""
    return tuple(sorted(models, key=lambda model: marks.get(model.key, len(marks))))


def _own_title(word: str, rows: RowList[Any]) -> Line:
    """Return a list's title with its count."""
    role = "title-focus" if rows.has_focus else "title"
    total = rows.counts[1]
    return (Span(word, role), Span(f" {total}", "dim"))
