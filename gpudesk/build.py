"""The one place that wires sources, watch, screen and commands together."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from gpudesk import start
from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.domain.problem import Problem
from gpudesk.workstation import Found, LateSources, NothingFoundError, Workstation, found_in, is_settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gpudesk.acting.opening import Folders
    from gpudesk.commands.acting_session import ActingMeans
    from gpudesk.commands.editors_session import EditorMeans
    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.config.settings import EngineAddress, Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.host import Host
    from gpudesk.exports.editor import Surroundings
    from gpudesk.planning.desk_planner import DeskPlanner
    from gpudesk.sim.workstation import SimulatedWorkstation
    from gpudesk.sources.base import Source
    from gpudesk.sources.model_metadata import ModelMetadataSource
    from gpudesk.ui.editors.port import EditorPort
    from gpudesk.watch.feed import DeskFeed
    from gpudesk.watch.history import History
    from gpudesk.watch.poller import Poller
    from gpudesk.watch.watched import Watched

DEFAULT_SCENARIO = "coding"
DEMO_BANNER = "DEMO: simulated numbers"

ENGINE_PACE = 2.0
"""Intervals between two looks at an engine: its timers are counted down here, only loads and evictions are news."""


PROBE_SECONDS = 1.0
"""How long the start waits to learn whether there is anything to show."""


def open_workstation(
    settings: Settings, *, demo: str | None = None, demo_if_empty: bool = False, clock: Clock = SYSTEM_CLOCK
) -> Workstation:
    """Return the sources to read: of this computer, or of the simulation when that was asked for.

    Args:
        settings: what the user set.
        demo: name of a scenario to simulate; None is this computer.
        demo_if_empty: simulate when this computer has neither a driver nor an engine.
        clock: the real one, or a test's.
    """
    if demo is not None:
        return _simulated(settings, demo, DEMO_BANNER)
    if demo_if_empty:
        found = look_for_sources(settings, clock=clock)
        if not found.anything:
            # Short enough to be read whole on 80 columns.
            hosts = " or ".join(address.url.removeprefix("http://") for address in settings.engines)
            banner = f"{DEMO_BANNER}; no NVIDIA driver here, no Ollama at {hosts}"
            searched = tuple(Problem("demo", search.line(), search.hint) for search in found.searched)
            return _simulated(settings, DEFAULT_SCENARIO, banner).with_problems(searched)
    return Workstation(LateSources(lambda: _machine_sources(settings, clock)), clock, settings)


def look_for_sources(
    settings: Settings, *, clock: Clock = SYSTEM_CLOCK, timeout_seconds: float = PROBE_SECONDS
) -> Found:
    """Ask the driver and every engine once and say who is there."""
    from gpudesk.watch.poller import sample_once

    sources = (_driver_source(settings, clock), *(_engine_source(a, clock) for a in settings.engines))
    return found_in(sample_once(sources, clock, timeout_seconds), settings)


def scenario_names() -> tuple[str, ...]:
    """Return what `--demo` can show."""
    from gpudesk.sim.scenarios import SCENARIOS

    return tuple(SCENARIOS)


def _driver_source(settings: Settings, clock: Clock) -> Source:
    from gpudesk.sources.nvml import NvmlSource

    return NvmlSource(clock, interval_seconds=settings.interval_seconds)


def _engine_source(address: EngineAddress, clock: Clock) -> Source:
    from gpudesk.sources.ollama import OllamaSource
    from gpudesk.sources.ollama_client import OllamaClient

    return OllamaSource(OllamaClient(address), clock)


def _engine_sources(address: EngineAddress, settings: Settings, clock: Clock, cache: Path | None) -> tuple[Source, ...]:
    """Return everything that is asked of one engine, over one client."""
    from gpudesk.sources.ollama import OllamaCatalogSource, OllamaSource
    from gpudesk.sources.ollama_client import OllamaClient
    from gpudesk.sources.ollama_details import OllamaDetailsSource

    client = OllamaClient(address)
    return (
        OllamaSource(client, clock, interval_seconds=ENGINE_PACE * settings.interval_seconds),
        OllamaCatalogSource(client, clock),
        OllamaDetailsSource(client, clock, cache_directory=cache),
    )


def _machine_sources(settings: Settings, clock: Clock) -> tuple[Source, ...]:
    """Return the sources of this computer; heavy libraries load at their first read, in the source's own thread."""
    from gpudesk.paths import cache_directory
    from gpudesk.sources.host import HostSource
    from gpudesk.sources.processes import ProcessSource

    cache = cache_directory()
    engines = [source for address in settings.engines for source in _engine_sources(address, settings, clock, cache)]
    processes = ProcessSource(clock=clock, interval_seconds=settings.interval_seconds)
    return (_driver_source(settings, clock), *engines, processes, HostSource())


