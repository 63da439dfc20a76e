"""What happened between two desks.

Pure. What was there at the first look is not news. Some things are understood only later: that a model left early
because another was to come, or that it was gone only to be loaded anew. The event of its leaving is then replaced,
so that one happening is one line.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from gpudesk.records import dataclass
from gpudesk.watch.crashes import Vanished, crashes
from gpudesk.watch.known_models import Left, Models, known, models_of
from gpudesk.watch.memory_changes import Claims, memory_changes
from gpudesk.watch.model_changes import RELOAD_WINDOW, EngineRound, looked_at, update_ending
from gpudesk.watch.outage_changes import cards, outages, versions
from gpudesk.watch.restarts import Lives, next_lives, restarted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event


@dataclass(frozen=True, slots=True)
class Memory:
    """What two desks alone do not tell."""

    models: Models = field(default_factory=dict)
    """Every model believed to be loaded, those of silent engines included."""
    left: Left = field(default_factory=dict)
    """Models that left early a moment ago and may be back."""
    gone: frozenset[str] = frozenset()
    """Sources whose outage was told."""
    claims: Claims = field(default_factory=dict)
    """What other processes hold, as last told."""
    vanished: Vanished = field(default_factory=dict)
    """Listed models whose processes are gone."""
    lives: Lives = field(default_factory=dict)
    """The engines' servers."""
    waiting: bool = False
    """Something about a model is told when its engine has been asked again."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What follows from two desks."""

    memory: Memory
    events: tuple[Event, ...] = ()
    """New ones, in the order in which they are told."""
    revised: Mapping[Event, Event | None] = field(default_factory=dict)
    """Earlier events that are now understood better, or (None) were part of what is told now."""


def changes(before: Desk, after: Desk) -> tuple[Event, ...]:
    """Return what happened between two desks, as far as they tell by themselves.

    The store remembers more than one desk and uses `compare`.
    """
    return compare(before, after, remember(before)).events


def remember(desk: Desk) -> Memory:
    """Return the memory of somebody who saw this desk and nothing before."""
    blank = replace(desk, cards=(), models=(), engines=(), sources=())
    gone = frozenset(state.source for state in desk.sources if state.failure is not None)
    _, claims = memory_changes({}, blank, desk)
    models = {
        key: known(model, desk, looked_at(desk, url))
        for url in {model.engine_url for model in desk.models}
        for key, model in models_of(desk, url).items()
    }
    return Memory(models=models, gone=gone, claims=claims, lives=next_lives({}, blank, desk))


def with_events(events: tuple[Event, ...], comparison: Comparison, limit: int) -> tuple[Event, ...]:
    """Return the event list with what is new, what is now understood better, and at most `limit` of them."""
    revised = comparison.revised
    if revised:
        better = (revised.get(event, event) for event in events)
        events = tuple(event for event in better if event is not None)
    return (*events, *comparison.events)[-limit:]


def news(told: tuple[Event, ...], events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return what has to be told to somebody who was told `told` before and goes on telling line by line.

    An event that replaced an earlier one is news. The last one told may be gone, so it cannot serve as a mark.
    """
    if events is told:
        return ()
    known = set(told)
    return tuple(event for event in events if event not in known)


def compare(before: Desk, after: Desk, memory: Memory) -> Comparison:
    """Return what happened between two desks, given what is remembered of those before."""
    events: list[Event] = []
    lives = next_lives(memory.lives, before, after)
    if lives is not memory.lives:
        events.extend(restarted(memory.lives, lives, memory.gone, after.taken_at))
    server_news = lives is not memory.lives
    memory = replace(memory, lives=lives) if server_news else memory
    if before.sources is not after.sources:
        told, gone = outages(after, memory.gone)
        events.extend(told)
        if gone != memory.gone:
            memory = replace(memory, gone=gone)
    updated: list[Event] = []
    if before.engines is not after.engines:
        updated = versions(before, after)
        events.extend(updated)
    if before.cards is not after.cards:
        events.extend(cards(before, after))
    revised: dict[Event, Event | None] = {}
    changed = before.models is not after.models or server_news or updated or memory.waiting
    if changed or _answers_again(before, after):
        told, memory, revised = _models(before, after, memory, {event.engine_url for event in updated})
        events.extend(told)
    if _unsettled(memory.claims) or not _same_processes(before, after):
        taken, claims = memory_changes(memory.claims, before, after)
        events.extend(taken)
        memory = replace(memory, claims=claims)
    if memory.models and (memory.vanished or before.models is not after.models):
        ended, vanished = crashes(memory.models, memory.vanished, after)
        events.extend(ended)
        if vanished is not memory.vanished:
            memory = replace(memory, vanished=vanished)
    return Comparison(memory, tuple(events), revised)


def _answers_again(before: Desk, after: Desk) -> bool:
    """Tell whether an engine is back: what it had loaded may have been dropped from the desk meanwhile."""
    if before.engines is after.engines:
        return False
    away = {engine.url for engine in before.engines if not engine.reachable}
    return any(engine.reachable and engine.url in away for engine in after.engines)


def _unsettled(claims: Claims) -> bool:
    return any(claim.differs_since is not None for claim in claims.values())


def _same_processes(before: Desk, after: Desk) -> bool:
    """Tell whether nothing is new about who is on which card."""
    return before.processes is after.processes and (
        before.cards is after.cards
        or (
            len(before.cards) == len(after.cards)
            and all(
                one.card.processes is other.card.processes and one.card.error == other.card.error
                for one, other in zip(before.cards, after.cards, strict=True)
            )
        )
    )


def _remembered(memory: Memory, url: str) -> bool:
    return any(key[0] == url for key in memory.models)


def _models(
    before: Desk, after: Desk, memory: Memory, updated: set[str | None]
) -> tuple[list[Event], Memory, dict[Event, Event | None]]:
    """Compare the models of every engine; `updated` answer with another version than before."""
    events: list[Event] = []
    revised: dict[Event, Event | None] = {}
    models = dict(memory.models)
    left = {key: value for key, value in memory.left.items() if after.taken_at - value[1].at <= RELOAD_WINDOW}
    urls = {model.engine_url: None for desk in (before, after) for model in desk.models}
    urls.update((engine.url, None) for engine in after.engines if engine.reachable and _remembered(memory, engine.url))
    urls.update((url, None) for url, _, _ in left)
    waiting = False
    for url in urls:
        life = memory.lives.get(url)
        ending = life.ending if life is not None else None
        if url in updated and ending is None:
            ending = update_ending(url, before, after, left)
        comparing = EngineRound(url, before, after, models, left, revised, events, ending)
        comparing.compare()
        waiting = waiting or comparing.waits
    return events, replace(memory, models=models, left=left, waiting=waiting), revised
