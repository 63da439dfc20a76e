"""How Ollama up to 0.12.10 estimates a model before it loads it, and so decides what goes where.

Source: ollama llm/memory.go:75 (`EstimateGPULayers`) at v0.6.8 and fs/ggml/ggml.go:648-900 (`GraphSize`), kept at
v0.33.0-rc2. Its figures are what that server believes, not what is then allocated.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.identity import ByIdentity
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

MINIMUM_BYTES = 457 * MEBIBYTE
"""Per used card (ollama ml/device.go:359)."""
_ELEMENT_BYTES = {"f32": 4.0, "q8_0": 1.0, "q4_0": 0.5}
"""`kvCacheBytesPerElement`; everything else is 2."""
LOADS_REMEMBERED = 64
"""Per model."""


@dataclass(frozen=True, slots=True)
class Believed:
    """What the estimate puts on the cards."""

    by_card: tuple[int, ...]
    """Claimed bytes per card of the group."""
    layers_on_gpu: int
    complete: bool


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """What the estimate depends on besides the model."""

    context_length: int
    parallel: int = 1
    batch_size: int = 512
    kv_cache_type: str = "f16"
    flash_attention: bool = False

    @property
    def context_total(self) -> int:
        """Cells of all slots."""
        return self.context_length * self.parallel


def _per_layer(values: tuple[int, ...], layer: int) -> int:
    return values[layer] if layer < len(values) else (values[-1] if values else 0)


def _windowed_cells(metadata: ModelMetadata, layer: int, options: EstimateOptions) -> int:
    """Return the cells of a layer: the special cases of `GraphSize`, everywhere else the whole context."""
    window = options.parallel * (metadata.sliding_window or 0) + options.batch_size
    match metadata.architecture:
        case "gemma3" | "gemma3n" if (layer + 1) % 6:
            return window
        case "gptoss" | "gpt-oss" if layer % 2 == 0:
            return options.parallel * 4096 + options.batch_size
    return options.context_total


def kv_estimate(metadata: ModelMetadata, options: EstimateOptions) -> tuple[int, ...]:
    """Return the KV bytes per layer as the server counts them: full heads even where attention is latent."""
    known = _kv_estimates(metadata)
    found = known.get(options)
    if found is None:
        if len(known) >= LOADS_REMEMBERED:
            known.clear()
        found = known[options] = _kv_estimate(metadata, options)
    return found


def _no_estimates(_metadata: ModelMetadata) -> dict[EstimateOptions, tuple[int, ...]]:
    return {}


_kv_estimates = ByIdentity(_no_estimates)


def _kv_estimate(metadata: ModelMetadata, options: EstimateOptions) -> tuple[int, ...]:
    element = _ELEMENT_BYTES.get(options.kv_cache_type, 2.0)
    found: list[int] = []
    for layer in range(metadata.layer_count):
        heads = _per_layer(metadata.head_count_kv, layer)
        if heads == 0:
            convolution, inner = metadata.ssm_conv_kernel or 0, metadata.ssm_inner_size or 0
            state, groups = metadata.ssm_state_size or 0, metadata.ssm_group_count or 0
            found.append((max(0, convolution - 1) * (inner + 2 * groups * state) + state * inner) * 4)
            continue
        row = (metadata.key_length + metadata.value_length) * heads * element
        found.append(int(_windowed_cells(metadata, layer, options) * row))
    return tuple(found)


def graph_estimate(metadata: ModelMetadata, options: EstimateOptions, kv_total: int) -> tuple[int, int]:
    """Return the compute buffer the server assumes, with every layer on the card and with only some."""
    b, c = options.batch_size, options.context_total
    e, v, k = metadata.embedding_length, metadata.vocabulary_size or 0, metadata.key_length
    h = max(metadata.head_count, default=1) or 1
    hk = max(1, max(metadata.head_count_kv, default=1))
    logits, table = 4 * b * (e + v), e * v * 105 // 128
    grouped = h // max(1, min((heads for heads in metadata.head_count_kv if heads), default=1)) * kv_total // 6
    match metadata.architecture:
        case "llama" | "llama4":
            full = max(4 * b * (1 + 4 * e + c * (1 + h)), logits)
            activations = 4 * b * (1 + e + max(c, e)) + e * e * 9 // 16 + 4 * c * (b * h + e // h * hk)
            return full, 4 * b * e + max(activations, logits + table)
        case "qwen2":
            full = max(logits, 4 * b * (1 + 2 * e + c + c * h))
            return full, max(logits + table, 4 * (b * (1 + 2 * e + c * (1 + h)) + e * (1 + c)))
        case "gemma" | "gemma2" | "gemma3" | "gemma3n":
            full = max(logits, 4 * b * (2 + c + c * h + 2 * e + 2 * k * h))
            rest = 4 * b * (2 * e + 1 + 2 * k * h + c + c * h) + 32 * k * c + e * k * h * 9 // 16
            factor = 4 if metadata.architecture == "gemma3n" else 1
            return full * factor, max(4 * e * b + table + 4 * v * b, rest) * factor
        case "command-r":
            full = max(logits, 4 * b * (2 + 4 * e + c * (1 + h)))
        case "phi2":
            full = max(logits, 4 * b * (1 + 4 * e + c + c * h))
        case "stablelm":
            full = 4 * b * (c * (1 + h) + 3 * e + 2)
        case "deepseek2":
            full = max(4 * b * (3 * e + v), 4 * b * (3 * e + 2 + c * (1 + hk) + 2 * k * hk))
        case "gptoss" | "gpt-oss":
            full = 2 * h // hk * kv_total // 6
            if options.flash_attention:
                full = (4 * options.parallel + (c >> 10) + 110) * MEBIBYTE
        case _:
            full = grouped
    return full, full


def estimate_layers(
    metadata: ModelMetadata,
    weights: Sequence[int],
    output_bytes: int,
    options: EstimateOptions,
    free: Sequence[int],
    *,
    projector_bytes: int = 0,
    overhead_bytes: int = 0,
) -> Believed:
    """Estimate how many layers go on a group of cards.

    Args:
        metadata: the model.
        weights: bytes of each repeating layer.
        output_bytes: of the output layer.
        options: as the model is to be loaded.
        free: free bytes of each card, as the server believes.
        projector_bytes: lies on the first card.
        overhead_bytes: OLLAMA_GPU_OVERHEAD.
    """
    kv = kv_estimate(metadata, options)
    sizes = [size + cache for size, cache in zip(weights, kv, strict=True)]
    full, partial = graph_estimate(metadata, options, sum(kv))
    graph = max(full, partial)
    cards = len(free)
    used = [
        MINIMUM_BYTES + (sizes[0] if sizes else 0) + (projector_bytes if position == 0 else 0)
        for position in range(cards)
    ]
    counts = [0] * cards
    for layer, size in enumerate([*sizes, output_bytes]):
        for turn in range(cards):
            card = (layer + turn) % cards
            if free[card] > overhead_bytes + used[card] + graph + size:
                used[card] += size
                counts[card] += 1
                break
    placed = sum(counts)
    complete = placed == len(sizes) + 1
    added = full if complete and cards == 1 else partial
    claimed = tuple(used[card] + added if counts[card] else 0 for card in range(cards))
    return Believed(claimed, placed, complete)
