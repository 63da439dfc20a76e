"""Who the contract suite is run against: the simulation, the real server of the fixture, or a named one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from gpudesk.sources.process_table import ProcessTable, PsutilProcessTable, RawProcess
from tests.live.api import Api
from tests.live.engine import OllamaProcess, RunnerProcess
from tests.live.fixtures import MAX_LOADED_MODELS, NUM_PARALLEL
from tests.live.models import PREFIX


class Machine(Protocol):
    """What can be done to an engine that is ours, beside talking to it."""

    def runners(self) -> tuple[RunnerProcess, ...]:
        """List its runners."""
        ...

    def kill_runner(self, pid: int) -> None:
        """End a runner from outside."""
        ...

    def restart(self) -> None:
        """End the server and start it again."""
        ...

    def now(self) -> datetime:
        """Tell the server's time."""
        ...

    def process_table(self) -> ProcessTable:
        """Return the process table in which its runners are."""
        ...


@dataclass(slots=True)
class Subject:
    """An engine under test.

    Attributes:
        api: A plain client for it.
        machine: Present when the engine is ours: it may be filled up, killed and restarted.
        writable: Models may be made, loaded and deleted there.
    """

    name: str
    api: Api
    version: tuple[int, ...]
    machine: Machine | None = None
    writable: bool = True
    max_loaded: int = MAX_LOADED_MODELS
    num_parallel: int = NUM_PARALLEL

    def loaded(self) -> dict[str, dict[str, Any]]:
        """What `/api/ps` lists of the tiny models, by name; a server that is not ours may hold others."""
        return {name: model for name, model in self.api.loaded().items() if name.startswith(PREFIX)}

    def now(self) -> datetime:
        """The server's time, as far as known."""
        return self.machine.now() if self.machine else datetime.now(UTC)


class RealMachine:
    """The server that the fixture runs."""

    def __init__(self, server: OllamaProcess) -> None:
        self._server = server
        self.runners = server.runners
        self.kill_runner = server.kill_runner
        self.restart = server.restart

    def now(self) -> datetime:
        """It shares our clock."""
        return datetime.now(UTC)

    def process_table(self) -> ProcessTable:
        """Its runners are real processes."""
        return _OwnRunners(self._server)


class _OwnRunners(PsutilProcessTable):
    """The real process table, less the runners of other servers: a second test run has the same models."""

    def __init__(self, server: OllamaProcess) -> None:
        super().__init__()
        self._server = server

    def runner_candidates(self) -> Iterable[RawProcess]:
        """Return the runners of our server."""
        return [raw for raw in super().runner_candidates() if raw.parent_pid == self._server.pid]
