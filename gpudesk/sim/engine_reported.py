"""What `/api/ps` claims about a runner, era by era, with the defects of each.

Sources: ollama llm/llama_server.go:2638-2870 at v0.33.0-rc2 (log lines; a later line with the same key replaces the
earlier one), llm/server.go:1895 at v0.24.0 (layouts), llm/memory.go:75 at v0.6.8 and fs/ggml/ggml.go:648-900
(`GraphSize`; the estimate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.sim.engine_memory import CACHE_TYPES, CONTEXT_BYTES, RunOptions, projector_bytes
from gpudesk.sim.engine_tensors import weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.sim.engine_placement import CardBytes, Placement
    from gpudesk.sim.models import Shape, SimulatedModel


@dataclass(frozen=True, slots=True)
class Reported:
    """An engine's claim."""

    size: int
    size_vram: int
    by_card: tuple[tuple[int, int], ...]
    """Card index and claimed bytes; the scheduler's own accounting, never told to clients."""


_CACHE_ELEMENT_BYTES = {"F32": 4.0, "Q8_0": 1.0, "Q4_0": 0.5}
"""fs/ggml/ggml.go kvCacheBytesPerElement; everything else is 2."""


def _logged(part: CardBytes) -> int:
    """Add up the buffers llama-server logs for one card.

    The two caches of a sliding-window model print under one key, so the later one (sliding) replaces the full one; a
    draft model's weights replace the model's. Weights of a projector and the context are logged by nobody.
    """
    weights = part.draft or part.weights
    kv = part.kv_sliding or part.kv_full
    return weights + kv + part.compute + part.projector_compute


def _from_log(placement: Placement) -> Reported:
    by_card = tuple((part.card, _logged(part)) for part in placement.cards)
    vram = sum(amount for _card, amount in by_card)
    if placement.complete:
        return Reported(vram, vram, by_card)
    host = placement.host_weights + placement.host_input + placement.host_kv + placement.host_compute
    return Reported(vram + host, vram, by_card)


def _from_layout(placement: Placement) -> Reported:
    by_card = [(part.card, part.total - part.context - part.draft - part.draft_buffers) for part in placement.cards]
    vram = sum(amount for _card, amount in by_card)
    host = placement.host_weights + placement.host_kv
    total = vram + placement.host_input + host + placement.host_compute
    if placement.complete:
        vram = total
    return Reported(total, vram, tuple(by_card))


def _kv_estimate(shape: Shape, options: RunOptions) -> list[int]:
    """Return the KV bytes per layer as the estimate counts them: full heads even where attention is latent."""
    element = _CACHE_ELEMENT_BYTES.get(CACHE_TYPES[options.cache_type], 2.0)
    row = (shape.key_size + shape.value_size) * shape.head_count_kv * element
    return [int(_cells_estimate(shape, layer, options) * row) for layer in range(shape.block_count)]


def _cells_estimate(shape: Shape, layer: int, options: RunOptions) -> int:
    """Return the cells of a layer: it knows the windows of two families only, and not those of gemma2 or cohere2."""
    match shape.architecture:
        case "gemma3" | "gemma3n" if (layer + 1) % 6:
            return options.parallel * (shape.sliding_window or 0) + options.batch
        case "gptoss" | "gpt-oss" if layer % 2 == 0:
            return options.parallel * 4096 + options.batch
    return options.context_length * options.parallel


def graph_estimate(shape: Shape, options: RunOptions, kv_total: int) -> tuple[int, int]:
    """Return the compute buffer the estimate assumes: with every layer on the card, and with only some."""
    batch, cells = options.batch, options.context_length * options.parallel
    width, heads, kv_heads, vocabulary = (
        shape.embedding_length, shape.head_count, shape.head_count_kv, shape.vocabulary,
    )  # fmt: skip
    key = shape.key_size
    logits = 4 * batch * (width + vocabulary)
    output = width * vocabulary * 105 // 128
    match shape.architecture:
        case "llama" | "llama4":
            full = max(4 * batch * (1 + 4 * width + cells * (1 + heads)), logits)
            partial = 4 * batch * width + max(
                4 * batch * (1 + width + max(cells, width))
                + width * width * 9 // 16
                + 4 * cells * (batch * heads + width // heads * kv_heads),
                logits + output,
            )
        case "qwen2":
            full = max(logits, 4 * batch * (1 + 2 * width + cells + cells * heads))
            partial = max(
                logits + output,
                4 * (batch * (1 + 2 * width + cells * (1 + heads)) + width * (1 + cells)),
            )
        case "gemma" | "gemma2" | "gemma3":
            full = max(logits, 4 * batch * (2 + cells + cells * heads + 2 * width + 2 * key * heads))
            partial = max(
                4 * width * batch + output + 4 * vocabulary * batch,
                4 * batch * (2 * width + 1 + 2 * key * heads + cells + cells * heads)
                + 32 * key * cells
                + width * key * heads * 9 // 16,
            )
        case "deepseek2":
            full = partial = max(
                4 * batch * (3 * width + vocabulary),
                4 * batch * (3 * width + 2 + cells * (1 + kv_heads) + 2 * key * kv_heads),
            )
        case "gptoss" | "gpt-oss":
            full = partial = 2 * heads // kv_heads * kv_total // 6
        case _:
            full = partial = max(1, heads // max(1, kv_heads)) * kv_total // 6
    return full, partial


def estimate(
    model: SimulatedModel, options: RunOptions, cards: Sequence[int], free: Sequence[int], overhead: int
) -> tuple[Reported, int]:
    """Return the claim of the first era, and how many layers that estimate puts on the cards."""
    shape, weights = model.shape, weights_of(model)
    kv = _kv_estimate(shape, options)
    layers = [size + cache for size, cache in zip(weights.layers, kv, strict=True)]
    output = weights.output
    full, partial = graph_estimate(shape, options, sum(kv))
    if not cards:
        return Reported(sum(layers) + output + full, 0, ()), 0
    seeing = sum(projector_bytes(shape, model.quantization, options.version))
    used = {card: CONTEXT_BYTES + layers[0] + (seeing if position == 0 else 0) for position, card in enumerate(cards)}
    room = dict(zip(cards, free, strict=True))
    counts = dict.fromkeys(cards, 0)
    placed = 0
    for layer, size in enumerate([*layers, output]):
        order = [cards[(layer + offset) % len(cards)] for offset in range(len(cards))]
        card = next((c for c in order if room[c] > overhead + used[c] + max(full, partial) + size), None)
        if card is None:
            continue
        used[card] += size
        counts[card] += 1
        placed += 1
    if not placed:
        return Reported(sum(layers) + output + partial, 0, ()), 0
    complete = placed == len(layers) + 1
    graph = full if complete and len(cards) == 1 else partial
    by_card = tuple((card, used[card] + graph) for card in cards if counts[card])
    vram = sum(amount for _card, amount in by_card)
    missing = len(layers) + 1 - placed
    overflow = missing * layers[-1] if missing else 0
    return Reported(vram + overflow, vram, by_card), placed


def reported(placement: Placement, era: Era, estimated: Reported | None) -> Reported:
    """Return what `/api/ps` says about a runner placed like this: the estimate where the server made one."""
    if estimated is not None:
        return estimated
    if not placement.cards:
        total = placement.host_bytes
        return Reported(total, 0, ())
    return _from_log(placement) if era is Era.LLAMA_SERVER else _from_layout(placement)
