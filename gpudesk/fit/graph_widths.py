"""How wide each kind of layer of a model is: all that its compute graph is laid out from."""

from __future__ import annotations

from enum import StrEnum

from gpudesk.records import dataclass


class Mixer(StrEnum):
    """What a layer does besides its feed-forward."""

    ATTENTION = "attention"
    LATENT = "latent"
    SPREAD = "spread"
    """Latent attention of an old file: keys and values are spread out over all heads before they are stored."""
    DELTA_NET = "delta net"
    KIMI_DELTA = "kimi delta"
    MAMBA = "mamba"
    BESIDE = "beside"
    """Attention and a scan side by side (falcon-h1)."""
    CONVOLUTION = "convolution"
    RWKV = "rwkv"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LayerWidths:
    """Elements per token of what one layer makes."""

    mixer: Mixer = Mixer.ATTENTION
    heads: int = 0
    query: int = 0
    """Of all heads."""
    key: int = 0
    value: int = 0
    attended: int = 0
    """What attention puts out."""
    head_norms: bool = False
    """Queries and keys are normed head by head."""
    value_norm: bool = False
    value_is_key: bool = False
    """Values are what is projected for the keys, too (gemma 4)."""
    fused_input: int = 0
    """Queries, keys and values come out of one matrix this wide; 0: of one each."""
    gated: bool = False
    """The query projection also makes a gate of the same size."""
    cells: int = 0
    sliding: bool = False
    copied: int = 0
    """Bytes of the f16 copy of keys and values that the attention kernel needs of a quantized cache."""
    keys_spread: bool = False
    """Queries and keys are multiplied by a Hadamard matrix, as values are: a quantized cache loses less then."""
    values_spread: bool = False
    latent_query: int = 0
    """Of all heads, after it went to the latent space."""
    query_rank: int = 0
    """Of the compressed query; 0: queries are projected directly."""
    rotated: int = 0
    """Of one head, the part that is turned by position; the rest is not."""
    inner: int = 0
    """Inner width of a recurrent layer; `channels` those of its convolution, `state_bytes` its state."""
    channels: int = 0
    groups: int = 0
    projected: int = 0
    """Of its input projection."""
    steps: int = 0
    """Heads of its scan, or the rank its steps are projected from."""
    selective: bool = False
    """Steps and parameters of the scan are projected from what was convolved (the first mamba)."""
    state_bytes: int = 0
    convolution_bytes: int = 0
    """Of the tokens before the batch that the convolution still sees."""
    feed_forward: int = 0
    fused: bool = False
    """Gate and up projection are one matrix."""
    plain: bool = False
    """Up and down projection only, no gate."""
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    experts_fused: bool = False
    shared_width: int = 0
    post_norms: bool = False
    per_layer: int = 0
    """Width of the per-layer input (gemma's E models)."""
    feed_forward_beside: bool = False
    """Experts and a dense feed-forward both read the same input (gemma 4)."""


@dataclass(frozen=True, slots=True)
class GraphWidths:
    """A whole model."""

    embedding: int
    vocabulary: int
    layers: tuple[LayerWidths, ...]
    """One of each kind in the order of the model; the last stands for the last layer."""
    tokens: int
    outputs: int
    flash_attention: bool = True
    scaled_input: bool = False
    per_layer_total: int = 0
    """Elements per token of all per-layer inputs."""
    encoder: bool = False
    positions: int = 1
    """Numbers that make a position; four where images have rows and columns."""
    all_tokens: bool = False
    """The last layer goes on with all tokens, as a head that drafts further ones may read them."""
    residual_first: bool = False
    """Of a sum, what goes through the layers comes first, and its place is taken first."""
    widest_value: int = 0
    """What values are padded to where they are stored transposed."""
    mixed_input: bool = False
    """The build keeps a branch for batches of tokens and embeddings at once."""
