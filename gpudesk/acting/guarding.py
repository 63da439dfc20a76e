"""Watching over pins and alarms: what the open screen does besides showing, and `gpudesk guard` does alone.

One thread looks at the desk once a second. Of all gpudesks of a user only one guards, the one that holds the lock; the
others take over when it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpudesk.actions import previews
from gpudesk.actions.keeper import KeeperMemory, due
from gpudesk.actions.lookup import loaded_as
from gpudesk.actions.run import run
from gpudesk.actions.values import Ending, Load, Origin, StepKind
from gpudesk.cancellation import Cancellation
from gpudesk.domain.event import EventKind
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinCause
from gpudesk.errors import GpudeskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Outcome, Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event
    from gpudesk.domain.pin import PinState
    from gpudesk.stores.process_lock import ProcessLock

PACE_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""How long the look may take that is taken before a pin is put right."""
TOLD_KINDS = frozenset({EventKind.ALARM, EventKind.PIN_LOST, EventKind.SPILLED})
"""Events worth a desktop notification."""


def pin_preview(state: PinState, desk: Desk, ports: Ports) -> Preview:
    """Return what would put a lost pin right. What is installed need not be known: the engine says if it is not."""
    wish = state.wish
    there = loaded_as(desk, Load(wish.engine_url, wish.name))
    model = there or InstalledModel(wish.name, wish.engine_url, wish.digest)
    return previews.pin(desk, model, ports.forecaster, context_length=wish.context_length, restore=wish.restore)


def why_not(preview: Preview, state: PinState) -> str | None:
    """Say why a pin is left as it is: it is never put right at somebody's cost, nor by halves on the CPU."""
    if preview.refusal is not None:
        return preview.refusal.message
    others = [step.load.name for step in preview.steps if step.kind is StepKind.UNLOAD]
    others = [name for name in others if name != preview.subject]
    if others:
        return f"{', '.join(others)} would have to go"
    if preview.verdict in {"spills", "does not fit"}:
        return f"there is no room: it {preview.verdict}"
    if preview.may_evict and state.cause is PinCause.EVICTED:
        return f"it had no room once, and {', '.join(preview.may_evict)} may have to go for it"
    return None


class Guard:
    """Puts lost pins right and tells of alarms; start it once, stop it when leaving."""

    def __init__(
        self,
        ports: Ports,
        *,
        lock: ProcessLock,
        tell: Callable[[Sequence[str]], None] | None = None,
        said: Callable[[str], None] | None = None,
        acts: bool = True,
    ) -> None:
        """Make it; nothing is done yet.

        Args:
            ports: the world.
            lock: held while guarding; another gpudesk that holds it guards instead.
            tell: shows texts on the desktop; may block for seconds.
            said: takes a line about everything the guard did or noticed.
            acts: False only tells, as with `--read-only`.
        """
        self._ports = ports
        self._lock = lock
        self._tell = tell
        self._said = said or (lambda _line: None)
        self._acts = acts
        self._memory = KeeperMemory()
        self._known: Sequence[Event] | None = None
        self._stopped = threading.Event()
        self._cancel = Cancellation()
        self._thread = threading.Thread(target=self._run, name="gpudesk guard", daemon=True)
        self.guarding = False
        """It holds the lock."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Leave word; returns at once. What is being put right is given up, and what was there comes back."""
        self._stopped.set()
        # In a thread: who listens closes connections, which may take a moment.
        threading.Thread(target=self._cancel.cancel, name="gpudesk guard cancel", daemon=True).start()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(PACE_SECONDS):
                self.look()
        finally:
            self.release()

    def release(self) -> None:
        """Let another gpudesk guard."""
        if self.guarding:
            self._lock.release()
            self.guarding = False

    def look(self) -> Outcome | None:
        """Look at the newest desk once: tell what is new, and put at most one pin right."""
        if not self._holds_lock():
            return None
        desk = self._ports.watch.desk
        self._tell_news(desk)
        state = due(desk, self._memory) if self._acts else None
        return self._put_right(state, desk) if state is not None else None

    def _holds_lock(self) -> bool:
        if not self.guarding:
            try:
                self._lock.acquire("guard")
            except GpudeskError:
                return False
            self.guarding = True
        return True

    def _tell_news(self, desk: Desk) -> None:
        known, self._known = self._known, desk.events
        if known is None or known is desk.events:
            return
        before = set(known)
        news = [event.message for event in desk.events if event not in before and event.kind in TOLD_KINDS]
        for line in news:
            self._said(line)
        if self._tell is not None:
            self._tell(news)

    def _put_right(self, state: PinState, desk: Desk) -> Outcome | None:
        self._memory = self._memory.after_try(state, desk.taken_at)
        name = state.wish.name
        # The watch may hardly ever read what is installed, which tells how large the model is.
        desk = self._ports.watch.fresh(LOOK_SECONDS, installed=True)
        preview = pin_preview(state, desk, self._ports)
        if preview.refusal is None and not preview.steps:
            return None  # the newer look shows that it holds again
        because = why_not(preview, state)
        if because is not None:
            self._said(f"the pin of {name} is left as it is: {because}")
            return None
        why = f"the pin was lost: {state.reason}"
        outcome = run(preview, self._ports, origin=Origin.GUARD, why=why, cancel=self._cancel)
        well = outcome.ending is Ending.DONE
        self._said(f"the pin of {name} is put right" if well else f"the pin of {name}: {outcome.message}")
        return outcome
