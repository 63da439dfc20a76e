"""The application's part in acting: opened after the first paint, so that nothing of it makes the screen come later."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.message import Message

from gpudesk.domain.event import EventKind, Severity
from gpudesk.errors import GpudeskError
from gpudesk.keymap import ACTING, BINDINGS, WRITING, Scope, display_key, keys_of
from gpudesk.keys import OVERLAPS
from gpudesk.ui.screens.base import SceneScreen
from gpudesk.ui.screens.desk import DeskScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual import events

    from gpudesk.actions.values import Preview
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event
    from gpudesk.keymap import KeyAction
    from gpudesk.ui.acting.acts import ActionMoved, Acts, Prepared
    from gpudesk.ui.acting.port import Acting
    from gpudesk.ui.moment import Moments
    from gpudesk.ui.palette import Palette
    from gpudesk.ui.scene import Scene
    from gpudesk.watch.planning import Handover, Purpose

    ActingMaker = Callable[[Callable[[str], None]], Acting]

OPEN_SECONDS = 0.7
"""How long after the start acting is opened: its imports take longer than the screen takes to paint."""
UNFINISHED_LOOK_SECONDS = 5.0
NEWS_SECONDS = 10.0
NEWS_MOST = 3
"""Toasts at once; the event list has the others."""
TOASTED = frozenset({EventKind.ALARM, EventKind.PIN_LOST})
READ_ONLY_WORDS = "read-only: gpudesk was started so that it changes nothing (--read-only)"
READING = frozenset({"journal"})
"""Keys of the acting group that change nothing."""


class UnfinishedFound(Message):
    """An earlier gpudesk was cut off."""

    def __init__(self, preview: Preview, desk: Desk) -> None:
        super().__init__()
        self.preview = preview
        self.desk = desk


class Said(Message):
    """Something was done without a key, or deliberately not."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ActingApp(App[int], inherit_bindings=False):
    """What the keys that act need of the application."""

    _settings: Settings
    _keymap_in_use: Mapping[str, str]
    _moments: Moments

    def __init__(self, acting: ActingMaker | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._acting_maker = acting
        self._acting: Acting | None = None
        self._opening = threading.Lock()
        self._told: tuple[Event, ...] | None = None
        self.acts: Acts | None = None
        """Who acts, once that was first needed."""

    # --- what the application gives -----------------------------------------------------------------------------

    @property
    def palette(self) -> Palette:
        """Styles of the present theme."""
        raise NotImplementedError

    def scene(self) -> Scene:
        """Return the present moment."""
        raise NotImplementedError

    def show_desk(self) -> None:
        """Draw the newest desk."""
        raise NotImplementedError

    def end(self, code: int) -> None:
        """End with an exit code."""
        raise NotImplementedError

    def key_of(self, identifier: str) -> str:
        """Return a key as it is shown."""
        action = next(action for action in BINDINGS if action.id == identifier)
        return display_key(keys_of(action, self._keymap_in_use)[0])

    # --- opening ------------------------------------------------------------------------------------------------

    def open_acting_soon(self) -> None:
        """Open acting in a thread, once the start is over."""
        if self._acting_maker is not None:
            self.set_timer(OPEN_SECONDS, self._open_in_thread)

    def _open_in_thread(self) -> None:
        threading.Thread(target=self._opened_early, name="gpudesk acting", daemon=True).start()

    def _opened_early(self) -> None:
        """Open, and look for what was cut off; a failure is told when a key needs it."""
        try:
            acting = self._opened()
            if acting is None or self._settings.read_only:
                return
            import gpudesk.ui.acting.keys  # noqa: F401 - loaded here, so that the first key does not wait for it

            preview = acting.journal.unfinished()
            if acting.journal.problem is not None:
                self._say(acting.journal.problem)
            if preview is not None:
                desk = acting.ports.watch.fresh(UNFINISHED_LOOK_SECONDS, installed=True)
                if self.is_running:
                    self.post_message(UnfinishedFound(preview, desk))
        except Exception:  # noqa: BLE001 - a thread of its own; whoever presses a key is told
            return

    def _opened(self) -> Acting | None:
        with self._opening:
            if self._acting is None and self._acting_maker is not None:
                self._acting = self._acting_maker(self._say)
            return self._acting

    def _say(self, text: str) -> None:
        """Called by the guard's thread."""
        if self.is_running:
            self.post_message(Said(text))

    def on_said(self, message: Said) -> None:
        """Tell what the guard did; what it noticed is a toast already, as news."""
        if any(event.kind in TOASTED and event.message == message.text for event in self.scene().desk.events):
            return
        self.notify(message.text, timeout=NEWS_SECONDS, markup=False)

    def on_unfinished_found(self, message: UnfinishedFound) -> None:
        """Offer to finish or undo it."""
        from gpudesk.ui.acting.unfinished import offer

        acts = self._acts_now()
        if acts is not None and not acts.running:
            offer(acts, message.preview, message.desk)

    def _acts_now(self) -> Acts | None:
        """Return who acts; None, having said why, where nobody does."""
        if self.acts is None:
            from gpudesk.ui.acting.acts import Acts

            try:
                acting = self._opened()
            except (GpudeskError, OSError) as error:
                self.notify(f"{error}", severity="error", markup=False)
                return None
            if acting is None:
                self.notify("there is nobody to carry anything out here", severity="warning", timeout=3)
                return None
            self.acts = Acts(self, acting, self._keymap_in_use)
            self.desk_screen.action_lines = self.acts.lines
            self.desk_screen.dismiss_outcome = self.acts.dismiss
        return self.acts

    # --- keys ---------------------------------------------------------------------------------------------------

    @property
    def desk_screen(self) -> DeskScreen:
        """The main screen, whatever is over it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, DeskScreen)
        return screen

    def read_only_hides(self, action: KeyAction) -> bool:
        """Tell whether an action would change something, where nothing is to be changed."""
        changes = (action.group == ACTING and action.id not in READING) or action.id in WRITING
        return self._settings.read_only and changes

    def action_act(self, what: str) -> None:
        """Do what a key that acts asks for."""
        if self._settings.read_only and what not in READING:
            self.notify(READ_ONLY_WORDS, severity="warning", timeout=5)
            return
        acts = self._acts_now()
        if acts is not None:
            from gpudesk.ui.acting.keys import press

            press(acts, what, self.desk_screen.selected_model())

    def action_act_set(self, number: int) -> None:
        """Apply the working set in this place of the list."""
        if self._settings.read_only:
            self.notify(READ_ONLY_WORDS, severity="warning", timeout=5)
            return
        acts = self._acts_now()
        if acts is not None:
            from gpudesk.ui.acting.sets import apply_place

            apply_place(acts, number)

    def on_key(self, event: events.Key) -> None:
        """Take what is typed ahead of a line, and apply the set whose own key this is.

        A line gets the focus a moment after its key (textual widget.py `focus`, 8.2.8). Letters that come in between
        go past it and would be keys of the desk: `/u` typed quickly would unload a model.
        """
        line = self.screen.line() if isinstance(self.screen, SceneScreen) and event.is_printable else None
        if line is not None and event.character is not None:
            line.insert_text_at_cursor(event.character)
            event.stop()
            event.prevent_default()
            return
        self._apply_set_of(event)

    def _apply_set_of(self, event: events.Key) -> None:
        """Apply the set whose own key this is, where the desk does not use that key itself."""
        if self._acting is None or self._settings.read_only or not isinstance(self.screen, DeskScreen):
            return
        if not event.is_printable or event.key in self._desk_keys():
            return
        acts = self._acts_now()
        if acts is not None:
            from gpudesk.ui.acting.sets import apply_by_key

            if apply_by_key(acts, event.key):
                event.stop()

    def _desk_keys(self) -> frozenset[str]:
        """Return the keys that mean something on the desk."""
        scopes = OVERLAPS[Scope.DESK]
        return frozenset(
            key for action in BINDINGS if action.scope in scopes for key in keys_of(action, self._keymap_in_use)
        )

    def hand_over(self, purpose: Purpose, handover: Handover) -> None:
        """Take a plan from the planner."""
        acts = self._acts_now()
        if acts is not None:
            from gpudesk.ui.acting.door import hand_over

            hand_over(acts, purpose, handover)

    def to_desk(self) -> None:
        """Put away everything over the desk: what was confirmed there begins."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    # --- showing ------------------------------------------------------------------------------------------------

    def on_action_moved(self, message: ActionMoved) -> None:
        """Show how the running action does."""
        if self.acts is not None:
            self.acts.on_moved(message.work)

    def on_prepared(self, message: Prepared) -> None:
        """Go on with what can be told now."""
        if self.acts is not None:
            self.acts.on_prepared(message.proposal)

    def show_action(self) -> None:
        """Draw the lines above the footer."""
        self.desk_screen.show_action()

    def add_event(self, event: Event) -> None:
        """Keep what gpudesk did among the events."""
        self._moments.add_event(event)
        self.show_desk()

    def toast_news(self, desk: Desk) -> None:
        """Show alarms and lost pins that are new; what was there at the start is in the lists."""
        told, self._told = self._told, desk.events
        if told is None or told is desk.events:
            return
        known = set(told)
        news = [event for event in desk.events if event.kind in TOASTED and event not in known]
        advice = {alarm.message: alarm.advice for alarm in desk.alarms}
        for event in news[-NEWS_MOST:]:
            more = advice.get(event.message)
            if event.kind is EventKind.PIN_LOST:
                more = f"{self.key_of('pin')} on it puts it right, or ends the pin"
            text = f"{event.message}. {more}" if more else event.message
            loud = event.severity is Severity.ERROR
            self.notify(text, severity="error" if loud else "warning", timeout=NEWS_SECONDS, markup=False)

    # --- leaving ------------------------------------------------------------------------------------------------

    def leave_when_done(self, code: int) -> bool:
        """Ask what becomes of a running action; tell whether there is one."""
        acts = self.acts
        if acts is None or not acts.running:
            return False
        from gpudesk.ui.acting.leaving import ask

        ask(acts, lambda: self.end(code))
        return True
