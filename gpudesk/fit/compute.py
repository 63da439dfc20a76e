"""The compute buffer of one card, from the graph a model computes.

Nothing is fitted: the graph's tensors are laid out as ggml-alloc does (`graph_memory`), with the batch, the cells of
the cache and the flash attention of the load. Sources: llama.cpp src/llama-context.cpp (`sched_reserve`: one ubatch,
outputs reserved), ggml/src/ggml-cuda/fattn.cu (`ggml_cuda_flash_attn_ext_get_alloc_size`: f16 copies) at b10488.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.architectures import ArchitectureRules
from gpudesk.fit.blocks import blocks_of
from gpudesk.fit.feed_forward import per_layer_width, with_feed_forward
from gpudesk.fit.graph_memory import VULKAN_WINDOW, VULKAN_WINDOW_RECURRENT, Graph
from gpudesk.fit.graph_widths import GraphWidths, LayerWidths, Mixer
from gpudesk.fit.kv_cache import KvLayout, row_widths
from gpudesk.fit.layer_graphs import laid_out, mask_bytes
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.recurrent_widths import recurrent_widths
from gpudesk.records import dataclass, replace

SCALED_INPUT = frozenset(
    (
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3n",
        "gemma4",
        "gemma-embedding",
        "granite",
        "granitemoe",
        "granitehybrid",
        "minicpm",
    )
)
DRAFTING = frozenset(
    (
        "gemma4",
        "gpt-oss",
        "nemotron_h",
        "nemotron_h_moe",
        "qwen3next",
        "qwen35",
        "qwen35moe",
        "cohere2moe",
        "mimo2",
        "step35",
    )
)
"""The last layer goes on with all tokens, whether or not a head drafts from them (`embeddings_nextn_masked`)."""
WIDE_POSITIONS = frozenset(["qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"])
RESIDUAL_FIRST = frozenset(["lfm2", "lfm2moe"])
READ_AS_IS = "f16"
"""The only type of cache CUDA's attention for batches reads without a copy."""
FLOATING = frozenset(["f16", "bf16", "f32"])
"""Types of cache that are not quantized."""
HADAMARD = 64
LARGEST_BATCH = 1 << 16
REMEMBERED = 256
GRAPHS_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """What of a load decides its graph."""

    batch: int
    outputs: int
    """Tokens whose logits are reserved: one per slot, or the whole batch in older builds."""
    flash_attention: bool
    kv_cache_type_k: str = "f16"
    kv_cache_type_v: str = "f16"
    streams: int = 1
    backend: str = "cuda"
    sequences: int = 1
    """Slots: each has a recurrent state of its own."""
    mixed_input: bool = False
    """The build takes tokens and embeddings in one batch."""


def compute_bytes(metadata: ModelMetadata, shape: ArchitectureRules, cache: KvLayout, options: GraphOptions) -> int:
    """Return the size of the compute buffer of a card that holds all layers."""
    if shape.encoder or not _only_masks_grow(options):
        return _card_bytes(laid_out(graph_widths(metadata, shape, cache, options))[0], shape, options)
    graphs = _shapes(metadata).graphs
    known = graphs.get(options)
    if known is None:
        if len(graphs) >= GRAPHS_REMEMBERED:
            graphs.clear()
        known = graphs[options] = laid_out(graph_widths(metadata, shape, cache, options))
    graph, masks = known
    tokens = min(options.batch, LARGEST_BATCH)
    for sliding, mask in masks.items():
        cells = cache.sliding_cells if sliding else cache.cells
        graph.resize(mask, mask_bytes(tokens, cells, flash_attention=True))
    return _card_bytes(graph, shape, options)


def _card_bytes(graph: Graph, shape: ArchitectureRules, options: GraphOptions) -> int:
    """Return the buffer of a card; the larger of both orders where the backend chooses its own."""
    size = graph.peak_bytes()
    if options.backend != "vulkan":
        return size
    window = VULKAN_WINDOW_RECURRENT if any(shape.recurrent) else VULKAN_WINDOW
    return max(size, graph.interleaved(window).peak_bytes())


def _only_masks_grow(options: GraphOptions) -> bool:
    """Tell whether nothing else in the graph depends on the context: no scores, no copies of the cache."""
    kinds = {options.kv_cache_type_k, options.kv_cache_type_v}
    return options.flash_attention and kinds == {READ_AS_IS}


PIPELINE_COPIES = 4
"""Batches in flight when several cards share a model (`GGML_SCHED_MAX_COPIES`)."""


