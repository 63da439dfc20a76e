"""Desks and a forecaster with plain arithmetic, for previews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gpudesk.actions.lookup import is_pinned, loaded_as, runners
from gpudesk.actions.ports import Forecast
from gpudesk.actions.values import Load, Preview, StepKind
from gpudesk.actions.wishes import effective_context
from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardShare, CardState, Desk, Holder, HolderKind, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import Pin, PinState, PinWish
from gpudesk.records import replace
from tests.desks import FOREVER, LOCAL, NOW, timed

GIB = 1 << 30
DEFAULT_CONTEXT = 4096
STOPPING = KeepAlive(KeepAliveState.STOPPING, NOW - timedelta(seconds=1))
SIZES = {
    "chat:14b": 10.0, "coder:1.5b": 1.5, "coder:7b": 5.0, "embed:latest": 0.5, "big:32b": 20.0, "huge:70b": 40.0,
    "other:8b": 6.0,
}  # fmt: skip
"""GiB on the card with the default context; every further 4096 tokens take a tenth more."""


def digest_of(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


def size_of(name: str, context: int | None = None) -> int:
    return int(SIZES.get(name, 1.0) * GIB * (1 + 0.1 * ((context or DEFAULT_CONTEXT) / DEFAULT_CONTEXT - 1)))


def loaded(name: str, keep_alive: KeepAlive | None = None, **changes: object) -> LoadedModel:
    """A model on card 0, with five minutes left."""
    context = changes.get("context_length", DEFAULT_CONTEXT)
    assert context is None or isinstance(context, int)
    size = size_of(name, context)
    values: dict[str, object] = {
        "name": name, "engine_url": LOCAL, "digest": digest_of(name), "memory_bytes": size, "reported_bytes": size,
        "cards": (CardShare(0, size),), "context_length": context, "keep_alive": keep_alive or timed(300),
        "cpu_ratio": 0.0,
    }  # fmt: skip
    return LoadedModel(**{**values, **changes})  # type: ignore[arg-type]


def installed(name: str, **changes: object) -> InstalledModel:
    values: dict[str, object] = {
        "name": name, "engine_url": LOCAL, "digest": digest_of(name),
        "size_bytes": int(SIZES.get(name, 1.0) * GIB * 0.9), "capabilities": ("completion",),
    }  # fmt: skip
    if name.startswith("embed"):
        values["capabilities"] = ("embedding",)
    return InstalledModel(**{**values, **changes})  # type: ignore[arg-type]


def pinned(name: str, context: int | None = None, *, restore: bool = False, url: str = LOCAL) -> PinState:
    return PinState(PinWish(url, name, digest_of(name), context, restore, NOW))


def desk(
    *models: LoadedModel, pins: Sequence[str | PinState] = (), total: float = 24.0, held: float = 1.0, **changes: object
) -> Desk:
    """One card, one engine, everything in `SIZES` installed."""
    used = sum(model.memory_bytes or 0 for model in models if model.local)
    free = int((total - held) * GIB) - used
    holders = (Holder(HolderKind.PROCESS, "Xorg", int(held * GIB)),)
    state = CardState(Card(0, name="NVIDIA GeForce RTX 4090", memory_total_bytes=int(total * GIB)), holders, free)
    states = tuple(pinned(pin) if isinstance(pin, str) else pin for pin in pins)
    names = {pin.wish.name for pin in states}
    values: dict[str, object] = {
        "cards": (state,), "models": tuple(
            replace(model, pin=Pin.HELD) if model.name in names else model for model in models
        ), "installed": tuple(installed(name) for name in SIZES), "engines": (Engine(LOCAL, reachable=True),),
        "pins": states,
    }  # fmt: skip
    return Desk(NOW, **{**values, **changes})  # type: ignore[arg-type]


class Arithmetic:
    """Adds up sizes on one card; evicts like Ollama: by timer, knowing no pins, whoever is in the way."""

    def __init__(self, *, most: int = 9, unknown: Sequence[str] = (), same: Mapping[str, str] | None = None) -> None:
        self.most, self.unknown, self.same = most, frozenset(unknown), dict(same or {})
        self.questions = 0

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        self.questions += 1
        if any(load.name in self.unknown for load in loads):
            return Forecast(notes=("its header is being read",))
        own = {model.name for load in loads if (model := loaded_as(desk, load)) is not None}
        own.update(self.same[load.name] for load in loads if load.name in self.same)
        gone = {*leaving, *own}
        there = [model for model in runners(desk.models) if model.local and model.name not in gone]
        room = sum(state.free_bytes or 0 for state in desk.cards)
        room += sum(model.memory_bytes or 0 for model in runners(desk.models) if model.local and model.name in gone)
        contexts = [load.context_length or DEFAULT_CONTEXT for load in loads]
        sizes = [size_of(load.name, context) for load, context in zip(loads, contexts, strict=True)]
        need, evicted = sum(sizes), []
        left = room
        there.sort(key=_timer)
        while there and (need > left or len(there) + len(loads) > self.most):
            evicted.append(there[0].name)
            left += there.pop(0).memory_bytes or 0
        return Forecast(
            verdict="fits" if need <= room else "spills",
            needs_bytes=need,
            by_model=tuple((load.name, size) for load, size in zip(loads, sizes, strict=True)),
            available_bytes=room,
            would_evict=tuple(evicted),
            short_bytes=max(0, need - room),
            expected_seconds=float(len(loads)) * 3,
            context_length=contexts[0] if contexts else None,
            same_weights=tuple((load.name, self.same[load.name]) for load in loads if load.name in self.same),
        )


def _timer(model: LoadedModel) -> tuple[float, str]:
    seconds = model.keep_alive.remaining_seconds(NOW) if model.keep_alive is not None else None
    return (1e9 if seconds is None else seconds, model.name)


def carry_out(before: Desk, preview: Preview) -> tuple[Desk, list[Desk]]:
    """Do what the steps say, nothing else, and return the desk afterwards and after each step."""
    now, stages = before, []
    for step in preview.steps:
        load = step.load
        models, pins = list(now.models), list(now.pins)
        there = loaded_as(now, load)
        free = now.cards[0].free_bytes or 0
        if step.kind in (StepKind.UNLOAD, StepKind.LOAD) and there is not None:
            models.remove(there)
            free += there.memory_bytes or 0
        if step.kind is StepKind.LOAD:
            context = effective_context(now, load)
            timer = _kept(load.keep_alive)
            fresh = loaded(load.name, timer, context_length=context or DEFAULT_CONTEXT, engine_url=load.engine_url)
            models.append(fresh)
            free -= fresh.memory_bytes or 0
        elif step.kind is StepKind.KEEP_ALIVE:
            assert there is not None
            assert load.context_length == there.context_length
            models[models.index(there)] = replace(there, keep_alive=_kept(load.keep_alive))
        elif step.kind in (StepKind.PIN, StepKind.UNPIN):
            pins = [state for state in pins if state.wish.name != load.name]
            if step.kind is StepKind.PIN:
                wish = PinWish(load.engine_url, load.name, load.digest, load.context_length, step.restore_pin, NOW)
                pins.append(PinState(wish))
        names = {state.wish.name for state in pins}
        models = [replace(model, pin=Pin.HELD if model.name in names else Pin.NONE) for model in models]
        now = replace(now, models=tuple(models), pins=tuple(pins), cards=(replace(now.cards[0], free_bytes=free),))
        stages.append(now)
    return now, stages


def _kept(wish: KeepAliveWish | None) -> KeepAlive:
    if wish is None:
        return timed(300)
    return FOREVER if wish.seconds is None else timed(wish.seconds)


def names(preview: Preview, kind: StepKind) -> list[str]:
    return [step.load.name for step in preview.steps if step.kind is kind]


def pins_that_go(before: Desk, preview: Preview) -> set[str]:
    going = set(names(preview, StepKind.UNLOAD))
    return {model.name for model in before.models if model.name in going and is_pinned(before, model)}
