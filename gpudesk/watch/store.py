"""Folding readings into desks.

Pure: a `Watched` (the raw samples and the desk made of them) and one reading give the next `Watched`. What follows
from several samples together is computed by `domain.attribution` and only when one of them changed, because this
runs every second; equal samples are therefore kept as the same objects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpudesk.domain import attribution
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.domain.card import Card, CardsSample
from gpudesk.domain.desk import Desk, SourceState
from gpudesk.domain.engine import CatalogSample, DetailsSample, EngineSample
from gpudesk.domain.host import Host
from gpudesk.domain.pin import PinSample
from gpudesk.domain.process import ProcessSample
from gpudesk.watch.alarms import alarm_events, next_alarms
from gpudesk.watch.changes import compare, with_events
from gpudesk.watch.engines import engines_of, forget_gone
from gpudesk.watch.known_models import with_bounds
from gpudesk.watch.pins import pin_events, pin_states, with_pins
from gpudesk.watch.problems import problems_of
from gpudesk.watch.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from gpudesk.domain.attribution import Attribution
    from gpudesk.domain.desk import CardState, LoadedModel
    from gpudesk.domain.model import InstalledModel, ModelDetails
    from gpudesk.domain.process import ServerProcess
    from gpudesk.domain.reading import Reading
    from gpudesk.watch.changes import Memory

EVENT_LIMIT = 200
"""Events the desk keeps; the oldest go first."""

_LATE_SECONDS = 2.0
"""Readings of different threads may arrive this much out of order; more means the wall clock was set back."""

_Kept = TypeVar("_Kept")
_PerEngine = TypeVar("_PerEngine", bound=EngineSample | CatalogSample | DetailsSample)


class Attribute(Protocol):
    """What `domain.attribution.attribute` looks like."""

    def __call__(
        self,
        cards: Sequence[Card],
        engines: Sequence[EngineSample],
        processes: ProcessSample | None,
        details: Sequence[ModelDetails],
    ) -> Attribution:
        """Divide the cards' memory among holders and join the engines' models with it."""
        ...


def initial_desk(now: datetime) -> Desk:
    """Return the desk before anything was read."""
    return Desk(taken_at=now)


def initial(now: datetime, limits: AlarmLimits | None = None, engine_order: tuple[str, ...] = ()) -> Watched:
    """Return the watch before anything was read.

    Args:
        now: the time of the empty desk.
        limits: what alarms tell of.
        engine_order: the engines' addresses as the user ordered them.
    """
    return Watched(initial_desk(now), limits=limits or AlarmLimits(), engine_order=engine_order)


def reduce(
    watched: Watched, reading: Reading, interval_seconds: float = 1.0, *, attribute: Attribute = attribution.attribute
) -> Watched:
    """Fold one reading in.

    A reading whose sequence number is not newer than the last one of its source changes nothing. A failed one keeps
    the last good values; their age shows in the `SourceState`.

    Args:
        watched: everything known so far.
        reading: one look of one source.
        interval_seconds: how often that source is read at present.
        attribute: stands in for `domain.attribution.attribute` in tests.
    """
    before = watched.desk
    state = before.source(reading.source)
    if state is not None and reading.sequence <= state.sequence:
        return watched
    desk = replace(
        before,
        taken_at=_later(before.taken_at, reading.taken_at),
        sources=_with_state(before.sources, _next_state(state, reading, interval_seconds)),
    )
    taken, desk = _with_value(watched, desk, reading)
    taken = replace(taken, engines=_kept_all(taken.engines, forget_gone(taken, desk)))
    cards, models, servers = _attributed(watched, taken, desk, attribute)
    desk = replace(
        desk,
        cards=cards,
        servers=servers,
        models=_kept_all(before.models, with_bounds(with_pins(models, before.pins), watched.memory.models)),
        engines=_kept(before.engines, engines_of(taken, desk)),
        problems=_kept(before.problems, problems_of(taken, desk.sources)),
    )
    comparison = compare(before, desk, watched.memory)
    if comparison.events or comparison.revised:
        desk = replace(desk, events=with_events(desk.events, comparison, EVENT_LIMIT))
    desk = _pinned(before, desk, taken, comparison.memory)
    alarms, alarm_memory = next_alarms(before.alarms, taken.alarm_memory, desk, taken.limits)
    if alarms != before.alarms:
        events = (*desk.events, *alarm_events(before.alarms, alarms, desk.taken_at))[-EVENT_LIMIT:]
        desk = replace(desk, alarms=alarms, events=events)
    return replace(taken, desk=desk, memory=comparison.memory, alarm_memory=alarm_memory)


def _pinned(before: Desk, desk: Desk, taken: Watched, memory: Memory) -> Desk:
    """Return the desk with its pins judged, and with the events of those lost or held again."""
    if taken.pins is None:
        return desk
    crashed = [(url, name) for (url, name, _), (_, told) in memory.vanished.items() if told]
    states = _kept_all(before.pins, pin_states(before.pins, taken.pins.wishes, desk, crashed, memory.left))
    if states is before.pins:
        return desk
    events = (*desk.events, *pin_events(before.pins, states, desk.taken_at))[-EVENT_LIMIT:]
    return replace(desk, pins=states, models=with_pins(desk.models, states), events=events)


def _later(known: datetime, taken_at: datetime) -> datetime:
    """Return the desk's time after a reading; it goes back only when the clock was set back."""
    return known if 0 < (known - taken_at).total_seconds() < _LATE_SECONDS else taken_at


