"""The simulated computer's processes and host memory, behind the protocol of the real process table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from threading import RLock
from typing import TYPE_CHECKING

from gpudesk.domain.host import Host
from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE
from gpudesk.sources.process_table import RawProcess

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from gpudesk.sim.clock import SimulatedClock

FIRST_PID = 2011
COMM_LENGTH = 15
"""Linux cuts `comm` here (TASK_COMM_LEN less the final zero)."""


@dataclass(slots=True)
class _Entry:
    raw: RawProcess
    resident_bytes: int
    hidden: bool = False
    listens: tuple[tuple[str, int], ...] | None = None


class SimulatedProcessTable:
    """Processes that exist because the simulation says so; satisfies `gpudesk.sources.process_table.ProcessTable`."""

    def __init__(self, clock: SimulatedClock, *, host_total_bytes: int = 64 * GIBIBYTE, processors: int = 16) -> None:
        self._clock = clock
        self._entries: dict[int, _Entry] = {}
        self._lock = RLock()
        self._next_pid = FIRST_PID
        self._births: dict[int, int] = {}
        self.container = False
        """We are in a container: no process of the host is visible, and the driver's numbers mean nothing here."""
        self.host_total_bytes = host_total_bytes
        self.host_base_bytes = 4 * GIBIBYTE
        """Kernel, caches that cannot go, and everything not listed."""
        self.processors = processors
        self.load_ratio = 0.06

    def spawn(
        self,
        *,
        name: str,
        argv: tuple[str, ...],
        parent_pid: int = 1,
        user: str = "dev",
        resident_bytes: int = 120 * MEBIBYTE,
        pid: int | None = None,
        age_seconds: float = 0.0,
        opens_card: bool | None = True,
    ) -> int:
        """Start a process and return its number; numbers rise and are not used again by themselves."""
        with self._lock:
            if pid is None:
                self._next_pid += 7
                pid = self._next_pid
            self._births[pid] = self._births.get(pid, 0) + 1
            raw = RawProcess(
                pid=pid,
                name=name[:COMM_LENGTH],
                argv=argv,
                parent_pid=parent_pid,
                user=user,
                started_at=self._clock.now() - timedelta(seconds=age_seconds),
                memory_resident_bytes=resident_bytes,
                opens_card=opens_card,
            )
            self._entries[pid] = _Entry(raw, resident_bytes)
        return pid

    def end(self, pid: int) -> None:
        """Let a process be gone."""
        with self._lock:
            self._entries.pop(pid, None)

    def adopt(self, pid: int) -> None:
        """Let init be the parent of a process whose own is gone."""
        with self._lock:
            entry = self._entries.get(pid)
            if entry is not None:
                entry.raw = replace(entry.raw, parent_pid=1)

    def hide(self, pid: int) -> None:
        """Let a process be invisible from here, as one of another user under hidepid is."""
        with self._lock:
            self._entries[pid].hidden = True

    def listen(self, pid: int, address: str, port: int) -> None:
        """Let a process listen there."""
        with self._lock:
            if pid in self._entries:
                self._entries[pid].listens = ((address, port),)

    def set_resident(self, pid: int, resident_bytes: int) -> None:
        """Change how much host memory a process occupies."""
        with self._lock:
            if pid in self._entries:
                self._entries[pid].resident_bytes = resident_bytes

    def pids(self) -> tuple[int, ...]:
        """Return every process number."""
        with self._lock:
            return tuple(self._entries)

    @property
    def host_available_bytes(self) -> int:
        """Host memory that programs could still get."""
        with self._lock:
            used = self.host_base_bytes + sum(entry.resident_bytes for entry in self._entries.values())
        return max(0, self.host_total_bytes - used)

    def host(self) -> Host:
        """Return the computer around the cards."""
        return Host(self.host_total_bytes, self.host_available_bytes, self.processors, self.load_ratio)

    # -- the protocol --------------------------------------------------------------------------------------------

    def _visible(self, pid: int) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(pid)
        return None if entry is None or entry.hidden or self.container else entry

    def stamp(self, pid: int) -> Hashable | None:
        """Return something that changes when the number goes to another process."""
        return None if self._visible(pid) is None else (pid, self._births[pid])

    def describe(self, pid: int) -> RawProcess | None:
        """Look at one process; None when there is none."""
        entry = self._visible(pid)
        return None if entry is None else replace(entry.raw, memory_resident_bytes=entry.resident_bytes)

    def resident_bytes(self, pid: int) -> int | None:
        """Return the host memory of one process."""
        entry = self._visible(pid)
        return None if entry is None else entry.resident_bytes

    def listens(self, pid: int) -> tuple[tuple[str, int], ...] | None:
        """Return where a process listens."""
        entry = self._visible(pid)
        return None if entry is None else entry.listens

    def runner_candidates(self) -> Iterable[RawProcess]:
        """Return every process with `llama` in its name."""
        found = (self.describe(pid) for pid in self.pids())
        return tuple(raw for raw in found if raw is not None and "llama" in (raw.name or ""))

    def in_container(self) -> bool:
        """Tell whether the scenario put us into a container."""
        return self.container
