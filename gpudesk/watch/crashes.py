"""Runners that ended while their engine still lists the model.

Ollama notices that a runner is gone only when the next request for it comes (server/sched.go `needsReload` pings it, at
v0.33.0-rc2), and lists the model until then: it looks loaded and holds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.watch.known_models import ModelKey
from gpudesk.watch.names import CARDS, PROCESSES, engine_source

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk, LoadedModel, SourceState
    from gpudesk.watch.known_models import Models

CERTAIN_AFTER = timedelta(seconds=1)
"""An engine that was asked this long after the process ended and still lists the model did not unload it."""

Vanished = Mapping[ModelKey, tuple[datetime, bool]]
"""Listed models whose processes are gone: when that was first seen, and whether it was told."""


def crashes(models: Models, vanished: Vanished, after: Desk) -> tuple[tuple[Event, ...], Vanished]:
    """Return what is to be told, and what is to be remembered.

    Args:
        models: what is remembered of every model, its processes among it.
        vanished: what was remembered before.
        after: the newest desk.
    """
    if not _seen(after):
        return (), vanished
    events: list[Event] = []
    now: dict[ModelKey, tuple[datetime, bool]] = {}
    alive: set[int] | None = None
    for model in after.models:
        key = (model.engine_url, model.name, model.digest or "")
        was = models.get(key)
        if not model.local or model.pids or was is None or not was.pids:
            continue
        if alive is None:
            alive = _alive(after)
        if any(pid in alive for pid, _ in was.pids):
            continue
        since, told = vanished.get(key, (after.taken_at, False))
        if not told and _asked_since(after, model, since):
            events.append(_crashed(model, after.taken_at))
            told = True
        now[key] = (since, told)
    return tuple(events), now if now != vanished else vanished


def _seen(desk: Desk) -> bool:
    """Tell whether cards and processes were read well: otherwise a process may only be out of sight.

    Where no driver ever answered, every runner that is known was found in the process table itself.
    """
    cards, processes = desk.source(CARDS), desk.source(PROCESSES)
    without_cards = cards is not None and cards.failure is not None and cards.last_value_at is None
    return _is_read(processes) and (without_cards or _is_read(cards))


def _is_read(state: SourceState | None) -> bool:
    return state is not None and state.failure is None and state.last_value_at is not None


def _alive(desk: Desk) -> set[int]:
    alive = {process.pid for card in desk.cards for process in card.card.processes}
    alive.update(process.pid for process in desk.processes if process.exists)
    return alive


def _asked_since(desk: Desk, model: LoadedModel, since: datetime) -> bool:
    state = desk.source(engine_source(model.engine_url))
    if state is None or state.failure is not None or state.last_value_at is None:
        return False
    return state.last_value_at >= since + CERTAIN_AFTER


def _crashed(model: LoadedModel, at: datetime) -> Event:
    message = f"the runner of {model.name} ended, but its engine still lists it: the next request loads it again"
    kind = EventKind.RUNNER_ENDED
    return Event(kind, at, model.name, message, Severity.WARNING, engine_url=model.engine_url)
