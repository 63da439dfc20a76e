"""Small GGUF headers in memory: what a file says, without the weights."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gpudesk.fit.metadata import Tensor
from gpudesk.fit.tensor_sizes import BLOCK_SIZES, KINDS

TYPE_IDS = {name: number for number, name in KINDS.items()}
UINT8, INT8, UINT16, INT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64, INT64, FLOAT64 = range(13)
_FORMATS = {
    UINT8: "<B",
    INT8: "<b",
    UINT16: "<H",
    INT16: "<h",
    UINT32: "<I",
    INT32: "<i",
    FLOAT32: "<f",
    BOOL: "<?",
    UINT64: "<Q",
    INT64: "<q",
    FLOAT64: "<d",
}
ALIGNMENT = 32


@dataclass(frozen=True)
class Typed:
    """A value of a chosen type; for a list, the type of its elements."""

    kind: int
    value: object


def text(value: str | bytes) -> bytes:
    """Write a string as GGUF does."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(item: object) -> bytes:
    """Write type and value; whole numbers are UINT32, as converters write them."""
    kind, plain = (item.kind, item.value) if isinstance(item, Typed) else (_kind(item), item)
    if isinstance(plain, list | tuple):
        return struct.pack("<IIQ", ARRAY, kind, len(plain)) + b"".join(_element(kind, part) for part in plain)
    return struct.pack("<I", kind) + _element(kind, plain)


def header(
    key_values: Mapping[str, object] | Iterable[tuple[str, object]],
    tensors: Sequence[Tensor] = (),
    *,
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
    offsets: Sequence[int] | None = None,
) -> bytes:
    """Write everything up to the weights, padded to where they begin."""
    pairs = list(key_values.items()) if isinstance(key_values, Mapping) else list(key_values)
    parts = [
        b"GGUF",
        struct.pack("<I", version),
        struct.pack("<QQ", len(tensors) if tensor_count is None else tensor_count, key_count or len(pairs)),
    ]
    parts += [text(key) + value(item) for key, item in pairs]
    offset = 0
    for index, tensor in enumerate(tensors):
        at = offset if offsets is None else offsets[index]
        parts += [
            text(tensor.name),
            struct.pack(f"<I{len(tensor.shape)}QIQ", len(tensor.shape), *tensor.shape, TYPE_IDS[tensor.kind], at),
        ]
        offset += -(-size_of(tensor) // ALIGNMENT) * ALIGNMENT
    content = b"".join(parts)
    return content + b"\0" * (-len(content) % ALIGNMENT)


def size_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's data, computed here on its own."""
    elements, block_bytes = BLOCK_SIZES[tensor.kind]
    return prod(tensor.shape) * block_bytes // elements


def weights_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the weights in the file, each tensor padded."""
    return sum(-(-size_of(tensor) // ALIGNMENT) * ALIGNMENT for tensor in tensors)


class Sparse(io.RawIOBase):
    """A file of which only the start is there; the rest reads as zeros, as a sparse file does."""

    def __init__(self, start: bytes, size: int) -> None:
        self._start = start
        self._size = size
        self._position = 0
        self.bytes_read = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        part = self._start[self._position : self._position + wanted]
        part += b"\0" * (wanted - len(part))
        self._position += wanted
        self.bytes_read += wanted
        return part


def _kind(item: object) -> int:
    if isinstance(item, list | tuple):
        return _kind(item[0]) if item else UINT32
    if isinstance(item, bool):
        return BOOL
    return UINT32 if isinstance(item, int) else FLOAT32 if isinstance(item, float) else STRING


def _element(kind: int, item: object) -> bytes:
    if kind == STRING:
        assert isinstance(item, str | bytes)
        return text(item)
    return struct.pack(_FORMATS[kind], item)


LLAMA_KEYS: dict[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.block_count": 2,
    "llama.context_length": 2048,
    "llama.embedding_length": 256,
    "llama.feed_forward_length": 512,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "llama.rope.dimension_count": 32,
    "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "é"],
    "tokenizer.ggml.scores": [0.0, 0.0, -1.0, -2.0],
}
LLAMA_TENSORS: tuple[Tensor, ...] = (
    Tensor("token_embd.weight", "Q4_K", (256, 4)),
    *(
        Tensor(f"blk.{layer}.{name}", kind, shape)
        for layer in range(2)
        for name, kind, shape in (
            ("attn_norm.weight", "F32", (256,)),
            ("attn_q.weight", "Q4_K", (256, 256)),
            ("attn_k.weight", "Q4_K", (256, 64)),
            ("attn_v.weight", "Q6_K", (256, 64)),
            ("attn_output.weight", "Q4_K", (256, 256)),
            ("ffn_norm.weight", "F32", (256,)),
            ("ffn_gate.weight", "Q4_K", (256, 512)),
            ("ffn_up.weight", "Q4_K", (256, 512)),
            ("ffn_down.weight", "Q6_K", (512, 256)),
        )
    ),
    Tensor("output_norm.weight", "F32", (256,)),
    Tensor("output.weight", "Q6_K", (256, 4)),
)


def llama_file(keys: Mapping[str, object] = LLAMA_KEYS, tensors: Sequence[Tensor] = LLAMA_TENSORS) -> bytes:
    """Return a whole small file: header and weights of zeros."""
    return header(keys, tensors) + b"\0" * weights_bytes(tensors)
