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

_MIXED = {"Q4_K_M": "Q6_K", "Q5_K_M": "Q6_K", "Q3_K_M": "Q5_K"}
"""What the layers with more bits get."""

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


def _gets_more_bits(shape: Shape, layer: int) -> bool:
    """Tell whether V and the down projection of a layer get a better type in a mixed quantization."""
    eighth = shape.block_count // 8
    return layer < eighth or layer >= 7 * shape.block_count // 8 or (layer - eighth) % 3 == 2


def _type_of(name: str, dimensions: tuple[int, ...], shape: Shape, quantization: str, *, more_bits: bool) -> str:
    if len(dimensions) == 1 or "ffn_gate_inp" in name or "token_types" in name:
        return "F32"
    if quantization == "MXFP4":
        return "MXFP4" if "_exps" in name else "BF16"
    chosen = _BASE.get(quantization, quantization)
    if chosen in ("F32", "F16", "BF16", "Q8_0"):
        return chosen
    if name == "output.weight" or (name == "token_embd.weight" and shape.tied_output):
        chosen = "Q6_K"
    elif more_bits and quantization in _MIXED and ("attn_v" in name or "ffn_down" in name):
        chosen = _MIXED[quantization]
    if dimensions[0] % BLOCK_SIZES[chosen][0]:
        chosen = _FALLBACK.get(chosen, chosen)
    return chosen if dimensions[0] % BLOCK_SIZES[chosen][0] == 0 else "F16"


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


def _feed_forward(shape: Shape, *, dense: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = shape.embedding_length
    if dense:
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


def _block(shape: Shape, quantization: str, *, dense: bool, more_bits: bool) -> list[Tensor]:
    """List the tensors of one layer, without the `blk.<n>.` in front."""
    width = shape.embedding_length
    named = [
        ("attn_norm.weight" if shape.causal else "attn_output_norm.weight", (width,)),
        *_attention(shape),
        ("ffn_norm.weight" if shape.causal else "layer_output_norm.weight", (width,)),
        *_feed_forward(shape, dense=dense),
    ]
    return [
        Tensor(name, _type_of(name, dimensions, shape, quantization, more_bits=more_bits), dimensions)
        for name, dimensions in named
    ]


def _around(shape: Shape, quantization: str) -> tuple[list[Tensor], list[Tensor]]:
    """List the tensors before the first layer and those behind the last."""
    width = shape.embedding_length
    before: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (width, shape.vocabulary))]
    behind: list[tuple[str, tuple[int, ...]]] = []
    if shape.causal:
        behind.append(("output_norm.weight", (width,)))
        if not shape.tied_output:
            behind.append(("output.weight", (width, shape.vocabulary)))
    else:
        before += [("token_types.weight", (width, 2)), ("token_embd_norm.weight", (width,))]

    def typed(named: list[tuple[str, tuple[int, ...]]]) -> list[Tensor]:
        return [
            Tensor(name, _type_of(name, dimensions, shape, quantization, more_bits=False), dimensions)
            for name, dimensions in named
        ]

    return typed(before), typed(behind)


def _blocks(shape: Shape, quantization: str) -> Iterator[list[Tensor]]:
    """Yield the tensors of each layer; layers of one kind share one list."""
    kinds: dict[tuple[bool, bool], list[Tensor]] = {}
    for layer in range(shape.block_count):
        dense = not shape.expert_count or layer < shape.leading_dense_block_count
        kind = (dense, _gets_more_bits(shape, layer))
        if kind not in kinds:
            kinds[kind] = _block(shape, quantization, dense=kind[0], more_bits=kind[1])
        yield kinds[kind]


@lru_cache(maxsize=64)
def tensors(shape: Shape, quantization: str) -> tuple[Tensor, ...]:
    """List the tensors of the text model, without any projector."""
    before, behind = _around(shape, quantization)
    blocks = [
        Tensor(f"blk.{layer}.{tensor.name}", tensor.type, tensor.shape)
        for layer, block in enumerate(_blocks(shape, quantization))
        for tensor in block
    ]
    return (*before, *blocks, *behind)


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


@lru_cache(maxsize=1024)
def _weights(shape: Shape, quantization: str) -> Weights:
    before, behind = _around(shape, quantization)
    into, out = sum(tensor.size_bytes for tensor in before), sum(tensor.size_bytes for tensor in behind)
    count = sum(prod(tensor.shape) for tensor in [*before, *behind])
    sizes: dict[int, tuple[int, int]] = {}
    layers: list[int] = []
    for block in _blocks(shape, quantization):
        if id(block) not in sizes:
            sizes[id(block)] = sum(t.size_bytes for t in block), sum(prod(t.shape) for t in block)
        layers.append(sizes[id(block)][0])
        count += sizes[id(block)][1]
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
