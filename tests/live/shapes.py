"""The smallest models that have each kind of layer: keys and tensors as llama.cpp asks for them (src/models/*.cpp)."""

from __future__ import annotations

from typing import Any

from tests.fit import rebuild
from tests.fit.rebuild import Header, attention, feed_forward

VOCABULARY = 512
WIDTH = 256
HEADS, HEADS_KV, HEAD = 8, 2, 32
INNER = 512
F16 = rebuild.uniform("F16")


def _ssm_keys(header: Header, *, state: int, groups: int | None, rank: int) -> None:
    header.key("ssm.conv_kernel", 4)
    header.key("ssm.inner_size", 2 * WIDTH)
    header.key("ssm.state_size", state)
    header.key("ssm.time_step_rank", rank)
    if groups is not None:
        header.key("ssm.group_count", groups)


def _mamba2(header: Header, layer: int, *, state: int, groups: int, heads: int) -> None:
    """The mixer of Mamba 2, as hybrids have it."""
    inner = 2 * WIDTH
    channels = inner + 2 * groups * state
    header.matrix("ssm_in", WIDTH, inner + channels + heads, layer=layer)
    header.vector("ssm_conv1d", 4, channels, layer=layer)
    header.vector("ssm_conv1d", channels, layer=layer, end=".bias")
    header.vector("ssm_dt", heads, layer=layer, end=".bias")
    header.vector("ssm_a", 1, heads, layer=layer, end="")
    header.vector("ssm_d", 1, heads, layer=layer, end="")
    header.vector("ssm_norm", inner // groups, groups, layer=layer)
    header.matrix("ssm_out", inner, WIDTH, layer=layer)


def _started(architecture: str, heads_kv: list[int], **more: Any) -> Header:
    return rebuild.start(
        architecture,
        layers=len(heads_kv),
        embedding=WIDTH,
        heads=HEADS,
        heads_kv=heads_kv,
        head=HEAD,
        feed_forward=INNER,
        vocabulary=VOCABULARY,
        kind=F16,
        **more,
    )


def granite_hybrid() -> Header:
    """Recurrent where there are no KV heads, attention elsewhere."""
    header = _started("granitehybrid", [0, 0, HEADS_KV, 0, 0, HEADS_KV])
    _ssm_keys(header, state=64, groups=1, rank=16)
    for layer in range(6):
        if layer % 3 == 2:
            attention(header, layer, WIDTH, HEADS, HEADS_KV, HEAD)
        else:
            header.vector("attn_norm", WIDTH, layer=layer)
            _mamba2(header, layer, state=64, groups=1, heads=16)
        feed_forward(header, layer, WIDTH, INNER)
    return header


def falcon_h1() -> Header:
    """Attention and a recurrent mixer side by side in every layer."""
    header = _started("falcon-h1", [HEADS_KV] * 3)
    _ssm_keys(header, state=64, groups=1, rank=16)
    for layer in range(3):
        attention(header, layer, WIDTH, HEADS, HEADS_KV, HEAD)
        _mamba2(header, layer, state=64, groups=1, heads=16)
        header.vector("ffn_norm", WIDTH, layer=layer, end="")
        header.matrix("ffn_gate", WIDTH, INNER, layer=layer)
        header.matrix("ffn_up", WIDTH, INNER, layer=layer)
        header.matrix("ffn_down", INNER, WIDTH, layer=layer)
    return header


def nemotron_h() -> Header:
    """Layers that are a recurrent mixer, attention, or only a feed-forward."""
    header = _started("nemotron_h", [0, 0, HEADS_KV, 0])
    header.key("feed_forward_length", [0, INNER, 0, 0])
    header.key("attention.layer_norm_epsilon", 1e-5)
    _ssm_keys(header, state=64, groups=2, rank=16)
    for layer, kind in enumerate("mfam"):
        if kind == "a":
            attention(header, layer, WIDTH, HEADS, HEADS_KV, HEAD)
            continue
        header.vector("attn_norm", WIDTH, layer=layer)
        if kind == "m":
            _mamba2(header, layer, state=64, groups=2, heads=16)
        else:
            header.matrix("ffn_up", WIDTH, INNER, layer=layer)
            header.matrix("ffn_down", INNER, WIDTH, layer=layer)
    return header


def mamba() -> Header:
    """No attention at all."""
    header = Header("mamba", 3, F16)
    for key, value in {
        "block_count": 3,
        "context_length": 4096,
        "embedding_length": WIDTH,
        "feed_forward_length": 0,
        "attention.head_count": 0,
    }.items():
        header.key(key, value)
    _ssm_keys(header, state=16, groups=None, rank=16)
    header.matrix("token_embd", WIDTH, VOCABULARY)
    header.vector("output_norm", WIDTH)
    for layer in range(3):
        header.vector("attn_norm", WIDTH, layer=layer)
        header.matrix("ssm_in", WIDTH, 4 * WIDTH, layer=layer)
        header.vector("ssm_conv1d", 4, 2 * WIDTH, layer=layer)
        header.vector("ssm_conv1d", 2 * WIDTH, layer=layer, end=".bias")
        header.matrix("ssm_x", 2 * WIDTH, 16 + 2 * 16, layer=layer)
        header.vector("ssm_dt", 16, 2 * WIDTH, layer=layer)
        header.vector("ssm_dt", 2 * WIDTH, layer=layer, end=".bias")
        header.vector("ssm_a", 16, 2 * WIDTH, layer=layer, end="")
        header.vector("ssm_d", 2 * WIDTH, layer=layer, end="")
        header.matrix("ssm_out", 2 * WIDTH, WIDTH, layer=layer)
    return header


def lfm2() -> Header:
    """Short convolutions, and attention in between."""
    header = _started("lfm2", [0, 0, HEADS_KV, 0])
    header.key("shortconv.l_cache", 3)
    header.tensors = [tensor for tensor in header.tensors if tensor.name == "token_embd.weight"]
    header.vector("token_embd_norm", WIDTH)
    for layer in range(4):
        if layer == 2:
            attention(header, layer, WIDTH, HEADS, HEADS_KV, HEAD, qk_norm=True)
        else:
            header.vector("attn_norm", WIDTH, layer=layer)
            header.vector("shortconv.conv", 3, WIDTH, layer=layer)
            header.matrix("shortconv.in_proj", WIDTH, 3 * WIDTH, layer=layer)
            header.matrix("shortconv.out_proj", WIDTH, WIDTH, layer=layer)
        feed_forward(header, layer, WIDTH, INNER)
    return header


def deepseek2(*, latent: bool) -> Header:
    """Multi-head latent attention; in files made before April 2025 it is spread out over all heads."""
    rank, rope, flat, layers = 128, 32, 64, 3
    header = rebuild.start(
        "deepseek2",
        layers=layers,
        embedding=WIDTH,
        heads=HEADS,
        heads_kv=1 if latent else HEADS,
        head=rank + rope if latent else flat + rope,
        head_value=rank if latent else flat,
        feed_forward=INNER,
        vocabulary=VOCABULARY,
        kind=F16,
    )
    for key, value in {
        "rope.dimension_count": rope,
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": 64,
        "leading_dense_block_count": layers,
        "expert_feed_forward_length": INNER,
        "expert_shared_count": 1,
    }.items():
        header.key(key, value)
    if latent:
        header.key("attention.key_length_mla", flat + rope)
        header.key("attention.value_length_mla", flat)
    for layer in range(layers):
        header.vector("attn_norm", WIDTH, layer=layer)
        header.matrix("attn_q_a", WIDTH, 64, layer=layer)
        header.vector("attn_q_a_norm", 64, layer=layer)
        header.matrix("attn_q_b", 64, HEADS * (flat + rope), layer=layer)
        header.matrix("attn_kv_a_mqa", WIDTH, rank + rope, layer=layer)
        header.vector("attn_kv_a_norm", rank, layer=layer)
        if latent:
            header.matrix("attn_k_b", flat, rank, HEADS, layer=layer)
            header.matrix("attn_v_b", rank, flat, HEADS, layer=layer)
        else:
            header.matrix("attn_kv_b", rank, HEADS * 2 * flat, layer=layer)
        header.matrix("attn_output", HEADS * flat, WIDTH, layer=layer)
        feed_forward(header, layer, WIDTH, INNER)
    return header


def phi3() -> Header:
    """Q, K and V in one matrix, gate and up in another."""
    header = rebuild.start(
        "phi3", layers=3, embedding=WIDTH, heads=HEADS, heads_kv=HEADS_KV, head=HEAD, feed_forward=INNER,
        vocabulary=VOCABULARY, kind=F16,
    )  # fmt: skip
    for layer in range(3):
        header.vector("attn_norm", WIDTH, layer=layer)
        header.matrix("attn_qkv", WIDTH, (HEADS + 2 * HEADS_KV) * HEAD, layer=layer)
        header.matrix("attn_output", WIDTH, WIDTH, layer=layer)
        header.vector("ffn_norm", WIDTH, layer=layer)
        header.matrix("ffn_up", WIDTH, 2 * INNER, layer=layer)
        header.matrix("ffn_down", INNER, WIDTH, layer=layer)
    return header


def command_r() -> Header:
    """Attention and feed-forward read the same norm; the output is the embedding."""
    header = _dense("command-r", 4, tied=True)
    header.key("logit_scale", 1.0)
    header.key("attention.layer_norm_epsilon", 1e-5)
    header.tensors = [tensor for tensor in header.tensors if ".ffn_norm" not in tensor.name]
    return header


def rwkv7() -> Header:
    """No attention and no convolution: a state per head, and the last token of two mixers."""
    header = Header("rwkv7", 3, F16)
    for key, value in {
        "block_count": 3,
        "context_length": 4096,
        "embedding_length": WIDTH,
        "feed_forward_length": INNER,
        "attention.head_count": 0,
        "wkv.head_size": 64,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.decay_lora_rank": 32,
        "attention.iclr_lora_rank": 32,
        "attention.value_residual_mix_lora_rank": 32,
        "attention.gate_lora_rank": 64,
    }.items():
        header.key(key, value)
    header.matrix("token_embd", WIDTH, VOCABULARY)
    header.matrix("output", WIDTH, VOCABULARY)
    for end in (".weight", ".bias"):
        header.vector("token_embd_norm", WIDTH, end=end)
        header.vector("output_norm", WIDTH, end=end)
    for layer in range(3):
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            header.vector(name, WIDTH, layer=layer)
            header.vector(name, WIDTH, layer=layer, end=".bias")
        for name in ("w0", "a0", "v0", "k_k", "k_a", "r_k"):
            header.vector(f"time_mix_{name}", WIDTH, layer=layer)
        for name, rank in (("w", 32), ("a", 32), ("v", 32), ("g", 64)):
            header.vector(f"time_mix_{name}1", WIDTH, rank, layer=layer)
            header.vector(f"time_mix_{name}2", rank, WIDTH, layer=layer)
        header.vector("time_mix_lerp_fused", WIDTH, 1, 1, 6, layer=layer)
        for name in ("key", "value", "receptance", "output"):
            header.matrix(f"time_mix_{name}", WIDTH, WIDTH, layer=layer)
        header.vector("channel_mix_lerp_k", WIDTH, 1, 1, layer=layer)
        header.matrix("channel_mix_key", WIDTH, INNER, layer=layer)
        header.matrix("channel_mix_value", INNER, WIDTH, layer=layer)
    return header


def nomic_bert() -> Header:
    """An encoder with a gated feed-forward and turned positions."""
    header = rebuild.start(
        "nomic-bert", layers=2, embedding=WIDTH, heads=4, heads_kv=4, head=WIDTH // 4, feed_forward=INNER,
        vocabulary=VOCABULARY, kind=F16,
    )  # fmt: skip
    header.tensors = [tensor for tensor in header.tensors if tensor.name == "token_embd.weight"]
    for key, value in {"attention.layer_norm_epsilon": 1e-12, "attention.causal": False, "pooling_type": 1}.items():
        header.key(key, value)
    header.matrix("token_types", WIDTH, 2)
    for end in (".weight", ".bias"):
        header.vector("token_embd_norm", WIDTH, end=end)
    for layer in range(2):
        header.matrix("attn_qkv", WIDTH, 3 * WIDTH, layer=layer)
        header.matrix("attn_output", WIDTH, WIDTH, layer=layer)
        for name in ("attn_output_norm", "layer_output_norm"):
            header.vector(name, WIDTH, layer=layer)
            header.vector(name, WIDTH, layer=layer, end=".bias")
        header.matrix("ffn_up", WIDTH, INNER, layer=layer)
        header.matrix("ffn_gate", WIDTH, INNER, layer=layer)
        header.matrix("ffn_down", INNER, WIDTH, layer=layer)
    return header


def _dense(architecture: str, layers: int, head: int = HEAD, **more: Any) -> Header:
    """Attention and a gated feed-forward in every layer."""
    return rebuild.dense(
        architecture, layers=layers, embedding=WIDTH, heads=HEADS, heads_kv=HEADS_KV, head=head, width=INNER,
        vocabulary=VOCABULARY, **more,
    )  # fmt: skip


SHAPES: dict[str, Header] = {
    "llama": _dense("llama", 3),
    "qwen2": _dense("qwen2", 8),
    "qwen3 with tied output": _dense("qwen3", 3, head=64, tied=True),
    "phi3 with fused projections": phi3(),
    "qwen3moe": rebuild.qwen3moe(
        layers=3, embedding=WIDTH, heads=HEADS, heads_kv=HEADS_KV, head=HEAD, width=256, count=8, used=2,
        vocabulary=VOCABULARY, kind=F16,
    ),
    "gemma3 with a sliding window": _dense("gemma3", 13, tied=True, window=512),
    "gemma4 with shared layers": rebuild.gemma4(
        layers=12, embedding=WIDTH, heads=4, heads_kv=2, heads_kv_global=1, width=INNER, head=64, head_global=128,
        window=512, vocabulary=VOCABULARY, shared=6, per_layer=32, kind=F16,
    ),
    "gpt-oss": rebuild.gpt_oss(
        layers=4, embedding=WIDTH, heads=HEADS, heads_kv=HEADS_KV, head=HEAD, width=256, count=4, used=2,
        vocabulary=VOCABULARY,
    ),
    "deepseek2 with latent attention": deepseek2(latent=True),
    "deepseek2 of an old file": deepseek2(latent=False),
    "qwen35 with recurrent layers": rebuild.qwen35(
        layers=8, embedding=WIDTH, heads=4, heads_kv=2, width=INNER, inner=512, vocabulary=VOCABULARY, head=64,
        state=64, groups=4,
    ),
    "granitehybrid": granite_hybrid(),
    "falcon-h1": falcon_h1(),
    "nemotron_h": nemotron_h(),
    "lfm2 with short convolutions": lfm2(),
    "mamba": mamba(),
    "rwkv7": rwkv7(),
    "command-r": command_r(),
}  # fmt: skip
"""One of each kind of layer, as small as it gets."""

ENCODER = rebuild.bert(
    layers=2, embedding=WIDTH, heads=4, width=INNER, vocabulary=VOCABULARY, positions=512, kind=F16
)  # fmt: skip
ENCODERS: dict[str, Header] = {"bert": ENCODER, "nomic-bert": nomic_bert()}
