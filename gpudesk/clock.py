"""Both clocks as one injectable value, so that tests and the simulation can step time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time for what is shown, monotonic time for durations."""

    now: Callable[[], datetime] = _wall
    """Aware UTC."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds from an arbitrary start, never going back."""


SYSTEM_CLOCK = Clock()
