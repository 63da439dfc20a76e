"""How a running action waits: for an engine's answer, for something to be seen; with progress, cancel and limits.

Nothing is believed that was only answered: a step ends when the desk shows what it was for. An order to an engine
blocks, so it is given from a thread of its own, while the running thread tells how it goes and watches for a cancel.
"""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING

from gpudesk.actions.lookup import engine_at
from gpudesk.actions.observe import source_name
from gpudesk.actions.values import Progress
from gpudesk.cancellation import CanceledError, Cancellation
from gpudesk.errors import FailureKind, GpudeskError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.ports import EngineControl, Ports
    from gpudesk.actions.values import Step
    from gpudesk.domain.desk import Desk

TELL_SECONDS = 0.1
"""Progress is told about this often."""
LOOK_SECONDS = 0.25
"""How long one look may take before the screen is told something again."""
FIRST_LOOK_SECONDS = 2.0
PAUSES = ((0.4, 0.02), (2.0, 0.05), (10.0, 0.1))
"""Until so many seconds, look so often: most orders are carried out within a blink, some take a minute."""
LONGEST_PAUSE = 0.25
LEAVE_SECONDS = 2.0
"""How long a canceled order has to end; its connection is closed, so it only has to notice."""
SILENT_SECONDS = 60.0
"""An engine that has not answered the watch for so long is not going to answer an order. Ollama holds the lock that
`/api/ps` needs while it starts and ends runners, for seconds (server/sched.go:445 at v0.33.0-rc2)."""
STALE_SECONDS = 3.0
"""An answer that is older was not given to any of the looks that were taken since."""
REFUSED_SECONDS = 3.0
"""The same when nobody listens at its address any more."""


class StepFailedError(GpudeskError):
    """A step did not come to what it was for."""


