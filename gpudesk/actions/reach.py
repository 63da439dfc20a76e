"""From what is loaded to what shall be: the steps between, for one model or for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from gpudesk.actions.lookup import is_pinned, loaded_as, loaded_now, runners
from gpudesk.actions.planned_steps import leave, total_seconds
from gpudesk.actions.ports import Forecast, Forecaster
from gpudesk.actions.refusals import cannot_fit, cannot_tell, pins_in_the_way, staying
from gpudesk.actions.room import GOOD, Room, is_good, room_for
from gpudesk.actions.room_words import may_go, why_room
from gpudesk.actions.values import ActionId, Danger, Load, Preview, Refusal, Step, StepKind
from gpudesk.actions.wishes import Need, named, need_of, refusal_of, silent_engine, trained_context
from gpudesk.actions.wording import described, enumerated, shared, waiting
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Aim:
    """What shall be."""

    action: ActionId
    subject: str
    wanted: tuple[Load, ...] = ()
    leaving: tuple[LoadedModel, ...] = ()
    """What goes in any case."""
    named: bool = True
    """The user named those in `leaving`: an idle one without a pin goes without being asked about."""
    others_may_leave: bool = True
    whole: bool = False
    """Refused where something would stay on the CPU."""
    restore_pin: bool | None = None
    notes: tuple[str, ...] = ()
    whys: dict[str, str] = field(default_factory=dict)
    """Why each in `leaving` goes, by key."""


def reach(desk: Desk, aim: Aim, forecaster: Forecaster) -> Preview:
    """Return the steps to what shall be, or why there are none to it."""
    urls = {load.engine_url for load in aim.wanted} | {model.engine_url for model in aim.leaving}
    blank = Preview(aim.action, aim.subject, before=loaded_now(desk, urls))
    refusal = next((found for wish in aim.wanted if (found := refusal_of(desk, wish)) is not None), None)
    refusal = refusal or silent_engine(desk, aim.leaving)
    if refusal is not None:
        return replace(blank, refusal=refusal)
    aim = replace(aim, wanted=tuple(named(desk, wish) for wish in aim.wanted))
    needs, conflict = _needs(desk, aim, forecaster)
    if conflict is not None:
        return replace(blank, refusal=conflict)
    stay = {need.there.key for need in needs if need.there is not None}
    leaving = [model for model in runners(aim.leaving) if model.key not in stay]
    loads, room = _room(desk, aim, needs, leaving, forecaster)
    refusal = _refusal(desk, aim, needs, room, forecaster)
    if refusal is not None:
        told = replace(blank, refusal=refusal, verdict=room.forecast.verdict, needs_bytes=room.forecast.needs_bytes)
        return replace(told, notes=_told(desk, needs, room))
    return _preview(desk, aim, blank, needs, loads, room, forecaster)


def _needs(desk: Desk, aim: Aim, forecaster: Forecaster) -> tuple[list[Need], Refusal | None]:
    """Compare every wish with what is there; two names of one runner cannot have two contexts."""
    fresh = [load for load in aim.wanted if loaded_as(desk, load) is None]
    same = dict(forecaster.forecast(desk, fresh).same_weights) if fresh else {}
    there_by_name = {(model.engine_url, model.name): model for model in runners(desk.models)}
    needs: list[Need] = []
    by_runner: dict[str, Need] = {}
    for wanted in aim.wanted:
        there = loaded_as(desk, wanted) or there_by_name.get((wanted.engine_url, same.get(wanted.name, "")))
        wish = _as_the_engine_takes_it(desk, wanted, there, forecaster)
        need = need_of(desk, wish, restore_pin=aim.restore_pin, same_weights=there)
        name = need.there.name if need.there is not None else same.get(wish.name, wish.name)
        other = by_runner.get(f"{wish.engine_url} {name}")
        if other is None:
            by_runner[f"{wish.engine_url} {name}"] = need
            needs.append(need)
        elif other.load.context_length != need.load.context_length:
            contexts = f"contexts {other.load.context_length} and {need.load.context_length}"
            both = enumerated([other.load.name, wish.name])
            return needs, Refusal(f"{both}: one runner cannot have {contexts}", "Wish for one context")
    return needs, None


def _as_the_engine_takes_it(desk: Desk, wish: Load, there: LoadedModel | None, forecaster: Forecaster) -> Load:
    """Fill in the context that a wish comes to, where the model's header has to tell it.

    Another name of the runner that is loaded may have another context baked in, and the engine limits a context to
    what the model was trained for.
    """
    other_name = there is not None and there.name.casefold() != wish.name.casefold()
    if there is not None and wish.context_length is not None and there.context_length == wish.context_length:
        return wish
    limited = wish.context_length is not None and trained_context(desk, wish) is None
    if not limited and not (other_name and wish.context_length is None):
        return wish
    told = forecaster.forecast(desk, [wish]).context_length
    return wish if told is None else replace(wish, context_length=min(told, wish.context_length or told))


def _room(
    desk: Desk, aim: Aim, needs: Sequence[Need], leaving: Sequence[LoadedModel], forecaster: Forecaster
) -> tuple[list[Need], Room]:
    """Make room, with the loads in the order given or, where the engine would then evict, the largest first."""
    given = [need for need in needs if need.loads]
    staying = [need.there for need in needs if need.there is not None]
    rooms: list[tuple[list[Need], Room]] = []
    orders = [given]
    for order in orders:
        room = room_for(
            desk, [need.load for need in order], leaving, forecaster,
            others_may_leave=aim.others_may_leave, staying=staying, whole=aim.whole,
        )  # fmt: skip
        rooms.append((order, room))
        if room.whole and not room.chosen:
            break
        fits = room.forecast.verdict in GOOD
        if len(orders) == 1 and len(given) > 1 and (fits or room.chosen):
            size = dict(room.forecast.by_model)
            largest = sorted(given, key=lambda need: -size.get(need.load.name, 0))
            if largest != given:
                orders.append(largest)
    return min(rooms, key=lambda pair: (not pair[1].whole, len(pair[1].blocked_by), len(pair[1].chosen)))


def _refusal(desk: Desk, aim: Aim, needs: Sequence[Need], room: Room, forecaster: Forecaster) -> Refusal | None:
    """Say why what shall be cannot be; nothing has moved yet."""
    loads = [need.load for need in needs if need.loads]
    if not loads:
        return None
    if room.blocked_by:
        return pins_in_the_way(desk, loads, room, forecaster)
    if room.forecast.verdict is None:
        return cannot_tell(desk, loads, room)
    # What is wished for together must be there together: a load that makes another wish go is no way to it.
    own = {need.load.name for need in needs} | {need.there.name for need in needs if need.there is not None}
    if (aim.whole and not is_good(room.forecast)) or own.intersection(room.forecast.would_evict):
        return cannot_fit(desk, aim.subject, loads, room, forecaster)
    return None


def _preview(
    desk: Desk, aim: Aim, blank: Preview, needs: Sequence[Need], loads: Sequence[Need], room: Room,
    forecaster: Forecaster,
) -> Preview:  # fmt: skip
    chosen = {model.key for model in room.chosen}
    comes = enumerated([need.load.name for need in loads])
    steps: list[Step] = []
    loses = [text for need in needs for text in need.loses]
    for model in room.leaving:
        why = f"makes room for {comes}" if model.key in chosen else aim.whys.get(model.key)
        steps += leave(desk, model, why)
        if model.key in chosen or not aim.named or is_pinned(desk, model):
            loses.append(f"{described(desk, model)} is unloaded{f': {why}' if why else ''}")
    doubtful = may_go(desk, room)
    loses += doubtful
    steps += _wished(desk, needs, loads, room.forecast, forecaster, restore_pin=aim.restore_pin)
    freed = sum(model.memory_bytes or 0 for model in room.leaving if model.local)
    return replace(
        blank,
        steps=tuple(steps),
        danger=Danger.REVERSIBLE if loses else Danger.NONE,
        loses=tuple(loses),
        notes=(*aim.notes, *_told(desk, needs, room), *waiting(desk, room.leaving), *shared(room.leaving)),
        verdict=room.forecast.verdict if loads else None,
        needs_bytes=room.forecast.needs_bytes if loads else None,
        frees_bytes=freed if room.leaving else None,
        free_after_bytes=_free_after(desk, loads, room, freed),
        expected_seconds=total_seconds(steps),
        may_evict=room.forecast.may_evict if doubtful else (),
    )


def _told(desk: Desk, needs: Sequence[Need], room: Room) -> tuple[str, ...]:
    notes = [note for need in needs for note in need.notes]
    loads = [need.load for need in needs if need.loads]
    if loads:
        notes += [*why_room(loads, room), *room.forecast.notes]
        beside = staying(desk, loads, room)
        pins = [model.name for model in beside if is_pinned(desk, model)]
        if room.forecast.verdict is None and pins:
            notes.append(f"whether {enumerated(pins)} stays is up to the engine, which knows no pins")
        if room.forecast.verdict == "tight" and beside:
            names = _either([model.name for model in beside])
            notes.append(f"it is tight: if the engine counts more than this, it unloads {names} for it")
        if room.forecast.would_evict and not any(" evict " in note for note in notes):
            notes.append(f"the engine will unload {enumerated(room.forecast.would_evict)} by itself")
    return tuple(dict.fromkeys(notes))


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {enumerated(names, 3)}"


def _wished(
    desk: Desk, needs: Sequence[Need], loads: Sequence[Need], forecast: Forecast, forecaster: Forecaster, *,
    restore_pin: bool | None,
) -> list[Step]:  # fmt: skip
    """Return the steps that load, and set timers and pins: timers first, for they take no time."""
    sizes = dict(forecast.by_model)
    steps = [Step(StepKind.KEEP_ALIVE, need.load) for need in needs if need.timer]
    for need in loads:
        load = replace(need.load, memory_bytes=sizes.get(need.load.name))
        seconds = forecast.expected_seconds
        if len(loads) > 1:
            seconds = forecaster.forecast(desk, [need.load]).expected_seconds
        why = f"is loaded with context {need.there.context_length}" if need.there is not None else None
        steps.append(Step(StepKind.LOAD, load, seconds, why))
    pins = [replace(need.load, pinned=True) for need in needs if need.pins]
    return [*steps, *(Step(StepKind.PIN, pin, restore_pin=_choose(restore_pin, pin.restore_pin)) for pin in pins)]


def _choose(wished: bool | None, there: bool) -> bool:
    return there if wished is None else wished


def _free_after(desk: Desk, loads: Sequence[Need], room: Room, freed: int) -> int | None:
    needs = room.forecast.needs_bytes if loads else 0
    if loads and not is_good(room.forecast):
        return None
    free = [state.free_bytes for state in desk.cards if state.free_bytes is not None]
    if needs is None or not free:
        return None
    anew = sum(need.there.memory_bytes or 0 for need in loads if need.there is not None)
    return max(0, sum(free) + freed + anew - needs)
