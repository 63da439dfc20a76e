"""Rebuild the header of a published model from its dimensions: keys, tensors, and the types a quantization picks.

Weights do not matter to the fit, only their types and shapes; both follow from the dimensions in the model's
configuration and from llama.cpp's rules (src/llama-quant.cpp, `llama_tensor_get_type`; src/models/*.cpp). Checked in
`test_weights` against the sizes that engines print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.metadata import ModelMetadata, Tensor

Kind = Callable[[str, int, int], str]
"""Tensor suffix (`attn_v`), layer (-1 outside), layers in all, to the type."""


def q4_k_m(suffix: str, layer: int, layers: int) -> str:
    """Q4_K_M: the output and half of the value and down projections are q6_K (`use_more_bits`)."""
    if suffix in {"output", "token_embd_tied"}:
        return "Q6_K"
    if suffix in {"attn_v", "ffn_down", "ffn_down_exps", "attn_kv_b_v"} and _more_bits(layer, layers):
        return "Q6_K"
    if suffix == "attn_qkv_fused":
        return "Q5_K"
    return "Q4_K"


def _more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def uniform(kind: str, *, embedding: str | None = None, output: str | None = None) -> Kind:
    """Return a rule that gives every matrix one type, the embedding and the output perhaps another."""

    def rule(suffix: str, layer: int, layers: int) -> str:
        if suffix in {"output"}:
            return output or embedding or kind
        if suffix in {"token_embd", "token_embd_tied", "per_layer_token_embd"}:
            return embedding or kind
        return kind

    return rule


@dataclass
class Header:
    """Keys and tensors of a model file."""

    architecture: str
    layers: int
    kind: Kind
    keys: dict[str, Any] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    def key(self, name: str, value: Any) -> None:
        self.keys[f"{self.architecture}.{name}"] = value

    def matrix(self, suffix: str, *shape: int, layer: int = -1, rule: str | None = None) -> None:
        name = f"{suffix}.weight" if layer < 0 else f"blk.{layer}.{suffix}.weight"
        self.tensors.append(Tensor(name, self.kind(rule or suffix, layer, self.layers), shape))

    def vector(self, suffix: str, *shape: int, layer: int = -1, end: str = ".weight") -> None:
        prefix = "" if layer < 0 else f"blk.{layer}."
        self.tensors.append(Tensor(f"{prefix}{suffix}{end}", "F32", shape))

    def metadata(self, *, name: str | None = None) -> ModelMetadata:
        return metadata_from_keys({"general.architecture": self.architecture, **self.keys}, self.tensors, name=name)


def start(
    architecture: str,
    *,
    layers: int,
    embedding: int,
    heads: int | list[int],
    heads_kv: int | list[int],
    head: int,
    head_value: int | None = None,
    feed_forward: int | list[int] = 0,
    vocabulary: int,
    context: int = 131072,
    kind: Kind,
    tied: bool = False,
    window: int | None = None,
    pattern: list[bool] | None = None,
) -> Header:
    header = Header(architecture, layers, kind)
    header.key("block_count", layers)
    header.key("context_length", context)
    header.key("embedding_length", embedding)
    header.key("attention.head_count", heads)
    header.key("attention.head_count_kv", heads_kv)
    header.key("attention.key_length", head)
    header.key("attention.value_length", head_value or head)
    header.key("attention.layer_norm_rms_epsilon", 1e-6)
    header.key("rope.dimension_count", head)
    if feed_forward:
        header.key("feed_forward_length", feed_forward)
    if window:
        header.key("attention.sliding_window", window)
    if pattern:
        header.key("attention.sliding_window_pattern", pattern)
    header.matrix("token_embd", embedding, vocabulary, rule="token_embd_tied" if tied else None)
    header.vector("output_norm", embedding)
    if not tied:
        header.matrix("output", embedding, vocabulary)
    return header


def attention(
    header: Header,
    layer: int,
    embedding: int,
    heads: int,
    heads_kv: int,
    head: int,
    *,
    qk_norm: bool = False,
    biases: bool = False,
    gated: bool = False,
    value: bool = True,
    key: bool = True,
) -> None:
    header.vector("attn_norm", embedding, layer=layer)
    header.matrix("attn_q", embedding, heads * head * (2 if gated else 1), layer=layer)
    if key:
        header.matrix("attn_k", embedding, heads_kv * head, layer=layer)
    if key and value:
        header.matrix("attn_v", embedding, heads_kv * head, layer=layer)
    header.matrix("attn_output", heads * head, embedding, layer=layer)
    if biases:
        header.vector("attn_q", heads * head, layer=layer, end=".bias")
        header.vector("attn_k", heads_kv * head, layer=layer, end=".bias")
        header.vector("attn_v", heads_kv * head, layer=layer, end=".bias")
    if qk_norm:
        header.vector("attn_q_norm", head, layer=layer)
        if key:
            header.vector("attn_k_norm", head, layer=layer)


def feed_forward(header: Header, layer: int, embedding: int, width: int, *, norm: str = "ffn_norm") -> None:
    header.vector(norm, embedding, layer=layer)
    header.matrix("ffn_gate", embedding, width, layer=layer)
    header.matrix("ffn_up", embedding, width, layer=layer)
    header.matrix("ffn_down", width, embedding, layer=layer)


def experts(
    header: Header,
    layer: int,
    embedding: int,
    width: int,
    count: int,
    *,
    shared: int = 0,
    norm: str = "ffn_norm",
) -> None:
    header.vector(norm, embedding, layer=layer)
    header.vector("ffn_gate_inp", embedding, count, layer=layer)
    header.matrix("ffn_gate_exps", embedding, width, count, layer=layer)
    header.matrix("ffn_up_exps", embedding, width, count, layer=layer)
    header.matrix("ffn_down_exps", width, embedding, count, layer=layer)
    if shared:
        header.vector("ffn_gate_inp_shexp", embedding, layer=layer)
        header.matrix("ffn_gate_shexp", embedding, shared, layer=layer)
        header.matrix("ffn_up_shexp", embedding, shared, layer=layer)
        header.matrix("ffn_down_shexp", shared, embedding, layer=layer)


def dense(
    architecture: str,
    *,
    layers: int,
    embedding: int,
    heads: int,
    heads_kv: int,
    head: int,
    width: int,
    vocabulary: int,
    kind: Kind = q4_k_m,
    tied: bool = False,
    context: int = 131072,
    window: int | None = None,
) -> Header:
    """llama, mistral3, granite, qwen2, qwen3, gemma3, glm4, command-r: attention and a gated feed-forward."""
    header = start(
        architecture, layers=layers, embedding=embedding, heads=heads, heads_kv=heads_kv, head=head,
        feed_forward=width, vocabulary=vocabulary, kind=kind, tied=tied, context=context, window=window,
    )  # fmt: skip
    gemma = architecture.startswith("gemma")
    for layer in range(layers):
        attention(
            header, layer, embedding, heads, heads_kv, head,
            qk_norm=architecture in {"qwen3", "gemma3"}, biases=architecture == "qwen2",
        )  # fmt: skip
        feed_forward(header, layer, embedding, width)
        if (gemma and architecture != "gemma") or architecture == "glm4":
            header.vector("post_attention_norm", embedding, layer=layer)
            header.vector("post_ffw_norm", embedding, layer=layer)
    return header


def glm4(*, layers: int, embedding: int, heads: int, heads_kv: int, head: int, width: int, vocabulary: int,
         kind: Kind) -> Header:  # fmt: skip
    """GLM-4: gate and up projection in one matrix, norms after attention and feed-forward."""
    header = start(
        "glm4", layers=layers, embedding=embedding, heads=heads, heads_kv=heads_kv, head=head, feed_forward=width,
        vocabulary=vocabulary, kind=kind,
    )  # fmt: skip
    for layer in range(layers):
        attention(header, layer, embedding, heads, heads_kv, head)
        header.vector("post_attention_norm", embedding, layer=layer)
        header.vector("ffn_norm", embedding, layer=layer)
        header.matrix("ffn_up", embedding, 2 * width, layer=layer)
        header.matrix("ffn_down", width, embedding, layer=layer)
        header.vector("post_ffw_norm", embedding, layer=layer)
    return header


def qwen3moe(*, layers: int, embedding: int, heads: int, heads_kv: int, head: int, width: int, count: int, used: int,
             vocabulary: int, kind: Kind, feed: int = 0) -> Header:  # fmt: skip
    """Qwen3 with experts in every layer."""
    header = start(
        "qwen3moe", layers=layers, embedding=embedding, heads=heads, heads_kv=heads_kv, head=head,
        feed_forward=feed or width, vocabulary=vocabulary, kind=kind,
    )  # fmt: skip
    header.key("expert_count", count)
    header.key("expert_used_count", used)
    header.key("expert_feed_forward_length", width)
    for layer in range(layers):
        attention(header, layer, embedding, heads, heads_kv, head, qk_norm=True)
        experts(header, layer, embedding, width, count)
    return header


def qwen35(*, layers: int, embedding: int, heads: int, heads_kv: int, width: int, inner: int,
           vocabulary: int = 248320, state: int = 128, groups: int = 16, head: int = 256, kind: Kind = q4_k_m,
           tied: bool = False, count: int = 0, used: int = 0, shared: int = 0, architecture: str | None = None,
           interval: int = 4) -> Header:  # fmt: skip
    """Qwen 3.5 and 3-next: three layers with a gated delta net, then one with gated attention."""
    header = start(
        architecture or ("qwen35moe" if count else "qwen35"), layers=layers, embedding=embedding, heads=heads,
        heads_kv=heads_kv, head=head, feed_forward=0 if count else width, vocabulary=vocabulary, context=262144,
        kind=kind, tied=tied,
    )  # fmt: skip
    values = inner // state
    header.keys[f"{header.architecture}.rope.dimension_count"] = 64
    header.key("rope.dimension_sections", [11, 11, 10, 0])
    for name, value in {
        "ssm.conv_kernel": 4, "ssm.state_size": state, "ssm.group_count": groups, "ssm.time_step_rank": values,
        "ssm.inner_size": inner, "full_attention_interval": interval,
    }.items():  # fmt: skip
        header.key(name, value)
    if count:
        header.key("expert_count", count)
        header.key("expert_used_count", used)
        header.key("expert_feed_forward_length", width)
        header.key("expert_shared_feed_forward_length", shared)
    channels = inner + 2 * groups * state
    for layer in range(layers):
        if (layer + 1) % interval == 0:
            attention(header, layer, embedding, heads, heads_kv, head, qk_norm=True, gated=True)
        else:
            header.vector("attn_norm", embedding, layer=layer)
            header.matrix("attn_qkv", embedding, channels, layer=layer)
            header.matrix("attn_gate", embedding, inner, layer=layer)
            header.vector("ssm_conv1d", 4, channels, layer=layer)
            header.vector("ssm_dt", values, layer=layer, end=".bias")
            header.vector("ssm_a", values, layer=layer, end="")
            if architecture == "qwen3next":
                header.matrix("ssm_ba", embedding, 2 * values, layer=layer)
            else:
                header.matrix("ssm_beta", embedding, values, layer=layer)
                header.matrix("ssm_alpha", embedding, values, layer=layer)
            header.vector("ssm_norm", state, layer=layer)
            header.matrix("ssm_out", inner, embedding, layer=layer)
        if count:
            experts(header, layer, embedding, width, count, shared=shared, norm="post_attention_norm")
        else:
            feed_forward(header, layer, embedding, width, norm="post_attention_norm")
    return header


def gemma4(*, layers: int, embedding: int, heads: int, heads_kv: int, heads_kv_global: int, width: int,
           wide: int | None = None, head: int = 256, head_global: int = 512, window: int = 1024, period: int = 6,
           shared: int = 0, per_layer: int = 0, count: int = 0, used: int = 0, expert_width: int = 0,
           vocabulary: int = 262144, kind: Kind = q4_k_m) -> Header:  # fmt: skip
    """Gemma 4: five sliding layers, then a global one with larger heads; perhaps per-layer inputs or experts."""
    sliding = [(layer + 1) % period != 0 for layer in range(layers)]
    widths = [width if layer < layers - shared else (wide or width) for layer in range(layers)]
    header = start(
        "gemma4", layers=layers, embedding=embedding, heads=heads,
        heads_kv=[heads_kv if local else heads_kv_global for local in sliding],
        head=head_global, feed_forward=widths, vocabulary=vocabulary, kind=kind, tied=True, window=window,
        pattern=sliding,
    )  # fmt: skip
    header.key("attention.key_length_swa", head)
    header.key("attention.value_length_swa", head)
    header.key("rope.dimension_count_swa", head)
    header.key("attention.shared_kv_layers", shared)
    header.key("embedding_length_per_layer_input", per_layer)
    header.key("final_logit_softcapping", 30.0)
    if per_layer:
        header.matrix("per_layer_token_embd", per_layer * layers, vocabulary)
        header.tensors.append(Tensor("per_layer_model_proj.weight", "BF16", (embedding, per_layer * layers)))
        header.vector("per_layer_proj_norm", per_layer)
    header.vector("rope_freqs", head_global // 2)
    if count:
        header.key("expert_count", count)
        header.key("expert_used_count", used)
        header.key("expert_feed_forward_length", expert_width)
    for layer, local in enumerate(sliding):
        size = head if local else head_global
        own = layer < layers - shared
        attention(
            header, layer, embedding, heads, heads_kv if local else heads_kv_global, size, qk_norm=True,
            value=local or bool(per_layer), key=own,
        )  # fmt: skip
        feed_forward(header, layer, embedding, widths[layer])
        header.vector("post_attention_norm", embedding, layer=layer)
        header.vector("post_ffw_norm", embedding, layer=layer)
        header.vector("layer_output_scale", 1, layer=layer)
        if per_layer:
            header.tensors.append(Tensor(f"blk.{layer}.inp_gate.weight", header.kind("inp_gate", layer, layers),
                                         (embedding, per_layer)))  # fmt: skip
            header.tensors.append(Tensor(f"blk.{layer}.proj.weight", header.kind("proj", layer, layers),
                                         (per_layer, embedding)))  # fmt: skip
            header.vector("post_norm", embedding, layer=layer)
        if count:
            header.vector("ffn_gate_inp", embedding, count, layer=layer)
            header.vector("ffn_gate_inp", embedding, layer=layer, end=".scale")
            header.matrix("ffn_gate_up_exps", embedding, 2 * expert_width, count, layer=layer)
            header.matrix("ffn_down_exps", expert_width, embedding, count, layer=layer)
            header.vector("ffn_down_exps", count, layer=layer, end=".scale")
            header.vector("pre_ffw_norm_2", embedding, layer=layer)
            header.vector("post_ffw_norm_1", embedding, layer=layer)
            header.vector("post_ffw_norm_2", embedding, layer=layer)
    return header


def gpt_oss(*, layers: int = 24, embedding: int = 2880, heads: int = 64, heads_kv: int = 8, head: int = 64,
            width: int = 2880, count: int = 32, used: int = 4, vocabulary: int = 201088,
            architecture: str = "gpt-oss") -> Header:  # fmt: skip
    """gpt-oss: experts in MXFP4, all else BF16 or F16, every other layer sliding, attention sinks."""

    def kind(suffix: str, layer: int, layers: int) -> str:
        return "MXFP4" if suffix.endswith("_exps") else "BF16"

    header = start(
        architecture, layers=layers, embedding=embedding, heads=heads, heads_kv=heads_kv, head=head,
        feed_forward=width, vocabulary=vocabulary, kind=kind, window=128,
    )  # fmt: skip
    header.key("expert_count", count)
    header.key("expert_used_count", used)
    header.key("expert_feed_forward_length", width)
    for layer in range(layers):
        attention(header, layer, embedding, heads, heads_kv, head, biases=True)
        header.vector("attn_output", embedding, layer=layer, end=".bias")
        header.vector("attn_sinks", heads, layer=layer)
        experts(header, layer, embedding, width, count, norm="post_attention_norm")
        for suffix, *shape in (("ffn_gate_inp", count), ("ffn_gate_exps", width, count), ("ffn_up_exps", width, count),
                               ("ffn_down_exps", embedding, count)):  # fmt: skip
            header.vector(str(suffix), *(int(size) for size in shape), layer=layer, end=".bias")
    return header


def bert(architecture: str = "bert", *, layers: int, embedding: int, heads: int, width: int, vocabulary: int,
         positions: int, kind: Kind, pooling: int = 1, gated: bool = False) -> Header:  # fmt: skip
    """An encoder: no KV cache, every token sees every other."""
    header = Header(architecture, layers, kind)
    for name, value in {
        "block_count": layers, "context_length": positions, "embedding_length": embedding,
        "attention.head_count": heads, "feed_forward_length": width, "pooling_type": pooling,
        "attention.causal": False, "attention.layer_norm_epsilon": 1e-12,
    }.items():  # fmt: skip
        header.key(name, value)
    header.keys["tokenizer.ggml.token_type_count"] = 2
    header.matrix("token_embd", embedding, vocabulary)
    header.vector("token_types", embedding, 2)
    header.vector("token_embd_norm", embedding)
    header.vector("token_embd_norm", embedding, end=".bias")
    if not gated:
        header.matrix("position_embd", embedding, positions)
    for layer in range(layers):
        if gated:
            header.matrix("attn_qkv", embedding, 3 * embedding, layer=layer)
        else:
            for suffix in ("attn_q", "attn_k", "attn_v"):
                header.matrix(suffix, embedding, embedding, layer=layer)
                header.vector(suffix, embedding, layer=layer, end=".bias")
        header.matrix("attn_output", embedding, embedding, layer=layer)
        for suffix in ("attn_output_norm", "layer_output_norm"):
            header.vector(suffix, embedding, layer=layer)
            header.vector(suffix, embedding, layer=layer, end=".bias")
        if gated:
            header.matrix("ffn_gate", embedding, width, layer=layer)
        else:
            header.vector("attn_output", embedding, layer=layer, end=".bias")
            header.vector("ffn_up", width, layer=layer, end=".bias")
            header.vector("ffn_down", embedding, layer=layer, end=".bias")
        header.matrix("ffn_up", embedding, width, layer=layer)
        header.matrix("ffn_down", width, embedding, layer=layer)
    return header
