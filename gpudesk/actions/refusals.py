"""Why something is not loaded, and what would help: said before anything moves."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import engine_at, installed_as, is_pinned, loaded_as, runners
from gpudesk.actions.ports import Forecaster
from gpudesk.actions.room import GOOD, Room, prefix_that_fails, shorter_context
from gpudesk.actions.values import Load, Refusal
from gpudesk.actions.wording import described, enumerated
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.units import GIBIBYTE, gibibytes, percent

ROUGH_RATIO = 1.2
ROUGH_BYTES = GIBIBYTE
"""What a model takes beside its file when nobody knows its header: caches, graphs, the runner. Deliberately much."""


NAMED_MOST = 3
"""How many models a sentence names."""


def pins_in_the_way(desk: Desk, loads: Sequence[Load], room: Room, forecaster: Forecaster) -> Refusal:
    """Say that only pinned models could make room, and what else would help."""
    pins = enumerated([described(desk, model) for model in room.blocked_by])
    names = enumerated([load.name for load in loads])
    has, go = "has" if len(loads) == 1 else "have", "goes" if len(room.blocked_by) == 1 else "go"
    help_ = list(room.forecast.advice)
    if len(loads) == 1:
        unpinned = [
            model
            for model in runners(desk.models)
            if model.local and not is_pinned(desk, model) and model is not loaded_as(desk, loads[0])
        ]
        help_ = _shorter(desk, loads, unpinned, room.forecast.context_length, forecaster) or help_
    first = room.blocked_by[0].name
    help_ += [f"unpin {first}", f"swap {first} for {loads[0].name}"]
    return Refusal(f"{names} {has} room only if {pins} {go}", _one_of(help_))


def cannot_fit(desk: Desk, subject: str, loads: Sequence[Load], room: Room, forecaster: Forecaster) -> Refusal:
    """Say which part is too much, and by how much."""
    failing = prefix_that_fails(desk, loads, room.leaving, forecaster)
    count, made = failing if failing is not None else (len(loads), room.forecast)
    culprit = loads[count - 1]
    beside = [load.name for load in loads[: count - 1]]
    gone = {model.key for model in room.leaving}
    fresh = {model.key for load in loads if (model := loaded_as(desk, load)) is not None}
    beside += [model.name for model in runners(desk.models) if model.cards and model.key not in gone | fresh]
    where = f" beside {enumerated(beside, NAMED_MOST)}" if beside else ""
    if made.verdict in GOOD:
        because = f": {made.evicts_because}" if made.evicts_because else ""
        text = f"{culprit.name} would make the engine unload {enumerated(made.would_evict)}{because}"
    elif made.short_bytes:
        text = f"{culprit.name} is {gibibytes(made.short_bytes)} too much{where}"
    else:
        share = dict(made.cpu_ratios).get(culprit.name)
        partly = "partly" if share is None else percent(share)
        text = f"{culprit.name} would stay {partly} on the CPU{where}"
    context = culprit.context_length or forecaster.forecast(desk, [culprit]).context_length
    help_ = _shorter(desk, loads[:count], room.leaving, context, forecaster) or [*made.advice]
    listed = subject == culprit.name or " and " in subject  # what does not fit is named in the text
    message = text if listed else f"{subject} does not fit: {text}"
    if help_:
        return Refusal(message, _one_of(help_))
    fewer = "Choose fewer of them; OLLAMA_MAX_LOADED_MODELS of the engine says how many it keeps"
    smaller = "Choose a shorter context, a smaller model, or fewer of them"
    return Refusal(message, fewer if made.verdict in GOOD else smaller)


def cannot_tell(desk: Desk, loads: Sequence[Load], room: Room) -> Refusal | None:
    """Refuse what may push out a pinned model where nobody knows yet how much it takes; None where it surely fits.

    Where no card can be seen (another computer's engine, no driver) nothing is refused: it could never be told.
    """
    pins = [model for model in staying(desk, loads, room) if is_pinned(desk, model)]
    engine = engine_at(desk, loads[0].engine_url)
    free = [state.free_bytes for state in desk.cards if state.free_bytes is not None]
    if not pins or not free or engine is None or not engine.local:
        return None
    rough = rough_bytes(desk, loads)
    freed = sum(model.memory_bytes or 0 for model in room.leaving if model.local)
    if rough is not None and rough <= sum(free) + freed and not room.forecast.would_evict:
        return None
    names, held = enumerated([load.name for load in loads]), enumerated([described(desk, each) for each in pins])
    return Refusal(
        f"it is not known yet how much {names} would take, and it might push out {held}",
        f"Try again in a moment, or: unpin {pins[0].name}",
    )


def rough_bytes(desk: Desk, loads: Sequence[Load]) -> int | None:
    """Return what loads come to at most where no header is known; None where the size of a file is not known either."""
    sizes = [installed.size_bytes if (installed := installed_as(desk, load)) is not None else None for load in loads]
    known = [size for size in sizes if size is not None]
    return sum(int(size * ROUGH_RATIO) + ROUGH_BYTES for size in known) if len(known) == len(sizes) else None


def staying(desk: Desk, loads: Sequence[Load], room: Room) -> list[LoadedModel]:
    """Return what stays on the engines that load, as it is."""
    urls = {load.engine_url for load in loads}
    away = {model.key for load in loads if (model := loaded_as(desk, load)) is not None}
    away.update(model.key for model in room.leaving)
    return [model for model in runners(desk.models) if model.engine_url in urls and model.key not in away]


def _shorter(
    desk: Desk,
    loads: Sequence[Load],
    leaving: Sequence[LoadedModel],
    context_length: int | None,
    forecaster: Forecaster,
) -> list[str]:
    context = shorter_context(desk, loads, leaving, context_length, forecaster)
    asked = loads[-1].context_length or context_length
    return [] if context is None else [f"context {context} instead of {asked}"]


def _one_of(words: Sequence[str]) -> str:
    """Write what would help, best first."""
    return f"Would help: {', or '.join(dict.fromkeys(words))}"