class Attempt:
    """One try at carrying something out; used by one thread.

    Args:
        ports: the world.
        report: takes the progress.
        cancel: ends it.
        allowed_seconds: for all of it; None is as long as it takes.
        total: how many steps there are.
    """

    def __init__(
        self,
        ports: Ports,
        report: Callable[[Progress], None],
        cancel: Cancellation,
        *,
        allowed_seconds: float | None = None,
        total: int = 0,
    ) -> None:
        self.ports = ports
        self.cancel = cancel
        self.desk = ports.watch.desk
        self.waited_seconds = 0.0
        """In this step, for the engine and the driver."""
        self._report = report
        self._total = total
        self._step: Step | None = None
        self._number = 0
        self._began = self.now()
        self._allowed_seconds = allowed_seconds
        self._deadline = None if allowed_seconds is None else self._began + allowed_seconds
        self._told: tuple[str, float] | None = None

    def now(self) -> float:
        """Return monotonic seconds of the desk's clock."""
        return self.ports.watch.clock.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Since this step began."""
        return self.now() - self._began

    def begin(self, step: Step | None, number: int) -> None:
        """Begin a step; None is bringing back what was there."""
        self.cancel.check()
        self._step, self._number, self._began, self._told = step, number, self.now(), None
        self.waited_seconds = 0.0

    def engine(self, url: str) -> EngineControl:
        """Return the engine at an address."""
        engine = self.ports.engine(url)
        if engine is None:
            raise StepFailedError(f"nothing can be asked of {url}", "Name it in the configuration: engines")
        return engine

    def look(self, *, installed: bool = False, seconds: float = LOOK_SECONDS) -> Desk:
        """Return a fresh desk."""
        self.desk = self.ports.watch.fresh(seconds, installed=installed)
        return self.desk

    def tell(self, text: str, completed_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """Report how it goes: at once what is new, the rest ten times a second."""
        now = time.monotonic()
        if self._told is not None and self._told[0] == text and now - self._told[1] < TELL_SECONDS:
            return
        self._told = (text, now)
        expected = None if self._step is None else self._step.expected_seconds
        elapsed = self.elapsed_seconds
        self._report(
            Progress(self._step, self._number, self._total, text, elapsed, expected, completed_bytes, total_bytes)
        )

    def order(
        self, url: str, give: Callable[[Cancellation], None], tell: Callable[[], None], limit_seconds: float | None
    ) -> None:
        """Give an order to an engine and wait until it has answered.

        Args:
            url: which engine; an order is given up when it does not answer the watch either.
            give: gives the order; blocks until it is answered or its cancellation ends it.
            tell: reports how it goes, ten times a second.
            limit_seconds: how long the answer may take.

        Raises:
            CanceledError: it was taken back; the connection is closed.
            StepFailedError: it took too long.
        """
        ends = Cancellation()
        withdraw = self.cancel.on_cancel(ends.cancel)
        order = _Order(give, ends)
        began = self.now()
        try:
            while not order.ended.wait(TELL_SECONDS):
                tell()
                trouble = self._too_long(url, began, limit_seconds)
                if trouble is not None or self.cancel.canceled:
                    ends.cancel()
                    order.ended.wait(LEAVE_SECONDS)
                    self.cancel.check()
                    raise trouble or CanceledError
        finally:
            ends.cancel()  # on the way out by an exception of `tell`, the order must not go on unwatched
            withdraw()
            self.waited_seconds += self.now() - began
        if order.error is not None:
            raise order.error

    def until(
        self,
        seen: Callable[[Desk], str | None],
        limit_seconds: float,
        late: Callable[[], GpudeskError],
        *,
        installed: bool = False,
    ) -> Desk:
        """Look until something is seen.

        Args:
            seen: returns what is still waited for, to be told; None ends the waiting. May raise.
            limit_seconds: how long to look.
            late: what to raise then.
            installed: it is about what is installed.
        """  # fmt: skip
        began = self.now()
        try:
            while True:
                self.cancel.check()
                desk = self.look(installed=installed)
                waiting = seen(desk)
                if waiting is None:
                    return desk
                self.tell(waiting)
                spent = self.now() - began
                if spent >= limit_seconds:
                    raise late()
                self._check_deadline()
                self.cancel.wait(next((pause for until, pause in PAUSES if spent < until), LONGEST_PAUSE))
        finally:
            self.waited_seconds += self.now() - began

    def answering(self, desk: Desk, url: str) -> str | None:
        """Say that an engine is waited for; None when it has answered just now. Raises when it was silent for long."""
        if self.heard(desk, url):
            return None
        trouble = self._silent(desk, url)
        if trouble is not None:
            raise trouble
        return f"waiting for {url} to answer"

    def heard(self, desk: Desk, url: str) -> bool:
        """Tell whether an engine answered the watch just now: what the desk shows of it is worth something."""
        engine = engine_at(desk, url)
        return engine is not None and engine.reachable and self._unheard_seconds(desk, url) < STALE_SECONDS

    def _too_long(self, url: str, began: float, limit_seconds: float | None) -> GpudeskError | None:
        spent = self.now() - began
        if limit_seconds is not None and spent >= limit_seconds:
            return StepFailedError(f"{url} has not answered for {spent:.0f} s", "See what Ollama says in its log")
        try:
            self._check_deadline()
        except StepFailedError as error:
            return error
        return self._silent(self.ports.watch.desk, url)

    def _check_deadline(self) -> None:
        if self._deadline is not None and self.now() >= self._deadline:
            raise StepFailedError(
                f"not done within the {self._allowed_seconds:g} s allowed", "Allow more time with --timeout"
            )

    def _silent(self, desk: Desk, url: str) -> GpudeskError | None:
        """Return what to raise when an engine has not answered the watch for too long."""
        engine = engine_at(desk, url)
        state = desk.source(source_name(url))
        if engine is None or state is None:
            return None
        silent = min(self.elapsed_seconds, self._unheard_seconds(desk, url))
        if state.failure is None and silent < STALE_SECONDS:
            return None
        gone = state.failure is not None and state.failure.kind is FailureKind.UNREACHABLE
        if silent < (REFUSED_SECONDS if gone else SILENT_SECONDS):
            return None
        message = engine.error or f"{url} has not answered for {silent:.0f} s"
        return StepFailedError(message, engine.hint or "See what Ollama says in its log, or start it again")

    def _unheard_seconds(self, desk: Desk, url: str) -> float:
        """Return how long ago an engine last answered, less what passes anyway between two looks."""
        state = desk.source(source_name(url))
        if state is None or state.last_value_at is None:
            return self.elapsed_seconds
        silent = (self.ports.watch.clock.now() - state.last_value_at).total_seconds()
        return max(0.0, silent - state.interval_seconds)


class _Order:
    """An order that is being given in a thread of its own."""

    def __init__(self, give: Callable[[Cancellation], None], ends: Cancellation) -> None:
        self.ended = Event()
        self.error: BaseException | None = None
        Thread(target=self._run, args=(give, ends), name="gpudesk order", daemon=True).start()

    def _run(self, give: Callable[[Cancellation], None], ends: Cancellation) -> None:
        try:
            give(ends)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the thread that waits raises it
            self.error = error
        finally:
            self.ended.set()
