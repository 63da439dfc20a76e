"""What a runner really allocates: KV cache, compute buffer, context. The driver of the simulated card shows this.

Source of the KV arithmetic: llama.cpp b10488, src/llama-kv-cache.cpp:207-232, src/llama-kv-cache-iswa.cpp:73,
src/llama-hparams.cpp:115-138. The compute buffer has no closed form; its dominant terms are the logits and
activations of one batch, and the attention scores when flash attention is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.sim.cards import MEBIBYTE
from gpudesk.sim.engine_tensors import BLOCK_SIZES

if TYPE_CHECKING:
    from gpudesk.sim.models import Shape, SimulatedModel

CONTEXT_BYTES = 457 * MEBIBYTE
"""A CUDA context with cuBLAS: Ollama's own constant (ollama ml/device.go:359)."""

CACHE_TYPES = {
    "": "F16", "f16": "F16", "bf16": "BF16", "f32": "F32", "q8_0": "Q8_0", "q5_1": "Q5_1", "q5_0": "Q5_0",
    "q4_1": "Q4_1", "q4_0": "Q4_0", "iq4_nl": "IQ4_NL",
}  # fmt: skip
"""OLLAMA_KV_CACHE_TYPE to tensor type; llama.cpp common/arg.cpp:305."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a runner was started with, as far as memory depends on it."""

    context_length: int
    """Per slot."""
    parallel: int = 1
    batch: int = 512
    cache_type: str = ""
    flash_attention: bool = True


def _padded(cells: int) -> int:
    return (cells + 255) // 256 * 256


def _row_bytes(elements: int, cache_type: str) -> int:
    block, size = BLOCK_SIZES[CACHE_TYPES[cache_type]]
    return elements // block * size


def context_bytes(model: SimulatedModel) -> int:
    """Return the size of a process's context on one card: Ollama's constant, and a little of what nobody counts.

    Memory pools and graphs differ from model to model; the difference is taken from the digest, so that it is
    stable and nobody can mistake it for a formula.
    """
    return CONTEXT_BYTES + int(model.blob_digest[:2], 16) * MEBIBYTE // 8


def kv_by_layer(shape: Shape, options: RunOptions) -> tuple[int, ...]:
    """Return the KV bytes of every layer."""
    if not shape.causal:
        return (0,) * shape.block_count
    cells = _padded(options.context_length)
    window = _padded(min(options.context_length, (shape.sliding_window or 0) + options.batch))
    if shape.kv_lora_rank:
        row = _row_bytes(shape.kv_lora_rank + (shape.rope_dimension_count or 64), options.cache_type)
    else:
        row = _row_bytes(shape.head_count_kv * shape.key_size, options.cache_type)
        row += _row_bytes(shape.head_count_kv * shape.value_size, options.cache_type)
    return tuple(
        (cells if shape.sees_everything(layer) else window) * options.parallel * row
        for layer in range(shape.block_count)
    )


def compute_bytes(shape: Shape, options: RunOptions) -> int:
    """Return the compute buffer of one card."""
    batch = options.batch
    cells = _padded(options.context_length) * (1 if options.flash_attention else options.parallel)
    widest = max(shape.feed_forward_length, shape.embedding_length, shape.expert_feed_forward_length)
    total = cells * batch * 2 + batch * (2 * widest + 4 * shape.embedding_length) * 4
    if shape.pooling_type is None:
        total += shape.vocabulary * batch * 4
    if not options.flash_attention:
        total += shape.head_count * cells * batch * 4
    return total


def host_compute_bytes(shape: Shape, options: RunOptions) -> int:
    """Return the pinned host buffer every runner has: inputs and logits."""
    return options.batch * shape.embedding_length * 4 + shape.vocabulary * options.parallel * 4 + 16 * MEBIBYTE
