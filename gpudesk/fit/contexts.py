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


def familiar(below: int, *, limit: int | None = None) -> tuple[int, ...]:
    """Return the familiar contexts shorter than `below` and not longer than `limit`."""
    return tuple(context for context in FAMILIAR if context < below and (limit is None or context <= limit))


def longest(tried: Sequence[int], will_do: Callable[[int], bool], guess: int | None = None) -> int | None:
    """Return the longest of these, given from short to long, that will do; None when none does.

    Where one will do the shorter ones do. A guess near the answer, here of a linear cache, halves the tries; without
    one the shortest is tried first, since often none will do.
    """
    if not tried:
        return None
    at = 0 if guess is None else min(max(bisect_right(tried, guess) - 1, 0), len(tried) - 1)
    # Everything up to `low` will do, nothing from `high` on.
    low, high, step = -1, len(tried), 1
    upwards = will_do(tried[at])
    low, high = (at, high) if upwards else (low, at)
    while guess is not None and (high == len(tried) if upwards else low < 0) and 2 * step <= high - low:
        at = low + step if upwards else high - step
        low, high = (at, high) if will_do(tried[at]) else (low, at)
        step *= 3
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if will_do(tried[middle]) else (low, middle)
    return tried[low] if low >= 0 else None