def _next_state(state: SourceState | None, reading: Reading, interval_seconds: float) -> SourceState:
    """Return how a source is doing after a reading."""
    return SourceState(
        source=reading.source,
        sequence=reading.sequence,
        last_taken_at=reading.taken_at,
        last_value_at=reading.taken_at if reading.failure is None else (state.last_value_at if state else None),
        failure=reading.failure,
        interval_seconds=interval_seconds,
    )


def _with_state(states: tuple[SourceState, ...], state: SourceState) -> tuple[SourceState, ...]:
    """Put one state in its place; sorted by name, so that the order does not hang on who answered first."""
    for position, known in enumerate(states):
        if known.source == state.source:
            return (*states[:position], state, *states[position + 1 :])
    return tuple(sorted((*states, state), key=lambda each: each.source))


def _with_value(watched: Watched, desk: Desk, reading: Reading) -> tuple[Watched, Desk]:
    """File the sample of a good reading, and what the desk shows of it as it is."""
    value = reading.value
    if reading.failure is not None or value is None:
        return watched, desk
    match value:
        case CardsSample():
            by_index = {card.index: card for card in reversed(value.cards)}
            cards = tuple(_kept_card(watched.cards, by_index[index]) for index in sorted(by_index))
            desk = replace(desk, driver=_kept(desk.driver, value.driver))
            watched = replace(watched, cards=_kept_all(watched.cards, cards))
        case ProcessSample():
            sample = value if watched.processes is None else _kept(watched.processes, value)
            watched = replace(watched, processes=sample)
            desk = replace(desk, processes=sample.processes)
        case PinSample():
            watched = replace(watched, pins=value if watched.pins is None else _kept(watched.pins, value))
        case Host():
            desk = replace(desk, host=_kept(desk.host, value))
        case EngineSample():
            watched = replace(watched, engines=_with_engine(watched.engines, value))
        case CatalogSample():
            watched = replace(watched, catalogs=_with_sample(watched.catalogs, value))
            desk = replace(desk, installed=_kept_all(desk.installed, _installed(watched.catalogs)))
        case DetailsSample():
            watched = replace(watched, details=_with_sample(watched.details, value))
            desk = replace(desk, details=_kept_all(desk.details, _details(watched.details)))
    return watched, desk


def _with_engine(samples: tuple[EngineSample, ...], sample: EngineSample) -> tuple[EngineSample, ...]:
    """File what an engine said; its models stay the same objects when only its clock drifted."""
    for known in samples:
        if known.url == sample.url and known.models == sample.models:
            sample = replace(sample, models=known.models)
    return _with_sample(samples, sample)


def _with_sample(samples: tuple[_PerEngine, ...], sample: _PerEngine) -> tuple[_PerEngine, ...]:
    """Put the sample of one engine in its place."""
    for position, known in enumerate(samples):
        if known.url == sample.url:
            return (*samples[:position], _kept(known, sample), *samples[position + 1 :])
    return tuple(sorted((*samples, sample), key=lambda each: each.url))


