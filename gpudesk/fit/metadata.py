"""What a model file says about itself: the input of every formula."""

from __future__ import annotations

from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model file."""

    name: str
    kind: str
    """ggml type as gguf names it: `F16`, `Q4_K`, `MXFP4`, …"""
    shape: tuple[int, ...]
    """Elements along each dimension, ggml order (the first one is contiguous)."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """A model's header, whatever it was read from. Per-layer tuples have `layer_count` entries; None = not told."""

    architecture: str
    """`general.architecture` as written; `fit.architectures` knows the aliases (`gptoss`, `gpt-oss`)."""
    layer_count: int
    """`block_count`, without extra prediction (MTP, nextn) blocks."""
    embedding_length: int
    head_count: tuple[int, ...]
    head_count_kv: tuple[int, ...]
    """0 in a layer without attention."""
    key_length: int
    value_length: int
    vocabulary_size: int | None = None
    feed_forward_length: tuple[int, ...] = ()
    context_length_trained: int | None = None
    key_length_swa: int | None = None
    value_length_swa: int | None = None
    key_length_mla: int | None = None
    value_length_mla: int | None = None
    kv_lora_rank: int | None = None
    rope_dimension_count: int | None = None
    sliding_window: int | None = None
    sliding_window_pattern: int | tuple[bool, ...] | None = None
    """Period, or per layer whether it sees only the window."""
    shared_kv_layers: int = 0
    """Layers at the end that reuse another layer's KV."""
    full_attention_interval: int | None = None
    recurrent_layers: tuple[bool, ...] | None = None
    ssm_conv_kernel: int | None = None
    ssm_inner_size: int | None = None
    ssm_state_size: int | None = None
    ssm_group_count: int | None = None
    shortconv_cache: int | None = None
    expert_count: int | None = None
    expert_used_count: int | None = None
    expert_feed_forward_length: int | None = None
    prediction_layers: int = 0
    """`nextn_predict_layers`: extra blocks for speculative decoding."""
    pooling_type: int | None = None
    """Set for embedding and rerank models."""
    causal: bool | None = None
    vision_block_count: int | None = None
    vision_embedding_length: int | None = None
    vision_head_count: int | None = None
    vision_image_size: int | None = None
    vision_patch_size: int | None = None
    tensors: tuple[Tensor, ...] = ()
    projector_tensors: tuple[Tensor, ...] = ()
    """Of a separate projector file, or those with prefix `v.`, `mm.`, `a.` of the same file."""
    projector_bytes: int | None = None
    """Size of the projector file when its tensors are not known."""
    file_bytes: int | None = None
    """Size of the weights file; what Ollama's own prediction starts from."""
    name: str | None = None
    notes: tuple[str, ...] = ()
    """What had to be assumed because the header does not say it."""
