"""What the open screen acts with: made late, because nothing of it may make the first paint come later."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpudesk.acting.guarding import Guard
    from gpudesk.acting.opening import Acting, Folders
    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.pin import PinSample
    from gpudesk.planning.desk_planner import DeskPlanner
    from gpudesk.sources.pins import PinSource
    from gpudesk.stores.freed import FreedStore
    from gpudesk.stores.journal import FileJournal
    from gpudesk.stores.working_sets import WorkingSetStore
    from gpudesk.watch.poller import Poller
    from gpudesk.workstation import Workstation

PREPARE_SECONDS = 3.0
"""How long headers may take to be read before an action begins without them; they mostly take a tenth of one."""


class LateFolders:
    """Where the stores are: the user's own, or a temporary folder for a simulated workstation."""

    def __init__(self, *, demo: bool) -> None:
        self._demo = demo
        self._folders: Folders | None = None
        self._lock = threading.Lock()
        self._temporary: str | None = None
        self._shown = ExitStack()

    def get(self) -> Folders:
        """Return them; a demo's are made now."""
        from gpudesk.acting.opening import Folders, own_folders

        with self._lock:
            if self._folders is None and self._demo:
                import tempfile
                from pathlib import Path

                from gpudesk.paths import at_home

                self._temporary = tempfile.mkdtemp(prefix="gpudesk-demo-")
                self._folders = Folders(Path(self._temporary) / "data", Path(self._temporary) / "state")
                self._shown.enter_context(at_home(Path(self._temporary) / "home"))
            elif self._folders is None:
                self._folders = own_folders()
            return self._folders

    def close(self) -> None:
        """Remove a demo's."""
        self._shown.close()
        if self._temporary is not None:
            import shutil

            shutil.rmtree(self._temporary, ignore_errors=True)


class LatePins:
    """The pins as a source that is opened when it is first read."""

    name = "pins"
    interval_seconds = 1.0

    def __init__(self, folders: Callable[[], Folders]) -> None:
        self._folders = folders
        self._source: PinSource | None = None

    def read(self, desk: Desk) -> PinSample:
        """Look once."""
        if self._source is None:
            from gpudesk.sources.pins import PinSource
            from gpudesk.stores.pins import TomlPinStore

            self._source = PinSource(TomlPinStore(self._folders().data))
        return self._source.read(desk)

    def close(self) -> None:
        """Nothing is held open."""


class ScreenActing:
    """`ui.acting.port.Acting` over the real stores and engines, with a guard beside it."""

    def __init__(self, acting: Acting, guard: Guard) -> None:
        self._acting = acting
        self._guard = guard

    @property
    def ports(self) -> Ports:
        """What actions are carried out with."""
        return self._acting.ports

    @property
    def sets(self) -> WorkingSetStore:
        """The working sets."""
        return self._acting.sets

    @property
    def journal(self) -> FileJournal:
        """The journal."""
        return self._acting.journal

    @property
    def freed(self) -> FreedStore:
        """What was freed."""
        from gpudesk.stores.freed import FreedStore

        return FreedStore(self._acting.folders.state)

    def prepare(self, loads: Sequence[Load]) -> None:
        """Wait until what these models take can be told."""
        from gpudesk.acting.opening import prepare

        ports = self._acting.ports
        prepare(ports, ports.watch.desk, loads, PREPARE_SECONDS)

    @property
    def restore_pins(self) -> bool:
        """A new pin is put right when it is lost, unless it is said otherwise."""
        return self._acting.restore_pins

    def close(self) -> None:
        """Let another gpudesk guard, and let go of the connections."""
        self._guard.stop()
        self._acting.close()


class ActingOpener:
    """Opens acting when the screen first wants it, and closes it if it was opened."""

    def __init__(
        self,
        workstation: Workstation,
        poller: Callable[[], Poller],
        folders: LateFolders,
        planner: Callable[[], DeskPlanner],
    ) -> None:
        self._workstation = workstation
        self._poller = poller
        self._folders = folders
        self._planner = planner
        self._opened: ScreenActing | None = None

    def open(self, say: Callable[[str], None]) -> ScreenActing:
        """Open it; the guard tells with `say` what it does about pins."""
        from gpudesk.acting.guarding import Guard
        from gpudesk.acting.opening import open_acting

        settings = self._workstation.settings
        acting = open_acting(self._poller(), settings, self._folders.get(), self._planner)
        tell = None
        if settings.desktop_notifications and not self._workstation.demo:
            from gpudesk.acting.desktop import DesktopNotifier

            tell = DesktopNotifier().tell
        guard = Guard(
            acting.ports, lock=acting.guard_lock(), tell=tell, said=_only_pins(say), acts=not settings.read_only
        )
        guard.start()
        self._opened = ScreenActing(acting, guard)
        return self._opened

    def close(self) -> None:
        """Close what was opened."""
        if self._opened is not None:
            self._opened.close()
        self._folders.close()


def _only_pins(say: Callable[[str], None]) -> Callable[[str], None]:
    """Pass on what the guard did; what it noticed is among the events, which the screen shows itself."""

    def said(line: str) -> None:
        if line.startswith("the pin of "):
            say(line)

    return said


class Once:
    """Makes a thing when it is first wanted, from whichever thread."""

    def __init__(self, make: Callable[[], DeskPlanner]) -> None:
        self._make = make
        self._made: DeskPlanner | None = None
        self._lock = threading.Lock()

    def __call__(self) -> DeskPlanner:
        """Return it."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
