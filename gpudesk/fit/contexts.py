"""Contexts worth trying, and the longest of them that will do."""

from __future__ import annotations

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


def longest(contexts: Sequence[int], will_do: Callable[[int], bool]) -> int | None:
    """Return the longest of these contexts, given from short to long, that will do; None when none does.

    Where one will do the shorter ones do. The shortest is tried first: often none does.
    """
    if not contexts or not will_do(contexts[0]):
        return None
    low, high = 0, len(contexts) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if will_do(contexts[middle]):
            low = middle
        else:
            high = middle - 1
    return contexts[low]
