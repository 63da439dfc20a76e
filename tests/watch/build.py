"""Desks, samples, clocks and sources for the tests of the watching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import TYPE_CHECKING

from gpudesk.clock import Clock
from gpudesk.domain.card import Card, CardProcess, CardsSample, ProcessAccounting
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.keep_alive import KeepAlive, keep_alive_from_expiry
from gpudesk.domain.model import EngineModel
from gpudesk.domain.process import Process, ProcessSample, Runner, RunnerKind
from gpudesk.domain.reading import Failure, Reading
from gpudesk.errors import FailureKind
from gpudesk.watch.store import initial, reduce

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event as DeskEvent
    from gpudesk.domain.reading import Sample

GIB = 1 << 30
MIB = 1 << 20
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
URL = "http://127.0.0.1:11434"
ENGINE = f"ollama {URL}"
FOREVER = START + timedelta(days=106_751)


class SteppedClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.shift = timedelta()

    def step(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: START + timedelta(seconds=self.seconds) + self.shift, monotonic=lambda: self.seconds)


def card(
    index: int = 0, *processes: tuple[int, int | None], total: int = 24 * GIB, rest: int = 0, **others: object
) -> Card:
    """Return a card whose used memory is what its processes hold and a rest."""
    used = sum(held or 0 for _, held in processes) + rest
    figures = Card(
        index=index,
        uuid=f"GPU-{index}",
        name=f"RTX {index}",
        memory_total_bytes=total,
        memory_used_bytes=used,
        memory_free_bytes=total - used,
        processes=tuple(CardProcess(pid, held) for pid, held in processes),
        process_accounting=ProcessAccounting.FULL,
    )
    return replace(figures, **others)  # type: ignore[arg-type]


def cards(*each: Card) -> CardsSample:
    return CardsSample(each)


def runner(pid: int, digest: str = "a" * 64, *, started: float = 0.0, context: int = 4096, slots: int = 1) -> Process:
    """Return an engine's runner that holds the blob `digest`."""
    found = Runner(
        RunnerKind.OLLAMA_RUNNER, blob_digest=digest, model_name=None, context_total=context * slots, parallel=slots
    )
    return Process(pid, "ollama", started_at=START + timedelta(seconds=started), runner=found)


def process(pid: int, name: str = "blender", *, started: float = 0.0) -> Process:
    return Process(pid, name, started_at=START + timedelta(seconds=started))


def timer(seconds: float, *, at: float = 0.0) -> KeepAlive | None:
    """Return a keep-alive that ends so many seconds after the start, as seen at `at`."""
    return keep_alive_from_expiry(START + timedelta(seconds=seconds), START + timedelta(seconds=at))


def forever() -> KeepAlive | None:
    return keep_alive_from_expiry(FOREVER, START)


def model(name: str = "qwen3:14b", keep_alive: KeepAlive | None = None, **others: object) -> EngineModel:
    """Return a loaded model as its engine claims it, all of it on the card."""
    claim = EngineModel(
        name=name,
        engine_url=URL,
        digest=f"{sum(name.encode()) % 256:02x}" * 32,
        size_bytes=9 * GIB,
        size_vram_bytes=9 * GIB,
        context_length=4096,
        keep_alive=keep_alive,
    )
    return replace(claim, **others)  # type: ignore[arg-type]


def engine(*models: EngineModel, version: str | None = "0.12.6", **others: object) -> EngineSample:
    return replace(EngineSample(URL, version=version, models=models), **others)  # type: ignore[arg-type]


def failure(kind: FailureKind = FailureKind.UNREACHABLE, message: str = "connection refused") -> Failure:
    return Failure(kind, message, "start it")


class Watch:
    """Folds readings one after another, each at its own second, and remembers what was told."""

    def __init__(self) -> None:
        self.watched = initial(START)
        self.sequence = 0
        self.told: list[DeskEvent] = []

    @property
    def desk(self) -> Desk:
        return self.watched.desk

    def give(self, source: str, what: Sample | Failure, at: float, interval_seconds: float = 1.0) -> list[DeskEvent]:
        """Fold one reading; return the events that are new on the desk."""
        self.sequence += 1
        failed = what if isinstance(what, Failure) else None
        value = None if isinstance(what, Failure) else what
        reading = Reading(source, self.sequence, START + timedelta(seconds=at), value, failed)
        before = self.desk.events
        self.watched = reduce(self.watched, reading, interval_seconds)
        if self.desk.events is before:
            return []
        new = [event for event in self.desk.events if event not in before]
        self.told.extend(new)
        return new

    def cards(self, at: float, *each: Card) -> list[DeskEvent]:
        return self.give("nvml", CardsSample(each), at)

    def engine(self, at: float, *models: EngineModel, version: str | None = "0.12.6") -> list[DeskEvent]:
        return self.give(ENGINE, engine(*models, version=version), at)

    def processes(self, at: float, *each: Process) -> list[DeskEvent]:
        return self.give("processes", ProcessSample(each), at)

    def fail(self, source: str, at: float, kind: FailureKind = FailureKind.UNREACHABLE) -> list[DeskEvent]:
        return self.give(source, failure(kind), at)


def messages(events: Sequence[DeskEvent]) -> list[str]:
    return [event.message for event in events]


class FakeSource:
    """A source that gives what it is told to, counts, and blocks when it should."""

    def __init__(self, name: str, give: Callable[[Desk], Sample], interval_seconds: float = 1.0) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.give = give
        self.reads = 0
        self.closed = Event()
        self.gate = Event()
        """Cleared: the next read hangs until it is set."""
        self.gate.set()
        self.entered = Event()
        self.closed_in: list[str] = []
        self._lock = Lock()

    def read(self, desk: Desk) -> Sample:
        with self._lock:
            self.reads += 1
        self.entered.set()
        self.gate.wait(30)
        return self.give(desk)

    def close(self) -> None:
        import threading

        self.closed_in.append(threading.current_thread().name)
        self.closed.set()
