"""What loading comes to, for actions: the planner's formulas over the desk as it is.

A preview asks this a dozen times with different models gone, so everything that only depends on the desk is made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gpudesk.acting.ground import DeskGround, put_on_cards
from gpudesk.acting.headers import Headers
from gpudesk.actions.lookup import engine_at, installed_as, runners, weights_of
from gpudesk.actions.ports import Forecast
from gpudesk.errors import GpudeskError
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk
    from gpudesk.fit.values import EngineProfile, Estimate, Plan, Wanted
    from gpudesk.watch.planning import Ground, PlannableModel, Planning

QUICK_SECONDS = 0.015
"""How long a forecast waits for a header: one that was read before comes from the cache within this."""
_BOUNDLESS = 1 << 60


class ActionForecaster:
    """`actions.ports.Forecaster` over a planner. Headers that are not known yet are fetched beside it.

    Thread-safe: previews are made on the screen's thread, actions look again on theirs.
    """

    def __init__(self, planning: Planning) -> None:
        """Make it; nothing is read yet."""
        self._planning = planning
        self._headers = Headers(planning)
        self._ground: tuple[Desk, DeskGround] | None = None

    def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
        """Tell what loading `loads` would come to once the loaded models named in `leaving` are gone.

        What nobody can tell is None, with the reason in `notes`: no card, another computer's engine, a header that
        is not known yet.
        """
        if not loads:
            return Forecast()
        ground = self._ground_of(desk)
        key = (tuple(loads), frozenset(leaving))
        found = ground.answers.get(key)
        if found is None:
            found = self._forecast(desk, ground, loads, leaving)
            if found.verdict is not None:
                ground.answers[key] = found
        return found

    def _forecast(self, desk: Desk, ground: DeskGround, loads: Sequence[Load], leaving: Sequence[str]) -> Forecast:
        seconds = _seconds(desk, loads)
        here = ground.for_engine(desk, loads[0].engine_url, leaving)
        if isinstance(here, str):
            return self._without_cards(desk, loads, leaving, Forecast(expected_seconds=seconds, notes=(here,)))
        installed = [model for load in loads if (model := installed_as(desk, load)) is not None]
        self._headers.ask(installed, QUICK_SECONDS, again=False)
        wanted, notes = [], []
        for load in loads:
            found = self._wanted(desk, load, here.profile)
            if isinstance(found, str):
                notes.append(found)
            else:
                wanted.append(found)
        room = sum(card.available_bytes for card in here.cards)
        if len(wanted) < len(loads):
            return replace(_by_number(here, loads), available_bytes=room, expected_seconds=seconds, notes=tuple(notes))
        try:
            plan = self._planning.plan(wanted, here, alternatives=False)
        except GpudeskError as error:
            return Forecast(available_bytes=room, expected_seconds=seconds, notes=(error.message,))
        except Exception as error:  # noqa: BLE001 - a wrong formula must not take an action or the screen down with it
            note = f"this cannot be planned: {type(error).__name__}: {error}"
            return Forecast(available_bytes=room, expected_seconds=seconds, notes=(note,))
        return _forecast(plan, wanted, here, seconds)

    def _without_cards(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str], blank: Forecast) -> Forecast:
        """Tell what can be told all the same: contexts and shared weights, by the headers, and who may have to go."""
        from gpudesk.acting.doubt import doubt_of

        installed = [model for load in loads if (model := installed_as(desk, load)) is not None]
        self._headers.ask(installed, QUICK_SECONDS, again=False)
        found = {model.name: header for model in installed if not isinstance(header := self._headers.get(model), str)}
        same = _shared(desk, loads, {name: header.blob_digest for name, header in found.items()})
        first = found.get(loads[0].name)
        doubt = doubt_of(desk, [load for load in loads if load.name not in dict(same)] or loads, leaving)
        return replace(
            blank,
            context_length=None if first is None else _baked_in(desk, loads[0], first),
            same_weights=same,
            may_evict=doubt.may_evict,
            may_evict_because=doubt.because,
        )

    def prepare(self, desk: Desk, loads: Sequence[Load], timeout_seconds: float) -> bool:
        """Wait until the headers of these models are known; for commands, which have one preview only.

        Returns:
            Whether all of them were known, or known not to be had, in time.
        """
        models = [model for load in loads if (model := installed_as(desk, load)) is not None]
        return self._headers.ask(models, timeout_seconds)

    def _wanted(self, desk: Desk, load: Load, profile: EngineProfile) -> Wanted | str:
        """Return a load as the planner takes it, or why it cannot."""
        from gpudesk.fit.values import Wanted

        installed = installed_as(desk, load)
        if installed is None:
            return f"{load.name} is not installed, as far as is known: what it takes cannot be told"
        found = self._headers.get(installed)
        if isinstance(found, str):
            return found
        options = replace(
            found.options,
            context_length=load.context_length or found.options.context_length,
            kv_cache_type_k=profile.kv_cache_type,
            kv_cache_type_v=profile.kv_cache_type,
            flash_attention=profile.flash_attention,
        )
        return Wanted(installed.name, found.metadata, options, found.blob_digest)

    def _ground_of(self, desk: Desk) -> DeskGround:
        held = self._ground
        if held is None or held[0] is not desk:
            placed = put_on_cards(desk)
            held = self._ground = (desk, DeskGround(placed, self._planning.ground(placed)))
        return held[1]


def _by_number(ground: Ground, loads: Sequence[Load]) -> Forecast:
    """Tell who goes only because there would be too many models, whatever their size."""
    from gpudesk.fit.server_scheduler import max_loaded, victim

    there = [each for each in ground.residents if each.name not in {load.name for load in loads}]
    most, evicted = max_loaded(ground.profile, len(ground.cards)), []
    while there and len(there) + len(loads) > most:
        gone = victim(there)
        there.remove(gone)
        evicted.append(gone.name)
    because = f"it keeps at most {most} model{'' if most == 1 else 's'} loaded"
    return Forecast(would_evict=tuple(evicted), evicts_because=because if evicted else None)


def _baked_in(desk: Desk, load: Load, header: PlannableModel) -> int | None:
    """Return the context a model gets by the wish or its own file; None where the engine chooses."""
    from gpudesk.domain.engine import limits_context

    asked, trained = load.context_length or header.options.context_length, header.metadata.context_length_trained
    engine = engine_at(desk, load.engine_url)
    if asked is None or trained is None or limits_context(engine.version if engine is not None else None) is False:
        return asked
    return min(asked, trained)


def _shared(desk: Desk, loads: Sequence[Load], blobs: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Return loads by name with the loaded model of another name, or the earlier load, whose weights are theirs."""
    first: dict[str, str] = {}
    for model in runners(desk.models):
        held = model.runner.blob_digest if model.runner is not None else None
        held = held or (weights_of(desk, model.digest) if model.digest is not None else None)
        if held is not None and model.engine_url == loads[0].engine_url:
            first.setdefault(held, model.name)
    pairs = []
    for load in loads:
        blob = blobs.get(load.name)
        if blob is not None and first.setdefault(blob, load.name) != load.name:
            pairs.append((load.name, first[blob]))
    return tuple(pairs)


