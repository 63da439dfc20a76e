"""The running watch: one thread per source, folding what each one saw into the newest desk.

Sources block, sometimes for ever: a driver with a sick card does not come back from a call. So every thread is a
daemon that nobody waits for, a read that does not come back is told of by somebody else (`check_overdue`), and
stopping only leaves word.
"""

from __future__ import annotations

import time
from dataclasses import field
from threading import Condition, Event, Lock, Thread
from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.reading import Reading
from gpudesk.records import dataclass
from gpudesk.watch import cadence
from gpudesk.watch.history import History
from gpudesk.watch.look import look
from gpudesk.watch.model_events import DISMISSED_WITHIN
from gpudesk.watch.names import CARDS, PINS, PROCESSES, engine_order, engine_url, is_catalog, is_details
from gpudesk.watch.once import sample_once
from gpudesk.watch.store import initial, reduce
from gpudesk.watch.wakes import NOBODY, wakes
from gpudesk.watch.watched import dismissed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gpudesk.clock import Clock
    from gpudesk.domain.alarm import AlarmLimits
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.reading import Failure, Sample
    from gpudesk.sources.base import Source
    from gpudesk.watch.watched import Watched

    Dismissals = Callable[[datetime], Sequence[tuple[str, str, datetime]]]

__all__ = ["Poller", "sample_once"]

COALESCE_SECONDS = 0.1
"""Listeners are called at most this often."""
PINS_DELAY_SECONDS = 1.0
"""Pins mean nothing before the models are known, and reading them loads what the first paint does not need."""
FOLLOWER_DELAY_SECONDS = 0.3
"""How long sources that follow others (processes, details) wait at the start for somebody to wake them."""


@dataclass(slots=True, eq=False)
class _Turn:
    """One source's place in the cadence. Changed only under the poller's lock."""

    source: Source
    condition: Condition
    due: float
    sequence: int = 0
    began_at: float | None = None
    """Set while a read is in progress."""
    last_began_at: float | None = None
    tell_at_age: float = 0.0
    """Age at which the read in progress is told of as overdue."""
    failures: int = 0
    """In a row."""
    brisk_until: float = float("-inf")
    again: bool = False
    """Somebody asked for a look while one was in progress."""
    begun: int = 0
    """Reads so far, the one in progress included."""
    ended: int = 0
    """Number of the last read that came back."""


@dataclass(slots=True)
class _Word:
    """What waits to be told to the listeners."""

    pending: bool = False
    listeners: list[Callable[[], None]] = field(default_factory=list)


