"""The engine's own timer on a loaded model."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from enum import StrEnum

from gpudesk.records import dataclass

FOREVER_THRESHOLD = timedelta(days=20 * 365)
"""An expiry further away than this means "forever": Ollama writes now + 292 years for keep_alive -1, and
its own client draws the line at 20 years (ollama/ollama format/time.go:63 at v0.33.0-rc2)."""


class KeepAliveState(StrEnum):
    """How an engine treats a loaded model when nobody asks anything of it."""

    TIMED = "timed"
    FOREVER = "forever"
    STOPPING = "stopping"
    """The expiry has passed: the engine is unloading it, or a request is still running."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When the engine drops a model by itself."""

    state: KeepAliveState
    expires_at: datetime | None = None
    """Aware UTC on *our* clock (the engine's clock skew is already taken out); None when forever."""

    def remaining_seconds(self, now: datetime) -> float | None:
        """Seconds until the model is dropped; None when forever or unknown, never negative."""
        if self.state is not KeepAliveState.TIMED or self.expires_at is None:
            return None
        return max(0.0, (self.expires_at - now).total_seconds())

    def at(self, now: datetime) -> KeepAlive:
        """Return the same timer as seen at `now`: a timed one whose expiry has passed is stopping."""
        if self.state is KeepAliveState.TIMED and self.expires_at is not None and self.expires_at <= now:
            return KeepAlive(KeepAliveState.STOPPING, self.expires_at)
        return self


@dataclass(frozen=True, slots=True)
class KeepAliveBounds:
    """How long a timer was set for, as far as its moves told: an engine shows only when it ends.

    Ollama evicts by this duration and not by what is left of it (server/sched.go:1664 at v0.33.0-rc2).
    """

    least_seconds: float
    most_seconds: float | None = None
    """None when it was never seen to be set."""


@dataclass(frozen=True, slots=True)
class KeepAliveWish:
    """How long a model shall stay when nobody asks anything of it, as a person wished it."""

    seconds: float | None = None
    """None is forever, 0 unloads it as soon as it is idle."""

    @property
    def wire(self) -> int:
        """What is sent: a JSON number, the one form no Ollama version refuses.

        Strings want a unit and know no days (`"-1"`, `"300"` and `"1d"` are answered with 400), and versions before
        0.11.8 cut fractions off (ollama/ollama api/types.go `Duration.UnmarshalJSON`), so seconds are rounded up.
        """
        return -1 if self.seconds is None else math.ceil(self.seconds)


FOREVER = KeepAliveWish()


def keep_alive_from_expiry(expires_at: datetime | None, now: datetime) -> KeepAlive | None:
    """Read a timer out of an engine's expiry time; both times aware and on the same clock.

    None when there is no usable expiry: a missing field, or the zero time some versions send while the first
    request of a model is still running (year 1).
    """
    if expires_at is None or expires_at.year <= 1:
        return None
    if expires_at - now > FOREVER_THRESHOLD:
        return KeepAlive(KeepAliveState.FOREVER)
    if expires_at <= now:
        return KeepAlive(KeepAliveState.STOPPING, expires_at)
    return KeepAlive(KeepAliveState.TIMED, expires_at)
