"""The KV cache and the recurrent state of each layer: exact, for every type of cache and every era of engine.

Sources at llama.cpp b10488: src/llama-kv-cache.cpp:207 (rows), src/llama-kv-cache-iswa.cpp:73 (cells of sliding
layers), src/llama-hparams.cpp:115-229 (widths, recurrent state), src/llama-context.cpp:288 (padding, streams). Of
Ollama v0.24.0: kvcache/causal.go:130 (`Init`), model/models/gptoss (`NewSWAMemCache`), kvcache/recurrent.go.
"""

from __future__ import annotations

from gpudesk.domain.engine import Era
from gpudesk.fit.architectures import ArchitectureRules, Recurrence, cross_layers, rules
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.tensor_sizes import row_bytes
from gpudesk.fit.values import LoadOptions
from gpudesk.records import dataclass

CELL_PADDING = 256
"""Cells of a stream are a multiple of it (src/llama-context.cpp:288)."""
DEFAULT_BATCH = 512
CROSS_TOKENS = 1601 * 4
"""Cells of a cross-attention layer (fs/ggml/ggml.go `GraphSize`, mllama)."""
GPT_OSS_MEMORY = 4096
"""Tokens Ollama's engine keeps in sliding layers of gpt-oss, more than its window of 128."""
STATE_CHECKPOINTS = 24
"""Copies of the recurrent state Ollama's own engine keeps to be able to go back (kvcache/recurrent.go)."""
DRAFTED_TOKENS = 4
"""Tokens drafted ahead where options do not tell; a recurrent state is kept for each (common/common.h
`need_n_rs_seq`). Ollama's default, which is one more than llama.cpp's."""
RWKV_HEAD = 64


@dataclass(frozen=True, slots=True)
class KvLayout:
    """Bytes per layer, recurrent state included."""

    layers: tuple[int, ...]
    recurrent_bytes: int = 0
    """Of `layers`, what is recurrent state: independent of context and of the type of the cache."""
    cells: int = 0
    """Of a full layer, per stream."""
    sliding_cells: int = 0
    sliding_bytes: int = 0
    """Of `layers`, what layers with a window have."""

    @property
    def untold_bytes(self) -> int:
        """What Ollama with llama-server does not learn of: both caches of a model with windows have one key in its log.

        The later line, that of the layers with a window, replaces the earlier one (ollama llm/llama_server.go:2638 at
        v0.33.0-rc2, llama.cpp src/llama-kv-cache-iswa.cpp at b10488).
        """
        return self.total - self.recurrent_bytes - self.sliding_bytes if self.sliding_bytes else 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.layers)