class Poller:
    """Reads every source at its pace and keeps the newest desk; implements `watch.feed.DeskFeed`."""

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock = SYSTEM_CLOCK,
        *,
        unfocused_factor: float = 3.0,
        limits: AlarmLimits | None = None,
        begun: Watched | None = None,
        history: History | None = None,
        dismissed_elsewhere: Dismissals = lambda _: (),
    ) -> None:
        """Make a watch; nothing is read before `start`.

        Args:
            sources: what to read.
            clock: what everything is timed with.
            unfocused_factor: how much less often to read while nobody looks.
            limits: what alarms tell of.
            begun: what is known already; nothing of it is news.
            history: of what is known already.
            dismissed_elsewhere: tells which models any gpudesk asked to go since a time: engine, name, and when. Asked
                only when a model has left.
        """
        names = [source.name for source in sources]
        if len(set(names)) != len(names):
            raise ValueError(f"two sources of one name: {', '.join(sorted(names))}")
        self._clock = clock
        self._lock = Lock()
        self._origin = clock.monotonic()
        self._turns = {
            source.name: _Turn(source, Condition(self._lock), self._origin + _delay(source.name)) for source in sources
        }
        self._keeper = Condition(self._lock)
        self._came = Condition(self._lock)
        self._unfocused_factor = unfocused_factor
        self._factor = 1.0
        self._watched = begun or initial(clock.now(), limits, engine_order(names))
        for state in self._watched.desk.sources:
            if state.source in self._turns:
                self._turns[state.source].sequence = state.sequence
        self._history = history or History()
        self._dismissed_elsewhere = dismissed_elsewhere
        self._word = _Word()
        self._started = False
        self._stopped = Event()

    @property
    def desk(self) -> Desk:
        """The newest desk."""
        return self._watched.desk

    @property
    def history(self) -> History:
        """The histories behind the graphs."""
        return self._history

    @property
    def clock(self) -> Clock:
        """The clock every age and countdown is measured with."""
        return self._clock

    def start(self) -> None:
        """Begin reading: every source at once, those that follow others a moment later."""
        with self._lock:
            if self._started:
                return
            self._started = True
        for turn in self._turns.values():
            Thread(target=self._run, args=(turn,), name=f"gpudesk {turn.source.name}", daemon=True).start()
        Thread(target=self._keep, name="gpudesk keeper", daemon=True).start()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` from the keeper's thread when something other than plain figures changed."""
        with self._lock:
            self._word.listeners.append(listener)

    def request_sample(self) -> None:
        """Read every source now instead of at its next turn, those that are waiting after failures included."""
        with self._lock:
            now = self._clock.monotonic()
            for turn in self._turns.values():
                turn.failures = 0
                self._wake(turn, now)

    def dismissing(self, engine_url: str, names: Sequence[str]) -> None:
        """Take note that gpudesk asks these names of a model to go, so that their leaving is not called an eviction."""
        with self._lock:
            self._watched = dismissed(self._watched, engine_url, names, self._clock.now())

    def fresh(self, timeout_seconds: float, *, installed: bool = False) -> Desk:
        """Read cards, processes and engines now; return a desk on which each was read after this call began.

        Blocks, at most `timeout_seconds` of real time: whoever does not answer in time is on the desk with its last
        value or its failure. Processes are read when the cards are known, as they say which processes matter. To be
        called on a started poller, never on the screen's thread.

        Args:
            timeout_seconds: for all of them together.
            installed: also read what the engines have installed.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            first = [name for name in self._turns if name in (CARDS, PINS) or engine_url(name) is not None]
            asked = self._ask(first + [name for name in self._turns if installed and is_catalog(name)])
            if CARDS in asked:
                self._await_reads({CARDS: asked[CARDS]}, deadline)
            asked |= self._ask([PROCESSES] if PROCESSES in self._turns else [])
            self._await_reads(asked, deadline)
            return self._watched.desk

    def _ask(self, names: Sequence[str]) -> dict[str, int]:
        """Have sources read at once; return the number of the read that begins then. The caller holds the lock."""
        now = self._clock.monotonic()
        for name in names:
            self._wake(self._turns[name], now)
        return {name: self._turns[name].begun + 1 for name in names}

    def _await_reads(self, asked: dict[str, int], deadline: float) -> None:
        """Wait until those reads have come back; the caller holds the lock."""
        while any(self._turns[name].ended < number for name, number in asked.items()) and not self._stopped.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._came.wait(left)

    def set_focused(self, focused: bool) -> None:
        """Read less often while nobody looks; look at once when somebody does again."""
        with self._lock:
            factor = 1.0 if focused else self._unfocused_factor
            back = factor < self._factor
            self._factor = factor
        if back:
            self.request_sample()

    def stop(self) -> None:
        """Leave word that nothing is to be read any more. Nobody is waited for; stuck threads are left behind."""
        self._stopped.set()
        with self._lock:
            self._keeper.notify_all()
            self._came.notify_all()
            for turn in self._turns.values():
                turn.condition.notify_all()

    def check_overdue(self) -> float:
        """Tell of reads that have not come back in time; return the seconds until there may be something to tell.

        The failed reading takes its number before the stuck read does: should that one come back, its value is the
        newest there is, and ends the outage.
        """
        with self._lock:
            now = self._clock.monotonic()
            wait = cadence.CHECK_SECONDS
            for turn in self._turns.values():
                if turn.began_at is None:
                    continue
                age = now - turn.began_at
                if age >= turn.tell_at_age:
                    self._fold(turn, None, cadence.overdue(turn.source.name, age), age)
                    turn.tell_at_age = cadence.next_overdue(age)
                wait = min(wait, turn.tell_at_age - age)
            return wait

    def _keep(self) -> None:
        """Watch over the reads in progress and call the listeners."""
        while not self._stopped.is_set():
            wait = self.check_overdue()
            with self._lock:
                if not self._word.pending and not self._stopped.is_set():
                    self._keeper.wait(wait)
                pending, self._word.pending = self._word.pending, False
                listeners = list(self._word.listeners)
            if pending and not self._stopped.is_set():
                for listener in listeners:
                    self._call(listener)
                self._stopped.wait(COALESCE_SECONDS)

    def _call(self, listener: Callable[[], None]) -> None:
        """Call one listener; one that fails, such as a screen that is gone, is not called again."""
        try:
            listener()
        except Exception:  # noqa: BLE001 - a reader that fails must not end the watching
            with self._lock:
                self._word.listeners.remove(listener)

    def _run(self, turn: _Turn) -> None:
        """Read one source, turn after turn, and close it when the watching ends."""
        while self._await(turn):
            look(turn.source, self.desk, lambda value, failure: self._took(turn, value, failure))
        turn.source.close()

    def _await(self, turn: _Turn) -> bool:
        """Wait for the next turn; False when there is none."""
        with self._lock:
            while not self._stopped.is_set():
                now = self._clock.monotonic()
                if turn.due <= now:
                    turn.began_at = turn.last_began_at = now
                    turn.tell_at_age = cadence.allowed_seconds(turn.source.name, turn.source.interval_seconds)
                    turn.again = False
                    turn.begun += 1
                    return True
                turn.condition.wait(turn.due - now)
            return False

    def _took(self, turn: _Turn, value: Sample | None, failure: Failure | None) -> None:
        """Fold what a read gave and say when the next one is due."""
        with self._lock:
            if self._stopped.is_set():
                return
            now = self._clock.monotonic()
            self._fold(turn, value, failure, 0.0 if turn.began_at is None else now - turn.began_at)
            turn.began_at = None
            turn.ended = turn.begun
            self._came.notify_all()
            turn.failures = turn.failures + 1 if failure is not None else 0
            if turn.again:
                turn.due = now
            elif failure is not None:
                turn.due = now + cadence.backoff(turn.failures)
            elif now < turn.brisk_until:
                turn.due = now + cadence.BRISK_SECONDS
            else:
                turn.due = cadence.next_beat(now, self._interval(turn), self._origin)

    def _interval(self, turn: _Turn) -> float:
        return turn.source.interval_seconds * self._factor

    def _fold(self, turn: _Turn, value: Sample | None, failure: Failure | None, seconds: float) -> None:
        """Make the next desk of one reading; the caller holds the lock."""
        reading = Reading(turn.source.name, turn.sequence + 1, self._clock.now(), value, failure, seconds)
        before = self._watched.desk
        self._heed_dismissals(value)
        self._watched = reduce(self._watched, reading, self._interval(turn))
        turn.sequence += 1
        after = self._watched.desk
        self._history.record(after)
        if _is_notable(before, after, turn.source.name):
            self._word.pending = True
            self._keeper.notify()
        self._wake_others(before, after)

    def _heed_dismissals(self, value: Sample | None) -> None:
        """Before a model is told to have left, take note of what another gpudesk, a command perhaps, asked to go."""
        if not isinstance(value, EngineSample):
            return
        listed = {model.name for model in value.models}
        if any(url == value.url and name not in listed for url, name, *_ in self._watched.memory.models):
            for url, name, at in self._dismissed_elsewhere(self._clock.now() - DISMISSED_WITHIN):
                self._watched = dismissed(self._watched, url, (name,), at)

    def _wake_others(self, before: Desk, after: Desk) -> None:
        """Let the sources look early that should after this reading."""
        wanted = wakes(before, after)
        if wanted is NOBODY:
            return
        now = self._clock.monotonic()
        for name in wanted.brisk | wanted.once:
            turn = self._turns.get(name)
            if turn is None:
                continue
            if name in wanted.brisk:
                turn.brisk_until = now + cadence.BRISK_PERIOD_SECONDS
            spaced = now if turn.last_began_at is None else turn.last_began_at + cadence.SPACING_SECONDS
            self._wake(turn, max(now, spaced))

    def _wake(self, turn: _Turn, due: float) -> None:
        """Bring a source's next turn forward; after the read in progress, if there is one."""
        if turn.began_at is not None:
            turn.again = True
        else:
            # Told even when it is due already: the thread waits in real time, the clock may have run ahead of that.
            turn.due = min(due, turn.due)
            turn.condition.notify()


def _delay(name: str) -> float:
    """Return how long after the start a source is read first."""
    if name == PINS:
        return PINS_DELAY_SECONDS
    return FOLLOWER_DELAY_SECONDS if name == PROCESSES or is_details(name) else 0.0


def _is_notable(before: Desk, after: Desk, source: str) -> bool:
    """Tell whether something other than plain figures changed."""
    if before.events is not after.events:
        return True
    old, new = before.source(source), after.source(source)
    if new is None or new is old:
        return False
    was_well = old is not None and old.failure is None
    is_first_value = new.last_value_at is not None and (old is None or old.last_value_at is None)
    is_first_failure = old is None and new.failure is not None
    return is_first_value or is_first_failure or (old is not None and was_well != (new.failure is None))
