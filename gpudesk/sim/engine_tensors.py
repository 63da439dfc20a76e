"""The tensors of a simulated model and the bytes they take, as its GGUF file would list them.

Block and type sizes: ollama fs/ggml/ggml.go:408-520 at v0.33.0-rc2. Which tensor gets which type under a mixed
quantization: llama.cpp src/llama-quant.cpp (`llama_tensor_get_type`, `use_more_bits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.sim.models import Projector, Shape, SimulatedModel

BLOCK_SIZES: dict[str, tuple[int, int]] = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ4_NL": (32, 18),
    "MXFP4": (32, 17),
}
"""Type to elements per block and bytes per block."""

_FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What a row gets whose length is no multiple of 256."""

_BASE = {"Q3_K_M": "Q3_K", "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K"}

_HEADER_BYTES_PER_TOKEN = 24
"""Tokens, scores and merges in the metadata, roughly."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as `/api/show` lists it."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its data."""
        elements, block_bytes = BLOCK_SIZES[self.type]
        return prod(self.shape) // elements * block_bytes


def _type_of(name: str, shape: tuple[int, ...], layer: int, shape_of: Shape, quantization: str) -> str:
    if len(shape) == 1 or "ffn_gate_inp" in name or "token_types" in name:
        return "F32"
    if quantization == "MXFP4":
        return "MXFP4" if "_exps" in name else "BF16"
    base = _BASE.get(quantization, quantization)
    if base in ("F32", "F16", "BF16", "Q8_0"):
        return base
    chosen = base
    layers = shape_of.block_count
    if name == "output.weight" or (name == "token_embd.weight" and shape_of.tied_output):
        chosen = "Q6_K"
    elif quantization in ("Q4_K_M", "Q5_K_M", "Q3_K_M") and ("attn_v" in name or "ffn_down" in name):
        eighth = layers // 8
        if layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2:
            chosen = "Q6_K" if quantization != "Q3_K_M" else "Q5_K"
    if shape[0] % BLOCK_SIZES[chosen][0]:
        chosen = _FALLBACK.get(chosen, chosen)
    return chosen if shape[0] % BLOCK_SIZES[chosen][0] == 0 else "F16"


def _attention(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, heads = shape.embedding_length, shape.head_count
    if shape.kv_lora_rank:
        rope = shape.rope_dimension_count or 64
        flat = shape.key_size - rope
        if shape.q_lora_rank:
            yield "attn_q_a.weight", (width, shape.q_lora_rank)
            yield "attn_q_a_norm.weight", (shape.q_lora_rank,)
            yield "attn_q_b.weight", (shape.q_lora_rank, heads * shape.key_size)
        else:
            yield "attn_q.weight", (width, heads * shape.key_size)
        yield "attn_kv_a_mqa.weight", (width, shape.kv_lora_rank + rope)
        yield "attn_kv_a_norm.weight", (shape.kv_lora_rank,)
        yield "attn_k_b.weight", (flat, shape.kv_lora_rank, heads)
        yield "attn_v_b.weight", (shape.kv_lora_rank, shape.value_size, heads)
    elif not shape.causal:
        yield "attn_qkv.weight", (width, 3 * width)
    else:
        yield "attn_q.weight", (width, heads * shape.key_size)
        yield "attn_k.weight", (width, shape.head_count_kv * shape.key_size)
        yield "attn_v.weight", (width, shape.head_count_kv * shape.value_size)
        if shape.attention_bias:
            yield "attn_q.bias", (heads * shape.key_size,)
            yield "attn_k.bias", (shape.head_count_kv * shape.key_size,)
            yield "attn_v.bias", (shape.head_count_kv * shape.value_size,)
        if shape.query_key_norm:
            yield "attn_q_norm.weight", (shape.key_size,)
            yield "attn_k_norm.weight", (shape.key_size,)
    yield "attn_output.weight", (heads * shape.value_size, width)


def _feed_forward(shape: Shape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = shape.embedding_length
    if not shape.expert_count or layer < shape.leading_dense_block_count:
        if shape.gated:
            yield "ffn_gate.weight", (width, shape.feed_forward_length)
        yield "ffn_up.weight", (width, shape.feed_forward_length)
        yield "ffn_down.weight", (shape.feed_forward_length, width)
        return
    inner, experts = shape.expert_feed_forward_length, shape.expert_count
    yield "ffn_gate_inp.weight", (width, experts)
    yield "ffn_gate_exps.weight", (width, inner, experts)
    yield "ffn_up_exps.weight", (width, inner, experts)
    yield "ffn_down_exps.weight", (inner, width, experts)
    if shape.leading_dense_block_count:
        yield "ffn_gate_shexp.weight", (width, 2 * inner)
        yield "ffn_up_shexp.weight", (width, 2 * inner)
        yield "ffn_down_shexp.weight", (2 * inner, width)


def _names(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], int]]:
    width = shape.embedding_length
    yield "token_embd.weight", (width, shape.vocabulary), -1
    if not shape.causal:
        yield "token_types.weight", (width, 2), -1
        yield "token_embd_norm.weight", (width,), -1
    for layer in range(shape.block_count):
        prefix = f"blk.{layer}."
        yield prefix + ("attn_norm.weight" if shape.causal else "attn_output_norm.weight"), (width,), layer
        for name, dimensions in _attention(shape):
            yield prefix + name, dimensions, layer
        yield prefix + ("ffn_norm.weight" if shape.causal else "layer_output_norm.weight"), (width,), layer
        for name, dimensions in _feed_forward(shape, layer):
            yield prefix + name, dimensions, layer
    if shape.causal:
        yield "output_norm.weight", (width,), -1
    if shape.causal and not shape.tied_output:
        yield "output.weight", (width, shape.vocabulary), -1


