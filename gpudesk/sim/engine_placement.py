"""Where a runner's bytes go: how many layers on which card, and what stays in host memory.

llama.cpp puts layers on the card from the end and, with `--fit`, as many as leave a margin of 1 GiB per card
(common/common.h:468, common/fit.cpp:178 at b10488); earlier Ollama filled cards up to its own reserve of 457 MiB
(ollama llm/memory.go, ml/device.go:359).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.sim.cards import GIBIBYTE
from gpudesk.sim.engine_memory import (
    RunOptions,
    compute_bytes,
    context_bytes,
    host_compute_bytes,
    kv_by_layer,
)
from gpudesk.sim.engine_tensors import draft_bytes_of, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.sim.models import SimulatedModel

FIT_MARGIN_BYTES = GIBIBYTE


@dataclass(frozen=True, slots=True)
class CardBytes:
    """What one runner holds on one card, as the driver sees it."""

    card: int
    weights: int
    kv_full: int
    """KV of the layers that see everything."""
    kv_sliding: int
    """KV of the layers that see a window."""
    compute: int
    projector: int
    draft: int
    context: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_full + self.kv_sliding + self.compute + self.projector + self.draft + self.context


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything of one runner lies."""

    cards: tuple[CardBytes, ...]
    layers_on_cards: int
    """Of `layer_count`, the output layer counted as one."""
    layer_count: int
    host_weights: int
    """Weights computed by the processor; the token embedding is not among them."""
    host_input: int
    """The token embedding, which is in host memory always."""
    host_kv: int
    host_compute: int

    @property
    def card_bytes(self) -> int:
        """Everything on cards."""
        return sum(part.total for part in self.cards)

    @property
    def host_bytes(self) -> int:
        """Everything in host memory."""
        return self.host_weights + self.host_input + self.host_kv + self.host_compute

    @property
    def complete(self) -> bool:
        """Every layer is on a card."""
        return bool(self.cards) and self.layers_on_cards >= self.layer_count


def _ranges(first: int, layers: int, cards: Sequence[int], free: Sequence[int]) -> list[tuple[int, range]]:
    """Split layers over cards in proportion to their free memory, as llama.cpp's layer split does."""
    total = sum(free) or 1
    found: list[tuple[int, range]] = []
    start, seen = first, 0
    for card, part in zip(cards, free, strict=True):
        seen += part
        end = first + round(layers * seen / total)
        found.append((card, range(start, end)))
        start = end
    return found


def place(
    model: SimulatedModel,
    options: RunOptions,
    layers: int,
    cards: Sequence[int],
    free: Sequence[int],
    *,
    projector_on_card: bool = True,
) -> Placement:
    """Put the last `layers` layers (the output layer counts) of a model on `cards` and the rest in host memory."""
    shape = model.shape
    weights = weights_of(model)
    layers = layers if cards else 0
    kv = kv_by_layer(shape, options)
    count = shape.block_count + 1
    sizes = [*weights.layers, weights.output]
    first = count - layers
    compute = compute_bytes(shape, options)
    found: list[CardBytes] = []
    for position, (card, mine) in enumerate(_ranges(first, layers, cards, free)):
        blocks = [layer for layer in mine if layer < shape.block_count]
        found.append(
            CardBytes(
                card=card,
                weights=sum(sizes[layer] for layer in mine),
                kv_full=sum(kv[layer] for layer in blocks if shape.sees_everything(layer)),
                kv_sliding=sum(kv[layer] for layer in blocks if not shape.sees_everything(layer)),
                compute=compute if mine else compute // 4,
                projector=weights.projector if position == 0 and projector_on_card else 0,
                draft=draft_bytes_of(model) if position == 0 and layers else 0,
                context=context_bytes(model),
            )
        )
    return Placement(
        cards=tuple(found),
        layers_on_cards=layers,
        layer_count=count,
        host_weights=sum(sizes[:first]) + (0 if found and projector_on_card else weights.projector),
        host_input=weights.input,
        host_kv=sum(kv[: min(first, shape.block_count)]),
        host_compute=host_compute_bytes(shape, options),
    )


def _fits(placement: Placement, free: Sequence[int], margin: int) -> bool:
    return all(part.total + margin <= room for part, room in zip(placement.cards, free, strict=True))


def fit(
    model: SimulatedModel,
    options: RunOptions,
    cards: Sequence[int],
    free: Sequence[int],
    era: Era,
    *,
    gpu_overhead: int = 0,
) -> Placement:
    """Put as many layers on `cards` as their free memory takes; none at all when not one fits.

    A projector is kept room for twice: in the target Ollama gives and in llama-server's own estimate
    (ollama llm/llama_server.go:722 at v0.33.0-rc2, llama.cpp tools/server/server-context.cpp:1003 at b10488).
    """
    count = model.shape.block_count + 1
    projector_bytes = weights_of(model).projector
    projector = all(room >= projector_bytes + GIBIBYTE for room in free)
    margin = gpu_overhead
    if era is Era.LLAMA_SERVER:
        margin = FIT_MARGIN_BYTES + (projector_bytes if projector else 0)
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        if _fits(place(model, options, middle, cards, free, projector_on_card=projector), free, margin):
            low = middle
        else:
            high = middle - 1
    if low == 0:
        return place(model, options, 0, (), ())
    return place(model, options, low, cards, free, projector_on_card=projector)


def predicted_bytes(model: SimulatedModel, context_total: int) -> int:
    """Return what the server thinks a model takes before it starts one (`PredictServerVRAM`).

    File size plus a rough KV cache: no quantized cache, no window, no key_length, no projector file
    (ollama llm/llama_server.go:2681 at v0.33.0-rc2).
    """
    shape = model.shape
    head = shape.embedding_length // shape.head_count
    return (
        weights_of(model).file + 2 * shape.block_count * max(1, shape.listed_head_count_kv) * head * context_total * 2
    )
