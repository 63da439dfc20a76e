"""What goes on that nobody says: derived from the desk and its events, pure.

An alarm begins when its condition has held for a while and ends when it is clearly over, so that a figure that hovers
around a limit is one alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.alarm import Alarm, AlarmKind, AlarmLimits
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.serving import may_be_watched
from gpudesk.records import dataclass, replace
from gpudesk.units import gibibytes, percent
from gpudesk.watch.known_models import is_spilled
from gpudesk.watch.timers import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpudesk.domain.desk import CardState, Desk
    from gpudesk.domain.process import Process, Runner

AlarmKey = tuple[str, str, str]

HOLDS_SECONDS = {
    AlarmKind.SPILLED: 3.0,
    AlarmKind.LOW_MEMORY: 5.0,
    AlarmKind.HOT_CARD: 10.0,
    AlarmKind.STUCK_LOAD: 0.0,
    AlarmKind.LEFT_BEHIND: 10.0,
    AlarmKind.PING_PONG: 0.0,
    AlarmKind.THRASH: 0.0,
}
"""How long a condition must hold: a load passes through states that look alarming."""
OVER_RATIO = 1.1
"""Free memory must be this much above its limit for that alarm to end."""
COOL_CELSIUS = 3.0
"""And a card this much below its own."""

PING_PONG_WINDOW = timedelta(minutes=5)
PING_PONG_RELOADS = 3
THRASH_WINDOW = timedelta(minutes=10)
THRASH_LOSSES = 3
"""Losses of one pin, or of evictions of one model, within the window."""
STUCK_SECONDS = 300.0
"""A runner whose model is still not listed after this is stuck: Ollama itself gives up a load that shows no progress
for five minutes (OLLAMA_LOAD_TIMEOUT, envconfig/config.go at v0.33.0-rc2)."""
UNLOAD_SECONDS = 60.0
"""A runner that is still there so long after its model was unloaded will not go by itself."""

_ALL_ON_CPU = "make room and load it again; if there is room, its engine does not see the card: look at its log"


Unlisted = Mapping[int, tuple[datetime, bool]]
"""Runners whose model no engine lists, by pid: when that was first seen, and whether it had been listed before."""


@dataclass(frozen=True, slots=True)
class AlarmMemory:
    """Conditions that hold but not yet long enough, by when they began."""

    pending: Mapping[AlarmKey, datetime] = field(default_factory=dict)
    listed: frozenset[int] = frozenset()
    """Processes that held a listed model when last looked."""
    unlisted: Unlisted = field(default_factory=dict)


def next_alarms(
    known: Sequence[Alarm], memory: AlarmMemory, desk: Desk, limits: AlarmLimits
) -> tuple[tuple[Alarm, ...], AlarmMemory]:
    """Return the alarms that go on at this desk.

    Args:
        known: those that went on before.
        memory: what was about to become one.
        desk: the newest desk, its pins and events included.
        limits: what the user wants to be told about.
    """
    if not limits.enabled:
        return (), AlarmMemory()
    before = {alarm.key: alarm for alarm in known}
    listed = frozenset(pid for model in desk.models for pid in model.pids)
    unlisted = _unlisted(memory, desk, listed)
    found = {alarm.key: alarm for alarm in _found(desk, limits, before, unlisted)}
    pending: dict[AlarmKey, datetime] = {}
    going: list[Alarm] = []
    for key, alarm in found.items():
        was = before.get(key)
        began = memory.pending.get(key, desk.taken_at)
        if was is not None:
            same = replace(alarm, since=was.since)
            going.append(was if was == same else same)
        elif (desk.taken_at - began).total_seconds() >= HOLDS_SECONDS[alarm.kind]:
            going.append(replace(alarm, since=began))
        else:
            pending[key] = began
    now = AlarmMemory(pending, listed, unlisted)
    return tuple(going), memory if now == memory else now


def alarm_events(before: Sequence[Alarm], after: Sequence[Alarm], at: datetime) -> tuple[Event, ...]:
    """Tell of alarms that began. A model that spilled has its own event already."""
    known = {alarm.key for alarm in before}
    return tuple(
        Event(
            EventKind.ALARM,
            at,
            alarm.subject,
            f"{alarm.message}; {alarm.advice}",
            Severity.WARNING,
            engine_url=alarm.engine_url,
            card_index=alarm.card_index,
        )
        for alarm in after
        if alarm.key not in known and alarm.kind is not AlarmKind.SPILLED
    )


def _found(desk: Desk, limits: AlarmLimits, before: Mapping[AlarmKey, Alarm], unlisted: Unlisted) -> Iterator[Alarm]:
    for card in desk.cards:
        yield from _low_memory(card, desk, limits, before)
        yield from _hot(card, desk, before)
    yield from _spilled(desk)
    yield from _ping_pong(desk)
    yield from _thrash(desk)
    yield from _stuck(desk, unlisted)


def _name(card: CardState, desk: Desk) -> str:
    name = card.card.name or "card"
    return f"{name} {card.card.index}" if len(desk.cards) > 1 or not card.card.name else name


def _low_memory(state: CardState, desk: Desk, limits: AlarmLimits, before: Mapping[AlarmKey, Alarm]) -> Iterator[Alarm]:
    free, card = state.free_bytes, state.card
    if free is None or not limits.free_memory_bytes or card.asleep or card.error is not None:
        return
    name = _name(state, desk)
    limit = limits.free_memory_bytes
    if (AlarmKind.LOW_MEMORY.value, "", name) in before:
        limit = round(limit * OVER_RATIO)
    if free >= limit or (card.memory_total_bytes or 0) <= 2 * limits.free_memory_bytes:
        return
    message = f"{gibibytes(free)} free on {name}, less than {gibibytes(limits.free_memory_bytes)}"
    advice = "unload a model, or set alarms.free_memory lower"
    yield Alarm(AlarmKind.LOW_MEMORY, name, message, advice, desk.taken_at, card_index=card.index)


def _hot(state: CardState, desk: Desk, before: Mapping[AlarmKey, Alarm]) -> Iterator[Alarm]:
    card = state.card
    if card.temperature_celsius is None or card.temperature_limit_celsius is None or card.error is not None:
        return
    name = _name(state, desk)
    going_on = (AlarmKind.HOT_CARD.value, "", name) in before
    if card.temperature_celsius < card.temperature_limit_celsius - (COOL_CELSIUS if going_on else 0.0):
        return
    message = f"{name} is at {card.temperature_celsius:.0f} °C, where it slows itself down"
    advice = "look at its fans and the air around it"
    yield Alarm(AlarmKind.HOT_CARD, name, message, advice, desk.taken_at, card_index=card.index)


def _spilled(desk: Desk) -> Iterator[Alarm]:
    for model in desk.models:
        if model.local and is_spilled(model, desk):
            message = f"{model.name} runs {percent(model.cpu_ratio)} on the CPU"
            advice = _ALL_ON_CPU if model.cpu_ratio == 1.0 else "make room and load it again, or give it less context"
            yield Alarm(AlarmKind.SPILLED, model.name, message, advice, desk.taken_at, model.engine_url)


def _recent(desk: Desk, kinds: frozenset[EventKind], window: timedelta) -> dict[tuple[str, str], list[Event]]:
    """Return the events of some kinds within a window, by engine and model, newest first."""
    found: dict[tuple[str, str], list[Event]] = {}
    for event in reversed(desk.events):
        if desk.taken_at - event.at > window:
            break
        if event.kind in kinds and event.engine_url is not None:
            found.setdefault((event.engine_url, event.subject), []).append(event)
    return found


def _ping_pong(desk: Desk) -> Iterator[Alarm]:
    for (url, name), events in _recent(desk, frozenset({EventKind.RELOADED}), PING_PONG_WINDOW).items():
        contexts = [context for event in events for context in (_context(event.before), _context(event.after))]
        values = sorted({int(context) for context in contexts if context is not None})
        reloads = sum(_context(event.after) is not None for event in events)
        if reloads < PING_PONG_RELOADS or len(values) < 2:
            continue
        both = " and ".join(str(value) for value in values)
        message = f"{name} was loaded again {reloads} times in {span(PING_PONG_WINDOW.total_seconds())}"
        yield Alarm(
            AlarmKind.PING_PONG,
            name,
            f"{message}: clients ask for contexts {both}",
            f"give every client the same context, or derive a model with it: gpudesk derive {name} --ctx {values[-1]}",
            desk.taken_at,
            url,
        )


def _context(text: str | None) -> str | None:
    """Return the context out of the settings of a reload: `context 4096, 1 slot` has 4096."""
    for part in (text or "").split(", "):
        if part.startswith("context "):
            number = part.removeprefix("context ")
            return number if number.isdecimal() else None
    return None


def _thrash(desk: Desk) -> Iterator[Alarm]:
    told = set()
    for state in desk.pins:
        if len(state.losses) >= THRASH_LOSSES:
            name, url = state.wish.name, state.wish.engine_url
            told.add((url, name))
            causes = "; ".join(dict.fromkeys(reason for _, reason in state.loss_causes)) or "held now"
            message = f"the pin of {name} was lost {len(state.losses)} times in ten minutes: {causes}"
            advice = "it is not put right any more; change what asks for it (keep-alive, context), or unpin it"
            yield Alarm(AlarmKind.THRASH, name, message, advice, desk.taken_at, url)
    for (url, name), events in _recent(desk, frozenset({EventKind.EVICTED}), THRASH_WINDOW).items():
        if len(events) < THRASH_LOSSES or (url, name) in told:
            continue
        others = ", ".join(dict.fromkeys(event.after for event in events if event.after))
        message = f"{name} was evicted {len(events)} times in ten minutes for {others}"
        advice = f"they do not fit together: plan them with `f`, or gpudesk fit {name} {others.replace(', ', ' ')}"
        yield Alarm(AlarmKind.THRASH, name, message, advice, desk.taken_at, url)


def _unlisted(memory: AlarmMemory, desk: Desk, listed: frozenset[int]) -> Unlisted:
    """Return the runners that hold no listed model."""
    return {
        process.pid: memory.unlisted.get(process.pid) or (desk.taken_at, process.pid in memory.listed)
        for process in desk.processes
        if process.runner is not None and process.exists and process.pid not in listed
    }


def _stuck(desk: Desk, unlisted: Unlisted) -> Iterator[Alarm]:
    elsewhere = {server.pid for server in desk.servers if server.listens is not None and not server.engine_urls}
    for process in desk.processes:
        runner = process.runner
        if runner is None or runner.blob_digest is None or process.pid not in unlisted:
            continue
        if process.orphaned:
            yield _left_behind(process, runner, desk)
            continue
        if process.started_at is None or process.parent_pid in elsewhere:
            continue
        if not may_be_watched(process, desk.servers, desk.engines):
            continue
        since, was_listed = unlisted[process.pid]
        if was_listed:
            yield from _still_there(process, runner, desk, (desk.taken_at - since).total_seconds())
            continue
        seconds = (desk.taken_at - process.started_at).total_seconds()
        if seconds >= STUCK_SECONDS:
            name = runner.model_name or f"process {process.pid}"
            message = f"{name} has been loading for {span(seconds)} and is still not listed"
            advice = "look at the engine's log; ending the request that asked for it ends the load"
            yield Alarm(AlarmKind.STUCK_LOAD, name, message, advice, desk.taken_at)


def _still_there(process: Process, runner: Runner, desk: Desk, seconds: float) -> Iterator[Alarm]:
    """Tell of a runner that was not ended with its model."""
    if seconds >= UNLOAD_SECONDS:
        name = runner.model_name or f"process {process.pid}"
        message = f"{name} was unloaded {span(seconds)} ago, and its runner is still there"
        yield Alarm(AlarmKind.LEFT_BEHIND, name, message, f"end it: kill {process.pid}", desk.taken_at)


def _left_behind(process: Process, runner: Runner, desk: Desk) -> Alarm:
    """Tell of a runner whose server ended: one that ends in order takes its runners with it, a killed one cannot."""
    name = runner.model_name or f"process {process.pid}"
    held = sum(
        entry.memory_bytes or 0 for state in desk.cards for entry in state.card.processes if entry.pid == process.pid
    )
    on_host = not held and process.memory_resident_bytes
    size = gibibytes(process.memory_resident_bytes if on_host else held)
    where = " of host memory" if on_host else ""
    message = f"the runner of {name} was left behind by a server that ended, and holds {size}{where}"
    return Alarm(AlarmKind.LEFT_BEHIND, name, message, f"end it: kill {process.pid}", desk.taken_at)