def padded(tokens: int, to: int = CELL_PADDING) -> int:
    """Round up to a whole number of `to`."""
    return -(-tokens // to) * to


def kv_cache(
    metadata: ModelMetadata,
    options: LoadOptions,
    context_length: int,
    parallel: int,
    era: Era,
    *,
    known: ArchitectureRules | None = None,
    batch: int | None = None,
    flash_attention: bool = True,
    latent_values: bool | None = None,
) -> KvLayout:
    """Compute the cache of every layer.

    Args:
        metadata: the model.
        options: types of the cache, unified or one stream per slot, full sliding cache.
        context_length: per slot; with a unified cache of all slots together.
        parallel: slots.
        era: of the engine.
        known: the architecture's rules, if they are at hand.
        batch: physical batch; None takes that of the options.
        flash_attention: without it values are stored transposed and padded to the widest layer.
        latent_values: latent attention also stores values; None: as builds of this era do.
    """
    shape = known or rules(metadata)
    tokens = batch or options.batch_size or DEFAULT_BATCH
    streams = 1 if options.unified_kv else parallel
    cells = padded(context_length)
    sliding_cells = _sliding_cells(metadata, shape, options, cells, streams, parallel, tokens, era)
    if latent_values is None:
        latent_values = era is not Era.LLAMA_SERVER
    state = _state_bytes(metadata, shape) * parallel * _states(shape, options, era)
    kind_k = options.kv_cache_type_k
    kind_v = options.kv_cache_type_v
    crossed = cross_layers(metadata)
    widest = 0 if flash_attention else _widest_value(metadata, shape)
    sizes: dict[tuple[bool, int], int] = {}
    layers = []
    in_windows = 0
    for layer in range(metadata.layer_count):
        size = 0
        if shape.owns_kv[layer]:
            key = (shape.sliding[layer], metadata.head_count_kv[layer])
            row = sizes.get(key)
            if row is None:
                k, v = row_widths(metadata, shape, layer, latent_values=latent_values)
                row = sizes[key] = row_bytes(kind_k, k) + (row_bytes(kind_v, max(v, widest)) if v else 0)
            size = row * (sliding_cells if key[0] else cells * streams)
            in_windows += size if key[0] else 0
        elif layer in crossed:
            heads = metadata.head_count_kv[layer] or max(metadata.head_count_kv)
            size = heads * (metadata.key_length + metadata.value_length) * 4 * CROSS_TOKENS
        if shape.recurrent[layer]:
            size += state
        layers.append(size)
    return KvLayout(tuple(layers), state * sum(shape.recurrent), cells, sliding_cells // max(1, streams), in_windows)


def row_widths(
    metadata: ModelMetadata, shape: ArchitectureRules, layer: int, *, latent_values: bool = False
) -> tuple[int, int]:
    """Return elements of K and of V that one token takes in a layer."""
    if shape.latent:
        width = (metadata.kv_lora_rank or 0) + (metadata.rope_dimension_count or 0)
        return width, (metadata.kv_lora_rank or 0) if latent_values else 0
    heads = metadata.head_count_kv[layer]
    key, value = metadata.key_length, metadata.value_length
    if shape.sliding[layer]:
        key = metadata.key_length_swa or key
        value = metadata.value_length_swa or value
    return heads * key, heads * value


def _widest_value(metadata: ModelMetadata, shape: ArchitectureRules) -> int:
    """Return the width all V rows are padded to when they are transposed; 0 where all are equally wide."""
    widths = {row_widths(metadata, shape, layer)[1] for layer, owns in enumerate(shape.owns_kv) if owns}
    return max(widths) if len(widths) > 1 else 0


def _sliding_cells(
    metadata: ModelMetadata,
    shape: ArchitectureRules,
    options: LoadOptions,
    cells: int,
    streams: int,
    parallel: int,
    batch: int,
    era: Era,
) -> int:
    """Return the cells of a sliding layer, all streams together."""
    full = cells * streams
    window = metadata.sliding_window or 8192
    if options.swa_full or not any(shape.sliding):
        return full
    if era is Era.LLAMA_SERVER:
        sequences = parallel if options.unified_kv else 1
        return min(cells, padded(min(cells, window * sequences + batch))) * streams
    if not shape.ollama_engine:
        return full
    memory = GPT_OSS_MEMORY if shape.name == "gpt-oss" else window
    later = era is Era.LAYOUT
    if later and parallel > 1:
        # One more, so that a stop token that follows can be jumped back over.
        memory = max(memory, window + 1)
    return full if memory >= cells else min(full, padded(parallel * memory + batch, CELL_PADDING if later else 32))


def _states(shape: ArchitectureRules, options: LoadOptions, era: Era) -> int:
    """Return how many copies of the recurrent state a sequence has."""
    if shape.recurrence is Recurrence.NONE:
        return 1
    if era is not Era.LLAMA_SERVER and shape.ollama_engine and shape.recurrence is Recurrence.MAMBA:
        return 1 + STATE_CHECKPOINTS
    if options.drafted_tokens is not None:
        return 1 + options.drafted_tokens
    return 1 + DRAFTED_TOKENS if options.draft is not None else 1


def _state_bytes(metadata: ModelMetadata, shape: ArchitectureRules) -> int:
    """Return one layer's recurrent state for one sequence; always f32 (src/llama-hparams.cpp:183-229)."""
    embedding = metadata.embedding_length
    match shape.recurrence:
        case Recurrence.NONE:
            return 0
        case Recurrence.SHORT_CONVOLUTION:
            return 4 * embedding * ((metadata.shortconv_cache or 1) - 1)
        case Recurrence.RWKV:
            return 4 * (2 * embedding + RWKV_HEAD * embedding)
        case Recurrence.KIMI_DELTA:
            heads = max(metadata.head_count, default=0)
            width = _kimi_width(metadata) or heads * 128
            convolution = max(0, (metadata.ssm_conv_kernel or 4) - 1)
            return 4 * (3 * convolution * width + (width * width // heads if heads else 0))
        case Recurrence.MAMBA:
            inner = metadata.ssm_inner_size or 0
            state = metadata.ssm_state_size or 0
            convolution = max(0, (metadata.ssm_conv_kernel or 1) - 1)
            return 4 * (convolution * (inner + 2 * (metadata.ssm_group_count or 0) * state) + state * inner)


def _kimi_width(metadata: ModelMetadata) -> int | None:
    """Return heads times head dimension of the delta attention, told by the width of its convolution."""
    for tensor in metadata.tensors:
        if tensor.name.endswith(".ssm_conv1d_q.weight"):
            return max(tensor.shape)
    return None
