"""GGUF keys and tensors to the metadata that the formulas read.

Names of keys and their defaults: llama.cpp src/llama-arch.cpp (`LLM_KV_NAMES`), src/llama-model.cpp (`load_hparams`);
Ollama writes the same keys under its own architecture names (fs/ggml/ggml.go at v0.33.0-rc2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.from_tensors import head_counts, head_counts_kv, key_lengths, layers_listed, output_width
from gpudesk.fit.gguf_values import HeaderError, SkippedArray
from gpudesk.fit.key_values import Keys
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.fit.tensor_sizes import tensor_bytes
from gpudesk.fit.weights import PREDICTION_PREFIX
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_LAYERS = 4096
"""llama.cpp itself stops at 512 (`LLAMA_MAX_LAYERS`)."""
MOST_WIDTH = 1 << 20
"""Values per token in one layer; the widest models have 53,248."""
MOST_ROWS = 1 << 31
PROJECTOR_PREFIXES = ("v.", "mm.", "a.", "s.", "resampler.", "vision_tower.", "multi_modal_projector.")
"""Tensors that belong to the projector (ollama llm/llama_server.go:744; the last three are of older files)."""


def metadata_from_keys(
    key_values: Mapping[str, object],
    tensors: Iterable[Tensor],
    *,
    file_bytes: int | None = None,
    name: str | None = None,
) -> ModelMetadata:
    """Read what a model says about itself; what had to be assumed is in `notes`.

    Args:
        key_values: GGUF metadata; a long array may be a `SkippedArray`.
        tensors: of the model, and of its projector when that is in the same file.
        file_bytes: size of the weights file.
        name: how the user calls it.

    Raises:
        HeaderError: names the key or tensor that is missing or makes no sense.
    """
    keys = Keys(key_values)
    _check_model(keys)
    model_tensors, projector_tensors = _apart(tensors)
    by_name = {tensor.name: tensor for tensor in model_tensors}
    layers, prediction = _layer_count(keys, by_name)
    embedding = _embedding_length(keys, by_name)
    heads = _head_count(keys, by_name, layers)
    key_length, value_length = _head_lengths(keys, heads, embedding)
    return ModelMetadata(
        architecture=keys.architecture,
        layer_count=layers,
        embedding_length=embedding,
        head_count=heads,
        head_count_kv=_head_count_kv(keys, by_name, heads, (key_length, value_length)),
        key_length=key_length,
        value_length=value_length,
        vocabulary_size=_vocabulary_size(keys, by_name),
        feed_forward_length=_feed_forward_length(keys, by_name, layers),
        context_length_trained=keys.number("context_length"),
        key_length_swa=keys.number("attention.key_length_swa"),
        value_length_swa=keys.number("attention.value_length_swa"),
        key_length_mla=keys.number("attention.key_length_mla"),
        value_length_mla=keys.number("attention.value_length_mla"),
        kv_lora_rank=keys.number("attention.kv_lora_rank"),
        rope_dimension_count=keys.number("rope.dimension_count"),
        sliding_window=keys.number("attention.sliding_window"),
        sliding_window_pattern=_sliding_window_pattern(keys, by_name, layers, key_length),
        shared_kv_layers=min(keys.number("attention.shared_kv_layers") or 0, layers),
        full_attention_interval=keys.number("full_attention_interval"),
        recurrent_layers=keys.flags("attention.recurrent_layers", layers),
        ssm_conv_kernel=keys.number("ssm.conv_kernel"),
        ssm_inner_size=keys.number("ssm.inner_size"),
        ssm_state_size=keys.number("ssm.state_size"),
        ssm_group_count=keys.number("ssm.group_count", least=0),
        shortconv_cache=keys.number("shortconv.l_cache"),
        expert_count=keys.number("expert_count"),
        expert_used_count=keys.number("expert_used_count"),
        expert_feed_forward_length=keys.number("expert_feed_forward_length"),
        prediction_layers=prediction,
        pooling_type=keys.number("pooling_type", least=0),
        causal=keys.flag("attention.causal"),
        vision_block_count=keys.number("vision.block_count"),
        vision_embedding_length=keys.number("vision.embedding_length"),
        vision_head_count=keys.number("vision.attention.head_count"),
        vision_image_size=keys.number("vision.image_size"),
        vision_patch_size=keys.number("vision.patch_size"),
        tensors=model_tensors,
        projector_tensors=projector_tensors,
        file_bytes=file_bytes,
        name=None if name is None else clean(name),
        notes=tuple(keys.notes),
    )


def _check_model(keys: Keys) -> None:
    """Refuse files that are no language model by themselves."""
    kind = keys.value("general.type")
    if kind == "adapter" or keys.value("adapter.type") is not None:
        raise HeaderError("general.type", "a LoRA adapter, not a model", "Name the model and give the adapter with it")
    if keys.architecture == "clip" or kind == "mmproj":
        raise HeaderError("general.architecture", "a projector, not a model", "Name the model's own file")


def _apart(tensors: Iterable[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Separate the model's tensors from its projector's; each must have a size."""
    model: list[Tensor] = []
    projector: list[Tensor] = []
    for tensor in tensors:
        tensor_bytes(tensor)
        (projector if tensor.name.startswith(PROJECTOR_PREFIXES) else model).append(tensor)
    return tuple(model), tuple(projector)