@lru_cache(maxsize=64)
def tensors(shape: Shape, quantization: str) -> tuple[Tensor, ...]:
    """List the tensors of the text model, without any projector."""
    return tuple(
        Tensor(name, _type_of(name, dimensions, layer, shape, quantization), dimensions)
        for name, dimensions, layer in _names(shape)
    )


@lru_cache(maxsize=32)
def projector_tensors(projector: Projector, width: int) -> tuple[Tensor, ...]:
    """List the tensors of a projector that ends in embeddings of `width`; always F16."""
    inner = projector.embedding_length
    found = [Tensor("v.patch_embd.weight", "F16", (projector.patch_size, projector.patch_size, 3, inner))]
    for layer in range(projector.blocks):
        prefix = f"v.blk.{layer}."
        found += [Tensor(prefix + f"attn_{part}.weight", "F16", (inner, inner)) for part in ("q", "k", "v", "out")]
        found.append(Tensor(prefix + "ffn_up.weight", "F16", (inner, projector.feed_forward_length)))
        found.append(Tensor(prefix + "ffn_down.weight", "F16", (projector.feed_forward_length, inner)))
    found.append(Tensor("mm.input_projection.weight", "F16", (inner, width)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a model's weights by where they go."""

    layers: tuple[int, ...]
    input: int
    """The token embedding: stays in host memory (llama.cpp `dev_input` is the CPU)."""
    output: int
    """Output norm and output layer; a copy of the embedding where the two are tied."""
    projector: int
    file: int
    """Size of the model's own file on disk."""
    projector_file: int
    """Size of the projector's own file; 0 when it has none."""
    parameter_count: int


@lru_cache(maxsize=128)
def _weights(shape: Shape, quantization: str) -> Weights:
    layers = [0] * shape.block_count
    into, out, count = 0, 0, 0
    for tensor in tensors(shape, quantization):
        count += prod(tensor.shape)
        if tensor.name.startswith("blk."):
            layers[int(tensor.name.split(".")[1])] += tensor.size_bytes
        elif tensor.name.startswith("output"):
            out += tensor.size_bytes
        else:
            into += tensor.size_bytes
    file_bytes = sum(layers) + into + out + shape.vocabulary * _HEADER_BYTES_PER_TOKEN
    if shape.tied_output:
        out += into
    projector = 0
    if shape.projector is not None:
        listed = projector_tensors(shape.projector, shape.embedding_length)
        projector = sum(tensor.size_bytes for tensor in listed)
        count += sum(prod(tensor.shape) for tensor in listed)
    embedded = shape.projector is not None and shape.projector.embedded
    return Weights(
        tuple(layers),
        into,
        out,
        projector,
        file_bytes + (projector if embedded else 0),
        0 if embedded or not projector else projector + 4096,
        count,
    )


def weights_of(model: SimulatedModel) -> Weights:
    """Return the bytes of a model's weights; the same object for models of one shape and quantization."""
    return _weights(model.shape, model.quantization)


def draft_bytes_of(model: SimulatedModel) -> int:
    """Return the bytes of the draft model that shares the process; 0 without one."""
    return _weights(model.draft, "Q4_0").file if model.draft is not None else 0
