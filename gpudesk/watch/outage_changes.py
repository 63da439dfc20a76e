"""Engines, the driver and single cards going away and coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.errors import FailureKind
from gpudesk.watch.names import CARDS, engine_url

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import Desk, SourceState

SILENCE_SECONDS = 10.0
"""An engine that is merely slow is called gone after this: `/api/ps` stalls for seconds while a model is loaded or
unloaded (the scheduler holds its lock meanwhile, ollama server/sched.go:445 at v0.33.0-rc2)."""

DOWN = frozenset({FailureKind.UNREACHABLE, FailureKind.LOST, FailureKind.MISSING})
"""Failures that leave no doubt that nobody is there."""


def outages(after: Desk, gone: frozenset[str]) -> tuple[list[Event], frozenset[str]]:
    """Tell of sources that went away and came back, once per outage.

    One that never answered is not news, its coming is.
    """
    events: list[Event] = []
    for state in after.sources:
        if state.source != CARDS and engine_url(state.source) is None:
            continue
        if state.failure is None:
            if state.source in gone and state.last_value_at is not None:
                gone -= {state.source}
                events.append(_back(state, after))
        elif state.source not in gone:
            if state.last_value_at is None:
                gone |= {state.source}
            elif _is_gone(state, after.taken_at):
                gone |= {state.source}
                events.append(_gone(state, after))
    return events, gone


def _is_gone(state: SourceState, now: datetime) -> bool:
    """Tell whether a failing source is gone, or merely slow or confused for a moment."""
    if state.failure is None or state.last_value_at is None:
        return False
    if state.failure.kind in DOWN or (state.source == CARDS and state.failure.kind is FailureKind.TIMEOUT):
        return True
    return (now - state.last_value_at).total_seconds() >= SILENCE_SECONDS


def _gone(state: SourceState, desk: Desk) -> Event:
    why = state.failure.message if state.failure else ""
    url = engine_url(state.source)
    if url is None:
        return Event(EventKind.DRIVER_GONE, desk.taken_at, "driver", f"the driver is gone: {why}", Severity.ERROR)
    message = f"{url} is gone: {why.removeprefix(url).lstrip()}"
    return Event(EventKind.ENGINE_GONE, desk.taken_at, url, message, Severity.ERROR, engine_url=url)


def _back(state: SourceState, desk: Desk) -> Event:
    url = engine_url(state.source)
    if url is None:
        version = desk.driver.version if desk.driver else None
        return Event(EventKind.DRIVER_BACK, desk.taken_at, "driver", "the driver answers", after=version)
    version = next((engine.version for engine in desk.engines if engine.url == url), None)
    return Event(EventKind.ENGINE_BACK, desk.taken_at, url, f"{url} answers", after=version, engine_url=url)


def versions(before: Desk, after: Desk) -> list[Event]:
    """Tell of engines that answer with another version."""
    known_versions = {engine.url: engine.version for engine in before.engines}
    events: list[Event] = []
    for engine in after.engines:
        old, new = known_versions.get(engine.url), engine.version
        if old and new and old != new:
            message = f"{engine.url} is now version {new}, it was {old}"
            kind = EventKind.ENGINE_UPDATED
            events.append(
                Event(kind, after.taken_at, engine.url, message, before=old, after=new, engine_url=engine.url)
            )
    return events


def cards(before: Desk, after: Desk) -> list[Event]:
    """Tell of single cards that went away and came back while the driver answers."""
    state = before.source(CARDS)
    if (state is None or state.last_value_at is None) and not before.cards:
        return []
    old = {state.card.index: state.card for state in before.cards}
    new = {state.card.index: state.card for state in after.cards}
    events: list[Event] = []
    for index, card in {**old, **new}.items():
        was_well = index in old and old[index].error is None
        is_well = index in new and new[index].error is None
        if was_well == is_well:
            continue
        name = card.name or f"card {index}"
        kind, severity = (EventKind.CARD_BACK, Severity.INFO) if is_well else (EventKind.CARD_GONE, Severity.ERROR)
        why = f": {card.error}" if index in new and card.error is not None else ""
        message = f"{name} is back" if is_well else f"{name} is gone{why}"
        events.append(Event(kind, after.taken_at, name, message, severity, card_index=index))
    return events
