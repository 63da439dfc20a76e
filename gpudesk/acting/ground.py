"""The ground an engine loads on with some models gone: cards, what stays, and what the engine believes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.actions.lookup import runners
from gpudesk.domain.desk import CardShare
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.actions.ports import Forecast
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.fit.values import CardBudget, Resident
    from gpudesk.watch.planning import Ground


class DeskGround:
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
        self._residents = _in_order(desk, self._residents, ground.cards)

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


def _in_order(
    desk: Desk, residents: list[tuple[LoadedModel, Resident]], cards: Sequence[CardBudget]
) -> list[tuple[LoadedModel, Resident]]:
    """Put residents in the order they were loaded, with what was free on the cards then.

    While it has a model, Ollama with llama-server goes on counting from what was free when that one was loaded
    (llm/llama_server.go:2600 at v0.33.0-rc2): what is given back by models loaded before, it does not see. Nothing is
    changed where a runner's start is not known.
    """
    started = {process.pid: process.started_at for process in desk.processes}
    began = {}
    for model, _ in residents:
        starts = [start for pid in model.pids if (start := started.get(pid)) is not None]
        if not starts:
            return residents
        began[model.key] = min(starts)
    free = [card.available_bytes + card.reserve_bytes for card in cards]
    found = []
    for model, resident in sorted(residents, key=lambda pair: began[pair[0].key], reverse=True):
        free = [there + held for there, held in zip(free, resident.by_card, strict=True)]
        found.append((model, replace(resident, free_at_load=tuple(free))))
    return found[::-1]


def put_on_cards(desk: Desk) -> Desk:
    """Put models on a card that nothing has been told of yet: each counts, and what it claims can be freed.

    On the only card there is; of several cards it could be any, so that nothing counts as freed.
    """
    cards = [state.card.index for state in desk.cards if state.card.error is None and state.card.memory_total_bytes]
    if not cards:
        return desk
    first = {model.key for model in runners(desk.models) if model.local and not model.cards}

    def put(model: LoadedModel) -> LoadedModel:
        if model.key not in first:
            return model
        return replace(model, cards=(CardShare(cards[0], (model.memory_bytes or 0) if len(cards) == 1 else 0),))

    return replace(desk, models=tuple(put(model) for model in desk.models)) if first else desk


def _with_more(card: CardBudget, more: int) -> CardBudget:
    if not more:
        return card
    return replace(card, available_bytes=min(card.memory_total_bytes - card.reserve_bytes, card.available_bytes + more))
