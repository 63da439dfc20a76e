"""The operating system's process table: the one place that asks it, behind a protocol the simulation can play."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    import psutil

INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""What /proc/self/ns/pid points at outside every container (PROC_PID_INIT_INO, linux include/linux/proc_ns.h)."""

ARGUMENT_LIMIT = 256
"""Arguments kept of one command line; a runner has fewer than 60."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

OPEN_FILE_LIMIT = 4096
"""Open files looked through for the driver's device."""

_CONTAINER = re.compile(rb"docker[-/][0-9a-f]|libpod-|containerd-[0-9a-f]|kubepods|crio-|/lxc[./]|machine\.slice/")
"""How the control group of a process in a container is named; a container engine's own service is not one."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RawProcess:
    """One process as the operating system tells it, nothing interpreted. None = not told or not allowed."""

    pid: int
    name: str | None = None
    """The program's own short name (`comm`); may be cut to 15 characters on Linux."""
    argv: tuple[str, ...] | None = None
    """The command line; empty for kernel threads and zombies, None where we may not read it."""
    parent_pid: int | None = None
    user: str | None = None
    started_at: datetime | None = None
    """Aware UTC."""
    memory_resident_bytes: int | None = None
    working_directory: str | None = None
    container: bool = False
    """Its control group says that a container engine started it."""
    opens_card: bool | None = None
    """It holds the driver's device open; None where that cannot be seen."""


class ProcessTable(Protocol):
    """What the process source needs of an operating system. No member raises; whatever is not readable is None."""

    def stamp(self, pid: int) -> Hashable | None:
        """Return something cheap that changes when the number goes to another process; None without such a process."""
        ...

    def describe(self, pid: int) -> RawProcess | None:
        """Look at one process closely; None when there is none. Environment variables are never read."""
        ...

    def resident_bytes(self, pid: int) -> int | None:
        """Return the host memory of one process, cheaply enough for every pass."""
        ...

    def runner_candidates(self) -> Iterable[RawProcess]:
        """Return every process whose program name looks like an engine's runner, `llama` in its name."""
        ...

    def listens(self, pid: int) -> tuple[tuple[str, int], ...] | None:
        """Return the addresses and TCP ports at which a process listens; None where that cannot be seen or is none."""
        ...

    def in_container(self) -> bool:
        """Tell whether we live in a pid namespace of our own, so that the driver may number processes differently."""
        ...


class PsutilProcessTable:
    """The real process table: psutil, with short cuts through /proc where there is one."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        import psutil

        self._psutil = psutil
        self._proc = str(proc)
        self._linux = sys.platform == "linux"
        self._in_container: bool | None = None

    def stamp(self, pid: int) -> Hashable | None:
        """Return inode and birth of /proc/<pid>: a new process gets a new directory (linux fs/proc/base.c).

        Two microseconds instead of the six that reading the start time takes; elsewhere it is the start time.
        """
        if self._linux:
            try:
                status = os.stat(f"{self._proc}/{pid}")  # noqa: PTH116 - twice as fast as Path.stat, 200 times a second
            except OSError:
                return None
            return status.st_ino, status.st_ctime_ns
        try:
            return self._psutil.Process(pid).create_time()
        except (self._psutil.Error, OSError, ValueError, OverflowError):
            return None

    def describe(self, pid: int) -> RawProcess | None:
        """Look at one process closely; about 0.15 ms."""
        psutil = self._psutil
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                return self._described(process)
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            return None
        except (psutil.Error, OSError):
            return RawProcess(pid)

    def _described(self, process: psutil.Process) -> RawProcess:
        """Ask for each fact on its own: a process of another user gives some of them and refuses the rest."""
        started = self._ask(process.create_time)
        memory = self._ask(process.memory_info)
        argv = self._ask(process.cmdline)
        return RawProcess(
            process.pid,
            name=self._ask(process.name) or None,
            argv=None if argv is None else tuple(argv[:ARGUMENT_LIMIT]),
            parent_pid=self._ask(process.ppid),
            user=self._ask(process.username),
            started_at=None if started is None else datetime.fromtimestamp(started, UTC),
            memory_resident_bytes=None if memory is None else memory.rss,
            working_directory=self._ask(process.cwd) or None,
            container=_CONTAINER.search(self._read(f"{process.pid}/cgroup", 4096)) is not None,
            opens_card=self._opens_card(process.pid) if self.in_container() else None,
        )

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Return one answer of psutil, None where it is refused; a process that is gone ends the whole look."""
        psutil = self._psutil
        try:
            return question()
        except psutil.ZombieProcess:
            return None
        except psutil.NoSuchProcess:
            raise
        except (psutil.Error, OSError, NotImplementedError, KeyError, UnicodeError):
            return None

    def _opens_card(self, pid: int) -> bool | None:
        """Look for the driver's device among the open files; only the owner and root may."""
        folder = f"{self._proc}/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names only
        except OSError:
            return None
        for name in names[:OPEN_FILE_LIMIT]:
            try:
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue
            if target.startswith(("/dev/nvidia", "/dev/dxg")):
                return True
        return False

    def resident_bytes(self, pid: int) -> int | None:
        """Return the resident set of one process, in pages the second figure of statm (linux fs/proc/array.c).

        Five times as fast as psutil, for every runner and server once a second.
        """
        if self._linux:
            figures = self._read(f"{pid}/statm", 128).split()
            return int(figures[1]) * _PAGE_BYTES if len(figures) > 1 and figures[1].isdigit() else None
        try:
            return int(self._psutil.Process(pid).memory_info().rss)
        except (self._psutil.Error, OSError, ValueError, OverflowError):
            return None

    def listens(self, pid: int) -> tuple[tuple[str, int], ...] | None:
        """Look through the process's sockets; only its owner and root may."""
        from gpudesk.sources.listening import listening

        return listening(pid, self._proc)

    def runner_candidates(self) -> Iterable[RawProcess]:
        """Describe every process with `llama` in its program name."""
        found = [self.describe(pid) for pid in self._pids_named_llama()]
        return tuple(raw for raw in found if raw is not None)

    def _pids_named_llama(self) -> list[int]:
        if not self._linux:
            return [
                process.pid
                for process in self._psutil.process_iter(["name"])
                if "llama" in (process.info["name"] or "").lower()
            ]
        try:
            entries = os.listdir(self._proc)  # noqa: PTH208 - names only, no Path per process
        except OSError:
            return []
        return [
            int(entry) for entry in entries if entry.isdecimal() and b"llama" in self._read(f"{entry}/comm", 32).lower()
        ]

    def _read(self, path: str, limit: int) -> bytes:
        """Read the start of a file below /proc; empty when it is gone or closed to us."""
        try:
            descriptor = os.open(f"{self._proc}/{path}", os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.read(descriptor, limit)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def in_container(self) -> bool:
        """Compare our pid namespace with the kernel's first one; it cannot change while we run."""
        if self._in_container is None:
            try:
                self._in_container = self._linux and os.readlink(f"{self._proc}/self/ns/pid") != INITIAL_PID_NAMESPACE  # noqa: PTH115
            except OSError:
                self._in_container = False
        return self._in_container
