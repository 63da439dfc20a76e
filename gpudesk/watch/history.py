"""Bounded histories for the graphs: one point per second for a minute, one per five seconds for ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk


class Span(Enum):
    """How far back a graph looks: seconds covered and points kept."""

    MINUTE = (60, 60)
    TEN_MINUTES = (600, 120)


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One point; None where nothing was known."""

    used_ratio: float | None
    """Memory held, 0..1 of total."""
    utilization_ratio: float | None


class History:
    """The last ten minutes of every card."""

    def record(self, desk: Desk) -> None:
        """Add what `desk` says of each card at its time; several records within one bucket keep the newest."""
        raise NotImplementedError

    def points(self, card_index: int, span: Span) -> Sequence[HistoryPoint]:
        """Return the points of one card, oldest first, always exactly as many as the span keeps (None-padded)."""
        raise NotImplementedError
