"""The engines' servers among the processes: who starts runners, where it listens, and whether it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.process import ServerProcess
from gpudesk.records import dataclass, replace
from gpudesk.sources.runner_argv import is_server

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gpudesk.clock import Clock
    from gpudesk.sources.process_table import ProcessTable, RawProcess

SERVER_LIMIT = 32
"""Servers followed at most."""
FIRST_RETRY_SECONDS = 1.0
"""A server listens some moments after its start. One of another user never tells, so the pauses double."""
RETRY_SECONDS = 600.0
MOURNED_SECONDS = 60.0
"""So long a server that ended keeps its place; models of an engine that is silent for longer are dropped anyway."""
ADOPTERS = frozenset({"systemd", "init", "launchd"})
"""Who takes over processes whose parent ended, beside pid 1: a user's own service manager (prctl(2)
PR_SET_CHILD_SUBREAPER)."""


@dataclass(slots=True)
class _Followed:
    stamp: Hashable
    process: ServerProcess
    ask_at: float = 0.0
    pause_seconds: float = FIRST_RETRY_SECONDS


class ServerProcesses:
    """Follows every server that was met until it ends; one look at each costs a few microseconds."""

    def __init__(self, table: ProcessTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._followed: dict[int, _Followed] = {}
        self._mourned: list[tuple[float, ServerProcess]] = []

    def ended(self) -> frozenset[int]:
        """Look whether they are all there, and return the pids of those that are not any more."""
        now = self._clock.monotonic()
        gone = set()
        for pid, known in self._followed.items():
            # An ended process that its parent has not waited for is still listed, and holds nothing.
            if self._table.stamp(pid) != known.stamp or self._table.resident_bytes(pid) == 0:
                gone.add(pid)
            elif known.process.listens is None and now >= known.ask_at:
                self._ask(known, now)
        for pid in gone:
            process = self._followed.pop(pid).process
            if process.listens is not None:
                self._mourned.append((now, replace(process, exists=False)))
        return frozenset(gone)

    def meet(self, raw: RawProcess | None) -> None:
        """Begin to follow a process if it is a server."""
        if raw is None or raw.pid in self._followed or len(self._followed) >= SERVER_LIMIT:
            return
        stamp = self._table.stamp(raw.pid) if is_server(raw.argv, raw.name) else None
        if stamp is None or self._table.resident_bytes(raw.pid) == 0:
            return
        known = _Followed(stamp, ServerProcess(raw.pid, raw.started_at))
        self._ask(known, self._clock.monotonic())
        self._followed[raw.pid] = known

    def is_orphan(self, parent_pid: int | None, parent: RawProcess | None) -> bool:
        """Tell whether a runner with this parent has lost its server: the system gave it to somebody else.

        A parent that is neither a server nor known for adopting may be a server under another name.

        Args:
            parent_pid: the runner's parent.
            parent: that process, if it can be seen.
        """
        if parent_pid is None or parent_pid in self._followed:
            return False
        if parent is None or is_server(parent.argv, parent.name):
            return False
        return parent_pid == 1 or parent.name in ADOPTERS

    def all(self) -> tuple[ServerProcess, ...]:
        """Return those that are there, by pid, and those that ended and have no successor yet."""
        living = [self._followed[pid].process for pid in sorted(self._followed)]
        taken = {address for process in living for address in process.listens or ()}
        since = self._clock.monotonic() - MOURNED_SECONDS
        self._mourned = [
            (at, process)
            for at, process in self._mourned[-SERVER_LIMIT:]
            if at > since and not taken.intersection(process.listens or ())
        ]
        return (*living, *(process for _, process in self._mourned))

    def _ask(self, known: _Followed, now: float) -> None:
        listens = self._table.listens(known.process.pid)
        known.ask_at = now + known.pause_seconds
        known.pause_seconds = min(RETRY_SECONDS, known.pause_seconds * 2)
        if listens is not None:
            known.process = replace(known.process, listens=listens)
