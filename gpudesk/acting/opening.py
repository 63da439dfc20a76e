"""What the screen, the commands and the guard act with: real engines, stores and forecasts behind `actions.ports`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from gpudesk.acting.forecast import ActionForecaster
    from gpudesk.actions.ports import Forecast, Ports, Watch
    from gpudesk.actions.values import Load
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.sources.base import Source
    from gpudesk.stores.journal import FileJournal
    from gpudesk.stores.process_lock import ProcessLock
    from gpudesk.stores.working_sets import WorkingSetStore
    from gpudesk.watch.planning import Planning


@dataclass(frozen=True, slots=True)
class Folders:
    """Where what gpudesk keeps for acting lives. Nothing is made before something is written."""

    data: Path
    """Pins and working sets: what the user made."""
    state: Path
    """Journal, locks and notes: what happened."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Everything an action needs, and what is shown beside it."""

    ports: Ports
    sets: WorkingSetStore
    journal: FileJournal
    folders: Folders
    read_only: bool = False
    """Nothing may be changed."""
    restore_pins: bool = False
    """A new pin is put right when it is lost, unless it is said otherwise."""

    def guard_lock(self) -> ProcessLock:
        """Return the lock of the one guard."""
        from gpudesk.stores.process_lock import guard_lock

        return guard_lock(self.folders.state)

    def close(self) -> None:
        """Let go of the connections."""
        for engine in self.ports.engines:
            engine.close()


def own_folders() -> Folders:
    """Return the user's folders."""
    from gpudesk.paths import data_directory, state_directory

    return Folders(data_directory(), state_directory())


def watch_sources(sources: Sequence[Source], folders: Folders) -> tuple[Source, ...]:
    """Return the sources of a workstation with the pins among them."""
    from gpudesk.sources.pins import PinSource
    from gpudesk.stores.pins import TomlPinStore

    return (*sources, PinSource(TomlPinStore(folders.data)))


def dismissed_elsewhere(folders: Callable[[], Folders]) -> Callable[[datetime], list[tuple[str, str, datetime]]]:
    """Return what tells a watch which models any gpudesk asked to go, a command beside the screen perhaps."""

    def told(since: datetime) -> list[tuple[str, str, datetime]]:
        from gpudesk.stores.journal import FileJournal

        return FileJournal(folders().state).dismissed(since)

    return told


def open_acting(watch: Watch, settings: Settings, folders: Folders, planning: Callable[[], Planning]) -> Acting:
    """Wire everything; nothing is read, written or connected yet.

    Args:
        watch: the running watch.
        settings: which engines, and what is allowed.
        folders: where the stores are; a simulated workstation has its own.
        planning: makes who knows what models take, when that is first asked.
    """
    from gpudesk.actions.ports import Ports
    from gpudesk.sources.ollama_control import OllamaControl
    from gpudesk.stores.journal import FileJournal
    from gpudesk.stores.pins import TomlPinStore
    from gpudesk.stores.turn import FileTurn
    from gpudesk.stores.working_sets import WorkingSetStore

    journal = FileJournal(folders.state)
    ports = Ports(
        watch,
        tuple(OllamaControl(address) for address in settings.engines),
        _LateForecaster(planning),
        TomlPinStore(folders.data),
        journal,
        FileTurn(folders.state),
    )
    sets = WorkingSetStore(folders.data)
    return Acting(ports, sets, journal, folders, settings.read_only, settings.restore_pins)


def prepare(ports: Ports, desk: Desk, loads: Sequence[Load], timeout_seconds: float) -> bool:
    """Wait until what these models take can be told; for commands, which have one preview only."""
    forecaster = ports.forecaster
    return isinstance(forecaster, _LateForecaster) and forecaster.prepare(desk, loads, timeout_seconds)


class _LateForecaster:
    """A forecaster whose formulas are loaded when the first forecast is wanted: a guard mostly never wants one."""

    def __init__(self, planning: Callable[[], Planning]) -> None:
        self._planning = planning
        self._forecaster: ActionForecaster | None = None
        self._lock = threading.Lock()

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        """Tell what loading comes to; see `ActionForecaster`."""
        return self._made().forecast(desk, loads, leaving)

    def prepare(self, desk: Desk, loads: Sequence[Load], timeout_seconds: float) -> bool:
        """Wait until headers are known; see `ActionForecaster`."""
        return self._made().prepare(desk, loads, timeout_seconds)

    def _made(self) -> ActionForecaster:
        with self._lock:
            if self._forecaster is None:
                from gpudesk.acting.forecast import ActionForecaster

                self._forecaster = ActionForecaster(self._planning())
            return self._forecaster
