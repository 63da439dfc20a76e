"""Settling what a driver says of one card until it adds up.

A driver's answers are samples of different moments, may be missing, and are sometimes nonsense. Everything later
works on the figures made here, for which shares of processes + the rest in use + free = total holds by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE, gibibytes

TOLERANCE_BYTES = MEBIBYTE
"""Sums of a card's own figures may be off by this much, one allocation page or so, before it is worth a note."""


@dataclass(frozen=True, slots=True)
class SettledCard:
    """One card's memory, free of contradictions."""

    card: Card
    total_bytes: int | None
    occupied_bytes: int | None
    """In use by anybody, reserve included; at least the sum of `shares`. None when neither total nor use is known."""
    reserved_bytes: int
    """The driver's own part of it; 0 where it does not tell it apart."""
    shares: dict[int, int | None]
    """Bytes by pid; None for a process that is on the card with an unknown amount."""
    complete: bool
    """Every process on the card is in `shares`, so whoever is absent holds nothing here."""
    measured_bytes: int
    """What the driver attributes to processes: the sum of `shares`."""
    rest_bytes: int
    """In use by nobody in particular, without the driver's reserve."""
    notes: tuple[str, ...]


def settle(card: Card) -> SettledCard:
    """Make the figures of one card agree; what had to be settled is said in the notes.

    The order of trust: total; processes' own figures, unless together they exceed the total; used, raised to the
    processes' sum when it lags behind; free, which is always what remains. A sleeping card is not asked, and nobody
    can hold anything on it: the kernel only lets an unused card sleep.
    """
    notes: list[str] = []
    total = card.memory_total_bytes if card.memory_total_bytes is not None and card.memory_total_bytes > 0 else None
    free = _possible(card.memory_free_bytes, total)
    reserved = _possible(card.memory_reserved_bytes, total) or 0
    shares = _shares(card.processes, total)
    complete = card.process_accounting is ProcessAccounting.FULL
    if total is not None and sum(share for share in shares.values() if share) > total:
        shares, complete = dict.fromkeys(shares), False
        notes.append("the driver's figures for single processes add up to more than the card has and are not used")
    measured = sum(share for share in shares.values() if share)
    used = _possible(card.memory_used_bytes, total)
    if used is None and free is None and card.asleep:
        used = 0
    used, note = _used(total, used, free, reserved)
    notes += note
    occupied = total if used is None else max(used, measured) + reserved
    if occupied is not None:
        occupied = occupied if total is None else min(occupied, total)
        reserved = max(0, min(reserved, occupied - measured))
    return SettledCard(
        card=card,
        total_bytes=total,
        occupied_bytes=occupied,
        reserved_bytes=reserved,
        shares=shares,
        complete=complete,
        measured_bytes=measured,
        rest_bytes=0 if occupied is None else occupied - measured - reserved,
        notes=tuple(notes),
    )


def _used(total: int | None, used: int | None, free: int | None, reserved: int) -> tuple[int | None, list[str]]:
    """Return what is in use without the reserve, from `free` where only that is told, and what is odd about it."""
    if total is None:
        return used, []
    if used is None and free is None:
        return None, ["the driver does not say how much is in use; what nobody is seen to hold counts as in use"]
    if used is None or free is None:
        return (max(0, total - (free or 0) - reserved) if used is None else used), []
    gap = abs(total - used - reserved - free)
    if gap <= TOLERANCE_BYTES:
        return used, []
    return used, [f"used, reserved and free miss the total by {gibibytes(gap)}; free is what remains"]


def _possible(figure: int | None, total: int | None) -> int | None:
    """Return a figure a card can have, None for what cannot be: negative, or more than there is."""
    if figure is None or figure < 0 or (total is not None and figure > total):
        return None
    return figure


def _shares(processes: Sequence[CardProcess], total: int | None) -> dict[int, int | None]:
    """Return bytes by pid: the larger of two entries on the same slice, the sum over different slices.

    The compute and the graphics list both name the whole amount of a process that is in both.
    """
    by_slice: dict[tuple[int, int | None], int | None] = {}
    for process in processes:
        key = (process.pid, process.slice_index)
        figure = _possible(process.memory_bytes, total)
        known = by_slice.get(key)
        by_slice[key] = figure if known is None else max(known, figure or 0)
    shares: dict[int, int | None] = {}
    for (pid, _slice), figure in by_slice.items():
        if pid not in shares:
            shares[pid] = figure
        else:
            known = shares[pid]
            shares[pid] = None if known is None or figure is None else known + figure
    return shares


def apportion(wishes: Sequence[int], limit: int) -> tuple[int, ...]:
    """Grant each wish, or cut all in proportion so that they add up to exactly `limit`.

    Integers by largest remainder, so that no byte is lost or invented. Wishes below zero count as zero.
    """
    wanted = [max(0, wish) for wish in wishes]
    limit = max(0, limit)
    total = sum(wanted)
    if total <= limit:
        return tuple(wanted)
    granted = [wish * limit // total for wish in wanted]
    order = sorted(range(len(wanted)), key=lambda index: (-(wanted[index] * limit % total), index))
    for index in order[: limit - sum(granted)]:
        granted[index] += 1
    return tuple(granted)