def pipeline_bytes(metadata: ModelMetadata, shape: ArchitectureRules, cache: KvLayout, options: GraphOptions) -> int:
    """Return what each of several cards takes more: copies of all inputs, so that batches can overlap.

    Source: ggml/src/ggml-backend.cpp (`n_copies`), src/llama-context.cpp (`pipeline_parallel`).
    """
    widths = graph_widths(metadata, shape, cache, options)
    element = 2 if options.flash_attention else 4
    masks = {layer.sliding: layer.cells for layer in widths.layers if layer.cells}
    hidden = 4 * widths.tokens * (widths.embedding + widths.per_layer_total)
    inputs = hidden + widths.tokens * (24 * max(1, len(masks)) + element * sum(masks.values()))
    return (PIPELINE_COPIES - 1) * inputs + hidden


def graph_widths(
    metadata: ModelMetadata, shape: ArchitectureRules, cache: KvLayout, options: GraphOptions
) -> GraphWidths:
    """Reduce a model to the widths of one layer of each kind, in the model's order, the last layer last."""
    known = _shapes(metadata)
    if not known.path:
        # Which layers are alike does not depend on how the model is loaded.
        _collect(known, shape, cache, options)
    alike = {
        layer: layer_widths(metadata, shape, cache, options, layer, known.named) for layer in dict.fromkeys(known.path)
    }
    layers = [alike[layer] for layer in known.path]
    named = known.named
    encoder = shape.encoder
    return GraphWidths(
        embedding=metadata.embedding_length,
        vocabulary=0 if encoder else metadata.vocabulary_size or 0,
        layers=tuple(layers),
        tokens=min(options.batch, LARGEST_BATCH),
        outputs=min(options.batch, options.batch if encoder else options.outputs),
        flash_attention=options.flash_attention,
        scaled_input=shape.name in SCALED_INPUT,
        per_layer_total=per_layer_width(named) * metadata.layer_count,
        encoder=encoder,
        positions=4 if shape.name in WIDE_POSITIONS else 1,
        all_tokens=shape.name in DRAFTING,
        residual_first=shape.name in RESIDUAL_FIRST,
        widest_value=known.widest_value,
        mixed_input=options.mixed_input,
    )


@dataclass(slots=True)
class _Shapes:
    """What is collected of a model once."""

    metadata: ModelMetadata
    named: dict[str, tuple[int, ...]]
    """Its matrices by name."""
    graphs: dict[GraphOptions, tuple[Graph, dict[bool, int]]]
    """Laid out before, with their masks, by how they would be loaded."""
    path: tuple[int, ...] = ()
    """Layers that stand for all: as many as it takes to have every kind come after every other that it follows."""
    widest_value: int = 0


def _collect(known: _Shapes, shape: ArchitectureRules, cache: KvLayout, options: GraphOptions) -> None:
    """Tell which layers of a model are alike, and choose those that stand for all."""
    metadata = known.metadata
    count = metadata.layer_count
    first: dict[LayerWidths, int] = {}
    alike: dict[tuple[object, ...], int] = {}
    kind_of, wide = blocks_of(metadata).kind_of, metadata.feed_forward_length
    kinds = []
    for layer in range(count):
        # All that the widths of a layer are made of.
        made_of = (
            kind_of.get(layer), shape.sliding[layer], shape.recurrent[layer], shape.owns_kv[layer],
            metadata.head_count[layer], metadata.head_count_kv[layer], wide[layer] if layer < len(wide) else 0,
        )  # fmt: skip
        kind = alike.get(made_of)
        if kind is None:
            widths = layer_widths(metadata, shape, cache, options, layer, known.named)
            kind = alike[made_of] = first.setdefault(widths, layer)
        kinds.append(kind)
    known.path = (*layer_path(kinds[:-1]), count - 1)
    known.widest_value = max(
        (row_widths(metadata, shape, layer)[1] for layer in range(count) if shape.owns_kv[layer]), default=0
    )


def layer_path(kinds: Sequence[int]) -> list[int]:
    """Shorten a model to the layers whose order decides how its tensors are packed.

    Of layers alike in a row two are enough, and once every three that ever follow each other have done so, the rest
    repeats, up to the last ones.
    """
    short: list[int] = []
    for kind in kinds:
        if short[-2:] != [kind, kind]:
            short.append(kind)
    missing = {tuple(short[at : at + 3]) for at in range(len(short) - 2)}
    end = min(2, len(short))
    while missing and end < len(short):
        end += 1
        missing.discard(tuple(short[end - 3 : end]))
    return short[:end] + short[max(end, len(short) - 2) :]


_known: dict[int, _Shapes] = {}


def _shapes(metadata: ModelMetadata) -> _Shapes:
    """Return a model's matrices and kinds of layers (told apart by identity, as in `prepared.prepare`)."""
    found = _known.get(id(metadata))
    if found is not None and found.metadata is metadata:
        return found
    if len(_known) >= REMEMBERED:
        _known.clear()
    named = {tensor.name: tensor.shape for tensor in metadata.tensors if tensor.name.endswith(".weight")}
    made = _known[id(metadata)] = _Shapes(metadata, named, {})
    return made


