"""What keep-alive a model was given, told from the expiry times an engine shows.

An engine shows only when a timer ends, not how long it was set for. Ollama moves the end whenever a request is done,
to that moment plus the duration (server/sched.go:367 at v0.33.0-rc2), so a jump of the end between two looks gives
bounds: the duration is at least what is left at the later look and at most what would have been left at the earlier
one. Two bounds that do not meet are two durations: somebody changed the keep-alive. An end that moves while the
bounds meet is an ordinary request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.keep_alive import KeepAlive

JUMP_SECONDS = 1.5
"""An end that moves less may have moved by rounding alone: a Date header counts whole seconds."""
_SLACK_SECONDS = 3.0
_SLACK_RATIO = 0.05
"""Bounds this close still meet: `5m` and `4m 55s` are the same wish."""
_ROUND_SECONDS = (86400, 3600, 1800, 900, 300, 60, 30, 10, 5)
"""Steps people set timers in, coarsest first."""

FOREVER = "forever"
STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Timer:
    """What is known of a model's keep-alive."""

    state: KeepAliveState | None = None
    """None: the engine has not told yet."""
    expires_at: datetime | None = None
    """None when forever, or when the last look did not show it."""
    least_seconds: float = 0.0
    """The duration is at least this."""
    most_seconds: float | None = None
    """And at most this; None when no end was ever seen to move."""
    asked: bool = False
    """It was forever and now stops: somebody asked for the model to be unloaded."""

    @property
    def text(self) -> str:
        """The keep-alive in words: `forever`, `30m`, `4m or more`."""
        if self.state is KeepAliveState.FOREVER:
            return FOREVER
        if self.most_seconds is not None:
            return span(rounded(self.least_seconds, self.most_seconds))
        if self.least_seconds > 0:
            return f"{span(self.least_seconds)} or more"
        return STOPPING if self.asked else "a timer"

    def left_seconds(self, now: datetime) -> float | None:
        """Seconds until the timer ends, negative after it; None when forever or unknown."""
        if self.state is KeepAliveState.FOREVER or self.expires_at is None:
            return None
        return (self.expires_at - now).total_seconds()


@dataclass(frozen=True, slots=True)
class TimerChange:
    """Somebody set another keep-alive."""

    before: str
    after: str
    is_half_hour: bool = False


def first_look(keep_alive: KeepAlive | None, now: datetime) -> Timer:
    """Return what one look tells: how long the duration is at least."""
    if keep_alive is None:
        return Timer()
    left = 0.0 if keep_alive.expires_at is None else max(0.0, (keep_alive.expires_at - now).total_seconds())
    return Timer(keep_alive.state, keep_alive.expires_at, least_seconds=left)


def next_look(
    timer: Timer, keep_alive: KeepAlive | None, now: datetime, looked_at: datetime | None
) -> tuple[Timer, TimerChange | None]:
    """Compare a further look with what is known.

    An engine that does not tell, as some versions while the first request of a model runs, says nothing new.

    Args:
        timer: what is known.
        keep_alive: what the engine shows now.
        now: when it was asked.
        looked_at: when it was asked before that; an end that moved did so in between.
    """
    if keep_alive is None:
        return (timer if timer.expires_at is None else replace(timer, expires_at=None)), None
    if timer.state is None:
        return first_look(keep_alive, now), None
    if keep_alive.state is KeepAliveState.FOREVER:
        change = None if timer.state is KeepAliveState.FOREVER else TimerChange(timer.text, FOREVER)
        return Timer(KeepAliveState.FOREVER), change
    if keep_alive.state is KeepAliveState.STOPPING:
        if timer.state is KeepAliveState.FOREVER:
            after = Timer(KeepAliveState.STOPPING, keep_alive.expires_at, asked=True)
            return after, TimerChange(FOREVER, STOPPING)
        return replace(timer, state=KeepAliveState.STOPPING), None
    return _timed(timer, keep_alive, now, looked_at)


def _timed(
    timer: Timer, keep_alive: KeepAlive, now: datetime, looked_at: datetime | None
) -> tuple[Timer, TimerChange | None]:
    """Compare a running timer with what is known."""
    fresh = first_look(keep_alive, now)
    if keep_alive.expires_at is None:
        return fresh, None
    if timer.expires_at is not None:
        moved = (keep_alive.expires_at - timer.expires_at).total_seconds()
        if abs(moved) < JUMP_SECONDS:
            return replace(timer, state=KeepAliveState.TIMED, expires_at=keep_alive.expires_at), None
    if looked_at is not None and (timer.expires_at is not None or timer.state is KeepAliveState.FOREVER):
        most = (keep_alive.expires_at - looked_at).total_seconds()
        fresh = replace(fresh, most_seconds=max(most, fresh.least_seconds))
    if timer.state is not KeepAliveState.FOREVER and not timer.asked and _meet(timer, fresh):
        return _narrowed(timer, fresh), None
    return fresh, TimerChange(timer.text, fresh.text, is_half_hour=_may_be(fresh, 1800))


def _meet(timer: Timer, fresh: Timer) -> bool:
    """Tell whether one duration can explain both looks."""
    slack = max(_SLACK_SECONDS, _SLACK_RATIO * fresh.least_seconds)
    below = fresh.most_seconds is not None and fresh.most_seconds + slack < timer.least_seconds
    above = timer.most_seconds is not None and fresh.least_seconds > timer.most_seconds + slack
    return not below and not above


def _narrowed(timer: Timer, fresh: Timer) -> Timer:
    """Return the newest look with the tighter of both bounds, as long as they leave anything."""
    least = max(timer.least_seconds, fresh.least_seconds)
    bounds = [bound for bound in (timer.most_seconds, fresh.most_seconds) if bound is not None]
    most = min(bounds, default=None)
    return fresh if most is not None and least > most else replace(fresh, least_seconds=least, most_seconds=most)


def _may_be(timer: Timer, seconds: float) -> bool:
    """Tell whether the duration may be exactly `seconds`."""
    return timer.most_seconds is not None and timer.least_seconds - 1 <= seconds <= timer.most_seconds + 1


def rounded(least_seconds: float, most_seconds: float) -> float:
    """Return the roundest duration within the bounds, a second of rounding allowed: 299.2 to 301 is 300."""
    for step in _ROUND_SECONDS:
        candidate = (most_seconds + 1) // step * step
        if candidate > 0 and candidate >= least_seconds - 1:
            return candidate
    return float(round(most_seconds))


def span(seconds: float) -> str:
    """Format a duration without empty parts: `30m`, `1h 30m`, `45s`, `2d`."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [f"{amount}{unit}" for amount, unit in ((days, "d"), (hour, "h"), (minute, "m"), (second, "s")) if amount]
    return " ".join(parts[:2]) or "0s"
