"""What is remembered of a loaded model from one desk to the next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event
from gpudesk.domain.keep_alive import KeepAliveBounds, KeepAliveState
from gpudesk.records import dataclass, replace
from gpudesk.watch.timers import Timer, first_look, span

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk, LoadedModel

SPILL_RATIO = 0.01
"""Below this the CPU share is rounding."""

SLACK_SECONDS = 3.0
"""A model may leave this much before its time without anybody having asked: the polls are that far apart."""

ModelKey = tuple[str, str, str]
"""Engine, name, digest."""
Pids = frozenset[tuple[int, datetime | None]]


@dataclass(frozen=True, slots=True)
class Known:
    """A model as it was when last told of."""

    name: str
    since: datetime
    """When it was loaded, as far as was seen."""
    timer: Timer
    context_length: int | None = None
    parallel: int | None = None
    kv_cache_type: str | None = None
    pids: Pids = frozenset()
    spilled: bool = False
    dismissed_at: datetime | None = None
    """When gpudesk last asked it to go."""

    def left_text(self, now: datetime) -> str | None:
        """What was left of its keep-alive, in words; None when its time was up or nobody knows."""
        if self.timer.state is KeepAliveState.FOREVER:
            return "forever"
        left = self.timer.left_seconds(now)
        early = self.timer.state is KeepAliveState.TIMED and left is not None and left > SLACK_SECONDS
        return span(left) if early and left is not None else None

    def is_over(self, now: datetime) -> bool:
        """Tell whether its time was up, or somebody had asked it to stop."""
        return self.timer.state is not None and self.left_text(now) is None


Models = Mapping[ModelKey, Known]
Left = Mapping[ModelKey, tuple[Known, Event]]
"""Models that left early, each with the event that told so."""


def models_of(desk: Desk, url: str) -> dict[ModelKey, LoadedModel]:
    """Return the models of one engine; of rows that say the same the first."""
    found: dict[ModelKey, LoadedModel] = {}
    for model in desk.models:
        if model.engine_url == url:
            found.setdefault((url, model.name, model.digest or ""), model)
    return found


def with_bounds(models: tuple[LoadedModel, ...], remembered: Models) -> tuple[LoadedModel, ...]:
    """Return the models with what is known of how long their timers were set for; the same ones where it is there."""
    found = [_bounds(model, remembered) for model in models]
    return tuple(
        model if model.keep_alive_bounds == bounds else replace(model, keep_alive_bounds=bounds)
        for model, bounds in zip(models, found, strict=True)
    )


def _bounds(model: LoadedModel, remembered: Models) -> KeepAliveBounds | None:
    if model.keep_alive is None or model.keep_alive.state is not KeepAliveState.TIMED:
        return None
    found = remembered.get((model.engine_url, model.name, model.digest or ""))
    if found is None or found.timer.state is not KeepAliveState.TIMED:
        return None
    return KeepAliveBounds(found.timer.least_seconds, found.timer.most_seconds)


def known(model: LoadedModel, desk: Desk, looked_at: datetime) -> Known:
    """Return what is remembered of a model seen for the first time."""
    return Known(
        name=model.name,
        since=desk.taken_at,
        timer=first_look(model.keep_alive, looked_at),
        context_length=model.context_length,
        parallel=model.parallel,
        kv_cache_type=model.kv_cache_type,
        pids=pids_of(model, desk),
        spilled=is_spilled(model, desk),
    )


def pids_of(model: LoadedModel, desk: Desk) -> Pids:
    """Return the processes of a model, each with its start, because pids are used again."""
    if not model.pids:
        return frozenset()
    started = {process.pid: process.started_at for process in desk.processes if process.pid in model.pids}
    return frozenset((pid, started.get(pid)) for pid in model.pids)


def is_spilled(model: LoadedModel, desk: Desk) -> bool:
    """Tell whether part of a model runs on the CPU although there is a card it could be on."""
    if model.cpu_ratio is None or model.cpu_ratio <= SPILL_RATIO:
        return False
    return bool(desk.cards) or not model.local


def other_process(was: Pids, now: Pids) -> bool:
    """Tell whether none of the processes is one of before; a start that is not known could be any."""
    if not was or not now:
        return False
    return not any(
        pid == other and (started is None or other_started is None or started == other_started)
        for pid, started in was
        for other, other_started in now
    )


def differences(was: Known, now: Known) -> list[tuple[str, str]]:
    """Return the settings that are known both times and differ, in words, before and after."""
    pairs = (
        (_context(was.context_length), _context(now.context_length)),
        (_slots(was.parallel), _slots(now.parallel)),
        (was.kv_cache_type and f"KV {was.kv_cache_type}", now.kv_cache_type and f"KV {now.kv_cache_type}"),
    )
    return [(before, after) for before, after in pairs if before and after and before != after]


def _context(length: int | None) -> str | None:
    return None if length is None else f"context {length}"


def _slots(parallel: int | None) -> str | None:
    return None if parallel is None else f"{parallel} slot" if parallel == 1 else f"{parallel} slots"