def layer_widths(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    cache: KvLayout,
    options: GraphOptions,
    layer: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    """Return what one layer makes, from its tensors where they are known and from the keys where not."""
    mixer = _mixer(metadata, shape, cache, options, layer, named)
    return with_feed_forward(metadata, shape, mixer, layer, named)


def _mixer(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    cache: KvLayout,
    options: GraphOptions,
    layer: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    heads = metadata.head_count[layer]
    beside = shape.name == "falcon-h1"
    if shape.recurrent[layer] and not (heads and shape.owns_kv[layer] and not beside):
        recurrent = recurrent_widths(metadata, shape, layer, options.sequences, named)
        if not beside:
            return recurrent
    if not heads:
        return LayerWidths(mixer=Mixer.NONE)
    sliding = shape.sliding[layer]
    own = shape.owns_kv[layer] or shape.encoder
    key_width, value_width = row_widths(metadata, shape, layer)
    cells = options.batch if shape.encoder else cache.sliding_cells if sliding else cache.cells
    if shape.latent:
        return _latent(metadata, options, layer, cells, named)
    prefix = f"blk.{layer}."
    key = (metadata.key_length_swa if sliding else None) or metadata.key_length
    value = (metadata.value_length_swa if sliding else None) or metadata.value_length
    query = heads * key
    projected = named.get(prefix + "attn_q.weight")
    fused = named.get(prefix + "attn_qkv.weight")
    spread = prefix + "attn_kv_b.weight" in named
    made = LayerWidths(
        mixer=Mixer.SPREAD if spread else Mixer.ATTENTION,
        heads=heads,
        query=query,
        key=key_width if own else 0,
        value=value_width if own else 0,
        attended=heads * value,
        fused_input=fused[1] if fused and len(fused) > 1 and not shape.encoder else 0,
        gated=projected is not None and len(projected) > 1 and projected[1] == 2 * query,
        cells=cells,
        sliding=sliding,
        head_norms=prefix + "attn_q_norm.weight" in named,
        value_norm=shape.name == "gemma4",
        value_is_key=shape.name == "gemma4" and projected is not None and prefix + "attn_v.weight" not in named,
        copied=_copied(options, key_width, value_width, cells) if options.flash_attention else 0,
        keys_spread=not shape.encoder and _spread(options.kv_cache_type_k, metadata.key_length),
        values_spread=not shape.encoder and _spread(options.kv_cache_type_v, metadata.value_length),
        query_rank=_query_rank(layer, named),
        rotated=metadata.rope_dimension_count or 0 if spread else 0,
        groups=metadata.kv_lora_rank or 0 if spread else 0,
    )
    if not beside:
        return made
    return replace(
        made,
        mixer=Mixer.BESIDE,
        inner=recurrent.inner,
        channels=recurrent.channels,
        groups=recurrent.groups,
        projected=recurrent.projected,
        steps=recurrent.steps,
        state_bytes=recurrent.state_bytes,
        convolution_bytes=recurrent.convolution_bytes,
    )


def _spread(kind: str, head: int) -> bool:
    """Tell whether rows are multiplied by a Hadamard matrix first (src/llama-kv-cache.cpp, `attn_rot_k`)."""
    return kind not in FLOATING and head % HADAMARD == 0


def _query_rank(layer: int, named: dict[str, tuple[int, ...]]) -> int:
    compressing = named.get(f"blk.{layer}.attn_q_a.weight")
    return compressing[1] if compressing and len(compressing) > 1 else 0


def _latent(
    metadata: ModelMetadata, options: GraphOptions, layer: int, cells: int, named: dict[str, tuple[int, ...]]
) -> LayerWidths:
    heads = metadata.head_count[layer]
    rank = metadata.kv_lora_rank or 0
    rope = metadata.rope_dimension_count or 0
    key = metadata.key_length_mla or 192
    value = metadata.value_length_mla or 128
    return LayerWidths(
        mixer=Mixer.LATENT,
        heads=heads,
        query=heads * key,
        key=rank + rope,
        value=heads * value,
        attended=heads * rank,
        cells=cells,
        latent_query=heads * rank,
        query_rank=_query_rank(layer, named),
        rotated=rope,
        copied=_copied(options, rank + rope, 0, cells) if options.flash_attention else 0,
    )


def _copied(options: GraphOptions, key: int, value: int, cells: int) -> int:
    """Return the f16 copies of one layer's cache: CUDA's attention for batches does not read quantized rows."""
    width = 0 if options.kv_cache_type_k == READ_AS_IS else key
    width += 0 if options.kv_cache_type_v == READ_AS_IS else value
    return 2 * width * cells * options.streams
