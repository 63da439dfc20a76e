"""One desk, read once: for commands that print and leave."""

from __future__ import annotations

import time
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from gpudesk.domain.reading import Reading
from gpudesk.watch.cadence import overdue
from gpudesk.watch.look import look
from gpudesk.watch.names import CARDS, PROCESSES, engine_order, engine_source, is_details, side_url
from gpudesk.watch.store import initial, reduce

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpudesk.clock import Clock
    from gpudesk.domain.alarm import AlarmLimits
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.reading import Failure, Sample
    from gpudesk.sources.base import Source
    from gpudesk.watch.watched import Watched

PATIENCE_RATIO = 0.5
"""Share of the time after which a source no longer waits for the one that it follows."""


def sample_once(
    sources: Sequence[Source],
    clock: Clock,
    timeout_seconds: float,
    *,
    limits: AlarmLimits | None = None,
    told: Callable[[Watched], None] = lambda _: None,
    longer: Mapping[str, float] | None = None,
) -> Desk:
    """Read every source once, at the same time where possible, and return the desk.

    Processes are read when the cards are known, what an engine tells about models when its loaded ones are. Whatever
    has not answered in time is a problem on the desk. The sources are closed afterwards, each by its own thread, and
    nobody waits for that.

    Args:
        sources: what to read.
        clock: what readings are dated with.
        timeout_seconds: for all of them together, in real time.
        limits: what alarms tell of.
        told: is handed what is known after each reading, one at a time.
        longer: for sources that are worth it, how long they are waited for instead.
    """
    names = [source.name for source in sources]
    once = _Once(sources, clock, timeout_seconds, initial(clock.now(), limits, engine_order(names)), told, longer or {})
    return once.run()


class _Once:
    """The threads of one pass and what they have brought so far."""

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        timeout_seconds: float,
        watched: Watched,
        told: Callable[[Watched], None],
        longer: Mapping[str, float],
    ) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._waiting = {source.name: source for source in sources}
        self._running: dict[str, Source] = {}
        self._watched = watched
        self._told = told
        self._longer = longer
        self._changed = Condition()
        self._finished = Event()
        self._sequence = 0

    def run(self) -> Desk:
        """Start every source when its time has come, and wait for all or for the deadline."""
        began = time.monotonic()
        with self._changed:
            while True:
                elapsed = time.monotonic() - began
                patient = elapsed < PATIENCE_RATIO * self._timeout_seconds
                self._start_ready(patient=patient)
                if not self._waiting and not self._running:
                    break
                until = max(map(self._seconds_for, (*self._running, *self._waiting)))
                if elapsed >= until:
                    break
                if patient and self._waiting:
                    until = PATIENCE_RATIO * self._timeout_seconds
                self._changed.wait(until - elapsed)
            for name in (*self._running, *self._waiting):
                self._fold(name, None, overdue(name, self._seconds_for(name)))
            self._finished.set()
            return self._watched.desk

    def _seconds_for(self, name: str) -> float:
        return self._longer.get(name, self._timeout_seconds)

    def _start_ready(self, *, patient: bool) -> None:
        """Start every source that has what it needs, or has waited for it long enough."""
        for name, source in list(self._waiting.items()):
            leader = _leader(name)
            if patient and leader is not None and (leader in self._waiting or leader in self._running):
                continue
            del self._waiting[name]
            if leader is not None and is_details(name) and self._failed(leader):
                continue
            self._running[name] = source
            Thread(target=self._read, args=(source,), name=f"gpudesk {name}", daemon=True).start()

    def _failed(self, name: str) -> bool:
        state = self._watched.desk.source(name)
        return state is not None and state.failure is not None

    def _read(self, source: Source) -> None:
        """Read one source, and close it when nobody needs any of them any more (they may share a connection)."""
        while source.name in self._running:
            look(source, self._watched.desk, lambda value, failure: self._took(source, value, failure))
        self._finished.wait()
        source.close()

    def _took(self, source: Source, value: Sample | None, failure: Failure | None) -> None:
        """Fold what a source gave, unless it is too late; one that tells of one model at a time is read again."""
        with self._changed:
            if self._finished.is_set():
                self._running.pop(source.name, None)
                return
            known = len(self._watched.desk.details)
            self._fold(source.name, value, failure)
            desk = self._watched.desk
            if is_details(source.name) and len(desk.details) > known and _has_unknown(desk):
                return
            self._running.pop(source.name, None)
            self._changed.notify()

    def _fold(self, name: str, value: Sample | None, failure: Failure | None) -> None:
        self._sequence += 1
        self._watched = reduce(self._watched, Reading(name, self._sequence, self._clock.now(), value, failure))
        self._told(self._watched)


def _leader(name: str) -> str | None:
    """Return the source that must have answered before this one knows what to look for."""
    if name == PROCESSES:
        return CARDS
    url = side_url(name)
    return engine_source(url) if url is not None and is_details(name) else None


def _has_unknown(desk: Desk) -> bool:
    """Tell whether nothing is known yet of some loaded model."""
    known = {detail.digest for detail in desk.details}
    return any(model.digest is not None and model.digest not in known for model in desk.models)
