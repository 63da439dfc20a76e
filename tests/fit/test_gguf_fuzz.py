"""Damaged headers: whatever is in them, an error that names a field, soon, and without much memory."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc

import pytest

from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.gguf import LONGEST_KEPT, LONGEST_TEXT, HeaderError, read_header
from gpudesk.fit.metadata import Tensor
from tests.fit.headers import FLOAT64, INT32, LLAMA_KEYS, LLAMA_TENSORS, Typed, header, weights_bytes

COUNT = 10_000
SECONDS_EACH = 0.5
MEBIBYTES_MOST = 100
_ODD = (0, 1, 2, 0x7F, 0xFF, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 60, 1 << 63, (1 << 64) - 1)

HYBRID_KEYS: dict[str, object] = {
    "general.architecture": "qwen35",
    "general.alignment": 32,
    "qwen35.block_count": 4,
    "qwen35.embedding_length": 256,
    "qwen35.nextn_predict_layers": 1,
    "qwen35.attention.head_count": [8, 0, 8, 8],
    "qwen35.attention.key_length": 64,
    "qwen35.attention.key_length_swa": 32,
    "qwen35.attention.recurrent_layers": [True, False, True, False],
    "qwen35.attention.sliding_window_pattern": [True, False, True, False],
    "qwen35.ssm.conv_kernel": Typed(INT32, 4),
    "qwen35.feed_forward_length": [1, 2, 3, 4],
    "split.count": 1,
    "split.no": 0,
    "tokenizer.ggml.tokens": ["a", "bb", "ccc"] * 5,
}
HYBRID_TENSORS = (
    Tensor("token_embd.weight", "F16", (256, 100)),
    *(Tensor(f"blk.{layer}.attn_k.weight", "Q8_0", (256, 64)) for layer in range(4)),
    *(Tensor(f"blk.{layer}.attn_k_norm.weight", "F32", (32,)) for layer in range(4)),
    Tensor("blk.3.nextn.eh_proj.weight", "F16", (512, 256)),
    Tensor("v.patch.weight", "F16", (14, 14, 3, 8)),
)
_SEEDS = tuple(
    header(keys, tensors) + b"\0" * weights_bytes(tensors)
    for keys, tensors in ((LLAMA_KEYS, LLAMA_TENSORS), (HYBRID_KEYS, HYBRID_TENSORS))
)
_STARTS = (len(header(LLAMA_KEYS, LLAMA_TENSORS)), len(header(HYBRID_KEYS, HYBRID_TENSORS)))


def mutated(chance: random.Random) -> tuple[bytes, int]:
    """Return a damaged file, and the size it claims to have."""
    which = chance.randrange(len(_SEEDS))
    content, start = bytearray(_SEEDS[which]), _STARTS[which]
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(start)
        match chance.randrange(6):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                content[at] = chance.randrange(256)
            case 2:
                content[at : at + 8] = struct.pack("<Q", chance.choice(_ODD))
            case 3:
                content[at : at + 4] = struct.pack("<I", chance.choice(_ODD) & 0xFFFF_FFFF)
            case 4:
                del content[at : at + chance.randrange(1, 40)]
            case _:
                source = chance.randrange(start)
                content[at:at] = content[source : source + chance.randrange(1, 60)]
    if chance.random() < 0.1:
        del content[chance.randrange(start) :]
    return bytes(content), len(content) if chance.random() < 0.9 else 1 << 45


def refusal(content: bytes, size: int) -> HeaderError | None:
    """Read a header; anything but a `HeaderError` ends the test."""
    try:
        found = read_header(io.BytesIO(content), size_bytes=size)
        metadata_from_keys(found.key_values, found.tensors)
    except HeaderError as error:
        return error
    return None


@pytest.mark.slow
def test_ten_thousand_damaged_headers() -> None:
    chance = random.Random(20_240_911)
    refusals: list[HeaderError] = []
    slowest = 0.0
    tracemalloc.start()
    for _ in range(COUNT):
        content, size = mutated(chance)
        begin = time.perf_counter()
        refused = refusal(content, size)
        slowest = max(slowest, time.perf_counter() - begin)
        if refused is not None:
            refusals.append(refused.with_traceback(None))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert slowest < SECONDS_EACH
    assert peak_bytes < MEBIBYTES_MOST << 20
    for error in refusals:
        assert error.field
        assert error.message.startswith(error.field)
        assert error.message.isprintable()
        assert len(error.message) < 300
    assert COUNT // 4 < len(refusals) < COUNT * 19 // 20
    assert len({error.field for error in refusals}) > 50


@pytest.mark.parametrize(
    "keys",
    [
        {f"k{index}": Typed(FLOAT64, [0.5] * LONGEST_KEPT) for index in range(300)},
        {f"{index:04}" + "k" * 1000: "\u1234" * LONGEST_TEXT for index in range(1500)},
    ],
    ids=["numbers", "texts"],
)
@pytest.mark.slow
def test_a_large_valid_header_stays_small_in_memory(keys: dict[str, object]) -> None:
    stream = io.BytesIO(header(keys))
    tracemalloc.start()
    read_header(stream)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < MEBIBYTES_MOST << 20
