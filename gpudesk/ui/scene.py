"""What every view function is given: the desk, the moment, and how the user wants it shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from gpudesk.records import dataclass
from gpudesk.watch.history import Span as HistorySpan

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.watch.history import History


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment, ready to be drawn."""

    desk: Desk
    now: datetime
    """Aware UTC, from the feed's clock: every age and countdown is measured against it."""
    history: History | None = None
    marks: Mapping[str, int] = field(default_factory=dict)
    """Model key to its letter's number."""
    reserve_bytes: int = 0
    """Memory the user wants left free on each card."""
    span: HistorySpan = HistorySpan.MINUTE
    colored: bool = True
    """False under NO_COLOR: patterns take the place of shades."""
    pin_key: str = "p"
    """The key that puts lost pins right, for advice."""
    slack: float = 1.0
    """How much later than usual samples may come before they count as stale (no focus, slower polling)."""
