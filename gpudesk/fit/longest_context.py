"""The longest context with which a combination still fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpudesk.fit.planner import Planner
from gpudesk.fit.values import Verdict, Wanted

UNTRAINED_LIMIT = 131072
"""How far is looked when the file does not say what the model was trained for."""


def steps(limit: int) -> list[int]:
    """Return contexts worth trying: by 256, the padding of a cache, to 8192, by 1024 from there."""
    return [*range(256, min(limit, 8192) + 1, 256), *range(9216, limit + 1, 1024)]


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
        below: only contexts shorter than this.

    Returns:
        Tokens per slot; None when not even the shortest will do.
    """
    one = wanted[position]
    trained = one.metadata.context_length_trained or UNTRAINED_LIMIT
    tried = steps(trained) or [trained]
    if below is not None:
        tried = [context for context in tried if context < below]
    low, high, best = 0, len(tried) - 1, None
    while low <= high:
        middle = (low + high) // 2
        changed = [*wanted[:position], with_context(one, tried[middle]), *wanted[position + 1 :]]
        if planner.is_as_good(changed, verdict):
            best, low = tried[middle], middle + 1
        else:
            high = middle - 1
    return best
