"""Contexts worth trying, and the longest of them that will do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

PADDING = 256
"""A cache has a multiple of so many cells (llama.cpp src/llama-context.cpp:288); between two nothing changes."""
FAMILIAR = (
    1024, 2048, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 40960, 49152, 65536, 98304, 131072, 196608, 262144,
    393216, 524288, 786432, 1048576,
)  # fmt: skip
"""What people set: powers of two, the middles between them, and 40960, for which Qwen 3 is trained."""


def exact(limit: int) -> Sequence[int]:
    """Return every context there is a cache for, and the limit itself."""
    found = range(PADDING, limit + 1, PADDING)
    return found if found and found[-1] == limit else (*found, limit)


def familiar(below: int, *, limit: int | None = None, least: int = 0) -> tuple[int, ...]:
    """Return the familiar contexts shorter than `below`, not longer than `limit` and not shorter than `least`."""
    return tuple(context for context in FAMILIAR if least <= context < below and (limit is None or context <= limit))


def longest(
    tried: Sequence[int], will_do: Callable[[int], bool], guess: int | None = None, bound: int | None = None
) -> int | None:
    """Return the longest of these, given from short to long, that will do; None when none does.

    Where one will do the shorter ones do.

    Args:
        tried: what to choose from.
        will_do: asked as seldom as possible, never twice for the same.
        guess: near the answer, if it is a good one. Without one the shortest is tried first: often none will do.
        bound: about how long it may be at most, should the guess be too short.
    """
    if not tried:
        return None
    # Everything up to `low` will do, nothing from `high` on.
    low, high, start = -1, len(tried), 0 if guess is None else _place(tried, guess)
    at = start
    for step in (1, 4, None):
        if will_do(tried[at]):
            low = at
        else:
            high = at
        if step is None or guess is None:
            break
        at = low + step if low >= start else high - step
        if not low < at < high:
            break
    if bound is not None and low >= start and low < _place(tried, bound) < high:
        at = _place(tried, bound)
        low, high = (at, high) if will_do(tried[at]) else (low, at)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if will_do(tried[middle]) else (low, middle)
    return tried[low] if low >= 0 else None


def _place(tried: Sequence[int], value: int) -> int:
    """Return where the longest is that is not longer than this, or the shortest."""
    return max(bisect_right(tried, value) - 1, 0)