def _layer_count(keys: Keys, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the repeating layers and, apart from them, the blocks that predict further tokens.

    `block_count` counts both (llama.cpp src/llama-hparams.cpp: `n_layer_all - n_layer_nextn`). A file may lack the
    latter's tensors; nothing is loaded for them then.
    """
    listed = layers_listed(tensors)
    total = keys.number("block_count", most=MOST_LAYERS, least=0)
    if total is None:
        if not listed:
            raise HeaderError(keys.full("block_count"), "missing, so the number of layers is unknown")
        total = listed
        keys.note("block_count", "counted from the tensors")
    if not 0 < total <= MOST_LAYERS:
        raise HeaderError(keys.full("block_count"), f"{total}, from 1 to {MOST_LAYERS} are possible")
    if listed > total:
        raise HeaderError(keys.full("block_count"), f"{total}, but there are tensors of layer {listed - 1}")
    prediction = keys.number("nextn_predict_layers", most=MOST_LAYERS) or 0
    if prediction >= total:
        raise HeaderError(keys.full("nextn_predict_layers"), f"{prediction} of {total} layers")
    layers = total - prediction
    if any(name.startswith(PREDICTION_PREFIX) for name in tensors):
        return layers, max(1, prediction)
    return layers, prediction if not listed or listed > layers else 0


def _embedding_length(keys: Keys, tensors: Mapping[str, Tensor]) -> int:
    told = keys.number("embedding_length", most=MOST_WIDTH)
    if told is not None:
        return told
    table = tensors.get("token_embd.weight")
    if table is None or not table.shape or not 0 < table.shape[0] <= MOST_WIDTH:
        raise HeaderError(keys.full("embedding_length"), "missing")
    keys.note("embedding_length", "taken from token_embd.weight")
    return table.shape[0]


def _head_count(keys: Keys, tensors: Mapping[str, Tensor], layers: int) -> tuple[int, ...]:
    told = keys.per_layer("attention.head_count", layers, most=MOST_WIDTH)
    if told is not None:
        return told
    if not any(name.endswith(".attn_q.weight") for name in tensors):
        return (0,) * layers  # no attention at all: mamba, rwkv
    key_length = keys.number("attention.key_length")
    if key_length is None:
        raise HeaderError(keys.full("attention.head_count"), "missing, though the model has attention")
    keys.note("attention.head_count", "derived from attn_q.weight")
    return head_counts(tensors, key_lengths(tensors, layers, (key_length,)))


def _head_lengths(keys: Keys, heads: tuple[int, ...], embedding: int) -> tuple[int, int]:
    """Return key and value length; where not told, the embedding shared out among the heads, as llama.cpp does."""
    most = max(heads, default=0)
    default = embedding // most if most else 0
    key_length = keys.number("attention.key_length", most=MOST_WIDTH, least=0)
    value_length = keys.number("attention.value_length", most=MOST_WIDTH, least=0)
    return default if key_length is None else key_length, default if value_length is None else value_length


def _head_count_kv(
    keys: Keys, tensors: Mapping[str, Tensor], heads: tuple[int, ...], lengths: tuple[int, int]
) -> tuple[int, ...]:
    """Return the KV heads of each layer; as many as there are heads when not told (llama.cpp)."""
    told = keys.per_layer("attention.head_count_kv", len(heads), most=MOST_WIDTH)
    if told is not None:
        return told
    if not all(lengths):
        return heads
    key_length, value_length = lengths
    sliding = keys.number("attention.key_length_swa", most=MOST_WIDTH) or key_length
    by_layer = key_lengths(tensors, len(heads), (key_length, sliding))
    derived = head_counts_kv(tensors, heads, by_layer, value_length)
    if derived is None or derived == heads:
        return heads
    keys.note("attention.head_count_kv", "derived from the width of K")
    return derived


def _feed_forward_length(keys: Keys, tensors: Mapping[str, Tensor], layers: int) -> tuple[int, ...]:
    told = keys.per_layer("feed_forward_length", layers, most=MOST_WIDTH)
    if told is not None:
        return told
    widths = tuple(output_width(tensors, layer, "ffn_up.weight") for layer in range(layers))
    return widths if any(widths) else ()


def _vocabulary_size(keys: Keys, tensors: Mapping[str, Tensor]) -> int | None:
    """Return the rows of the output, which may be more than there are tokens."""
    for table in ("output.weight", "token_embd.weight"):
        tensor = tensors.get(table)
        if tensor is not None and len(tensor.shape) > 1:
            return tensor.shape[1]
    told = keys.number("vocab_size", most=MOST_ROWS)
    tokens = keys.value("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedArray):
        return tokens.length or told
    return len(tokens) if isinstance(tokens, tuple) and tokens else told


def _sliding_window_pattern(
    keys: Keys, tensors: Mapping[str, Tensor], layers: int, key_length: int
) -> int | tuple[bool, ...] | None:
    """Return the period, or per layer whether it sees only the window."""
    key = "attention.sliding_window_pattern"
    told = keys.own(key)
    if isinstance(told, tuple):
        return keys.flags(key, layers)
    sliding = keys.number("attention.key_length_swa")
    if told is None and sliding is not None and sliding != key_length:
        found = key_lengths(tensors, layers, (key_length, sliding))
        if sliding in found:
            keys.note(key, "derived from the norm of K")
            return tuple(length == sliding for length in found)
    return keys.number(key, most=MOST_LAYERS)
