"""Where a runner's bytes go: how many layers on which card, and what stays in host memory.

llama.cpp puts layers on the card from the end and, with `--fit`, as many as leave a margin of 1 GiB per card
(common/common.h:468, common/fit.cpp:178 at b10488); earlier Ollama filled cards up to its own reserve of 457 MiB
(ollama llm/memory.go, ml/device.go:359).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.fit import placement as layouts
from gpudesk.fit.values import Parts
from gpudesk.records import replace
from gpudesk.sim.cards import GIBIBYTE
from gpudesk.sim.engine_memory import (
    CONTEXT_BYTES,
    RunOptions,
    compute_bytes,
    context_bytes,
    copied_bytes,
    draft_bytes,
    header,
    host_compute_bytes,
    kv_by_layer,
    projector_bytes,
    sees_window,
)
from gpudesk.sim.engine_tensors import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.values import CardBudget
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
    """Weights of the projector."""
    projector_compute: int
    draft: int
    """Weights of the draft model."""
    draft_buffers: int
    """Its cache and its compute buffer."""
    context: int

    @property
    def total(self) -> int:
        """All of it."""
        model = self.weights + self.kv_full + self.kv_sliding + self.compute
        return model + self.projector + self.projector_compute + self.draft + self.draft_buffers + self.context


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
    expert_layers_on_host: int = 0
    """Of the layers on cards, those whose expert tensors are in host memory."""

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
        everything = self.layers_on_cards >= self.layer_count and not self.expert_layers_on_host
        return bool(self.cards) and everything


def place(
    model: SimulatedModel,
    options: RunOptions,
    layers: int,
    cards: Sequence[CardBudget],
    *,
    counts: Sequence[int] | None = None,
    projector_on_card: bool = True,
    experts_on_host: int = 0,
) -> Placement:
    """Put the last `layers` layers (the output layer counts) of a model on `cards` and the rest in host memory.

    Args:
        model: the model.
        options: how it runs.
        layers: how many go on cards.
        cards: in the order in which they are filled.
        counts: layers per card; None splits them by the room there is.
        projector_on_card: else it stays in host memory.
        experts_on_host: the first so many layers on cards leave their expert tensors in host memory.
    """
    shape, quantization = model.shape, model.quantization
    weights = header(shape, quantization).weights
    kv, windows = kv_by_layer(shape, options, quantization), sees_window(shape, quantization)
    count = shape.block_count + 1
    sizes = [*weights.layers, weights.output_bytes]
    layers = min(layers, count) if cards else 0
    first = count - layers
    for layer in range(first, min(first + experts_on_host, shape.block_count)):
        sizes[layer] -= weights.experts[layer]
    if counts is None:
        counts = layouts.split(layers, [card.available_bytes for card in cards])
    seeing, looking = projector_bytes(shape, quantization, options.version) if projector_on_card else (0, 0)
    draft, draft_buffers = draft_bytes(model, options)
    used = sum(number > 0 for number in counts)
    whole = layers == count and not experts_on_host
    compute = compute_bytes(shape, options, quantization, several=used > 1 and whole)
    compute += 0 if whole else copied_bytes(shape, quantization)
    found: list[CardBytes] = []
    start = first
    for card, number in zip(cards, counts, strict=True):
        mine = range(start, start + number)
        start += number
        if not number:
            continue
        blocks = [layer for layer in mine if layer < shape.block_count]
        leads = not found
        found.append(
            CardBytes(
                card=card.index,
                weights=sum(sizes[layer] for layer in mine),
                kv_full=sum(kv[layer] for layer in blocks if not windows[layer]),
                kv_sliding=sum(kv[layer] for layer in blocks if windows[layer]),
                compute=compute,
                projector=seeing if leads else 0,
                projector_compute=looking if leads else 0,
                draft=draft if leads else 0,
                draft_buffers=draft_buffers if leads else 0,
                context=context_bytes(model, card, options.version),
            )
        )
    host = sum(weights.layers) + weights.output_bytes - sum(part.weights for part in found)
    return Placement(
        cards=tuple(found),
        layers_on_cards=layers,
        layer_count=count,
        host_weights=host + (0 if found and projector_on_card else weights_of(model).projector),
        host_input=weights.host_bytes,
        host_kv=sum(kv[: min(first, shape.block_count)]),
        host_compute=host_compute_bytes(shape, options),
        expert_layers_on_host=experts_on_host,
    )


def burden(
    model: SimulatedModel, options: RunOptions, cards: Sequence[CardBudget], *, projector_on_card: bool = True
) -> layouts.Burden:
    """Return what of a model has to lie somewhere, as llama.cpp's own search for a place counts it."""
    shape, quantization = model.shape, model.quantization
    weights = header(shape, quantization).weights
    compute = compute_bytes(shape, options, quantization)
    seeing, looking = projector_bytes(shape, quantization, options.version) if projector_on_card else (0, 0)
    draft, draft_buffers = draft_bytes(model, options)
    return layouts.Burden(
        layers=weights.layers,
        output_bytes=weights.output_bytes,
        kv=kv_by_layer(shape, options, quantization),
        compute_bytes=compute,
        overhead_bytes=tuple(context_bytes(model, card, options.version) for card in cards),
        first_card=Parts(weights_bytes=draft, compute_bytes=draft_buffers + looking, projector_bytes=seeing),
        host_bytes=weights.host_bytes,
        experts=weights.experts,
        compute_partial_bytes=compute + copied_bytes(shape, quantization),
        kv_untold_bytes=_untold(kv_by_layer(shape, options, quantization), sees_window(shape, quantization)),
    )


