"""The processes on the cards and the engines' runners, each looked at closely once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.domain.desk import Desk
from gpudesk.domain.process import Process, ProcessSample, Runner
from gpudesk.records import dataclass, replace
from gpudesk.sources.manifests import Manifests
from gpudesk.sources.process_names import is_worker, readable_name
from gpudesk.sources.process_table import ProcessTable, PsutilProcessTable, RawProcess
from gpudesk.sources.runner_argv import parse_runner
from gpudesk.sources.server_processes import ServerProcesses
from gpudesk.text import clean

if TYPE_CHECKING:
    from datetime import datetime

SCAN_SECONDS = 10.0
"""How often the whole process table is searched for runners while nothing changes."""

FIRST_RESCAN_SECONDS = 1.0
"""How soon after a change the table is searched again; doubles up to SCAN_SECONDS."""


@dataclass(slots=True)
class _Known:
    """What one look at a process gave, and until when it is believed."""

    stamp: Hashable
    process: Process
    opens_card: bool | None
    believed_until: float


class ProcessSource:
    """Reads every process on a card, every Ollama runner and the servers that start them, and nothing else."""

    name = "processes"

    def __init__(
        self,
        table: ProcessTable | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        models_directories: Sequence[Path] | None = None,
        interval_seconds: float = 1.0,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            table: the process table; the real one when None.
            clock: tells when to search again.
            models_directories: where manifests are looked for; Ollama's usual places when None.
            interval_seconds: how often to be read.
        """
        self.interval_seconds = interval_seconds
        self._table: ProcessTable = PsutilProcessTable() if table is None else table
        self._clock = clock
        self._manifests = Manifests(models_directories, clock=clock)
        self._servers = ServerProcesses(self._table, clock)
        self._known: dict[int, _Known] = {}
        self._runners: set[int] = set()
        self._served: dict[int, str] = {}
        """What each runner was seen to hold, by the name its engine gave it."""
        self._loaded: frozenset[str] = frozenset()
        self._scan_at: float | None = None
        self._scan_delay = FIRST_RESCAN_SECONDS

    def read(self, desk: Desk) -> ProcessSample:
        """Look once: at the pids the desk's cards name, and at the runners."""
        on_cards = {held.pid for state in desk.cards for held in state.card.processes}
        loaded = frozenset(f"{model.key} {model.digest}" for model in desk.models if model.local)
        self._served.update((pid, model.name) for model in desk.models for pid in model.pids)
        now = self._clock.monotonic()
        ended = self._servers.ended()
        self._leave_behind(ended)
        processes = {pid: self._look(pid, now) for pid in on_cards | self._runners}
        vanished = {pid for pid in self._runners if processes[pid].runner is None}
        if loaded != self._loaded or vanished or ended:
            self._scan_at, self._scan_delay = now, FIRST_RESCAN_SECONDS
        self._loaded = loaded
        self._runners = {pid for pid, process in processes.items() if process.runner is not None}
        if self._scan_at is None or now >= self._scan_at:
            for raw in self._table.runner_candidates():
                self._servers.meet(raw)
                process = self._remember(raw, now) if raw.pid not in processes else processes[raw.pid]
                if process.runner is not None:
                    processes[raw.pid] = process
                    self._runners.add(raw.pid)
            self._scan_at = now + self._scan_delay
            self._scan_delay = min(SCAN_SECONDS, self._scan_delay * 2)
        in_container = self._table.in_container()
        if in_container:
            in_container = self._forget_strangers(processes, on_cards)
        processes = {
            pid: process for pid, process in processes.items() if pid in on_cards or process.runner is not None
        }
        self._served = {pid: name for pid, name in self._served.items() if pid in processes}
        self._known = {pid: known for pid, known in self._known.items() if pid in processes}
        names, told = _loaded_names(desk), _loaded_blobs(desk)
        return ProcessSample(
            tuple(self._finished(processes[pid], names, told) for pid in sorted(processes)),
            in_container,
            self._servers.all(),
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _leave_behind(self, ended: frozenset[int]) -> None:
        """Note of the runners of servers that ended that nobody's they are now, whoever the system gave them to."""
        for known in self._known.values():
            if known.process.runner is not None and known.process.parent_pid in ended:
                known.process = replace(known.process, orphaned=True)

    def _look(self, pid: int, now: float) -> Process:
        """Return what is known of a pid, looking closely only when it is new, reused or due again."""
        stamp = self._table.stamp(pid)
        if stamp is None:
            self._known.pop(pid, None)
            return Process(pid, exists=False)
        known = self._known.get(pid)
        if known is not None and known.stamp == stamp and now < known.believed_until:
            return known.process
        raw = self._table.describe(pid)
        if raw is None:
            self._known.pop(pid, None)
            return Process(pid, exists=False)
        return self._remember(raw, now, stamp)

    def _remember(self, raw: RawProcess, now: float, stamp: Hashable | None = None) -> Process:
        """Interpret a process and keep the result for as long again as the process has lived.

        A process may have been seen between fork and exec, and programs name themselves after their start (vLLM's
        workers do); an old one hardly changes any more. So a process is looked at again at twice its age.
        """
        stamp = self._table.stamp(raw.pid) if stamp is None else stamp
        parent = self._table.describe(raw.parent_pid) if raw.parent_pid and _needs_parent(raw) else None
        runner = parse_runner(raw.argv or (), parent_name=parent.name if parent else None)
        orphaned = False
        if runner is not None:
            self._servers.meet(parent)
            was = self._known.get(raw.pid)
            left_behind = was is not None and was.stamp == stamp and was.process.orphaned
            orphaned = left_behind or self._servers.is_orphan(raw.parent_pid, parent)
        named = replace(parent, container=raw.container) if parent is not None and is_worker(raw) else raw
        process = Process(
            pid=raw.pid,
            name=runner.kind.value if runner else readable_name(named),
            user=clean(raw.user) if raw.user else None,
            parent_pid=raw.parent_pid,
            started_at=raw.started_at,
            memory_resident_bytes=raw.memory_resident_bytes if runner else None,
            runner=runner,
            orphaned=orphaned,
        )
        self._known[raw.pid] = _Known(
            stamp,
            process,
            raw.opens_card,
            now + self._age_seconds(raw.started_at),
        )
        return process

    def _age_seconds(self, started_at: datetime | None) -> float:
        if started_at is None:
            return SCAN_SECONDS
        return max(1.0, (self._clock.now() - started_at).total_seconds())

    def _forget_strangers(self, processes: dict[int, Process], on_cards: Iterable[int]) -> bool:
        """Settle whose numbering the driver uses, from inside a pid namespace; True when it is not ours.

        Older drivers report the host's pids there, newer ones translate. A number of the host may by chance be one
        of ours, so only a process seen with the driver's device open counts as the one the driver means.
        """
        confirmed = {pid for pid in on_cards if (known := self._known.get(pid)) is not None and known.opens_card}
        for pid in set(on_cards) - confirmed:
            if processes[pid].exists and not confirmed:
                processes[pid] = Process(pid, exists=False)
        return not confirmed

    def _finished(self, process: Process, names: frozenset[str], told: set[str]) -> Process:
        """Add what changes from pass to pass: a runner's host memory and the name its manifest tells."""
        runner = process.runner
        if runner is None:
            return process
        return replace(
            process,
            memory_resident_bytes=self._table.resident_bytes(process.pid),
            runner=self._orphan(process, runner, names) if process.orphaned else self._named(runner, names, told),
        )

    def _orphan(self, process: Process, runner: Runner, names: frozenset[str]) -> Runner:
        """Name a runner that no engine lists any more by what it held, or by the manifests."""
        held = self._served.get(process.pid)
        return replace(runner, model_name=held) if held is not None else self._named(runner, names, set())

    def _named(self, runner: Runner, names: frozenset[str], told: set[str]) -> Runner:
        """Give a runner a model name from the manifests unless an engine lists its model and told the blob."""
        digest = runner.blob_digest
        if runner.model_name is not None or digest is None or digest in told:
            return runner
        found = self._manifests.names(digest, runner.model_path)
        best = next((name for name in found if name in names), found[0] if found else None)
        return replace(runner, model_name=best) if best else runner


def _needs_parent(raw: RawProcess) -> bool:
    return is_worker(raw) or "llama" in (raw.name or "") or "llama" in "".join((raw.argv or ())[:1])


def _loaded_names(desk: Desk) -> frozenset[str]:
    return frozenset(model.name for model in desk.models if model.local)


def _loaded_blobs(desk: Desk) -> set[str]:
    """Return the files of every loaded model whose engine has told them."""
    digests = {model.digest for model in desk.models if model.local and model.digest}
    return {blob for details in desk.details if details.digest in digests for blob in details.blob_digests}
