"""The compute buffer of one card, from the graph a model computes.

Nothing is fitted: the graph's tensors are laid out as ggml-alloc does (`graph_memory`), with the batch, the cells of
the cache and the flash attention of the load. Sources: llama.cpp src/llama-context.cpp (`sched_reserve`: one ubatch,
outputs reserved), ggml/src/ggml-cuda/fattn.cu (`ggml_cuda_flash_attn_ext_get_alloc_size`: f16 copies) at b10488.
"""

from __future__ import annotations

from dataclasses import replace

from gpudesk.fit.architectures import ArchitectureRules, Recurrence
from gpudesk.fit.kv_cache import KvLayout, row_widths
from gpudesk.fit.layer_graphs import GraphWidths, LayerWidths, Mixer, graph_bytes
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.records import dataclass

FUSED_FEED_FORWARD = frozenset(["glm4", "phi3", "chatglm"])
"""Gate and up projection in one matrix (told by the shape of `ffn_up`)."""
PLAIN_FEED_FORWARD = frozenset(
    ["starcoder", "starcoder2", "gpt2", "gptneox", "falcon", "phi2", "bloom", "mpt", "bert", "codeshell", "nemotron"]
)
POST_NORMS = frozenset(["gemma2", "gemma3", "gemma3n", "gemma4", "glm4", "olmo2", "exaone4", "gemma-embedding"])
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
READ_AS_IS = "f16"
"""The only type of cache CUDA's attention for batches reads without a copy."""
LARGEST_BATCH = 1 << 16
REMEMBERED = 256


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


def compute_bytes(metadata: ModelMetadata, shape: ArchitectureRules, cache: KvLayout, options: GraphOptions) -> int:
    """Return the size of the compute buffer of a card that holds all layers."""
    return graph_bytes(graph_widths(metadata, shape, cache, options))


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
    if not known.kinds:
        found: dict[LayerWidths, int] = {}
        for layer in range(metadata.layer_count):
            found.setdefault(layer_widths(metadata, shape, cache, options, layer, known.named), layer)
        # Which layers are alike does not depend on how the model is loaded.
        known.kinds = tuple(found.values())
        end = metadata.layer_count - 1
        alike = found[layer_widths(metadata, shape, cache, options, end, known.named)]
        if metadata.head_count_kv[alike] == metadata.head_count_kv[end]:
            known.last = known.kinds.index(alike)
    layers = [layer_widths(metadata, shape, cache, options, layer, known.named) for layer in known.kinds]
    if known.last is None:
        last = layer_widths(metadata, shape, cache, options, metadata.layer_count - 1, known.named)
    else:
        last = layers[known.last]
    if len(layers) == 1:
        layers *= 2
    layers.append(last)
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
        per_layer_total=_per_layer_width(named) * metadata.layer_count,
        encoder=encoder,
    )


@dataclass(slots=True)
class _Shapes:
    """What is collected of a model once."""

    metadata: ModelMetadata
    named: dict[str, tuple[int, ...]]
    """Its matrices by name."""
    kinds: tuple[int, ...] = ()
    """The first layer of each kind."""
    last: int | None = None
    """Which of the kinds the last layer is, if it has as many KV heads."""


_known: dict[int, _Shapes] = {}


def _shapes(metadata: ModelMetadata) -> _Shapes:
    """Return a model's matrices and kinds of layers (told apart by identity, as in `estimate.prepare`)."""
    found = _known.get(id(metadata))
    if found is not None and found.metadata is metadata:
        return found
    if len(_known) >= REMEMBERED:
        _known.clear()
    named = {tensor.name: tensor.shape for tensor in metadata.tensors if tensor.name.endswith(".weight")}
    made = _known[id(metadata)] = _Shapes(metadata, named)
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
    return _with_feed_forward(metadata, shape, mixer, layer, named)


