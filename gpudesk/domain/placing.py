"""Placing loaded models on cards: measured where the driver tells, claimed where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from gpudesk.domain.join import ModelGroup
from gpudesk.domain.process import Process
from gpudesk.domain.settle import SettledCard, apportion
from gpudesk.records import dataclass


@dataclass(slots=True, eq=False)
class Placing:
    """What one group of models holds; cards by their position in the input."""

    group: ModelGroup
    measured: dict[int, int] = field(default_factory=dict)
    """The driver's figures for its processes."""
    claimed: dict[int, int] = field(default_factory=dict)
    """The engine's claim, where the driver gives no figure."""
    cut: bool = False
    """The claim was larger than what was there to be claimed."""
    unplaced: bool = False
    """Claimed, and nobody can tell on which of several cards."""
    nowhere: bool = False
    """Its processes are known and on no card, by drivers that list every process: measured, and nothing."""

    @property
    def claim_bytes(self) -> int | None:
        """The engine's figure: the first of the rows that share the weights and have one."""
        known = (model.size_vram_bytes for model in self.group.models if model.size_vram_bytes is not None)
        first = next(known, None)
        return None if first is None else max(0, first)

    @property
    def memory_bytes(self) -> int | None:
        """Everything it holds on cards; None when neither driver nor engine tells."""
        if self.measured or self.claimed:
            return sum(self.measured.values()) + sum(self.claimed.values())
        return 0 if self.nowhere else self.claim_bytes

    @property
    def is_measured(self) -> bool:
        """No claim is part of `memory_bytes`."""
        return self.nowhere or (bool(self.measured) and not self.claimed)

    def share(self, position: int) -> int:
        """Return what it holds on one card."""
        return self.measured.get(position, 0) + self.claimed.get(position, 0)


@dataclass(slots=True, eq=False)
class CardTable:
    """One card while its memory is divided."""

    settled: SettledCard
    strangers: tuple[int, ...]
    """Pids in a numbering that is not ours: any of them may be an engine's runner."""
    stranger_bytes: int
    tells: bool
    """The driver lists every process, and by numbers that mean something here."""
    wishes: list[Placing] = field(default_factory=list)
    unplaced: list[Placing] = field(default_factory=list)
    taken_bytes: int = 0
    """Given to claims."""

    @property
    def open_bytes(self) -> int:
        """What claims are cut out of: in use, and known to be nobody's or only a stranger's."""
        return self.settled.rest_bytes + self.stranger_bytes


def card_table(settled: SettledCard, by_pid: dict[int, Process], *, in_container: bool) -> CardTable:
    """Prepare one card; in a container with a numbering of its own, pids that are not ours become strangers."""
    strangers: tuple[int, ...] = ()
    if in_container:
        strangers = tuple(sorted(pid for pid in settled.shares if pid not in by_pid or not by_pid[pid].exists))
    return CardTable(
        settled,
        strangers,
        sum(settled.shares[pid] or 0 for pid in strangers),
        tells=settled.complete and not in_container,
    )


def place(placings: Sequence[Placing], tables: Sequence[CardTable]) -> None:
    """Place every local model: measure first, then cut the claims that are left out of what is open."""
    for placing in placings:
        if placing.group.local:
            _measure(placing, tables)
    _claim(tables)


def _measure(placing: Placing, tables: Sequence[CardTable]) -> None:
    """Add up the driver's figures; where there are none, note on which card the engine's claim shall stand in.

    A list of pids without figures tells which cards; without any hint the one card that does not tell is it, and
    with several such cards nobody knows.
    """
    hinted: list[CardTable] = []
    present = False
    pids = placing.group.pids
    for position, table in enumerate(tables):
        listed = table.settled.shares
        shares = [listed[pid] for pid in pids if pid in listed]
        known = [share for share in shares if share is not None]
        present = present or bool(shares)
        if known:
            placing.measured[position] = sum(known)
        if len(known) < len(shares) and table.settled.occupied_bytes is not None:
            hinted.append(table)
    silent = [table for table in tables if not table.tells]
    placing.nowhere = bool(pids and tables) and not present and not silent
    if not placing.claim_bytes:
        return
    if not present:
        hinted = [table for table in silent if table.settled.occupied_bytes is not None]
        if len(hinted) > 1:
            placing.unplaced = True
            for table in hinted:
                table.unplaced.append(placing)
            return
    for table in hinted:
        table.wishes.append(placing)


def _claim(tables: Sequence[CardTable]) -> None:
    """Grant claims: each card's are cut in proportion to what is open there, to the byte.

    A claim over several cards is split by what is open on each of them.
    """
    wanted: dict[int, dict[Placing, int]] = {position: {} for position in range(len(tables))}
    positions: dict[Placing, list[int]] = {}
    for position, table in enumerate(tables):
        for placing in table.wishes:
            positions.setdefault(placing, []).append(position)
    for placing, places in positions.items():
        need = max(0, (placing.claim_bytes or 0) - sum(placing.measured.values()))
        parts = apportion([tables[position].open_bytes for position in places], need)
        for position, part in zip(places, parts, strict=True):
            wanted[position][placing] = need if len(places) == 1 else part
        placing.cut = sum(parts) < need
    for position, table in enumerate(tables):
        wishes = wanted[position]
        granted = apportion(list(wishes.values()), table.open_bytes)
        for (placing, wish), part in zip(wishes.items(), granted, strict=True):
            placing.claimed[position] = part
            placing.cut = placing.cut or part < wish
        table.taken_bytes = sum(granted)
