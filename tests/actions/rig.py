"""A simulated workstation with the real sources, watch and orders, and stores in memory: where actions are run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from gpudesk.actions.lookup import find_loaded, loaded_now
from gpudesk.actions.ports import Forecast, Ports
from gpudesk.actions.run import run
from gpudesk.actions.values import (
    ActionId,
    Ending,
    JournalEntry,
    Load,
    Origin,
    Outcome,
    Preview,
    Progress,
    Step,
    StepKind,
)
from gpudesk.cancellation import Cancellation
from gpudesk.clock import Clock
from gpudesk.config.settings import EngineAddress
from gpudesk.domain.desk import Desk
from gpudesk.domain.engine import DetailsSample
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.pin import PinSample, PinWish
from gpudesk.records import replace
from gpudesk.sim.clock import RunningClock
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.scenarios_stage import Stage
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.sources.nvml import NvmlSource
from gpudesk.sources.ollama import OllamaCatalogSource, OllamaSource
from gpudesk.sources.ollama_client import OllamaClient
from gpudesk.sources.ollama_control import OllamaControl
from gpudesk.sources.ollama_details import OllamaDetailsSource
from gpudesk.sources.processes import ProcessSource
from gpudesk.watch.poller import Poller
from tests.waiting import until

CHAT, BIG, CODE, EMBED = "qwen3:14b", "gpt-oss:20b", "qwen2.5-coder:1.5b-base", "nomic-embed-text:latest"
SMALL = "llama3.2:3b"
SCALE = 20.0
"""Simulated seconds in a real one."""


class MemoryPins:
    """Pins in memory; `trouble` is raised instead of storing."""

    def __init__(self, *wishes: PinWish) -> None:
        self.wishes = {(wish.engine_url, wish.name): wish for wish in wishes}
        self.trouble: Exception | None = None

    def read(self) -> tuple[PinWish, ...]:
        return tuple(self.wishes.values())

    def put(self, wish: PinWish) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.wishes[wish.engine_url, wish.name] = wish

    def remove(self, engine_url: str, name: str) -> bool:
        return self.wishes.pop((engine_url, name), None) is not None


class PinsInMemory:
    """Those pins as a source."""

    name = "pins"
    interval_seconds = 0.2

    def __init__(self, pins: MemoryPins) -> None:
        self._pins = pins

    def read(self, _desk: Desk) -> PinSample:
        return PinSample(self._pins.read())

    def close(self) -> None:
        """Nothing is open."""


class Details(OllamaDetailsSource):
    """What `/api/show` tells, but of the digests in `withheld`."""

    def __init__(self, client: OllamaClient, clock: Clock) -> None:
        super().__init__(client, clock)
        self.withheld: set[str] = set()

    def read(self, desk: Desk) -> DetailsSample:
        sample = super().read(desk)
        return replace(sample, details=tuple(each for each in sample.details if each.digest not in self.withheld))


class MemoryJournal:
    """Lines in memory, and whether the note was forgotten again."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []
        self.begun: list[Preview] = []
        self.unfinished: Preview | None = None
        self.trouble: Exception | None = None

    def append(self, entry: JournalEntry) -> None:
        self.entries.append(entry)

    def begin(self, preview: Preview) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.begun.append(preview)
        self.unfinished = preview

    def finish(self) -> None:
        self.unfinished = None