def _mixer(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    cache: KvLayout,
    options: GraphOptions,
    layer: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    heads = metadata.head_count[layer]
    if shape.recurrent[layer] and not (heads and shape.owns_kv[layer] and shape.name != "falcon-h1"):
        return _recurrent(metadata, shape)
    if not heads:
        return LayerWidths(mixer=Mixer.NONE)
    sliding = shape.sliding[layer]
    own = shape.owns_kv[layer] or shape.encoder
    key_width, value_width = row_widths(metadata, shape, layer)
    cells = options.batch if shape.encoder else cache.sliding_cells if sliding else cache.cells
    if shape.latent:
        return _latent(metadata, options, layer, cells)
    key = (metadata.key_length_swa if sliding else None) or metadata.key_length
    value = (metadata.value_length_swa if sliding else None) or metadata.value_length
    query = heads * key
    projected = named.get(f"blk.{layer}.attn_q.weight")
    return LayerWidths(
        heads=heads,
        query=query,
        key=key_width if own else 0,
        value=value_width if own else 0,
        attended=heads * value,
        gated=projected is not None and len(projected) > 1 and projected[1] == 2 * query,
        cells=cells,
        sliding=sliding,
        head_norms=f"blk.{layer}.attn_q_norm.weight" in named,
        value_norm=shape.name == "gemma4",
        copied=_copied(options, key_width, value_width, cells) if options.flash_attention else 0,
    )


def _latent(metadata: ModelMetadata, options: GraphOptions, layer: int, cells: int) -> LayerWidths:
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
        copied=_copied(options, rank + rope, 0, cells) if options.flash_attention else 0,
    )


def _copied(options: GraphOptions, key: int, value: int, cells: int) -> int:
    """Return the f16 copies of one layer's cache: CUDA's attention for batches does not read quantized rows."""
    width = 0 if options.kv_cache_type_k == READ_AS_IS else key
    width += 0 if options.kv_cache_type_v == READ_AS_IS else value
    return 2 * width * cells * options.streams


def _recurrent(metadata: ModelMetadata, shape: ArchitectureRules) -> LayerWidths:
    inner = metadata.ssm_inner_size or metadata.embedding_length
    state = metadata.ssm_state_size or 0
    groups = (metadata.ssm_group_count or 0) * state
    if shape.recurrence is Recurrence.SHORT_CONVOLUTION:
        return LayerWidths(mixer=Mixer.CONVOLUTION, inner=metadata.embedding_length)
    mixer = Mixer.DELTA_NET if shape.name.startswith(("qwen3", "kimi")) else Mixer.MAMBA
    return LayerWidths(
        mixer=mixer, inner=inner, channels=inner + 2 * groups, groups=groups, state_bytes=4 * inner * state
    )


def _with_feed_forward(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    widths: LayerWidths,
    layer: int,
    named: dict[str, tuple[int, ...]],
) -> LayerWidths:
    prefix = f"blk.{layer}."
    down = named.get(prefix + "ffn_down.weight")
    up = named.get(prefix + "ffn_up.weight")
    fused_experts = named.get(prefix + "ffn_gate_up_exps.weight")
    expert_down = named.get(prefix + "ffn_down_exps.weight")
    shared = named.get(prefix + "ffn_down_shexp.weight")
    dense = down[0] if down else 0
    used = count = width = 0
    if expert_down is not None:
        width, count = expert_down[0], expert_down[-1]
        used = metadata.expert_used_count or 1
    if not named:
        dense = metadata.feed_forward_length[layer] if layer < len(metadata.feed_forward_length) else 0
        if metadata.expert_count:
            count, used = metadata.expert_count, metadata.expert_used_count or 1
            width = metadata.expert_feed_forward_length or dense
            dense = 0
    return replace(
        widths,
        feed_forward=dense,
        fused=up is not None and down is not None and len(up) > 1 and up[1] == 2 * down[0],
        plain=down is not None and prefix + "ffn_gate.weight" not in named and up is not None and up[1] == down[0],
        experts=count,
        experts_used=used,
        expert_width=width,
        experts_fused=fused_experts is not None,
        shared_width=shared[0] if shared else 0,
        post_norms=prefix + "post_ffw_norm.weight" in named or (not named and shape.name in POST_NORMS),
        per_layer=_per_layer_width(named),
        feed_forward_beside=bool(used and dense),
    )


def _per_layer_width(named: dict[str, tuple[int, ...]]) -> int:
    norm = named.get("per_layer_proj_norm.weight")
    return norm[0] if norm else 0
