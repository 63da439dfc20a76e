"""What the keys that act come to: proposals, the one confirmation, the running action and its outcome."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from gpudesk.actions.values import ActionId, Danger, Ending, StepKind
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.errors import GpudeskError
from gpudesk.keymap import BINDINGS, display_key, keys_of
from gpudesk.ui.acting.menu import ConfirmScreen
from gpudesk.ui.acting.view_line import outcome_lines, preparing_line, running_line
from gpudesk.ui.acting.view_preview import action_words
from gpudesk.ui.acting.work import Work
from gpudesk.ui.screens.base import SceneScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpudesk.actions.values import Load, Outcome, Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.ui.acting.port import Acting
    from gpudesk.ui.acting.proposal import Proposal
    from gpudesk.ui.acting_app import ActingApp
    from gpudesk.ui.cells import Line

DONE_SECONDS = 8.0
"""How long a good outcome stands above the footer; others stay until they are put away."""
REFUSAL_SECONDS = 6.0
"""How long a toast stands; the same one is not said again meanwhile."""


class Prepared(Message):
    """What a proposal loads can be told now, or could not be in time."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__()
        self.proposal = proposal


class ActionMoved(Message):
    """A running action got on, or has ended."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def can_replace(self, message: Message) -> bool:
        """Several in a row are one."""
        return isinstance(message, ActionMoved) and message.work is self.work


class Acts:
    """Acting, on the screen's thread."""

    def __init__(self, app: ActingApp, acting: Acting, keymap: Mapping[str, str]) -> None:
        self.app = app
        self.acting = acting
        self.keymap = keymap
        self.work: Work | None = None
        """What is running."""
        self.preparing: Proposal | None = None
        """What is only carried out once it can be told what it comes to."""
        self.ended: tuple[Preview, Outcome, float] | None = None
        """What ended last and when, as long as it is shown."""
        self.cut_off: tuple[Preview, frozenset[str]] | None = None
        """What an earlier gpudesk was cut off in and nobody has decided about, and what finishing or undoing it is
        called."""
        self._began = 0.0
        self._said: tuple[str, float] | None = None
        self._when_done: Callable[[], None] | None = None

    @property
    def desk(self) -> Desk:
        """The newest desk."""
        return self.acting.ports.watch.desk

    @property
    def running(self) -> bool:
        """Something is being carried out."""
        return self.work is not None

    def key_of(self, identifier: str) -> str:
        """Return a key as it is shown."""
        return display_key(keys_of(next(action for action in BINDINGS if action.id == identifier), self.keymap)[0])

    # --- telling ------------------------------------------------------------------------------------------------

    def tell(self, text: str, *, severity: Literal["information", "warning", "error"] = "information") -> None:
        """Say something in passing."""
        now = self.acting.ports.watch.clock.monotonic()
        if self._said is not None and self._said[0] == text and now - self._said[1] < REFUSAL_SECONDS:
            return
        self._said = text, now
        self.app.notify(text, severity=severity, timeout=REFUSAL_SECONDS, markup=False)

    def tell_error(self, error: GpudeskError) -> None:
        """Say what went wrong and what to do."""
        self.tell(f"{error.message}. {error.hint}" if error.hint else error.message, severity="error")

    def refuse(self, preview: Preview) -> None:
        """Say why something is not done, or that it is so already."""
        refusal = preview.refusal
        if refusal is None:
            words = "; ".join(preview.notes) or f"{action_words(preview)}: it is so already"
            self.tell(words)
            return
        self.app.bell()
        self.tell(f"{refusal.message}. {refusal.hint}" if refusal.hint else refusal.message, severity="warning")

    def push(self, screen: SceneScreen) -> None:
        """Show a dialog or a sheet, which no toast shall cover: what toasts said stands among events and problems."""
        self.app.clear_notifications()
        screen.show(self.app.scene(), self.app.palette)
        self.app.push_screen(screen)

    # --- doing --------------------------------------------------------------------------------------------------

    def is_free(self) -> bool:
        """Tell whether something may begin; says so if not. What has not begun gives way."""
        self.preparing = None
        if self.work is None:
            return True
        words = f"{action_words(self.work.preview)} is running; {self.key_of('cancel')} cancels it"
        self.tell(words, severity="warning")
        return False

    def propose(self, proposal: Proposal) -> None:
        """Carry it out; asks first when something is lost, and says why when it cannot be."""
        if not self.is_free():
            return
        preview = proposal.preview(self.desk)
        loads = [step.load for step in preview.steps if step.kind is StepKind.LOAD]
        if loads and preview.verdict is None and preview.refusal is None:
            self._prepare(proposal, loads)
        else:
            self._ask_or_begin(proposal, preview)

    def _prepare(self, proposal: Proposal, loads: Sequence[Load]) -> None:
        """Find out first what it comes to: a header that is still being read hides what would have to go."""
        self.preparing, self.ended = proposal, None

        def prepare() -> None:
            with suppress(GpudeskError):  # the preview that is made then says what cannot be told
                self.acting.prepare(loads)
            if self.app.is_running:
                self.app.post_message(Prepared(proposal))

        threading.Thread(target=prepare, name="gpudesk preparing", daemon=True).start()
        self.app.show_action()

    def on_prepared(self, proposal: Proposal) -> None:
        """Go on with it, unless something else was asked for or it was taken back meanwhile."""
        if self.preparing is proposal:
            self.preparing = None
            self._ask_or_begin(proposal, proposal.preview(self.desk))
            self.app.show_action()

    def _ask_or_begin(self, proposal: Proposal, preview: Preview) -> None:
        if preview.refusal is not None or not preview.steps:
            self.refuse(preview)
        elif preview.loses or preview.danger is not Danger.NONE:
            self.push(ConfirmScreen(self.keymap, proposal, preview, run=self.begin, refuse=self.refuse))
        else:
            self.begin(preview)

    def begin(self, preview: Preview) -> None:
        """Carry out what was confirmed, or needs no confirmation."""
        if not self.is_free():
            return
        self.app.to_desk()
        self._decide_about_cut_off(preview)
        self.ended = None
        self._began = self.acting.ports.watch.clock.monotonic()
        self.work = Work(preview, self.acting.ports, moved=self._moved)
        self.work.start()
        self.app.show_action()

    def _decide_about_cut_off(self, preview: Preview) -> None:
        """Write down what was cut off before the note of another action takes the place of its own."""
        if self.cut_off is None:
            return
        from gpudesk.ui.acting.unfinished import forget

        cut_off, names = self.cut_off
        self.cut_off = None
        if preview.action is not cut_off.action or preview.subject not in names:
            forget(self, cut_off, Ending.FAILED, "gpudesk was killed in the middle; the next one did something else")

    def _moved(self, work: Work) -> None:
        """Called on the working thread."""
        if self.app.is_running:
            self.app.post_message(ActionMoved(work))

    def on_moved(self, work: Work) -> None:
        """Show how it goes; take the outcome when there is one."""
        if work is self.work and work.outcome is not None:
            self.work = None
            self.ended = (work.preview, work.outcome, self.acting.ports.watch.clock.monotonic())
            self.app.add_event(self._event(work.preview, work.outcome))
            self._remember(work.preview, work.outcome)
            if self.acting.journal.problem is not None:
                self.tell(self.acting.journal.problem, severity="warning")
            if self._when_done is not None:
                self._when_done()
        self.app.show_action()

    def _remember(self, preview: Preview, outcome: Outcome) -> None:
        """Keep what was freed for `restore`, as the commands do, and forget what is back."""
        there = {(load.engine_url, load.name) for load in outcome.after}
        try:
            if preview.action is ActionId.FREE:
                went = {(s.load.engine_url, s.load.name) for s in preview.steps if s.kind is StepKind.UNLOAD} - there
                self.acting.freed.add([load for load in preview.before if (load.engine_url, load.name) in went])
            elif preview.action is ActionId.RESTORE and outcome.after:
                known = self.acting.freed.read()
                left = known.loads if known is not None and outcome.ending is not Ending.DONE else ()
                self.acting.freed.keep_only([load for load in left if (load.engine_url, load.name) not in there])
        except GpudeskError as error:
            self.tell_error(error)

    def _event(self, preview: Preview, outcome: Outcome) -> Event:
        severities = {Ending.DONE: Severity.INFO, Ending.FAILED: Severity.ERROR}
        words = f"{action_words(preview)}: {outcome.message}"
        now = self.acting.ports.watch.clock.now()
        return Event(EventKind.ACTED, now, preview.subject, words, severities.get(outcome.ending, Severity.WARNING))

    def cancel(self) -> None:
        """Take back what is running."""
        if self.preparing is not None:
            self.preparing = None
            self.app.show_action()
        elif self.work is None:
            self.tell("nothing is running")
        elif self.work.canceled:
            self.tell("canceled already: what was there is being brought back, which takes as long as it takes")
        else:
            self.work.cancel()
            self.app.show_action()

    def after(self, then: Callable[[], None]) -> None:
        """Do something once the running action has ended."""
        self._when_done = then

    # --- the lines above the footer -----------------------------------------------------------------------------

    def dismiss(self) -> bool:
        """Put the outcome away; tell whether there was one."""
        there = self.ended is not None
        self.ended = None
        return there

    def lines(self, width: int) -> list[Line]:
        """Return what stands above the footer now."""
        now = self.acting.ports.watch.clock.monotonic()
        if self.work is not None:
            return [running_line(self.work, now - self._began, width, self.key_of("cancel"))]
        if self.preparing is not None:
            return [preparing_line(self.preparing.subject, width, self.key_of("cancel"))]
        if self.ended is None:
            return []
        preview, outcome, at = self.ended
        if outcome.ending is Ending.DONE and now - at > DONE_SECONDS:
            self.ended = None
            return []
        return outcome_lines(preview, outcome, width, self.key_of("back"), self.key_of("journal"))
