"""Who leaves so that something else has room: the models that come back soonest, never one with a pin."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from gpudesk.actions.lookup import installed_as, is_busy, is_pinned, loaded_as, runners
from gpudesk.actions.ports import Forecast, Forecaster
from gpudesk.actions.values import Load
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.records import dataclass, replace
from gpudesk.units import GIBIBYTE

RELOAD_SECONDS = 1.5
"""Of a load whatever the size: start of a runner and warm-up (`fit.swap_cost`)."""
RELOAD_BYTES_PER_SECOND = 0.95 * GIBIBYTE
"""From disk (`fit.swap_cost`); only the order of models by it matters here."""
UNLOAD_SECONDS = 0.4
"""Kill, and the wait until the driver has the memory back; Ollama polls every 250 ms (sched.go:1441 at v0.33.0-rc2)."""
BUSY_SECONDS = 3600.0
"""Added to the cost of a model that is answering: it is waited for, so every idle one is asked to go before."""
KEPT_FACTOR = 2.0
"""A model kept forever is wanted more than one whose time runs out anyway."""
PRUNED_MOST = 8
"""How many of those chosen are looked at again: whether it would go without them."""
GOOD = ("fits", "tight")
CONTEXTS = (131072, 65536, 32768, 16384, 8192, 4096, 2048)
"""Shorter contexts that are offered as advice."""


_UNKNOWN = Forecast()


@dataclass(frozen=True, slots=True)
class Room:
    """How room is made."""

    forecast: Forecast
    """With everything in `leaving` gone."""
    leaving: tuple[LoadedModel, ...] = ()
    """Those named, and those chosen, in the order in which they go."""
    chosen: tuple[LoadedModel, ...] = ()
    blocked_by: tuple[LoadedModel, ...] = ()
    """Pinned models without which there would be room; nothing may move then."""
    before: Forecast = _UNKNOWN
    """With only those gone that were named: why somebody is chosen."""

    @property
    def whole(self) -> bool:
        """Everything ends on the cards, as far as can be told, and the engine makes nobody go."""
        return is_good(self.forecast)


def is_good(forecast: Forecast) -> bool:
    """Tell whether it goes in whole and nobody is evicted; also where nothing can be told."""
    return (forecast.verdict is None or forecast.verdict in GOOD) and not forecast.would_evict


def reload_seconds(desk: Desk, model: LoadedModel) -> float:
    """Say what it costs to have a model back: the order in which models are asked to go."""
    load = Load(model.engine_url, model.name)
    installed = installed_as(desk, load)
    size = installed.size_bytes if installed is not None else None
    if size is None:
        size = model.reported_bytes or model.memory_bytes or 0
    return RELOAD_SECONDS + size / RELOAD_BYTES_PER_SECOND


def by_cost(desk: Desk, models: Sequence[LoadedModel]) -> list[LoadedModel]:
    """Order models so that those that come back soonest go first; busy ones last."""
    cost = {model.key: _cost(desk, model) for model in models}
    return sorted(models, key=lambda model: (cost[model.key], model.key))


def _cost(desk: Desk, model: LoadedModel) -> float:
    kept = model.keep_alive is not None and model.keep_alive.state is KeepAliveState.FOREVER
    cost = reload_seconds(desk, model) * (KEPT_FACTOR if kept else 1.0)
    return cost + (BUSY_SECONDS if is_busy(model, desk.taken_at) else 0.0)


def room_for(
    desk: Desk,
    loads: Sequence[Load],
    leaving: Sequence[LoadedModel],
    forecaster: Forecaster,
    *,
    others_may_leave: bool = True,
    staying: Sequence[LoadedModel] = (),
    whole: bool = False,
) -> Room:
    """Choose who leaves.

    Args:
        desk: what is known.
        loads: what is to be loaded, in order.
        leaving: what goes in any case.
        forecaster: tells what it comes to.
        others_may_leave: idle models without a pin may be asked to go.
        staying: models that stay, whoever else goes.
        whole: what does not go in whole is not wanted at all: nobody is chosen for it.
    """

    def forecast(gone: Sequence[LoadedModel]) -> Forecast:
        return forecaster.forecast(desk, loads, [model.name for model in (*leaving, *gone)])

    first = forecast(())
    if not loads or is_good(first):
        return Room(first, tuple(by_cost(desk, leaving)))
    fixed = {model.key for model in (*leaving, *staying)}
    fixed.update(model.key for load in loads if (model := loaded_as(desk, load)) is not None)
    others = [model for model in runners(desk.models) if model.local and model.key not in fixed]
    candidates = by_cost(desk, [model for model in others if not is_pinned(desk, model)]) if others_may_leave else []
    every = forecast(candidates)
    if not is_good(every):
        blocked = _blocked([model for model in others if is_pinned(desk, model)], candidates, every, forecast)
        if blocked:
            return Room(every, blocked_by=blocked, before=first)
        if whole:
            return Room(every, tuple(by_cost(desk, leaving)))
    goal = None if is_good(every) else every.verdict
    missing = (first.short_bytes or 0) if goal is None else 0

    def enough(gone: Sequence[LoadedModel]) -> bool:
        if sum(model.memory_bytes or missing for model in gone) < missing:
            return False
        made = forecast(gone)
        if goal is not None:
            return made.verdict == goal and len(made.would_evict) <= len(every.would_evict)
        return is_good(made)

    chosen = _least(desk, candidates, enough)
    return Room(forecast(chosen), tuple(by_cost(desk, (*leaving, *chosen))), tuple(chosen), before=first)


def _blocked(
    pinned: Sequence[LoadedModel],
    candidates: Sequence[LoadedModel],
    every: Forecast,
    forecast: Callable[[Sequence[LoadedModel]], Forecast],
) -> tuple[LoadedModel, ...]:
    """Return the pins that stand in the way: one alone if that is enough, else those the engine would make go."""
    for model in pinned:
        if is_good(forecast((*candidates, model))):
            return (model,)
    if pinned and is_good(forecast((*candidates, *pinned))):
        return tuple(pinned)
    # It does not go in whole even then; but the engine would still make pins go before it gives up.
    return tuple(model for model in pinned if model.name in every.would_evict)


def _least(
    desk: Desk, candidates: Sequence[LoadedModel], enough: Callable[[Sequence[LoadedModel]], bool]
) -> list[LoadedModel]:
    """Return candidates, ordered by cost, that are enough and cost little.

    The shortest beginning that is enough, without those it turns out to go without; or one model alone that costs
    less than all of these.
    """
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        if enough(candidates[:middle]):
            high = middle
        else:
            low = middle + 1
    chosen = list(candidates[:low])
    for model in chosen[-2::-1][:PRUNED_MOST]:
        without = [each for each in chosen if each is not model]
        if enough(without):
            chosen = without
    total = sum(_cost(desk, model) for model in chosen)
    for model in candidates[low : low + PRUNED_MOST] if len(chosen) > 1 else ():
        if _cost(desk, model) >= total:
            break
        if enough([model]):
            return [model]
    return chosen


def shorter_context(
    desk: Desk,
    loads: Sequence[Load],
    leaving: Sequence[LoadedModel],
    context_length: int | None,
    forecaster: Forecaster,
) -> int | None:
    """Return the longest familiar context with which the last of these loads would go in beside the others.

    Args:
        desk: what is known.
        loads: what is to be loaded, as asked for.
        leaving: what goes.
        context_length: of the last one, where it asks for none.
        forecaster: tells what it comes to.
    """
    last = loads[-1]
    asked = last.context_length or context_length
    gone = [model.name for model in leaving]
    contexts = [context for context in CONTEXTS if asked is not None and context < asked]

    def goes_in(context: int) -> bool:
        made = forecaster.forecast(desk, [*loads[:-1], replace(last, context_length=context)], gone)
        return made.verdict is not None and is_good(made)

    place = bisect_left(contexts, True, key=goes_in)
    return contexts[place] if place < len(contexts) else None


def prefix_that_fails(
    desk: Desk, loads: Sequence[Load], leaving: Sequence[LoadedModel], forecaster: Forecaster
) -> tuple[int, Forecast] | None:
    """Return how many loads are one too many, and what they come to; None when all of them go in."""
    gone = [model.name for model in leaving]

    def fails(count: int) -> bool:
        return not is_good(forecaster.forecast(desk, loads[:count], gone))

    count = bisect_left(range(1, len(loads) + 1), True, key=fails) + 1
    return (count, forecaster.forecast(desk, loads[:count], gone)) if count <= len(loads) else None
