"""The longest context with which a combination still fits."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.contexts import exact, familiar, longest
from gpudesk.fit.filling import margin_of
from gpudesk.fit.planner import Planner
from gpudesk.fit.values import Verdict, Wanted
from gpudesk.records import replace

UNTRAINED_LIMIT = 131072
"""How far is looked when the file does not say what the model was trained for."""


def steps(limit: int) -> list[int]:
    """Return contexts between which nothing changes, and the limit itself."""
    return list(exact(limit))


def with_context(wanted: Wanted, context_length: int) -> Wanted:
    """Return the model with another context."""
    return replace(wanted, options=replace(wanted.options, context_length=context_length))


def longest_context(
    planner: Planner,
    wanted: Sequence[Wanted],
    position: int = 0,
    *,
    verdict: Verdict = Verdict.FITS,
    below: int | None = None,
    least: int = 0,
) -> int | None:
    """Return the longest context of one model, all others as they are, with a verdict this good.

    Args:
        planner: what it is planned on.
        wanted: the combination.
        position: of the model that is varied.
        verdict: the worst that will do.
        below: only familiar contexts shorter than this; without it every one is looked at.
        least: of these, none that is shorter than this.

    Returns:
        Tokens per slot; None when not even the shortest will do.
    """
    if needs_more_than_there_is(planner, wanted):
        return None
    one = wanted[position]
    trained = one.metadata.context_length_trained or UNTRAINED_LIMIT

    def will_do(context: int) -> bool:
        changed = [*wanted[:position], with_context(one, context), *wanted[position + 1 :]]
        return planner.is_as_good(changed, verdict)

    tried = exact(trained) if below is None else familiar(below, limit=trained, least=least)
    return longest(tried, will_do, *_guesses(planner, wanted, position, verdict))


def needs_more_than_there_is(planner: Planner, wanted: Sequence[Wanted]) -> bool:
    """Tell whether what does not depend on any context has no room already."""
    arranger = planner.arranger
    return bool(planner.cards) and arranger.fixed_bytes(planner.resolved(wanted)) > arranger.room_bytes


def _guesses(
    planner: Planner, wanted: Sequence[Wanted], position: int, verdict: Verdict
) -> tuple[int | None, int | None]:
    """Return about how long it may be where the model is, and with all there is on all cards.

    That is what is free beside the plan, or missing, over what one token takes.
    """
    comfortable = verdict is Verdict.FITS
    resolved = planner.resolved(wanted)
    models = [planner.arranger.alone(one, 0) for one in resolved] if planner.cards else []
    each = models[position].parts.kv_cache_bytes // max(1, models[position].context_length) if models else 0
    if not each:
        return None, None
    made = planner.arranged(wanted)
    one, present = made.models[position], models[position].context_length
    margins = [margin_of(card.budget) if comfortable else 0 for card in made.cards]
    needed = sum(model.high_bytes if comfortable else model.parts.total_bytes for model in models)
    room = sum(card.budget.available_bytes for card in made.cards) - sum(margins)
    bound = present + (room - needed) // each
    if one.layers_on_gpu < one.layers_total or made.verdict not in (Verdict.FITS, Verdict.TIGHT):
        return bound, None
    free = sum(
        card.budget.available_bytes - (card.high_bytes if comfortable else card.planned_bytes) - margin
        for card, parts, margin in zip(made.cards, one.by_card, margins, strict=True)
        if parts.total_bytes
    )
    return present + free // each, bound