class FreeTurn:
    """A turn that is always free, unless `trouble` says otherwise."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.taken: list[str] = []

    def take(self, what: str) -> AbstractContextManager[None]:
        if self.trouble is not None:
            raise self.trouble
        self.taken.append(what)
        return nullcontext()


class Oracle:
    """A forecaster that says what it is told to."""

    def __init__(self) -> None:
        self.answer = Forecast(verdict="fits")
        self.asked: list[tuple[str, ...]] = []

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        self.asked.append(tuple(load.name for load in loads))
        return self.answer


def settings(**changes: object) -> Callable[[], EngineSettings]:
    return lambda: EngineSettings(**{"load_seconds": 2.0, **changes})  # type: ignore[arg-type]


class Rig:
    """The workstation; `loaded` are there from the start: name, context, keep-alive in seconds (-1 is forever)."""

    def __init__(self, *loaded: tuple[str, int, float], scale: float = SCALE, **changes: object) -> None:
        def script(stage: Stage) -> None:
            for name, context, keep_alive in loaded:
                stage.loaded(name, num_ctx=context, keep_alive=keep_alive)

        scenario = Scenario("actions", "for tests of actions", script, settings=settings(**changes))
        self.sim = SimulatedWorkstation(scenario, RunningClock(scale=scale))
        self.pins, self.journal, self.turn, self.oracle = MemoryPins(), MemoryJournal(), FreeTurn(), Oracle()
        self.told: list[Progress] = []

    def __enter__(self) -> Self:
        self.sim.__enter__()
        sim, nowhere = self.sim, Path(os.devnull)
        address = EngineAddress(sim.url)
        # One client each: a source that still reads when another one closes would leave its connection behind.
        client, other = OllamaClient(address), OllamaClient(address)
        self.control = OllamaControl(address)
        self.details = Details(OllamaClient(address), sim.clock)
        driver = NvmlSource(
            sim.clock, sysfs_root=nowhere, proc_root=nowhere,
            process_exists=lambda pid: sim.process_table.stamp(pid) is not None,
        )  # fmt: skip
        processes = ProcessSource(sim.process_table, clock=sim.clock, models_directories=())
        self.poller = Poller(
            (
                driver,
                OllamaSource(client, sim.clock),
                OllamaCatalogSource(other, sim.clock),
                self.details,
                processes,
                PinsInMemory(self.pins),
            ),
            sim.clock,
        )
        self.poller.start()
        self.ports = Ports(self.poller, (self.control,), self.oracle, self.pins, self.journal, self.turn)
        self.look(installed=True)
        assert until(self._all_matched), "no process was found for a model"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sim.server.step_faults.clear()
        self.poller.stop()
        self.control.close()
        for thread in threading.enumerate():
            if thread.name.startswith("gpudesk "):
                thread.join(10)
        self.sim.__exit__(kind, error, trace)

    def _all_matched(self) -> bool:
        """Tell whether it is known which process has each model; the engine tells about one model at a time."""
        self.poller.request_sample()
        return all(model.cards for model in self.look().models)

    # -- asking ------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.sim.url

    def look(self, *, installed: bool = False) -> Desk:
        return self.poller.fresh(5.0, installed=installed)

    def loaded(self) -> dict[str, int]:
        """What the engine itself has loaded, and with which context."""
        with self.sim.timeline.changed:
            return {r.model.name: r.options.num_ctx for r in self.sim.server.scheduler.loaded.values() if not r.dead}

    def session_seconds(self, name: str) -> float:
        """The keep-alive the engine itself has for a model."""
        with self.sim.timeline.changed:
            runner = next(r for r in self.sim.server.scheduler.loaded.values() if r.model.name == name)
            return runner.session_nanoseconds / 1e9

    def pids(self, name: str) -> tuple[int, ...]:
        return find_loaded(self.look(), name).pids

    # -- making ------------------------------------------------------------------------------------------------------

    def as_load(self, name: str, context: int | None = 8192, keep_alive: KeepAliveWish | None = None) -> Load:
        return Load(self.url, name, context, keep_alive)

    def preview(self, action: ActionId, *steps: Step, verdict: str | None = None, subject: str = "it") -> Preview:
        return Preview(action, subject, steps, verdict=verdict, before=loaded_now(self.look()))

    def load(self, name: str, context: int | None = 8192, *, verdict: str | None = "fits") -> Preview:
        return self.preview(ActionId.LOAD, Step(StepKind.LOAD, self.as_load(name, context)), verdict=verdict)

    def unload(self, *names: str) -> Preview:
        return self.preview(ActionId.UNLOAD, *(Step(StepKind.UNLOAD, self.as_load(name)) for name in names))

    def swap(self, old: str, new: str, context: int = 8192) -> Preview:
        steps = Step(StepKind.UNLOAD, self.as_load(old)), Step(StepKind.LOAD, self.as_load(new, context))
        return self.preview(ActionId.SWAP, *steps, verdict="fits")

    def run(
        self, preview: Preview, cancel: Cancellation | None = None, timeout_seconds: float | None = None
    ) -> Outcome:
        return run(
            preview, self.ports, origin=Origin.KEY, why="a test", progress=self.told.append, cancel=cancel,
            timeout_seconds=timeout_seconds,
        )  # fmt: skip

    def running(self, preview: Preview, cancel: Cancellation) -> Running:
        return Running(self, preview, cancel)


class Running:
    """An action that runs in a thread of its own."""

    def __init__(self, rig: Rig, preview: Preview, cancel: Cancellation) -> None:
        self._outcome: list[Outcome] = []
        self._thread = threading.Thread(target=lambda: self._outcome.append(rig.run(preview, cancel)))
        self._thread.start()

    def outcome(self, seconds: float = 30.0) -> Outcome:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "it has not ended"
        return self._outcome[0]


__all__ = ["BIG", "CHAT", "CODE", "EMBED", "FOREVER", "SMALL", "Ending", "Rig", "Running", "until"]
