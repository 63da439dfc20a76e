"""A runner and the requests it serves: the mutable state the scheduler moves about."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.sim.clock import Timer
    from gpudesk.sim.engine_memory import RunOptions
    from gpudesk.sim.engine_options import RunnerOptions
    from gpudesk.sim.engine_placement import Placement
    from gpudesk.sim.engine_reported import Reported
    from gpudesk.sim.models import SimulatedModel


class EngineError(Exception):
    """What the server answers instead of a result.

    Attributes:
        status: HTTP status, when nothing was sent yet.
        text: the error text.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class RequestState(StrEnum):
    """Where a request is."""

    QUEUED = "queued"
    LOADING = "loading"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL_STATES = frozenset((RequestState.DONE, RequestState.FAILED, RequestState.CANCELED))


@dataclass(slots=True, eq=False)
class EngineRequest:
    """One request that needs a runner, from its arrival to its end."""

    model: SimulatedModel
    options: RunnerOptions
    keep_alive: int | None
    """Nanoseconds; None leaves a loaded model's timer as it is."""
    tokens: int = 0
    """How many to generate; 0 only loads."""
    prompt_tokens: int = 0
    state: RequestState = RequestState.QUEUED
    error: EngineError | None = None
    tokens_done: int = 0
    tokens_told: int = 0
    """How many of them the client was sent already."""
    submitted_seconds: float = 0.0
    ready_seconds: float = 0.0
    """When the runner was there."""
    finished_seconds: float = 0.0
    timer: Timer | None = None
    runner: Runner | None = None
    out_of_memory_retried: bool = False
    stops_halfway: bool = False
    """Its load waits for `Scheduler.go_on` when half of it has arrived."""
    trouble: str | None = None
    """What its load gets into (`sim.ollama_faults.LOAD_KINDS`); None: not decided yet."""

    @property
    def over(self) -> bool:
        """Nothing will happen to it any more."""
        return self.state in FINAL_STATES


@dataclass(slots=True, eq=False)
class Runner:
    """A process that holds one model."""

    model: SimulatedModel
    """Under the name of the first load; other names of the same file show under it."""
    options: RunnerOptions
    run: RunOptions
    placement: Placement
    claim: Reported
    pid: int
    argv: tuple[str, ...]
    session_nanoseconds: int
    parallel: int
    free_at_load: dict[int, int] = field(default_factory=dict)
    loading: bool = True
    arrived: float = 0.0
    """How much of it is where it belongs, 0..1."""
    dead: bool = False
    """Its process is gone, and the scheduler has not noticed."""
    references: int = 0
    expires_at: datetime | None = None
    """On the server's clock; None until a request has ended."""
    expiry: Timer | None = None
    running: list[EngineRequest] = field(default_factory=list)
    backlog: deque[EngineRequest] = field(default_factory=deque)
    """Requests that wait for a free slot."""
    waiters: list[EngineRequest] = field(default_factory=list)
    """Requests that came while it was loading."""

    @property
    def key(self) -> str:
        """What the scheduler knows it by: the file, not the name (ollama server/sched.go:108)."""
        return self.model.blob_digest

    def tokens_per_second(self) -> float:
        """Speed of one slot: bytes to read per token over the bandwidth of where they lie."""
        placement = self.placement
        on_cards = sum(part.weights for part in placement.cards)
        off_cards = placement.host_weights
        shape = self.model.shape
        if shape.expert_count:
            active = min(1.0, 0.12 + shape.expert_used_count / shape.expert_count)
            on_cards, off_cards = int(on_cards * active), int(off_cards * active)
        seconds = on_cards / 620e9 + off_cards / 38e9 + 0.002
        return min(220.0, 1 / seconds)
