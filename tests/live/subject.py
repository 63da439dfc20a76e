"""Who the contract suite is run against: the simulation, the real server of the fixture, or a named one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread
from typing import Any, Protocol

from gpudesk.sources.process_table import ProcessTable, PsutilProcessTable
from tests.live.api import Api
from tests.live.engine import OllamaProcess, RunnerProcess
from tests.live.fixtures import MAX_LOADED_MODELS, NUM_PARALLEL
from tests.live.models import PREFIX, TINY_CHAT, write_model
from tests.live.registry import LoopbackRegistry, Registry

STOP_POLL_SECONDS = 0.02


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

    def stalled_loads(self) -> AbstractContextManager[None]:
        """Let loads inside begin and not end."""
        ...

    def hurried(self) -> AbstractContextManager[None]:
        """Let answers inside come as fast as they can."""
        ...

    def kill(self) -> None:
        """End the server alone, by SIGKILL."""
        ...

    def start(self) -> None:
        """Start it again."""
        ...

    def end_orphan(self, pid: int) -> None:
        """End a runner whose server was killed."""
        ...

    def registry(self) -> AbstractContextManager[Registry]:
        """Open a registry from where the engine can pull one model."""
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
        self.kill = server.kill
        self.start = server.start
        self.end_orphan = server.end_orphan

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """Open a real one on loopback."""
        path = self._server.directory / "pulled.gguf"
        write_model(replace(TINY_CHAT, seed=7), path)
        with LoopbackRegistry(path) as registry:
            yield registry

    @contextmanager
    def stalled_loads(self) -> Iterator[None]:
        """Stop every runner that starts meanwhile before the server has asked it whether it is ready.

        The server waits a quarter of a second before it asks (llm/server.go `WaitUntilRunning` at v0.5.4).
        """
        before = {runner.pid for runner in self._server.runners()}
        stopped: set[int] = set()
        ended = Event()

        def stop_new() -> None:
            while not ended.wait(STOP_POLL_SECONDS):
                for runner in self._server.runners():
                    if runner.pid not in before | stopped:
                        self._server.signal_runner(runner.pid, SIGSTOP)
                        stopped.add(runner.pid)

        watcher = Thread(target=stop_new, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            for runner in self._server.runners():
                if runner.pid in stopped:
                    self._server.signal_runner(runner.pid, SIGCONT)

    def hurried(self) -> AbstractContextManager[None]:
        """A tiny model is as fast as it can be."""
        return nullcontext()

    def now(self) -> datetime:
        """It shares our clock."""
        return datetime.now(UTC)

    def process_table(self) -> ProcessTable:
        """Its runners are real processes, among those of whatever else runs on this computer."""
        return PsutilProcessTable()
