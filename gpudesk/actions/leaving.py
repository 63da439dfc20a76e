"""Previews of what only makes models go: unload, free the card."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import held_on, is_busy, is_pinned, loaded_now, pins_of, runners
from gpudesk.actions.planned_steps import leave, total_seconds
from gpudesk.actions.room import by_cost
from gpudesk.actions.values import ActionId, Danger, Preview, Refusal, Step
from gpudesk.actions.wishes import silent_engine
from gpudesk.actions.wording import described, enumerated, shared, waiting
from gpudesk.domain.desk import CardState, Desk, HolderKind, LoadedModel
from gpudesk.domain.model import InstalledModel
from gpudesk.records import replace
from gpudesk.units import gibibytes


def unload(desk: Desk, models: Sequence[LoadedModel]) -> Preview:
    """Preview the unloading of models the user named. An idle one without a pin goes without being asked about."""
    return going(desk, ActionId.UNLOAD, models)


def going(desk: Desk, action: ActionId, models: Sequence[LoadedModel], notes: tuple[str, ...] = ()) -> Preview:
    """Preview the unloading of models the user named, as part of some action."""
    subject = enumerated([model.name for model in models]) or "nothing"
    there = {model.key: model for model in desk.models}
    missing = [model.name for model in models if model.key not in there]
    chosen = _carriers(desk, [there[model.key] for model in models if model.key in there])
    blank = Preview(action, subject, before=loaded_now(desk, {model.engine_url for model in models}))
    refusal = silent_engine(desk, chosen)
    if refusal is not None:
        return replace(blank, refusal=refusal)
    gone: tuple[str, ...] = (
        (f"{enumerated(missing)} {'is' if len(missing) == 1 else 'are'} not loaded",) if missing else ()
    )
    gone += still_pinned(desk, [model for model in models if model.key not in there])
    loses = [f"{described(desk, model)}: its pin ends" for model in chosen if is_pinned(desk, model)]
    steps = [step for model in by_cost(desk, chosen) for step in leave(desk, model)]
    return _leaving(desk, blank, chosen, steps, loses, (*notes, *gone))


def still_pinned(desk: Desk, models: Sequence[InstalledModel | LoadedModel]) -> tuple[str, ...]:
    """Say which of these models, which are not loaded, a pin may bring back."""
    pinned = [model.name for model in models if pins_of(desk, model.engine_url, model.name)]
    return tuple(f"{name} is still pinned; to end that: gpudesk unpin {name}" for name in dict.fromkeys(pinned))


def _carriers(desk: Desk, models: Sequence[LoadedModel]) -> tuple[LoadedModel, ...]:
    """Return the runners behind these names, each under the name that carries its memory."""
    first: dict[str, LoadedModel] = {}
    for carrier in runners(desk.models):
        for name in (carrier.name, *carrier.shares_runner_with):
            first.setdefault(f"{carrier.engine_url} {name}", carrier)
    found = [first.get(model.key, model) for model in models]
    return tuple(dict.fromkeys(found))


def _leaving(
    desk: Desk, blank: Preview, models: Sequence[LoadedModel], steps: Sequence[Step], loses: Sequence[str],
    notes: Sequence[str],
) -> Preview:  # fmt: skip
    freed = sum(model.memory_bytes or 0 for model in models if model.local)
    free_now = [state.free_bytes for state in desk.cards if state.free_bytes is not None]
    return replace(
        blank,
        steps=tuple(steps),
        danger=Danger.REVERSIBLE if loses else Danger.NONE,
        loses=tuple(loses),
        notes=(*notes, *waiting(desk, models), *shared(models)),
        frees_bytes=freed if models else None,
        free_after_bytes=sum(free_now) + freed if free_now else None,
        expected_seconds=total_seconds(steps),
    )


def free(desk: Desk, need_bytes: int | None = None, card_index: int | None = None) -> Preview:
    """Preview making room for something that is no model: a game, a render. `before` is what `restore` takes.

    Args:
        desk: what is known.
        need_bytes: how much must be free on the card in the end; None is everything models hold.
        card_index: which card; None with `need_bytes` is the one where least goes, without it all cards.
    """
    cards = [state for state in desk.cards if card_index in (None, state.card.index)]
    blank = Preview(ActionId.FREE, _what_is_freed(need_bytes, card_index), before=loaded_now(desk))
    if card_index is not None and not cards:
        there = enumerated([f"card {state.card.index}" for state in desk.cards])
        hint = f"There is {there}" if there else "No card is known"
        return replace(blank, refusal=Refusal(f"there is no card {card_index}", hint))
    chosen: Sequence[LoadedModel] | Refusal
    if need_bytes is None:
        chosen = [model for model in _on_cards(desk) if card_index is None or held_on(desk, model, card_index)]
    else:
        chosen = _enough(desk, cards, need_bytes)
    refusal = chosen if isinstance(chosen, Refusal) else silent_engine(desk, chosen)
    if refusal is not None or isinstance(chosen, Refusal):
        return replace(blank, refusal=refusal)
    ordered = sorted(chosen, key=lambda model: _rank(desk, model, card_index))
    loses = [f"{described(desk, model)} is unloaded" for model in ordered]
    return _leaving(desk, blank, ordered, [step for model in ordered for step in leave(desk, model)], loses,
                    () if ordered else _on_cpu_alone(desk))  # fmt: skip


def _on_cpu_alone(desk: Desk) -> tuple[str, ...]:
    """Say of what is loaded all the same that it holds nothing of a card."""
    names = [model.name for model in runners(desk.models) if model.local and model.memory_bytes == 0]
    runs, holds = ("runs", "holds") if len(names) == 1 else ("run", "hold")
    return (f"{enumerated(names)} {runs} on the CPU alone and {holds} nothing of a card",) if names else ()


def _what_is_freed(need_bytes: int | None, card_index: int | None) -> str:
    where = "the card" if card_index is None else f"card {card_index}"
    if need_bytes is None:
        return where
    return gibibytes(need_bytes) if card_index is None else f"{gibibytes(need_bytes)} on {where}"


def _on_cards(desk: Desk) -> list[LoadedModel]:
    """Return what is on this computer's cards, or may be where the driver does not tell."""
    return [model for model in runners(desk.models) if model.local and model.memory_bytes != 0]


