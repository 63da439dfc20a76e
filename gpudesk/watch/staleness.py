"""How old what is shown is; computed by whoever shows it, because it grows without a reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import Desk, SourceState

LEAST_STALE_SECONDS = 5.0
"""Nothing younger than this is called stale, however often its source is read."""
STALE_INTERVALS = 3.0
"""Turns a source may miss before its last good value is called stale."""


def stale_after_seconds(interval_seconds: float) -> float:
    """Return the age at which a value read every `interval_seconds` is stale; also how long a read may take."""
    return max(LEAST_STALE_SECONDS, STALE_INTERVALS * interval_seconds)


def age_seconds(state: SourceState, now: datetime) -> float | None:
    """Return how old the last good value of a source is; None when it never gave one, never negative.

    A value from the future means that the wall clock was set back, which says nothing about the value.
    """
    if state.last_value_at is None:
        return None
    return max(0.0, (now - state.last_value_at).total_seconds())


def is_stale(state: SourceState, now: datetime) -> bool:
    """Tell whether what a source last said is too old to be shown without its age."""
    age = age_seconds(state, now)
    return age is not None and age > stale_after_seconds(state.interval_seconds)


def stale_sources(desk: Desk, now: datetime) -> tuple[SourceState, ...]:
    """Return the sources whose last good value is older than max(5 s, 3 intervals), in the desk's order.

    A source that never gave a value is not stale: it has failed, and is among the desk's problems.
    """
    return tuple(state for state in desk.sources if is_stale(state, now))
