"""Other processes taking and releasing memory on the cards.

A process is told of when it settled on a figure, not at every step towards it: a game that fills 6 GiB within ten
seconds is one line, and one that grows all day is a line per half more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE, gibibytes

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.card import Card
    from gpudesk.domain.desk import Desk

LEAST_BYTES = 256 * MEBIBYTE
LEAST_RATIO = 0.01
"""Share of the card below which nothing is told, on cards where that is more than `LEAST_BYTES`."""
GROWTH_RATIO = 0.5
"""A process already told of must change by this share of what was told."""
SETTLED_SECONDS = 4.0
PATIENCE_SECONDS = 10.0
"""A figure that never settles is told after this long."""
MOVING_BYTES = 32 * MEBIBYTE
"""A step larger than this between two readings is still movement."""

Place = tuple[int, int]
"""Card index and pid."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one process held on one card when it was last told of."""

    told_bytes: int
    """As last told; at the start, and on a card that was not there before, what it held then."""
    seen_bytes: int
    moved_at: datetime
    """When the figure last moved."""
    differs_since: datetime | None = None
    """Since when the figure is far enough from what was told."""
    name: str | None = None
    """None until the process table told who it is: it may be an engine's runner in the middle of a load."""
    started_at: datetime | None = None


Claims = Mapping[Place, Claim]


def memory_changes(claims: Claims, before: Desk, after: Desk) -> tuple[tuple[Event, ...], Claims]:
    """Compare the processes on the cards with what was last told of them.

    Args:
        claims: what was last told, by place.
        before: cards that are not on it are new, and what they hold is not news.
        after: the cards, and the processes as far as the process table knows them.
    """
    now = after.taken_at
    models = frozenset(pid for model in after.models for pid in model.pids)
    by_pid = {process.pid: process for process in after.processes}
    old_cards = {state.card.index for state in before.cards}
    unreadable = {state.card.index for state in after.cards if state.card.error is not None}
    there = {state.card.index for state in after.cards}
    events: list[Event] = []
    kept: dict[Place, Claim] = {}
    present: set[Place] = set()
    for state in after.cards:
        card = state.card
        if card.index in unreadable:
            continue
        present.update((card.index, entry.pid) for entry in card.processes)
        for pid, held in _held(card).items():
            process = by_pid.get(pid)
            if pid in models or (process is not None and process.runner is not None):
                continue
            place = (card.index, pid)
            told = 0 if card.index in old_cards else held
            known = claims.get(place) or Claim(told, held, now)
            if process is not None and process.exists:
                if known.name is not None and known.started_at != process.started_at:
                    events.extend(_released(place, known, now))
                    known = Claim(0, held, now)
                known = replace(known, name=process.name or f"process {pid}", started_at=process.started_at)
            kept[place], event = _followed(place, known, held, card, now)
            if event is not None:
                events.append(event)
    for place, known in claims.items():
        if place[0] in unreadable:
            kept[place] = known
        elif place[0] in there and place not in present:
            events.extend(_released(place, known, now))
    return tuple(events), kept


def _held(card: Card) -> dict[int, int]:
    """Return the bytes per process of one card, as far as the driver tells; slices of one process add up."""
    held: dict[int, int] = {}
    for entry in card.processes:
        if entry.memory_bytes is not None:
            held[entry.pid] = held.get(entry.pid, 0) + entry.memory_bytes
    return held


def _followed(place: Place, known: Claim, held: int, card: Card, now: datetime) -> tuple[Claim, Event | None]:
    """Return what to remember of one process, and the event if its figure has settled far from what was told."""
    if known.seen_bytes != held:
        moved_at = now if abs(held - known.seen_bytes) > MOVING_BYTES else known.moved_at
        known = replace(known, seen_bytes=held, moved_at=moved_at)
    least = max(LEAST_BYTES, int(LEAST_RATIO * (card.memory_total_bytes or 0)), int(GROWTH_RATIO * known.told_bytes))
    if abs(held - known.told_bytes) < least:
        return (known if known.differs_since is None else replace(known, differs_since=None)), None
    since = known.differs_since or now
    known = replace(known, differs_since=since)
    settled = (now - known.moved_at).total_seconds() >= SETTLED_SECONDS
    waited = (now - since).total_seconds() >= PATIENCE_SECONDS
    if known.name is None or not (settled or waited):
        return known, None
    event = _event(place, known.name, known.told_bytes, held, now)
    return replace(known, told_bytes=held, differs_since=None), event


def _released(place: Place, known: Claim, now: datetime) -> tuple[Event, ...]:
    """Return the event of a process that ended; of one that was never told of, nothing."""
    if known.name is None or known.told_bytes < LEAST_BYTES:
        return ()
    return (_event(place, known.name, known.told_bytes, 0, now),)


def _event(place: Place, name: str, before: int, after: int, now: datetime) -> Event:
    taken = after > before
    verb = "took" if taken else "released"
    holds = f", now holds {gibibytes(after)}" if before and after else ""
    return Event(
        EventKind.MEMORY_TAKEN if taken else EventKind.MEMORY_RELEASED,
        now,
        name,
        f"{name} {verb} {gibibytes(abs(after - before))} on card {place[0]}{holds}",
        before=gibibytes(before),
        after=gibibytes(after),
        card_index=place[0],
    )
