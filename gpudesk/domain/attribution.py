"""Whose memory it is: every byte of every card goes to exactly one holder or is free.

Measured beats claimed. A driver's figure for a process goes to the model that the process holds, or to the process.
Where the driver gives no figures (WSL, Windows, missing permission), a local engine's claim stands in, cut to what
the driver shows in use and nobody else is known to hold. What remains in use is the unattributed rest; what remains
of the total is free. So holders + free = total whenever the total is known, whatever the input.

A runner whose server ended is nobody's, and one of an engine that is not watched is that engine's: both are processes
here, whatever weights they hold (`domain.serving`).

Rows of one engine that share weights share a runner: the first name carries all of its memory, the others have
`memory_bytes` 0, no card shares, the same runner and pids, and name the first one first in `shares_runner_with`. So
sums over models stay sums over memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardState, Holder, HolderKind, LoadedModel, MemorySource
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.join import RunnerGroup, join, model_groups, runner_groups
from gpudesk.domain.loaded import loaded_models
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.placing import CardTable, Placing, card_table, place
from gpudesk.domain.process import Process, ProcessSample, ServerProcess
from gpudesk.domain.serving import Serving, may_be_watched
from gpudesk.domain.settle import settle
from gpudesk.records import dataclass
from gpudesk.units import gibibytes

UNATTRIBUTED = "unattributed"

NAMES_IN_NOTE = 4
"""Names listed in one note; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """The cards with their holders, the loaded models with what they hold, and the engines' servers."""

    cards: tuple[CardState, ...]
    models: tuple[LoadedModel, ...]
    servers: tuple[ServerProcess, ...] = ()


@dataclass(frozen=True, slots=True)
class _Owners:
    """Who a pid belongs to."""

    models: dict[int, Placing]
    runners: dict[int, RunnerGroup]
    """Runners that no listed model was matched to."""
    processes: dict[int, Process]
    strangers: frozenset[int] = frozenset()
    """Runners that belong to no engine that is watched."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Models by the file they are made of, for runners that nothing else names."""


def attribute(
    cards: Sequence[Card],
    engines: Sequence[EngineSample],
    processes: ProcessSample | None,
    details: Sequence[ModelDetails],
) -> Attribution:
    """Divide every card's memory among holders and join every loaded model with what it holds.

    Args:
        cards: as the driver gave them; contradictions are settled first (`domain.settle`).
        engines: every engine's loaded models; those of remote engines never touch a local card.
        processes: the processes on the cards and the runners; None when they could not be read.
        details: what the engines told about models, for the blobs each is made of.
    """
    by_pid = {process.pid: process for process in processes.processes} if processes else {}
    in_container = processes is not None and processes.in_container
    groups = model_groups(engines, details)
    serving = Serving(processes.servers if processes else (), engines)
    unmatched = join(groups, runner_groups(by_pid), serving)
    servers = serving.servers()
    placings = [Placing(group) for group in groups]
    tables = [card_table(settle(card), by_pid, in_container=in_container) for card in cards]
    place(placings, tables)
    owners = _Owners(
        {pid: placing for placing in placings for pid in placing.group.pids},
        {pid: runner for runner in unmatched for pid in runner.pids},
        by_pid,
        frozenset(runner.process.pid for runner in unmatched if not may_be_watched(runner.process, servers, engines)),
        {group.weights: group.models[0].name for group in reversed(groups) if group.weights} if unmatched else {},
    )
    rows = {(row.engine_url, row.name): row for placing in placings for row in loaded_models(placing, tables)}
    order = dict.fromkeys((engine.url, model.name) for engine in engines for model in engine.models)
    return Attribution(
        tuple(_card_state(position, table, placings, owners) for position, table in enumerate(tables)),
        tuple(rows[key] for key in order),
        servers,
    )


def _card_state(position: int, table: CardTable, placings: Sequence[Placing], owners: _Owners) -> CardState:
    """Turn one divided card into holders; the unattributed rest is what is in use beyond them."""
    settled = table.settled
    holders = _model_holders(position, table, placings) + _process_holders(table, owners)
    rest = (settled.occupied_bytes or 0) - sum(holder.memory_bytes for holder in holders)
    if rest > 0:
        holders.append(
            Holder(HolderKind.UNATTRIBUTED, UNATTRIBUTED, rest, note=_rest_note(position, table, owners, rest))
        )
    notes = list(settled.notes)
    if any(placing.cut for placing in table.wishes):
        notes.append("engines claim more than the driver shows in use; their claims are cut to it")
    free = None
    if settled.total_bytes is not None:
        free = settled.total_bytes - sum(holder.memory_bytes for holder in holders)
    return CardState(settled.card, tuple(holders), free, tuple(notes))


