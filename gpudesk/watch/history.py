"""Bounded histories for the graphs: one point per second for a minute, one per five seconds for ten.

Time is cut into buckets of the wall clock. A bucket that nobody wrote into repeats the one before it as long as
the driver was not silent for longer than is normal, so that a second that falls between two readings leaves no
hole; after that, and while the driver fails, there is nothing known (`None`).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING

from gpudesk.records import dataclass
from gpudesk.watch.staleness import age_seconds, stale_after_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.domain.desk import CardState, Desk

CARDS_SOURCE = "nvml"
"""Name of the source whose readings carry the cards."""

_LATE_BUCKETS = 2
"""Buckets a desk may be behind the newest one and still count as merely late, not as a clock set back."""


class Span(Enum):
    """How far back a graph looks: seconds covered and points kept."""

    MINUTE = (60, 60)
    TEN_MINUTES = (600, 120)

    @property
    def bucket_seconds(self) -> int:
        """Seconds one point stands for."""
        return self.value[0] // self.value[1]

    @property
    def length(self) -> int:
        """Points kept."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One point; None where nothing was known."""

    used_ratio: float | None
    """Memory held, 0..1 of total."""
    utilization_ratio: float | None


NOTHING = HistoryPoint(None, None)
"""The point where nothing was known."""


class _Track:
    """One span of every card, on a common row of buckets."""

    __slots__ = ("_newest", "_offset", "_span", "rows")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._newest: int | None = None
        self._offset = 0
        self.rows: dict[int, deque[HistoryPoint]] = {}

    def advance(self, seconds: float, *, repeat_seconds: float) -> None:
        """Move on to the bucket of `seconds`, which every card enters with its last point or with nothing.

        A clock set back goes on where the row stands instead of wiping what was seen; a clock set forward, or a
        computer that slept, leaves a gap.
        """
        bucket = int(seconds // self._span.bucket_seconds) + self._offset
        if self._newest is None:
            self._newest = bucket
        step = bucket - self._newest
        if step < -_LATE_BUCKETS:
            self._offset += 1 - step
            step = 1
        if step <= 0:
            return
        self._newest += step
        repeated = (step - 1) * self._span.bucket_seconds <= repeat_seconds
        for index in list(self.rows):
            row = self.rows[index]
            fill = row[-1] if repeated else NOTHING
            row.extend([fill] * (min(step, self._span.length) - 1))
            row.append(NOTHING)
            if all(point is NOTHING for point in row) and fill is NOTHING:
                del self.rows[index]

    def put(self, index: int, point: HistoryPoint) -> None:
        """Write the newest point of one card."""
        row = self.rows.get(index)
        if row is None:
            row = self.rows[index] = deque([NOTHING] * self._span.length, maxlen=self._span.length)
        row[-1] = point


class History:
    """The last ten minutes of every card. Written by the watching threads, read by any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tracks = {span: _Track(span) for span in Span}

    def record(self, desk: Desk) -> None:
        """Add what `desk` says of each card at its time; several records within one bucket keep the newest."""
        state = desk.source(CARDS_SOURCE)
        limit = stale_after_seconds(1.0 if state is None else state.interval_seconds)
        known = True
        if state is not None:
            age = age_seconds(state, desk.taken_at)
            known = state.failure is None and age is not None and age <= limit
        points = {card.card.index: _point(card) for card in desk.cards} if known else {}
        seconds = desk.taken_at.timestamp()
        with self._lock:
            for track in self._tracks.values():
                track.advance(seconds, repeat_seconds=limit)
                for index, point in points.items():
                    track.put(index, point)

    def points(self, card_index: int, span: Span) -> Sequence[HistoryPoint]:
        """Return the points of one card, oldest first, always exactly as many as the span keeps (None-padded)."""
        with self._lock:
            row = self._tracks[span].rows.get(card_index)
            return (NOTHING,) * span.length if row is None else tuple(row)


def _point(state: CardState) -> HistoryPoint:
    """Return the newest point of one card."""
    card = state.card
    if card.error is not None:
        return NOTHING
    total = card.memory_total_bytes
    held = card.memory_used_bytes
    if total is not None and state.free_bytes is not None:
        held = total - state.free_bytes
    used_ratio = None if not total or held is None else min(1.0, max(0.0, held / total))
    utilization = card.utilization_ratio
    return HistoryPoint(used_ratio, None if utilization is None else min(1.0, max(0.0, utilization)))
