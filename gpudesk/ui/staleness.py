"""Saying how old a value is, beside it, once it is too old to pass as current."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.watch.staleness import age_seconds, stale_after_seconds

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import SourceState

FAILED_SECONDS = 2.0
"""Once its source fails, a value is marked from this age on: there is no reason to hope for the next turn."""


def stale_seconds(state: SourceState | None, now: datetime, *, slack: float = 1.0) -> float | None:
    """Return the age of a source's last good value when it is worth telling, otherwise None.

    Args:
        state: the source, None when it has not been heard of.
        now: aware UTC.
        slack: factor on the limit, above 1 while the terminal has no focus and sources are read less often.
    """
    age = None if state is None else age_seconds(state, now)
    if state is None or age is None:
        return None
    limit = FAILED_SECONDS if state.failure is not None else stale_after_seconds(state.interval_seconds) * slack
    return age if age > limit else None
