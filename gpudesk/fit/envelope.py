"""A size that never falls when the context grows.

How tensors are packed into one buffer does not grow evenly with their sizes: a slightly larger mask can fall into a
better place. What is shown must not jump back, so the size is taken at contexts that are powers of two, the largest so
far counts, and between them it is drawn straight. At those contexts it is what was computed there; between them what
grows faster and faster is met from above.
"""

from __future__ import annotations

from collections.abc import Callable

STARTS = (256, 1024, 2048, 8192)
"""Where sizes start anew, so that a usual context does not need the short ones: those are never above the next start.
Caches are as long as a multiple of the first."""


def envelope(context: int, known: dict[int, int], at: Callable[[int], int]) -> int:
    """Return the size at a context.

    Args:
        context: a multiple of 256.
        known: sizes at powers of two, as far as they are known; more of them afterwards.
        at: computes the size at one context.
    """
    below = STARTS[0] << max(0, (context // STARTS[0]).bit_length() - 1)
    low = _largest(below, known, at)
    if context <= below:
        return low
    high = _largest(2 * below, known, at)
    return low + (high - low) * (context - below) // below


def _largest(context: int, known: dict[int, int], at: Callable[[int], int]) -> int:
    """Return the largest size since the last start up to this context, a power of two."""
    found = known.get(context)
    if found is None:
        found = at(context)
        if context not in STARTS:
            found = max(found, _largest(context // 2, known, at))
        after = next((start for start in STARTS if start > context), None)
        if after is not None:
            found = min(found, _largest(after, known, at))
        known[context] = found
    return found