def _installed(catalogs: tuple[CatalogSample, ...]) -> tuple[InstalledModel, ...]:
    return tuple(model for catalog in catalogs for model in catalog.installed)


def _details(samples: tuple[DetailsSample, ...]) -> tuple[ModelDetails, ...]:
    """Join what all engines told; one digest is one model wherever it lives."""
    return tuple({detail.digest: detail for sample in samples for detail in sample.details}.values())


def _attributed(
    before: Watched, after: Watched, desk: Desk, attribute: Attribute
) -> tuple[tuple[CardState, ...], tuple[LoadedModel, ...], tuple[ServerProcess, ...]]:
    """Return cards, models and servers, divided anew only if something changed that they depend on."""
    if _same_input(before, after):
        return _with_figures(desk.cards, after.cards), _at(desk.models, desk.taken_at), desk.servers
    divided = attribute(after.cards, after.engines, after.processes, desk.details)
    return (
        _kept_all(desk.cards, divided.cards),
        _kept_all(desk.models, _at(divided.models, desk.taken_at)),
        _kept_all(desk.servers, divided.servers),
    )


def _same_input(before: Watched, after: Watched) -> bool:
    """Tell whether everything that attribution looks at is unchanged."""
    return (
        before.processes is after.processes
        and before.details is after.details
        and (before.engines is after.engines or _same_engines(before.engines, after.engines))
        and (before.cards is after.cards or _same_memory(before.cards, after.cards))
    )


def _same_engines(before: tuple[EngineSample, ...], after: tuple[EngineSample, ...]) -> bool:
    return len(before) == len(after) and all(
        one.models is other.models and (one.url, one.version, one.local) == (other.url, other.version, other.local)
        for one, other in zip(before, after, strict=True)
    )


def _same_memory(before: tuple[Card, ...], after: tuple[Card, ...]) -> bool:
    return len(before) == len(after) and all(
        one is other or one == _with_figures_of(other, one) for one, other in zip(before, after, strict=True)
    )


def _with_figures_of(card: Card, other: Card) -> Card:
    """Return `card` with the figures of `other` that have nothing to do with memory."""
    return replace(
        card,
        utilization_ratio=other.utilization_ratio,
        temperature_celsius=other.temperature_celsius,
        temperature_limit_celsius=other.temperature_limit_celsius,
        power_draw_watts=other.power_draw_watts,
        power_limit_watts=other.power_limit_watts,
        graphics_clock_megahertz=other.graphics_clock_megahertz,
        memory_clock_megahertz=other.memory_clock_megahertz,
        fan_ratio=other.fan_ratio,
        problems=other.problems,
    )


def _with_figures(states: tuple[CardState, ...], cards: tuple[Card, ...]) -> tuple[CardState, ...]:
    """Return the divided cards with their newest utilization, temperature, power and clocks."""
    by_index = {card.index: card for card in cards}
    newest = [by_index.get(state.card.index, state.card) for state in states]
    if all(state.card is card for state, card in zip(states, newest, strict=True)):
        return states
    return tuple(
        state if state.card is card else replace(state, card=card) for state, card in zip(states, newest, strict=True)
    )


def _at(models: tuple[LoadedModel, ...], now: datetime) -> tuple[LoadedModel, ...]:
    """Return the models with their timers as of `now`: one whose time is up is stopping."""
    seen = [model.keep_alive.at(now) if model.keep_alive is not None else None for model in models]
    if all(model.keep_alive is timer for model, timer in zip(models, seen, strict=True)):
        return models
    return tuple(
        model if model.keep_alive is timer else replace(model, keep_alive=timer)
        for model, timer in zip(models, seen, strict=True)
    )


def _kept_card(cards: tuple[Card, ...], card: Card) -> Card:
    """Return a card that shares its process list with the last reading when that list is unchanged."""
    for known in cards:
        if known.index == card.index:
            if known.processes is not card.processes and known.processes == card.processes:
                card = replace(card, processes=known.processes)
            return _kept(known, card)
    return card


def _kept(known: _Kept, new: _Kept) -> _Kept:
    """Return the object already known when the new one says the same."""
    return known if known == new else new


def _kept_all(known: tuple[_Kept, ...], new: tuple[_Kept, ...]) -> tuple[_Kept, ...]:
    """Return the tuple already known when all its items are equal."""
    return known if known == new else new
