"""The Desk: one immutable snapshot of everything known at one moment.

Sources give readings, `watch.store.reduce` folds each into the next Desk, the screen and the commands show it.
Nobody else makes one.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gpudesk.domain.alarm import Alarm
from gpudesk.domain.card import Card, Driver
from gpudesk.domain.engine import Engine
from gpudesk.domain.event import Event
from gpudesk.domain.host import Host
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveBounds
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.domain.pin import Pin, PinState
from gpudesk.domain.problem import Problem
from gpudesk.domain.process import Process, Runner, ServerProcess
from gpudesk.domain.reading import Failure
from gpudesk.records import dataclass


class HolderKind(StrEnum):
    """Who can hold memory on a card."""

    MODEL = "model"
    PROCESS = "process"
    UNATTRIBUTED = "unattributed"


class MemorySource(StrEnum):
    """Where a model's figure comes from."""

    DRIVER = "driver"
    """Measured: NVML's figure for the model's processes."""
    ENGINE = "engine"
    """Claimed: the engine's own figure, where the driver cannot tell."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds memory on one card. The holders of a card plus its free memory are its total, always."""

    kind: HolderKind
    name: str
    """Model name, process name, or `unattributed`."""
    memory_bytes: int
    pids: tuple[int, ...] = ()
    engine_url: str | None = None
    """Set for models."""
    source: MemorySource = MemorySource.DRIVER
    note: str | None = None
    """What this is made of, or why it is not known: `driver reserve 0.3 GiB`."""


@dataclass(frozen=True, slots=True)
class CardState:
    """A card with its memory divided among holders."""

    card: Card
    holders: tuple[Holder, ...] = ()
    """Models first, then other processes, each by size descending, the unattributed rest last."""
    free_bytes: int | None = None
    """Total minus holders; None when the total is unknown."""
    notes: tuple[str, ...] = ()
    """Contradictions in the input that were settled, in words."""


@dataclass(frozen=True, slots=True)
class CardShare:
    """How much of a model is on one card."""

    index: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A resident model: the engine's claim joined with what the driver measures."""

    name: str
    engine_url: str
    digest: str | None = None
    local: bool = True
    """False: lives in a remote engine; never on this computer's cards."""
    memory_bytes: int | None = None
    """On the cards: measured where the driver tells, otherwise claimed (see `memory_source`)."""
    memory_source: MemorySource = MemorySource.ENGINE
    reported_bytes: int | None = None
    """The engine's total (`size`)."""
    reported_vram_bytes: int | None = None
    """The engine's share on the cards (`size_vram`)."""
    cards: tuple[CardShare, ...] = ()
    context_length: int | None = None
    """Per slot."""
    parallel: int | None = None
    kv_cache_type: str | None = None
    """`f16`, `q8_0`, or `q8_0/q4_0` when keys and values differ; None when nobody tells."""
    cpu_ratio: float | None = None
    """Share in host memory, 0..1. Above 0 the model has spilled and is slow."""
    keep_alive: KeepAlive | None = None
    keep_alive_bounds: KeepAliveBounds | None = None
    """For how long the timer was set; None when there is none, or nobody watched it."""
    pin: Pin = Pin.NONE
    pids: tuple[int, ...] = ()
    runner: Runner | None = None
    host_memory_bytes: int | None = None
    """Resident host memory of its runner."""
    parameter_size: str | None = None
    quantization: str | None = None
    family: str | None = None
    shares_runner_with: tuple[str, ...] = ()
    """Other names the engine lists for the same weights: one runner, counted once, under the first name."""
    difference_bytes: int | None = None
    """Measured minus claimed; None unless both are known."""
    explanations: tuple[str, ...] = ()
    """What explains the difference, most important first."""

    @property
    def key(self) -> str:
        """Identifies the model on the desk across samples."""
        return f"{self.engine_url} {self.name}"


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is doing."""

    source: str
    sequence: int = 0
    last_taken_at: datetime | None = None
    """When the last reading of any kind came."""
    last_value_at: datetime | None = None
    """When the last *good* reading came; what is shown is as old as that."""
    failure: Failure | None = None
    """Set when the last reading failed."""
    interval_seconds: float = 1.0
    """How often this source is read; a good value older than several of these is stale."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything known at one moment."""

    taken_at: datetime
    """Aware UTC: when the newest reading in it was taken."""
    cards: tuple[CardState, ...] = ()
    models: tuple[LoadedModel, ...] = ()
    installed: tuple[InstalledModel, ...] = ()
    engines: tuple[Engine, ...] = ()
    processes: tuple[Process, ...] = ()
    """Every process on a card and every runner."""
    servers: tuple[ServerProcess, ...] = ()
    """The engines' servers among this computer's processes, each with the engines it is known to answer for."""
    details: tuple[ModelDetails, ...] = ()
    host: Host | None = None
    driver: Driver | None = None
    sources: tuple[SourceState, ...] = ()
    events: tuple[Event, ...] = ()
    """Newest last, at most `watch.store.EVENT_LIMIT`."""
    problems: tuple[Problem, ...] = ()
    """Everything wrong right now, each said once."""
    pins: tuple[PinState, ...] = ()
    """Every pin, held and lost, also of models that are not loaded."""
    alarms: tuple[Alarm, ...] = ()
    """What goes on and wants attention."""

    def source(self, name: str) -> SourceState | None:
        """Return the state of one source by name."""
        return next((state for state in self.sources if state.source == name), None)
