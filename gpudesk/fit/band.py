"""How sure an estimate is: what of its parts may be off, and by how much.

Weights and cache are exact; the compute buffer follows the graph, whose details change with builds; the overhead of a
process is a matter of card, driver and time (workspaces come with the first request).
"""

from __future__ import annotations

from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

WEIGHTS_SHARE = 0.001
COMPUTE_LOW, COMPUTE_HIGH = 0.15, 0.20
COMPUTE_HIGH_REORDERED = 0.30
"""Where a backend computes a graph in an order of its own, which is followed only in the main."""
COMPUTE_FLOOR_BYTES = 24 * MEBIBYTE
UNKNOWN_SHARE = 0.06
"""Of weights and cache of an unknown architecture: tensors that stay on the host, layers without a cache."""
UNKNOWN_COMPUTE_HIGH = 1.5
UNKNOWN_FLOOR_BYTES = 256 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What the band of one model is made of, in bytes, all its cards together."""

    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    overhead_low_bytes: int
    """Of the overhead, how much less it may be."""
    overhead_high_bytes: int
    projector_high_bytes: int = 0
    extra_high_bytes: int = 0
    """What this load alone may take more."""
    extra_low_bytes: int = 0
    cards: int = 1
    known: bool = True
    """The architecture is one whose graph is known."""
    exact_weights: bool = True
    reordered: bool = False
    """The backend orders the graph anew."""


def band(total_bytes: int, doubt: Uncertainty) -> tuple[int, int]:
    """Return low and high, between which the measured value is expected 95 times of 100."""
    floor = COMPUTE_FLOOR_BYTES * doubt.cards
    low = doubt.weights_bytes * WEIGHTS_SHARE + doubt.overhead_low_bytes + doubt.extra_low_bytes
    high = doubt.weights_bytes * WEIGHTS_SHARE + doubt.overhead_high_bytes + doubt.extra_high_bytes
    high += doubt.projector_high_bytes
    low += max(floor, doubt.compute_bytes * COMPUTE_LOW)
    high += max(floor, doubt.compute_bytes * (COMPUTE_HIGH_REORDERED if doubt.reordered else COMPUTE_HIGH))
    if not doubt.known:
        fixed = (doubt.weights_bytes + doubt.kv_cache_bytes) * UNKNOWN_SHARE
        low += fixed + doubt.compute_bytes * (1 - COMPUTE_LOW)
        high += fixed + max(UNKNOWN_FLOOR_BYTES, doubt.compute_bytes * UNKNOWN_COMPUTE_HIGH)
    if not doubt.exact_weights:
        low += doubt.weights_bytes * 0.15
    return max(0, round(total_bytes - low)), round(total_bytes + high)
