"""Bytes of a tensor by its type.

Block and type sizes: ggml/src/ggml.c `type_traits` and gguf-py/gguf/constants.py `GGML_QUANT_SIZES` of llama.cpp,
fs/ggml/ggml.go `blockSize`, `typeSize` of Ollama v0.33.0-rc2. A row (first dimension) is a whole number of blocks.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from gpudesk.fit.gguf_values import HeaderError
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.fit.metadata import Tensor

BLOCK_SIZES: dict[str, tuple[int, int]] = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "F64": (1, 8),
    "I8": (1, 1),
    "I16": (1, 2),
    "I32": (1, 4),
    "I64": (1, 8),
    "Q1_0": (128, 18),
    "Q2_0": (64, 18),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q8_1": (32, 40),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "Q8_K": (256, 292),
    "IQ1_S": (256, 50),
    "IQ1_M": (256, 56),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
    "MXFP4": (32, 17),
    "NVFP4": (64, 36),
}
"""Type to elements per block and bytes per block."""

KINDS: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
    40: "NVFP4",
    41: "Q1_0",
    42: "Q2_0",
}
"""`enum ggml_type` (ggml/include/ggml.h) to its name."""

LARGEST_TENSOR_BYTES = 1 << 50
"""A pebibyte: more than any model, and sums of it stay far from overflow in whatever reads our output."""


def row_bytes(kind: str, elements: int) -> int:
    """Return the bytes of one row; a part of a block counts as a whole one, as in a quantized cache row.

    Raises:
        HeaderError: the type is unknown.
    """
    block = BLOCK_SIZES.get(kind.upper())
    if block is None:
        raise HeaderError("type", f"unknown type {clean(kind, 32)!r}")
    return -(-elements // block[0]) * block[1]


def tensor_bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor's data.

    Raises:
        HeaderError: the type is unknown, or rows of this length do not exist in it.
    """
    block = BLOCK_SIZES.get(tensor.kind) or BLOCK_SIZES.get(tensor.kind.upper())
    if block is None:
        raise HeaderError(
            f"tensor {clean(tensor.name, 64)}",
            f"unknown type {clean(tensor.kind, 32)!r}",
            "The file is newer than this version of gpudesk, or damaged",
        )
    elements, block_bytes = block
    row = tensor.shape[0] if tensor.shape else 1
    if row % elements:
        raise HeaderError(
            f"tensor {clean(tensor.name, 64)}", f"rows of {row} elements are no whole number of {tensor.kind} blocks"
        )
    size = prod(tensor.shape) // elements * block_bytes
    if not 0 <= size <= LARGEST_TENSOR_BYTES:
        raise HeaderError(f"tensor {clean(tensor.name, 64)}", "larger than any model")
    return size


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of several tensors."""
    return sum(tensor_bytes(tensor) for tensor in tensors)
