"""What a model's tensors tell of its shape where its keys do not.

A list of values per layer is null in a short `/api/show` reply (ollama fs/ggml/gguf.go:457-482 at v0.33.0-rc2), and an
architecture nobody knows may name its keys differently; the shapes of the tensors are always there.
Names of tensors: llama.cpp src/llama-arch.cpp (`LLM_TENSOR_NAMES`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpudesk.fit.metadata import Tensor

_LAYER = re.compile(r"blk\.(\d{1,5})\.", re.ASCII)


def layer_of(name: str) -> int | None:
    """Return the layer a tensor belongs to; None for what is outside of them."""
    match = _LAYER.match(name)
    return None if match is None else int(match[1])


def layers_listed(tensors: Iterable[str]) -> int:
    """Return the number of layers that have tensors."""
    return max((layer for name in tensors if (layer := layer_of(name)) is not None), default=-1) + 1


def output_width(tensors: Mapping[str, Tensor], layer: int, suffix: str) -> int:
    """Return how many values a layer's tensor puts out; 0 when the layer does not have it."""
    tensor = tensors.get(f"blk.{layer}.{suffix}")
    return tensor.shape[1] if tensor is not None and len(tensor.shape) > 1 else 0


def key_lengths(tensors: Mapping[str, Tensor], layers: int, told: tuple[int, ...]) -> tuple[int, ...]:
    """Return each layer's key length: that of the lengths told which its K or Q norm has, else the first.

    The norm is of one head (`n_embd_head_k`) in qwen3, gemma3 and later; in others it is as wide as all heads.
    """
    found: list[int] = []
    for layer in range(layers):
        norm = tensors.get(f"blk.{layer}.attn_k_norm.weight") or tensors.get(f"blk.{layer}.attn_q_norm.weight")
        width = norm.shape[0] if norm is not None and norm.shape else 0
        found.append(width if width in told else told[0])
    return tuple(found)


def head_counts(tensors: Mapping[str, Tensor], key_lengths_told: tuple[int, ...]) -> tuple[int, ...]:
    """Return the heads of each layer by the width of Q."""
    return tuple(
        output_width(tensors, layer, "attn_q.weight") // length for layer, length in enumerate(key_lengths_told)
    )


def head_counts_kv(
    tensors: Mapping[str, Tensor], heads: tuple[int, ...], lengths: tuple[int, ...], value_length: int
) -> tuple[int, ...] | None:
    """Return the KV heads of each layer by the width of K, or of Q, K and V in one; None when no tensor tells.

    A layer that has neither has no attention.
    """
    counts: list[int] = []
    for layer, (count, length) in enumerate(zip(heads, lengths, strict=True)):
        width = output_width(tensors, layer, "attn_k.weight")
        fused = output_width(tensors, layer, "attn_qkv.weight") - count * length
        counts.append(width // length if width else max(fused, 0) // (length + value_length))
    return tuple(counts) if any(counts) else None