def _model_holders(position: int, table: CardTable, placings: Sequence[Placing]) -> list[Holder]:
    holders = []
    for placing in placings:
        share = placing.share(position)
        if share <= 0:
            continue
        group = placing.group
        here = tuple(pid for pid in group.pids if pid in table.settled.shares)
        notes = []
        if position in placing.claimed:
            notes.append("cut from the engine's claim" if placing.cut else "claimed by the engine, not measured")
        if others := [model.name for model in group.models[1:]]:
            notes.append(f"also loaded as {_listed(others)}")
        holders.append(
            Holder(
                HolderKind.MODEL,
                group.models[0].name,
                share,
                pids=here or group.pids,
                engine_url=group.engine_url,
                source=MemorySource.ENGINE if position in placing.claimed else MemorySource.DRIVER,
                note="; ".join(notes) or None,
            )
        )
    return sorted(holders, key=_size_first)


def _process_holders(table: CardTable, owners: _Owners) -> list[Holder]:
    """Return every measured process that holds no listed model; a runner and its children are one holder."""
    holders: list[Holder] = []
    runners: dict[RunnerGroup, int] = {}
    claimed_from_strangers = min(table.taken_bytes, table.stranger_bytes)
    for pid, share in table.settled.shares.items():
        if not share or (claimed_from_strangers and pid in table.strangers):
            continue
        if pid in owners.models:
            continue
        if runner := owners.runners.get(pid):
            runners[runner] = runners.get(runner, 0) + share
            continue
        holders.append(_process_holder(pid, share, owners.processes.get(pid), stranger=pid in table.strangers))
    for runner, share in runners.items():
        here = tuple(pid for pid in runner.pids if pid in table.settled.shares)
        holders.append(_runner_holder(runner, share, here, owners))
    if claimed_from_strangers and table.stranger_bytes > claimed_from_strangers:
        holders.append(
            Holder(
                HolderKind.PROCESS,
                "processes outside this container",
                table.stranger_bytes - claimed_from_strangers,
                pids=table.strangers,
                note="less what the engines here claim",
            )
        )
    return sorted(holders, key=_size_first)


def _process_holder(pid: int, share: int, process: Process | None, *, stranger: bool) -> Holder:
    name = process.name if process and process.exists and process.name else f"process {pid}"
    note = None
    if stranger:
        note = "outside this container"
    elif process is not None and not process.exists:
        note = "not visible here: it has just ended, or belongs to another system"
    return Holder(HolderKind.PROCESS, name, share, pids=(pid,), note=note)


def _runner_holder(runner: RunnerGroup, share: int, pids: tuple[int, ...], owners: _Owners) -> Holder:
    """Name a runner whose model no engine lists: Ollama 0.30 and later list a model only when it has loaded."""
    model = runner.runner.model_name or owners.names.get(runner.runner.blob_digest or "") or "unknown model"
    if runner.process.orphaned:
        note = "its server ended and left it behind"
    elif runner.process.pid in owners.strangers:
        note = "belongs to an engine that is not watched"
    else:
        note = "no engine lists its model: it may be loading, or belong to an engine that is not watched"
    return Holder(HolderKind.PROCESS, f"ollama runner ({model})", share, pids=pids, note=note)


def _rest_note(position: int, table: CardTable, owners: _Owners, rest: int) -> str | None:
    """Say what the unattributed rest is made of, as far as that is known."""
    settled = table.settled
    parts = []
    if settled.reserved_bytes:
        parts.append(f"driver reserve {gibibytes(min(settled.reserved_bytes, rest))}")
    if settled.card.unified_memory:
        parts.append("everything else in the computer's memory")
    silent = []
    for pid, share in settled.shares.items():
        owner = owners.models.get(pid)
        if share is None and not (owner is not None and position in owner.claimed):
            process = owners.processes.get(pid)
            silent.append(process.name if process and process.name else f"process {pid}")
    if silent:
        parts.append(f"without a figure of their own: {_listed(silent)}")
    parts += [
        f"{placing.group.models[0].name} may be here ({gibibytes(placing.claim_bytes)} by its engine)"
        for placing in table.unplaced[:NAMES_IN_NOTE]
    ]
    return "; ".join(parts) or None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMES_IN_NOTE
    return ", ".join(names[:NAMES_IN_NOTE]) + (f" and {more} more" if more > 0 else "")


def _size_first(holder: Holder) -> tuple[int, str, tuple[int, ...]]:
    return -holder.memory_bytes, holder.name, holder.pids