def _rank(desk: Desk, model: LoadedModel, card_index: int | None) -> tuple[bool, bool, int, str]:
    """Order who goes: without a pin first, idle ones first, the largest first."""
    held = (model.memory_bytes or 0) if card_index is None else held_on(desk, model, card_index)
    return (is_pinned(desk, model), is_busy(model, desk.taken_at), -held, model.key)


def _enough(desk: Desk, cards: Sequence[CardState], need_bytes: int) -> list[LoadedModel] | Refusal:
    """Choose who goes so that one card has so much free: fewest pins, then least memory."""
    plans = [(state, _enough_on(desk, state, need_bytes)) for state in cards if state.free_bytes is not None]
    possible = [found for _, found in plans if found is not None]
    if possible:

        def rank(found: list[LoadedModel]) -> tuple[int, int]:
            pins = sum(is_pinned(desk, model) for model in found)
            return pins, sum(model.memory_bytes or 0 for model in found)

        return min(possible, key=rank)
    if not plans:
        return Refusal("no card tells how much of it is free", "Free everything: leave out the size")
    most, state = max(((_most(desk, state), state) for state, _ in plans), key=lambda pair: pair[0])
    holders = [
        f"{holder.name} holds {gibibytes(holder.memory_bytes)}"
        for holder in state.holders
        if holder.kind is not HolderKind.MODEL
    ]
    rest = f"; {enumerated(holders[:3])}" if holders else ""
    return Refusal(f"without any model {gibibytes(most)} would be free, not {gibibytes(need_bytes)}{rest}")


def _most(desk: Desk, state: CardState) -> int:
    return (state.free_bytes or 0) + sum(held_on(desk, model, state.card.index) for model in _on_cards(desk))


def _enough_on(desk: Desk, state: CardState, need_bytes: int) -> list[LoadedModel] | None:
    """Choose who goes on one card, the largest first; the last one is the smallest that is enough."""
    index, chosen = state.card.index, []
    missing = need_bytes - (state.free_bytes or 0)
    left = sorted(
        (model for model in _on_cards(desk) if held_on(desk, model, index)), key=lambda m: _rank(desk, m, index)
    )
    while missing > 0:
        if not left:
            return None
        tier = _rank(desk, left[0], index)[:2]
        enough = [
            model for model in left if _rank(desk, model, index)[:2] == tier and held_on(desk, model, index) >= missing
        ]
        model = enough[-1] if enough else left[0]
        left.remove(model)
        chosen.append(model)
        missing -= held_on(desk, model, index)
    return chosen
