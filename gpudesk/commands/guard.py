"""`gpudesk guard`: keep pins and alarms while no screen is open. Runs for weeks, so it reads little, and seldom."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk import start
from gpudesk.acting import opening
from gpudesk.errors import ExitCode
from gpudesk.watch.names import CARDS, PROCESSES, engine_url, is_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from gpudesk.acting.guarding import Guard
    from gpudesk.clock import Clock
    from gpudesk.commands.acting_session import ActingMeans
    from gpudesk.sources.base import Source
    from gpudesk.stores.process_lock import ProcessLock
    from gpudesk.workstation import Workstation

SCHEMA_VERSION = 1
PACE_SECONDS = 2.0
"""How often cards, processes and engines are read at most."""
CATALOG_SECONDS = 3600.0
"""What is installed matters only when something is loaded, and is read anew then."""
CHECK_SECONDS = 1.0
"""How often it is looked whether another gpudesk has stopped guarding."""
PATIENT_LOOKS = 3
"""It first looks a second after the start, and whoever is just leaving still holds the lock."""
LEAVE_SECONDS = 20.0
"""How long what is being put right may take to go back."""


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Guard until told to end; 0 after SIGTERM, 130 after ctrl+c.

    Raises:
        BrokenPipeError: whoever read along left.
    """
    from gpudesk.acting.guarding import Guard
    from gpudesk.watch.poller import Poller

    workstation = means.workstation()
    try:
        with means.folders() as folders:
            sources = opening.watch_sources(guard_sources(workstation.sources), folders)
            settings = workstation.settings
            told = opening.dismissed_elsewhere(lambda: folders)
            poller = Poller(sources, workstation.clock, limits=settings.alarms, dismissed_elsewhere=told)
            opened = opening.open_acting(poller, settings, folders, lambda: means.planning(workstation))
            lines = _Lines(out, workstation.clock, as_json=given["json"])
            lock = opened.guard_lock()
            guard = Guard(
                opened.ports,
                lock=lock,
                tell=_desktop(workstation),
                said=lines.say,
                acts=not settings.read_only,
            )
            start.resume_collector_soon()
            if workstation.banner is not None:
                lines.say(workstation.banner)
            poller.start()
            guard.start()
            try:
                return _wait(guard, lines, lock, [engine.url for engine in settings.engines])
            finally:
                guard.stop()
                guard.join(LEAVE_SECONDS)
                poller.stop()
                opened.close()
    finally:
        workstation.close()


def guard_sources(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources that pins and alarms need, at a slower pace; the others are closed."""
    kept = []
    for source in sources:
        if source.name in (CARDS, PROCESSES) or engine_url(source.name) is not None:
            source.interval_seconds = max(source.interval_seconds, PACE_SECONDS)
            kept.append(source)
        elif is_catalog(source.name):
            source.interval_seconds = CATALOG_SECONDS
            kept.append(source)
    return tuple(kept)


class _Lines:
    """Lines on stdout, each with its time; safe from several threads."""

    def __init__(self, out: TextIO, clock: Clock, *, as_json: bool) -> None:
        self._out = out
        self._clock = clock
        self._as_json = as_json
        self._lock = threading.Lock()
        self.broken: OSError | None = None

    def say(self, text: str) -> None:
        from gpudesk.output.desk_json import timestamp, to_json

        now = self._clock.now()
        if self._as_json:
            line = to_json({"schema_version": SCHEMA_VERSION, "at": timestamp(now), "message": text})
        else:
            line = f"{now.astimezone():%Y-%m-%d %H:%M:%S}  {text}"
        with self._lock:
            try:
                self._out.write(f"{line}\n")
                self._out.flush()
            except OSError as error:  # told on the main thread
                self.broken = error


def _desktop(workstation: Workstation) -> Callable[[Sequence[str]], None] | None:
    if not workstation.settings.desktop_notifications:
        return None
    from gpudesk.acting.desktop import DesktopNotifier

    return DesktopNotifier().tell


def _wait(guard: Guard, lines: _Lines, lock: ProcessLock, urls: Sequence[str]) -> int:
    """Wait for a signal, and tell when it begins to guard."""
    came: list[int] = []
    stopped = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        stopped.set()

    numbers = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, end) for number in numbers}
    looks, told_waiting, told = 0, False, False
    try:
        while not stopped.wait(CHECK_SECONDS):
            looks += 1
            if lines.broken is not None:
                raise lines.broken
            if guard.guarding and not told:
                told = True
                lines.say(f"guarding {', '.join(urls)}")
            elif not guard.guarding and not told_waiting and looks >= PATIENT_LOOKS:
                told_waiting = True
                lines.say(_waiting(lock))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return ExitCode.INTERRUPTED if signal.SIGINT in came else ExitCode.OK


def _waiting(lock: ProcessLock) -> str:
    holder = lock.holder()
    who = f"pid {holder.pid}" if holder is not None else "another one"
    return f"another gpudesk guards ({who}); this one takes over when that ends"