def _untold(kv: Sequence[int], windows: Sequence[bool]) -> int:
    """Return what of a cache the later line of a log replaces."""
    return sum(size for size, window in zip(kv, windows, strict=True) if not window) if any(windows) else 0


def fit(
    model: SimulatedModel,
    options: RunOptions,
    cards: Sequence[CardBudget],
    era: Era,
    *,
    gpu_overhead: int = 0,
) -> Placement:
    """Put as many layers on `cards` as their free memory takes; none at all when not one fits.

    A projector is kept room for twice: in the target Ollama gives and in llama-server's own estimate
    (ollama llm/llama_server.go:722 at v0.33.0-rc2, llama.cpp tools/server/server-context.cpp:1003 at b10488).
    """
    seeing = weights_of(model).projector
    on_card = all(card.available_bytes >= seeing + GIBIBYTE for card in cards)
    if era is not Era.LLAMA_SERVER:
        return _fill(model, options, cards, gpu_overhead, projector_on_card=on_card)
    margin = FIT_MARGIN_BYTES + (seeing if on_card else 0)
    wanted = burden(model, options, cards, projector_on_card=on_card)
    found = layouts.place(wanted, cards, margin=margin, experts_to_host=True)
    if found.complete and sum(number > 0 for number in found.layers_by_card) > 1:
        # Whole on several cards it runs as a pipeline, which takes more.
        several = compute_bytes(model.shape, options, model.quantization, several=True)
        found = layouts.place(replace(wanted, compute_bytes=several), cards, margin=margin, experts_to_host=True)
    return place(
        model, options, found.layers_on_gpu, cards, counts=found.layers_by_card, projector_on_card=on_card,
        experts_on_host=found.expert_layers_on_host,
    )  # fmt: skip


def _fill(
    model: SimulatedModel,
    options: RunOptions,
    cards: Sequence[CardBudget],
    margin: int,
    *,
    projector_on_card: bool,
) -> Placement:
    """Find the most layers that a server before llama-server believes to have room for."""
    rooms = {card.index: card.available_bytes - margin for card in cards}
    low, high = 0, model.shape.block_count + 1
    while low < high:
        middle = (low + high + 1) // 2
        tried = place(model, options, middle, cards, projector_on_card=projector_on_card)
        if all(part.total - part.context + CONTEXT_BYTES <= rooms[part.card] for part in tried.cards):
            low = middle
        else:
            high = middle - 1
    return place(model, options, low, cards if low else (), projector_on_card=projector_on_card)


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
