"""The planner's screen: choose on the list, read the answer, take an alternative by its digit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from textual.message import Message

from gpudesk.errors import GpudeskError
from gpudesk.keymap import Scope
from gpudesk.ui.acting_app import READ_ONLY_WORDS
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.planner.board import Board, read_file
from gpudesk.ui.planner.choices import with_context_step, with_kv_step, with_slots_step
from gpudesk.ui.planner.panels import PlannerPanels
from gpudesk.ui.widgets.row_list import RowList
from gpudesk.watch.planning import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.widgets import Input

    from gpudesk.ui.planner.choices import Choice, Settings
    from gpudesk.ui.planner.thinking import Answer
    from gpudesk.watch.planning import PlanDoor, PlannableModel, Planning


class PlannerScreen(PlannerPanels, inherit_bindings=False):
    """Does this combination fit, before anything is loaded."""

    BINDINGS = bindings_for(Scope.EVERYWHERE, Scope.PANELS, Scope.PLANNER)
    SCOPES = frozenset({Scope.PANELS, Scope.PLANNER})
    AUTO_FOCUS = "#choices"

    class Answered(Message):
        """A plan was made in the other thread."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    class HeadersRead(Message):
        """More headers are known."""

        def can_replace(self, message: Message) -> bool:
            """Several in a row are one."""
            return isinstance(message, PlannerScreen.HeadersRead)

    class FileRead(Message):
        """A file was read, or not."""

        def __init__(self, outcome: PlannableModel | str) -> None:
            super().__init__()
            self.outcome = outcome

    def __init__(
        self,
        planning: Planning,
        *,
        banner: str | None,
        keymap: Mapping[str, str],
        door: PlanDoor | None = None,
        read_only: bool = False,
    ) -> None:
        """Make the screen.

        Args:
            planning: who reads headers and plans.
            banner: the demo's line.
            keymap: the user's keys.
            door: who carries plans out; None shows them as text.
            read_only: nothing may be changed.
        """
        board = Board(
            planning,
            answered=lambda answer: self.tell(self.Answered(answer)),
            read=lambda: self.tell(self.HeadersRead()),
        )
        super().__init__(board, banner=banner, keymap=keymap, read_only=read_only)
        self._planning, self._door = planning, door

    # --- life ---------------------------------------------------------------------------------------------------

    def on_unmount(self) -> None:
        """Leave no thread with work."""
        self.board.stop()

    def on_planner_screen_answered(self, event: Answered) -> None:
        """Show a plan that took longer."""
        event.stop()
        self.board.take(event.answer)
        self._draw()

    def on_planner_screen_headers_read(self, event: HeadersRead) -> None:
        """Plan with what is known now."""
        event.stop()
        self._again()

    # --- keys ---------------------------------------------------------------------------------------------------

    def choose(self, name: str) -> None:
        """Add a model to the plan or take it out."""
        choice = self.board.named(name)
        if choice is not None and choice.failure is not None:
            self.notify(choice.failure, severity="error", markup=False)
        elif choice is not None:
            self.board.toggle(choice)
            self._draw()

    def _set(self, settings: Callable[[Choice], Settings]) -> None:
        """Give the selected model other settings."""
        choice = self.list.selected
        if choice is not None and choice.failure is None:
            self.board.set(choice, settings(choice))
            self._draw()

    def action_context(self, step: int) -> None:
        """More or less context."""
        self._set(lambda choice: with_context_step(choice, step))

    def action_slots(self) -> None:
        """The next number of slots."""
        self._set(with_slots_step)

    def action_kv_type(self, step: int) -> None:
        """The next type of the KV cache."""
        self._set(lambda choice: with_kv_step(choice, step))

    def action_alternative(self, number: int) -> None:
        """Take an alternative."""
        if not self.board.alternative(number):
            self.notify(f"there is no alternative {number} to take", timeout=3)
        self._draw()

    def action_undo(self) -> None:
        """Take back the last change."""
        if not self.board.undo():
            self.notify("nothing to take back", timeout=3)
        self._draw()

    def action_make_it_so(self) -> None:
        """Hand the plan over to be carried out."""
        self._hand_over(Purpose.MAKE_IT_SO)

    def action_save_plan(self) -> None:
        """Hand the plan over to be saved as a working set."""
        self._hand_over(Purpose.SAVE)

    def _hand_over(self, purpose: Purpose) -> None:
        handover = self.board.handover
        if self._read_only:
            self.notify(READ_ONLY_WORDS, severity="warning", timeout=5)
        elif handover is None:
            self.notify("there is no plan yet: choose models with space", severity="warning", timeout=3)
        elif self._door is not None:
            self._door(purpose, handover)
        else:
            from gpudesk.ui.planner.handover import HandoverScreen

            sheet = HandoverScreen(purpose, handover, self._keymap)
            if self._scene is not None and self._palette is not None:
                sheet.show(self._scene, self._palette)
            self.app.push_screen(sheet)

    # --- cards from the table -----------------------------------------------------------------------------------

    def action_choose_card(self) -> None:
        """Show the table of cards; when planning with one of it, go back to the own cards."""
        if self.board.is_described:
            self.board.plan_with(None)
            self._again()
            return
        from gpudesk.fit.card_table import CARDS

        if self._scene is None:
            return
        self.known_cards.set_items(CARDS, self._scene)
        self._pick(True)

    def _pick(self, picking: bool) -> None:
        self._picking = picking
        self.title_bar.refresh(layout=True)
        self.set_focus(self.known_cards if picking else self.list)
        self.call_after_refresh(self._draw)

    def on_row_list_opened(self, event: RowList.Opened) -> None:
        """Plan with the card that was picked."""
        event.stop()
        try:
            self.board.plan_with(event.key)
        except GpudeskError as error:
            self.notify(error.message, severity="error", markup=False)
        self._pick(False)
        self._again()

    def on_row_list_changed(self, event: RowList.Changed) -> None:
        """Draw what else shows the focus and the cursor."""
        event.stop()
        self._draw()

    # --- the line to type in ------------------------------------------------------------------------------------

    def _list_in_use(self) -> RowList[Any]:
        return self.known_cards if self._picking else self.list

    async def action_filter(self) -> None:
        """Open the line in which the filter is typed."""
        await self._type("filter", self._list_in_use().filter_text, "filter")

    async def action_add_file(self) -> None:
        """Open the line in which a path is typed."""
        await self._type("file", "", "path of a .gguf file")

    async def _type(self, purpose: str, value: str, placeholder: str) -> None:
        if self.query("#filter"):
            return
        from gpudesk.ui.widgets.filter_line import FilterLine

        self._typing = purpose
        line = FilterLine(value, placeholder)
        await self.mount(line)
        line.focus()

    async def _close_line(self) -> None:
        self._typing = None
        await self.query("#filter").remove()
        self.set_focus(self._list_in_use())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        if self._typing == "filter":
            self._list_in_use().set_filter(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, or read the file."""
        event.stop()
        purpose, text = self._typing, event.value.strip()
        await self._close_line()
        if purpose == "file" and text:
            threading.Thread(target=self._read_file, args=(text,), name="gpudesk file", daemon=True).start()

    def _read_file(self, path: str) -> None:
        """Read a header; in a thread of its own."""
        self.tell(self.FileRead(read_file(self._planning, path)))

    def on_planner_screen_file_read(self, event: FileRead) -> None:
        """Choose the file that was read."""
        event.stop()
        if isinstance(event.outcome, str):
            self.notify(event.outcome, severity="error", markup=False)
            return
        self.board.add_file(event.outcome)
        self.list.cursor_key = event.outcome.name
        self._again()

    async def action_back(self) -> None:
        """Close the line, the table of cards, the filter; else go back to the desk."""
        rows = self._list_in_use()
        if self.query("#filter"):
            clearing = self._typing == "filter"
            await self._close_line()
            if clearing:
                rows.set_filter("")
        elif self._picking:
            self._pick(False)
        elif rows.filter_text:
            rows.set_filter("")
        else:
            self.dismiss()
