"""Time of the simulated workstation: stepped by a test, or running along with the real one.

Everything that takes time in the simulation (a load, a generation, a keep-alive, a scene of a scenario) is a timer
on one of these clocks, and every timer runs under the clock's one lock. Threads that serve a client wait on
`changed`; they never wait on real time for something simulated.
"""

from __future__ import annotations

import heapq
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

STEPPED_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""Where a stepped clock begins unless it is told otherwise; any fixed moment would do."""


class Timer:
    """Something that happens once, later, unless it is cancelled."""

    __slots__ = ("action", "cancelled", "due_seconds")

    def __init__(self, due_seconds: float, action: Callable[[], None]) -> None:
        self.due_seconds = due_seconds
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Make sure that it does not happen; too late does no harm."""
        self.cancelled = True


class SimulatedClock:
    """Timers in simulated seconds, all run under `changed`, which is notified after every batch of them."""

    def __init__(self, start: datetime) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.start_at = start
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = 0

    def elapsed(self) -> float:
        """Return the simulated seconds since the start."""
        raise NotImplementedError

    def now(self) -> datetime:
        """Return the simulated wall time, aware UTC."""
        return self.start_at + timedelta(seconds=self.elapsed())

    def monotonic(self) -> float:
        """Return simulated seconds that never go back."""
        return self.elapsed()

    @property
    def clock(self) -> Clock:
        """The same time in the form the rest of the program takes."""
        return Clock(now=self.now, monotonic=self.monotonic)

    def call_later(self, delay_seconds: float, action: Callable[[], None]) -> Timer:
        """Run `action` under the lock once `delay_seconds` of simulated time have passed.

        Timers that are due at the same moment run in the order they were made. A delay of zero or less runs with
        the next batch, never at once, so that an action is never nested into the one that asked for it.
        """
        with self.changed:
            timer = Timer(self.elapsed() + max(0.0, delay_seconds), action)
            self._sequence += 1
            heapq.heappush(self._timers, (timer.due_seconds, self._sequence, timer))
            self.changed.notify_all()
        return timer

    def _next_due(self) -> float | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _pop_due(self, until_seconds: float) -> Timer | None:
        due = self._next_due()
        if due is None or due > until_seconds:
            return None
        return heapq.heappop(self._timers)[2]

    def stop(self) -> None:
        """Let nothing happen any more."""
        with self.changed:
            self._timers.clear()
            self.changed.notify_all()


class SteppedClock(SimulatedClock):
    """Time that stands still until `step`; what lies between two steps happens in order, at its exact moment."""

    def __init__(self, start: datetime = STEPPED_START) -> None:
        super().__init__(start)
        self._elapsed = 0.0

    def elapsed(self) -> float:
        """Return the seconds stepped so far, or the moment of the timer that is running."""
        return self._elapsed

    def step(self, seconds: float = 1.0) -> None:
        """Move on by `seconds`, running every timer on the way at its own moment."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self.changed:
            target = self._elapsed + seconds
            while (timer := self._pop_due(target)) is not None:
                self._elapsed = max(self._elapsed, timer.due_seconds)
                timer.action()
            self._elapsed = target
            self.changed.notify_all()


class RunningClock(SimulatedClock):
    """Time that runs by itself, `scale` simulated seconds in each real one."""

    def __init__(self, start: datetime | None = None, *, scale: float = 1.0) -> None:
        super().__init__(start or datetime.now(UTC))
        self._scale = scale
        self._real_start = time.monotonic()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def elapsed(self) -> float:
        """Return the simulated seconds since this clock was made."""
        return (time.monotonic() - self._real_start) * self._scale

    def start(self) -> None:
        """Begin to run timers, in one daemon thread that sleeps until the next of them is due."""
        with self.changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="simulated-time", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread and forget every timer."""
        with self.changed:
            self._stopped = True
        super().stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        with self.changed:
            while not self._stopped:
                ran = False
                while not self._stopped and (timer := self._pop_due(self.elapsed())) is not None:
                    timer.action()
                    ran = True
                if ran:
                    self.changed.notify_all()
                due = self._next_due()
                self.changed.wait(None if due is None else max(0.0, (due - self.elapsed()) / self._scale))
