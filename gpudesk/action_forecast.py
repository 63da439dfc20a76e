"""What loading comes to, for actions: the planner's formulas over the desk as it is.

A preview asks this a dozen times with different models gone, so everything that only depends on the desk is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.action_headers import Headers
from gpudesk.actions.lookup import installed_as, runners
from gpudesk.actions.ports import Forecast
from gpudesk.domain.desk import CardShare
from gpudesk.errors import GpudeskError
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, Plan, Resident, Wanted
    from gpudesk.watch.planning import Ground, Planning

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
        self._ground: tuple[Desk, _Ground] | None = None

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

    def _forecast(self, desk: Desk, ground: _Ground, loads: Sequence[Load], leaving: Sequence[str]) -> Forecast:
        seconds = _seconds(desk, loads)
        here = ground.for_engine(desk, loads[0].engine_url, leaving)
        if isinstance(here, str):
            return Forecast(expected_seconds=seconds, notes=(here,))
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
            return Forecast(
                available_bytes=room, would_evict=_too_many(here, loads), expected_seconds=seconds, notes=tuple(notes)
            )
        try:
            plan = self._planning.plan(wanted, here, alternatives=False)
        except GpudeskError as error:
            return Forecast(available_bytes=room, expected_seconds=seconds, notes=(error.message,))
        except Exception as error:  # noqa: BLE001 - a wrong formula must not take an action or the screen down with it
            note = f"this cannot be planned: {type(error).__name__}: {error}"
            return Forecast(available_bytes=room, expected_seconds=seconds, notes=(note,))
        return _forecast(plan, wanted, here, seconds)

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

    def _ground_of(self, desk: Desk) -> _Ground:
        held = self._ground
        if held is None or held[0] is not desk:
            placed = _placed(desk)
            held = self._ground = (desk, _Ground(placed, self._planning.ground(placed)))
        return held[1]


class _Ground:
    """Cards and residents of one desk, with each resident's engine."""

    def __init__(self, desk: Desk, ground: Ground) -> None:
        self._ground = ground
        self.answers: dict[tuple[tuple[Load, ...], frozenset[str]], Forecast] = {}
        """What was asked about this desk already: a preview comes back to some questions."""
        on_cards = [model for model in desk.models if model.local and model.cards]
        self._residents: list[tuple[LoadedModel, Resident]] = []
        for resident in ground.residents:
            model = next((each for each in on_cards if each.name == resident.name), None)
            if model is not None:
                on_cards.remove(model)
                self._residents.append((model, resident))

    def for_engine(self, desk: Desk, url: str, leaving: Sequence[str]) -> Ground | str:
        """Return the ground one engine loads on with some models gone, or why it cannot be told.

        An engine evicts its own models only: those of others are like any process on the card.
        """
        from gpudesk.domain.engine import era_of

        engine = next((each for each in desk.engines if each.url == url), None)
        if engine is not None and not engine.local:
            return f"{url} is on another computer: what fits there cannot be told from here"
        if self._ground.problem is not None:
            return self._ground.problem
        gone = set(leaving)
        cards = list(self._ground.cards)
        staying = []
        for model, resident in self._residents:
            if model.name in gone or gone.intersection(model.shares_runner_with):
                cards = [_with_more(card, more) for card, more in zip(cards, resident.by_card, strict=True)]
            elif model.engine_url == url:
                staying.append(resident)
        profile = self._ground.profile
        version = engine.version if engine is not None else None
        if version is not None and version != profile.version:
            profile = replace(profile, version=version, era=era_of(version) or profile.era)
        return replace(self._ground, cards=tuple(cards), residents=tuple(staying), profile=profile)


def _placed(desk: Desk) -> Desk:
    """Put models on a card that nothing has been told of yet: each counts, and what it claims can be freed.

    On the only card there is; of several cards it could be any, so that nothing counts as freed.
    """
    cards = [state.card.index for state in desk.cards if state.card.error is None and state.card.memory_total_bytes]
    if not cards:
        return desk
    first = {model.key for model in runners(desk.models) if model.local and not model.cards}

    def placed(model: LoadedModel) -> LoadedModel:
        if model.key not in first:
            return model
        return replace(model, cards=(CardShare(cards[0], (model.memory_bytes or 0) if len(cards) == 1 else 0),))

    return replace(desk, models=tuple(placed(model) for model in desk.models)) if first else desk


def _with_more(card: CardBudget, more: int) -> CardBudget:
    if not more:
        return card
    return replace(card, available_bytes=min(card.memory_total_bytes - card.reserve_bytes, card.available_bytes + more))


def _too_many(ground: Ground, loads: Sequence[Load]) -> tuple[str, ...]:
    """Return who goes only because there would be too many models, whatever their size."""
    from gpudesk.fit.server_scheduler import max_loaded, victim

    there = [each for each in ground.residents if each.name not in {load.name for load in loads}]
    evicted = []
    while there and len(there) + len(loads) > max_loaded(ground.profile, len(ground.cards)):
        gone = victim(there)
        there.remove(gone)
        evicted.append(gone.name)
    return tuple(evicted)


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
    if verdict in (Verdict.SPILLS, Verdict.DOES_NOT_FIT):
        sizes = [_whole(one, made, ground) for one, made in zip(wanted, plan.models, strict=True)]
        short = max(0, sum(sizes) - room)
    elif plan.server.spills:
        verdict = Verdict.SPILLS
    return Forecast(
        verdict=verdict.value,
        needs_bytes=sum(sizes),
        by_model=tuple((one.name, size) for one, size in zip(wanted, sizes, strict=True)),
        available_bytes=room,
        would_evict=plan.server.would_evict,
        short_bytes=short,
        expected_seconds=seconds,
        same_weights=tuple((one.name, each.name) for one, each in same if each.name != one.name),
        context_length=plan.models[0].context_length if plan.models else None,
        notes=tuple(dict.fromkeys((*plan.notes, *plan.server.notes))),
    )


def _whole(wanted: Wanted, made: Estimate, ground: Ground) -> int:
    """Return what a model would take with every layer on one card, loaded as it was forecast."""
    from gpudesk.fit.estimate import estimate

    options = replace(wanted.options, context_length=made.context_length, parallel=made.parallel, layers_on_gpu=None)
    card = replace(ground.cards[0], available_bytes=_BOUNDLESS) if ground.cards else None
    if card is None:
        return made.parts.total_bytes + made.host_bytes
    return estimate(replace(wanted, options=options), ground.profile, (card,)).parts.total_bytes
