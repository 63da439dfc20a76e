"""How fast a model answers, from the bytes that have to be read for one token.

Decoding is bound by memory: every token reads all weights that take part in it, and the KV cache so far, each from
where it lies. The bound is reached to 0.6 to 0.75 on cards (of the data sheet's bandwidth); the processor reaches
about the same share of its memory's. A token also pays a little per layer whose activations cross the bus. Where
tokens per second were measured, only the ratio between two placements is taken from here.
"""

from __future__ import annotations

from gpudesk.fit.metadata import ModelMetadata
from gpudesk.records import dataclass

CARD_EFFICIENCY = 0.68
"""Share of a card's bandwidth that decoding reaches: the middle of 0.6 to 0.75."""
HOST_EFFICIENCY = 0.65
HOST_BYTES_PER_SECOND = 50e9
"""Two channels of DDR4-3200 to DDR5-4800, when the host's memory is not known."""
CARD_BYTES_PER_SECOND = 500e9
"""Of an unknown card."""
TOKEN_SECONDS = 0.0015
"""Launches and sampling of one token."""
CROSSING_SECONDS = 0.0005
"""A switch of the graph between host and card: copy, synchronization, thread wake-up."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Bytes one token reads, by where they lie."""

    card_bytes: int
    host_bytes: int
    crossings: int = 0
    """How often the graph goes from host to card: one for a partial offload, one per layer for experts on the host."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one slot while it decodes."""

    tokens_per_second: float
    """What to expect."""
    bound_tokens_per_second: float
    """What the data sheets allow; nothing is faster."""


def active_ratio(metadata: ModelMetadata, weights_bytes: int, expert_bytes: int) -> float:
    """Return the share of the weights that one token reads: of the experts only those used, of the rest all."""
    if not metadata.expert_count or not metadata.expert_used_count or weights_bytes <= 0:
        return 1.0
    used = min(1.0, metadata.expert_used_count / metadata.expert_count)
    experts = min(expert_bytes, weights_bytes)
    return (weights_bytes - experts + experts * used) / weights_bytes


def decode_speed(
    reads: Reads,
    *,
    card_bytes_per_second: float | None = None,
    host_bytes_per_second: float | None = None,
) -> Speed:
    """Return the speed of one slot."""
    card = card_bytes_per_second or CARD_BYTES_PER_SECOND
    host = host_bytes_per_second or HOST_BYTES_PER_SECOND
    bound = reads.card_bytes / card + reads.host_bytes / host
    seconds = reads.card_bytes / (card * CARD_EFFICIENCY) + reads.host_bytes / (host * HOST_EFFICIENCY)
    seconds += TOKEN_SECONDS + reads.crossings * CROSSING_SECONDS
    return Speed(1 / seconds, 1 / bound if bound else 1 / seconds)


def reads_of(
    weights_bytes: int,
    host_weights_bytes: int,
    *,
    active: float = 1.0,
    kv_card_bytes: int = 0,
    kv_host_bytes: int = 0,
) -> Reads:
    """Return what one token reads of a model placed like this.

    Args:
        weights_bytes: weights on cards.
        host_weights_bytes: weights that the processor computes; the input embedding is not among them, one row of
            it is read.
        active: share of the weights that takes part in a token.
        kv_card_bytes: KV on cards, as far as it is filled.
        kv_host_bytes: KV in host memory, as far as it is filled.
    """
    return Reads(
        int(weights_bytes * active) + kv_card_bytes,
        int(host_weights_bytes * active) + kv_host_bytes,
        1 if host_weights_bytes else 0,
    )


def slowdown(
    whole: Reads,
    spilled: Reads,
    *,
    card_bytes_per_second: float | None = None,
    host_bytes_per_second: float | None = None,
) -> float:
    """Return how many times slower a partly offloaded model answers than the same one whole on the card."""
    fast = decode_speed(whole, card_bytes_per_second=card_bytes_per_second, host_bytes_per_second=host_bytes_per_second)
    slow = decode_speed(
        spilled, card_bytes_per_second=card_bytes_per_second, host_bytes_per_second=host_bytes_per_second
    )
    return max(1.0, fast.tokens_per_second / slow.tokens_per_second)