def _seconds(desk: Desk, loads: Sequence[Load]) -> float | None:
    """Add up what the loads are expected to take; None where the size of a file is not known."""
    from gpudesk.fit.swap_cost import load_seconds

    total = 0.0
    for load in loads:
        installed = installed_as(desk, load)
        if installed is None or installed.size_bytes is None:
            return None
        total += load_seconds(installed.size_bytes).seconds
    return total


def _forecast(plan: Plan, wanted: Sequence[Wanted], ground: Ground, seconds: float | None) -> Forecast:
    """Say what a plan means for an action: what the engine will do counts, not only what would be possible."""
    from gpudesk.fit.server_scheduler import is_same
    from gpudesk.fit.values import Verdict

    same = [(one, each) for one in wanted for each in ground.residents if is_same(each, one)]
    own = {each.name: each.memory_bytes for _, each in same}
    room = sum(card.available_bytes for card in ground.cards) + sum(own.values())
    verdict, short = plan.verdict, None
    sizes = [made.parts.total_bytes for made in plan.models]
    ratios: tuple[tuple[str, float], ...] = ()
    if verdict in (Verdict.SPILLS, Verdict.DOES_NOT_FIT) or plan.server.spills:
        whole = [_whole(one, made, ground) for one, made in zip(wanted, plan.models, strict=True)]
        ratios = _cpu_ratios(plan, whole)
    if verdict in (Verdict.SPILLS, Verdict.DOES_NOT_FIT):
        sizes = whole
        short = max(0, sum(sizes) - room)
    elif plan.server.spills:
        verdict = Verdict.SPILLS
    return Forecast(
        verdict=verdict.value,
        needs_bytes=sum(sizes),
        by_model=tuple((one.name, size) for one, size in zip(wanted, sizes, strict=True)),
        available_bytes=room,
        would_evict=plan.server.would_evict,
        evicts_because=plan.server.evicts_because,
        short_bytes=short,
        cpu_ratios=ratios,
        expected_seconds=seconds,
        same_weights=(*_twins(wanted), *((one.name, each.name) for one, each in same if each.name != one.name)),
        context_length=plan.models[0].context_length if plan.models else None,
        notes=tuple(dict.fromkeys((*plan.notes, *plan.server.notes))),
    )


def _cpu_ratios(plan: Plan, whole: Sequence[int]) -> tuple[tuple[str, float], ...]:
    """Return how much of each model would stay on the CPU: by what the engine does, else by the plan."""
    by_engine = dict(plan.server.on_cards)
    found = []
    for made, size in zip(plan.models, whole, strict=True):
        held = min(by_engine.get(made.name, size), made.parts.total_bytes)
        if 0 <= held < size:
            found.append((made.name, 1 - held / size))
    return tuple(found)


def _twins(wanted: Sequence[Wanted]) -> list[tuple[str, str]]:
    """Return models that have their weights in common with an earlier one, with that one."""
    first: dict[str, str] = {}
    for one in wanted:
        if one.blob_digest is not None:
            first.setdefault(one.blob_digest, one.name)
    pairs = [(one.name, first[one.blob_digest]) for one in wanted if one.blob_digest is not None]
    return [(name, earlier) for name, earlier in pairs if name != earlier]


def _whole(wanted: Wanted, made: Estimate, ground: Ground) -> int:
    """Return what a model would take with every layer on one card, loaded as it was forecast."""
    from gpudesk.fit.estimate import estimate

    options = replace(wanted.options, context_length=made.context_length, parallel=made.parallel, layers_on_gpu=None)
    card = replace(ground.cards[0], available_bytes=_BOUNDLESS) if ground.cards else None
    if card is None:
        return made.parts.total_bytes + made.host_bytes
    return estimate(replace(wanted, options=options), ground.profile, (card,)).parts.total_bytes