class _SimulatedHost:
    """The host of the simulated workstation as a source."""

    name = "host"
    interval_seconds = 5.0

    def __init__(self, workstation: SimulatedWorkstation) -> None:
        self._workstation = workstation

    def read(self, desk: Desk) -> Host:  # noqa: ARG002 - every source is handed the desk
        """Look once."""
        return self._workstation.host()

    def close(self) -> None:
        """Nothing is held open."""


def _simulated(settings: Settings, scenario: str, banner: str) -> Workstation:
    """Start the simulation; the same sources read it that would read this computer, and nothing of this computer."""
    from gpudesk.config.settings import EngineAddress
    from gpudesk.sim.workstation import SimulatedWorkstation

    simulated = SimulatedWorkstation(scenario)
    simulated.__enter__()
    settings = replace(settings, engines=(EngineAddress(simulated.url),))
    return Workstation(
        _simulated_sources(simulated, settings),
        simulated.clock,
        settings,
        banner,
        close=lambda: simulated.__exit__(None, None, None),
    )


def _simulated_sources(simulated: SimulatedWorkstation, settings: Settings) -> tuple[Source, ...]:
    from pathlib import Path

    from gpudesk.sources.nvml import NvmlSource
    from gpudesk.sources.processes import ProcessSource

    clock, table, nowhere = simulated.clock, simulated.process_table, Path(os.devnull)

    def host_memory() -> tuple[int, int]:
        host = simulated.host()
        return host.memory_total_bytes or 0, host.memory_available_bytes or 0

    driver = NvmlSource(
        clock,
        interval_seconds=settings.interval_seconds,
        sysfs_root=nowhere,
        proc_root=nowhere,
        process_exists=lambda pid: table.stamp(pid) is not None,
        host_memory=host_memory,
    )
    engines = [source for address in settings.engines for source in _engine_sources(address, settings, clock, None)]
    processes = ProcessSource(table, clock=clock, models_directories=(), interval_seconds=settings.interval_seconds)
    return (driver, *engines, processes, _SimulatedHost(simulated))


def planning_means(open_it: Callable[[], Workstation], settings: Settings, *, demo: bool) -> PlanningMeans:
    """Return what the planner's commands work with; nothing is opened or asked before they need it."""
    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.paths import data_directory

    return PlanningMeans(
        settings=settings,
        workstation=open_it,
        metadata=lambda workstation: _metadata_source(settings if workstation is None else workstation.settings, demo),
        points_directory=None if demo else data_directory(),
        demo=demo,
    )


def _metadata_source(settings: Settings, demo: bool) -> ModelMetadataSource:
    from gpudesk.paths import cache_directory
    from gpudesk.sources.manifests import default_directories
    from gpudesk.sources.model_metadata import ModelMetadataSource
    from gpudesk.sources.ollama_client import OllamaClient

    clients = [OllamaClient(address) for address in settings.engines]
    if demo:
        return ModelMetadataSource(clients)
    here = any(client.local for client in clients)
    return ModelMetadataSource(
        clients, cache_directory=cache_directory(), models_directories=default_directories() if here else ()
    )


def with_pins(workstation: Workstation) -> Workstation:
    """Return a workstation whose desk tells whether the user's pins hold; a simulated one has none."""
    if workstation.demo:
        return workstation
    from gpudesk.acting.opening import own_folders
    from gpudesk.screen_wiring import LatePins

    return replace(workstation, sources=(*workstation.sources, LatePins(own_folders)))


def acting_means(open_it: Callable[[], Workstation], settings: Settings, *, demo: bool) -> ActingMeans:
    """Return what the commands that change something work with; a demo changes nothing of the user's."""
    from gpudesk.commands.acting_session import ActingMeans

    return ActingMeans(settings, open_it, _temporary_folders if demo else _own_folders, _desk_planner)


def editor_means(open_it: Callable[[], Workstation], settings: Settings, *, demo: bool) -> EditorMeans:
    """Return what `gpudesk editors` works with; a demo has a home of its own."""
    from gpudesk.commands.editors_session import EditorMeans

    folders = _temporary_folders if demo else _own_folders
    return EditorMeans(settings, open_it, folders, _desk_planner, lambda given: editor_surroundings(given, demo=demo))


