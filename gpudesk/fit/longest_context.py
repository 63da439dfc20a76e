"""The longest context with which a combination still fits."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.contexts import exact, familiar, longest
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
) -> int | None:
    """Return the longest context of one model, all others as they are, with a verdict this good.

    Args:
        planner: what it is planned on.
        wanted: the combination.
        position: of the model that is varied.
        verdict: the worst that will do.
        below: only familiar contexts shorter than this; without it every one is looked at.

    Returns:
        Tokens per slot; None when not even the shortest will do.
    """
    one = wanted[position]
    trained = one.metadata.context_length_trained or UNTRAINED_LIMIT

    def will_do(context: int) -> bool:
        changed = [*wanted[:position], with_context(one, context), *wanted[position + 1 :]]
        return planner.is_as_good(changed, verdict)

    return longest(exact(trained) if below is None else familiar(below, limit=trained), will_do)