def editor_surroundings(folders: Folders, *, demo: bool) -> Surroundings:
    """Return where editors keep their files; of a demo, a home that goes with it."""
    import sys
    from pathlib import Path

    from gpudesk.exports.editor import Surroundings

    if demo:
        from gpudesk.sim.editor_files import furnish

        furnished = folders.data.parent / "home"
        if not furnished.exists():
            furnish(furnished)
        return Surroundings(furnished, {}, sys.platform, state=folders.state, bounds=furnished)
    here, home = Path.cwd(), Path.home()
    return Surroundings(home, os.environ, sys.platform, None if here == home else here, folders.state)


@contextmanager
def _own_folders() -> Iterator[Folders]:
    from gpudesk.acting.opening import own_folders

    yield own_folders()


@contextmanager
def _temporary_folders() -> Iterator[Folders]:
    """Give folders that are gone when the demo is."""
    import tempfile
    from pathlib import Path

    from gpudesk.acting.opening import Folders
    from gpudesk.paths import at_home

    made = tempfile.TemporaryDirectory(prefix="gpudesk-demo-", ignore_cleanup_errors=True)
    with made as folder, at_home(Path(folder) / "home"):
        yield Folders(Path(folder) / "data", Path(folder) / "state")


def run_screen(workstation: Workstation) -> int:
    """Show the screen until it is left, and return the exit code.

    A process of its own takes the first look while Textual is imported, so that the first figures are there when it
    first paints; then the sources are read here.

    Raises:
        NothingFoundError: this computer has neither a driver nor an engine.
    """
    from gpudesk.watch.first_look import begin_first_look

    limits = workstation.settings.alarms
    first = None if workstation.demo else begin_first_look(workstation.sources, workstation.clock, limits)
    start.resume_collector_soon()
    from gpudesk.screen_wiring import ActingOpener, LateFolders, LatePins, Once
    from gpudesk.watch.early_feed import EarlyFeed

    folders = LateFolders(demo=workstation.demo)

    def watching(begun: Watched | None, history: History) -> Poller:
        from gpudesk.acting.opening import dismissed_elsewhere
        from gpudesk.watch.poller import Poller

        return Poller(
            (*workstation.sources, LatePins(folders.get)),
            workstation.clock,
            limits=limits,
            begun=begun,
            history=history,
            dismissed_elsewhere=dismissed_elsewhere(folders.get),
        )

    feed = EarlyFeed(workstation.clock, first, watching)
    planner = Once(lambda: _desk_planner(workstation))
    acting = ActingOpener(workstation, feed.poller, folders, planner)
    stop_learning: Callable[[], None] | None = None
    try:
        from gpudesk.ui.app import GpudeskApp
        from gpudesk.ui.run import run_app

        if not workstation.demo:
            from gpudesk.planning.learn_later import learn_later

            _stop_when_empty(feed, workstation.settings)
            stop_learning = learn_later(feed)
        app = GpudeskApp(
            feed,
            workstation.settings,
            banner=workstation.banner,
            problems=workstation.problems,
            planning=planner,
            acting=acting.open,
            editors=lambda: _editor_port(folders.get(), planner(), demo=workstation.demo),
            painted=feed.take_over,
        )
        return run_app(app)
    finally:
        acting.close()
        if stop_learning is not None:
            stop_learning()
        feed.stop()
        workstation.close()


def _editor_port(folders: Folders, planner: DeskPlanner, *, demo: bool) -> EditorPort:
    """Return what the editors' screen works with."""
    from gpudesk.exports.undoing import undoing
    from gpudesk.exports.writing import apply
    from gpudesk.stores.working_sets import WorkingSetStore
    from gpudesk.ui.editors.port import EditorPort

    around = editor_surroundings(folders, demo=demo)
    return EditorPort(
        around, planner, WorkingSetStore(folders.data),
        apply=lambda export: apply(export, state=folders.state, within=around.bounds).notes,
        undoing=lambda editor: undoing(editor, around, state=folders.state),
    )  # fmt: skip


def _desk_planner(workstation: Workstation) -> DeskPlanner:
    """Return who answers the planner's screen; nothing is opened before it is asked."""
    from gpudesk.paths import data_directory
    from gpudesk.planning.desk_planner import DeskPlanner

    settings, demo = workstation.settings, workstation.demo
    return DeskPlanner(
        settings,
        lambda: _metadata_source(settings, demo),
        points_directory=None if demo else data_directory(),
    )


def _stop_when_empty(feed: DeskFeed, settings: Settings) -> None:
    """Wait, briefly, until it is known that there is something to show; a slow answer counts as something."""
    import threading
    import time

    changed = threading.Event()
    feed.subscribe(changed.set)
    deadline = time.monotonic() + PROBE_SECONDS
    while not is_settled(feed.desk, settings):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        changed.wait(min(left, 0.05))
        changed.clear()
    found = found_in(feed.desk, settings)
    if not found.anything:
        raise NothingFoundError(found)
