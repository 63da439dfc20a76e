from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from gpudesk.errors import FailureKind
from gpudesk.fit import gguf as reader
from gpudesk.fit.gguf import HeaderError, SkippedArray, read_header
from gpudesk.fit.metadata import Tensor
from tests.fit.headers import (
    ALIGNMENT,
    ARRAY,
    BOOL,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    LLAMA_KEYS,
    LLAMA_TENSORS,
    STRING,
    UINT8,
    UINT16,
    UINT64,
    Sparse,
    Typed,
    header,
    llama_file,
    size_of,
    text,
    weights_bytes,
)


def read(content: bytes) -> reader.GgufHeader:
    return read_header(io.BytesIO(content))


def refused(content: bytes, size: int | None = None) -> HeaderError:
    with pytest.raises(HeaderError) as caught:
        read_header(io.BytesIO(content), size_bytes=size)
    return caught.value


def test_keys_and_tensors_of_a_small_model() -> None:
    found = read(llama_file())
    assert found.version == 3
    assert found.tensors == LLAMA_TENSORS
    assert found.tensor_bytes == sum(size_of(tensor) for tensor in LLAMA_TENSORS)
    assert found.header_bytes == len(header(LLAMA_KEYS, LLAMA_TENSORS))
    assert found.key_values["llama.attention.head_count_kv"] == 2
    assert found.key_values["tokenizer.ggml.tokens"] == SkippedArray("STRING", 4)
    assert found.key_values["tokenizer.ggml.scores"] == (0.0, 0.0, -1.0, -2.0)
    assert (found.split_count, found.split_index) == (1, 0)


def test_version_2_has_the_same_layout() -> None:
    content = header(LLAMA_KEYS, LLAMA_TENSORS, version=2) + b"\0" * weights_bytes(LLAMA_TENSORS)
    assert read(content).tensors == LLAMA_TENSORS


def test_every_type_of_value() -> None:
    values: dict[str, object] = {
        "u8": Typed(UINT8, 255),
        "i8": Typed(INT8, -128),
        "u16": Typed(UINT16, 65535),
        "i16": Typed(INT16, -32768),
        "i32": Typed(INT32, -7),
        "u64": Typed(UINT64, (1 << 64) - 1),
        "i64": Typed(INT64, -(1 << 63)),
        "f32": 0.5,
        "f64": Typed(FLOAT64, 0.1),
        "yes": True,
        "text": "é",
        "flags": [True, False],
        "numbers": [1, 2, 3],
        "halves": Typed(FLOAT32, [0.5, 1.5]),
        "none": Typed(INT32, []),
    }
    found = read(header(values)).key_values
    expected = {key: item.value if isinstance(item, Typed) else item for key, item in values.items()}
    assert found == {key: tuple(item) if isinstance(item, list) else item for key, item in expected.items()}
    assert found["yes"] is True
    assert found["flags"] == (True, False)


def test_the_same_as_the_gguf_package(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_array("llama.attention.head_count_kv", [2, 4])
    writer.add_token_list(["a", "bc", "déf"] * 700)
    writer.add_custom_alignment(64)
    writer.add_bool("llama.attention.causal", val=True)
    writer.add_tensor("token_embd.weight", np.zeros((10, 64), np.float16))
    writer.add_tensor("blk.0.attn_k.weight", np.zeros((3, 64), np.float32))
    quantized = gguf.quants.quantize(np.ones((4, 256), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blk.0.attn_v.weight", quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    with path.open("rb") as file:
        found = read_header(file)
    theirs = gguf.GGUFReader(path)
    assert found.header_bytes == theirs.data_offset
    assert [(tensor.name, tensor.kind, tensor.shape) for tensor in found.tensors] == [
        (tensor.name, tensor.tensor_type.name, tuple(int(size) for size in tensor.shape)) for tensor in theirs.tensors
    ]
    assert found.tensor_bytes == sum(int(tensor.n_bytes) for tensor in theirs.tensors)
    assert set(found.key_values) == {key for key in theirs.fields if not key.startswith("GGUF.")}
    assert found.key_values["llama.attention.head_count_kv"] == (2, 4)
    assert found.key_values["tokenizer.ggml.tokens"] == SkippedArray("STRING", 2100)
    assert found.key_values["llama.block_count"] == theirs.fields["llama.block_count"].contents()


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
def test_the_size_of_the_window_does_not_matter(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    keys = LLAMA_KEYS | {
        "tokenizer.ggml.tokens": ["x" * (index % 40) for index in range(500)],
        "tokenizer.ggml.token_type": Typed(INT32, [1] * 5000),
        "tokenizer.chat_template": "t" * 20_000,
        "last": 7,
    }
    content = llama_file(keys)
    expected = read(content)
    monkeypatch.setattr(reader, "_CHUNK_BYTES", chunk)
    assert read(content) == expected
    assert expected.key_values["last"] == 7
    assert expected.key_values["tokenizer.ggml.token_type"] == SkippedArray("INT32", 5000)
    assert expected.key_values["tokenizer.chat_template"] == "t" * reader.LONGEST_TEXT


def test_the_weights_are_not_read() -> None:
    tensors = (Tensor("token_embd.weight", "F16", (8192, 200_000)),)
    start = header(LLAMA_KEYS, tensors)
    stream = Sparse(start, len(start) + weights_bytes(tensors))
    assert read_header(stream).tensor_bytes == 8192 * 200_000 * 2  # type: ignore[arg-type]
    assert stream.bytes_read <= 2 << 20


def test_a_large_vocabulary_is_hopped_over_quickly() -> None:
    tokens = [f"token{index}" for index in range(150_000)]
    keys = LLAMA_KEYS | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": tokens}
    content = llama_file(keys)
    best = min(_seconds(content) for _ in range(3))
    assert best < 0.1


def _seconds(content: bytes) -> float:
    begin = time.perf_counter()
    read(content)
    return time.perf_counter() - begin


@pytest.mark.parametrize("length", range(0, 900, 13))
def test_a_header_that_breaks_off_anywhere(length: int) -> None:
    content = llama_file()
    assert len(header(LLAMA_KEYS, LLAMA_TENSORS)) > 900
    caught = refused(content[:length])
    assert caught.kind is FailureKind.INVALID
    assert caught.field


def test_weights_that_break_off() -> None:
    caught = refused(llama_file()[:-ALIGNMENT])
    assert caught.field == "weights"
    assert "cut off" in caught.message
    assert caught.hint


@pytest.mark.parametrize(
    ("start", "word"),
    [(b"", "nothing"), (b"PK\3\4", "PK"), (b"\x1b[2J", "[2J"), (b"ggjt", "ggjt"), (b"\0\0\0\0", "magic")],
)
def test_a_file_of_another_kind(start: bytes, word: str) -> None:
    caught = refused(start + b"\0" * 40 if start else b"")
    assert caught.field == "magic"
    assert word in caught.message
    assert "\x1b" not in caught.message


def test_a_git_lfs_pointer_says_what_it_is() -> None:
    caught = refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:00")
    assert caught.hint == "This is a Git LFS pointer; fetch the file itself"


@pytest.mark.parametrize(("version", "hint"), [(0, "too old"), (1, "too old"), (4, "newer"), (0x7FFF_FFFF, "newer")])
def test_versions_nobody_reads(version: int, hint: str) -> None:
    caught = refused(header(LLAMA_KEYS, version=version))
    assert caught.field == "version"
    assert str(version) in caught.message
    assert hint in (caught.hint or "")


def test_big_endian() -> None:
    content = b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + b"\0" * 200
    caught = refused(content)
    assert caught.field == "version"
    assert "big-endian" in caught.message
    assert caught.hint


@pytest.mark.parametrize("count", [1 << 60, (1 << 64) - 1, 10_000])
@pytest.mark.parametrize(
    ("argument", "field"), [("key_count", "number of keys"), ("tensor_count", "number of tensors")]
)
def test_counts_that_cannot_be(argument: str, field: str, count: int) -> None:
    content = header(LLAMA_KEYS, **{argument: count})  # type: ignore[arg-type]
    caught = refused(content)
    assert caught.field == field
    assert str(count) in caught.message


@pytest.mark.parametrize(
    ("argument", "field"), [("key_count", "number of keys"), ("tensor_count", "number of tensors")]
)
def test_counts_that_a_huge_file_has_room_for(argument: str, field: str) -> None:
    content = header(LLAMA_KEYS, **{argument: 1 << 30})  # type: ignore[arg-type]
    assert refused(content, size=1 << 45).field == field


def test_ten_gigabytes_claimed_in_a_kilobyte() -> None:
    tensors = (Tensor("token_embd.weight", "F16", (8192, 655_360)),)
    begin = time.thread_time()
    caught = refused(header(LLAMA_KEYS, tensors))
    assert time.thread_time() - begin < 0.1
    assert caught.field == "weights"
    assert "10737418240" in caught.message


@pytest.mark.parametrize("length", [1 << 60, 1 << 63, 10 << 30])
@pytest.mark.parametrize("kind", ["key", "text", "array of texts", "numbers", "texts in an array"])
def test_lengths_that_go_beyond_the_file(kind: str, length: int) -> None:
    long = struct.pack("<Q", length)
    bodies = {
        "key": (long + b"abc", "key 1 of 1"),
        "text": (text("some.key") + struct.pack("<I", STRING) + long + b"abc", "some.key"),
        "array of texts": (text("some.key") + struct.pack("<II", ARRAY, STRING) + long + b"abc", "some.key"),
        "numbers": (text("some.key") + struct.pack("<II", ARRAY, FLOAT32) + long + b"abc", "some.key"),
        "texts in an array": (
            text("some.key") + struct.pack("<IIQ", ARRAY, STRING, 2) + text("a") + long + b"abc",
            "some.key",
        ),
    }
    body, field = bodies[kind]
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + body + b"\0" * 100
    caught = refused(content)
    assert caught.field == field


@pytest.mark.parametrize("kind", ["array of texts", "numbers"])
def test_a_sparse_file_of_a_terabyte_cannot_keep_us_busy(kind: str) -> None:
    element = STRING if kind == "array of texts" else FLOAT32
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + text("some.key") + struct.pack("<IIQ", ARRAY, element, 1 << 36)
    stream = Sparse(content, 1 << 40)
    begin = time.thread_time()
    with pytest.raises(HeaderError):
        read_header(stream)  # type: ignore[arg-type]
    assert time.thread_time() - begin < 0.5
    assert stream.bytes_read <= 3 << 20


@pytest.mark.parametrize("kind", [13, 99, 0xFFFF_FFFF])
def test_values_of_an_unknown_type(kind: int) -> None:
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("some.key") + struct.pack("<I", kind) + b"\0" * 50
    assert refused(content).field == "some.key"
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", ARRAY, kind, 1) + b"\0" * 50
    assert refused(content).field == "k"


def test_lists_of_lists() -> None:
    nested = struct.pack("<IQ", ARRAY, 1) * 1000
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("deep") + struct.pack("<I", ARRAY) + nested
    caught = refused(content)
    assert caught.field == "deep"
    assert "list of lists" in caught.message


def test_a_key_twice() -> None:
    caught = refused(header([("a", 1), ("b", 2), ("a", 3)]))
    assert caught.field == "a"
    assert "twice" in caught.message


def test_a_key_without_a_name() -> None:
    assert refused(header([("", 1)])).field == "key 1 of 1"


def test_a_tensor_twice() -> None:
    tensor = Tensor("blk.0.a", "F32", (8,))
    caught = refused(header({}, (tensor, tensor)) + b"\0" * 64)
    assert caught.field == "tensor blk.0.a"


@pytest.mark.parametrize("alignment", [0, 3, 1 << 30, Typed(FLOAT32, 32.0), "32", True])
def test_an_alignment_that_is_none(alignment: object) -> None:
    assert refused(header({"general.alignment": alignment})).field == "general.alignment"


def test_five_dimensions() -> None:
    caught = refused(header({}, (Tensor("deep", "F32", (1, 1, 1, 1, 1)),)) + b"\0" * 64)
    assert caught.field == "tensor deep"
    assert "5 dimensions" in caught.message


@pytest.mark.parametrize(("kind", "word"), [(4, "removed"), (31, "removed"), (38, "removed"), (99, "unknown")])
def test_tensors_of_an_unknown_type(kind: int, word: str) -> None:
    body = text("blk.0.x") + struct.pack("<IQIQ", 1, 256, kind, 0)
    content = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + body + b"\0" * 2000
    caught = refused(content)
    assert caught.field == "tensor blk.0.x"
    assert word in caught.message
    assert str(kind) in caught.message


@pytest.mark.parametrize("offset", [1, ALIGNMENT - 1, ALIGNMENT * 100 + 4])
def test_an_offset_that_is_not_aligned(offset: int) -> None:
    tensors = (Tensor("a", "F32", (8,)),)
    assert refused(header({}, tensors, offsets=[offset]) + b"\0" * 64).field == "tensor a"


def test_offsets_beyond_the_file() -> None:
    tensors = (Tensor("a", "F32", (8,)),)
    assert refused(header({}, tensors, offsets=[1 << 60]) + b"\0" * 64).field == "weights"


def test_tensors_on_top_of_each_other_claim_more_than_there_is() -> None:
    tensors = tuple(Tensor(f"t{index}", "F32", (1 << 20,)) for index in range(100))
    content = header({}, tensors, offsets=[0] * 100) + b"\0" * (4 << 20)
    assert refused(content).field == "weights"


def test_hostile_names_are_harmless_in_messages() -> None:
    hostile = "\x1b]0;owned\x07\u202ekey" + "A" * 400
    caught = refused(header([(hostile, 1), (hostile, 2)]))
    assert "\x1b" not in caught.message
    assert "\u202e" not in caught.message
    assert len(caught.message) < 200


def test_names_longer_than_any() -> None:
    assert refused(header([("k" * 2000, 1)])).field == "key 1 of 1"
    assert refused(header({}, (Tensor("t" * 300, "F32", (8,)),)) + b"\0" * 64).field == "tensor 1 of 1"


def test_names_that_are_not_utf_8_are_read_all_the_same() -> None:
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"\xff\xfe") + struct.pack("<IB", BOOL, 1)
    assert read(content).key_values == {"\ufffd\ufffd": True}


def test_lists_beyond_what_is_kept_are_skipped() -> None:
    keys = {f"k{index}": Typed(UINT8, [1] * reader.LONGEST_KEPT) for index in range(100)}
    found = read(header(keys)).key_values
    kept = [key for key, value in found.items() if isinstance(value, tuple)]
    assert len(kept) == reader.MOST_KEPT // reader.LONGEST_KEPT
    assert found["k99"] == SkippedArray("UINT8", reader.LONGEST_KEPT)


@pytest.mark.parametrize(
    "keys", [{"split.count": 3, "split.no": 3}, {"split.count": 2, "split.no": -1}, {"split.count": "x"}]
)
def test_split_numbers_that_make_no_sense(keys: dict[str, object]) -> None:
    keys = {key: Typed(INT32, item) if isinstance(item, int) else item for key, item in keys.items()}
    assert refused(header(keys)).field == "split.count"


def test_one_part_of_a_split_model() -> None:
    found = read(header({"split.count": Typed(UINT16, 3), "split.no": Typed(UINT16, 1)}))
    assert (found.split_count, found.split_index) == (3, 1)


def test_texts_of_all_lists_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_STRINGS", 10)
    content = header({"first": ["a"] * 6, "second": ["b"] * 4, "third": ["c"]})
    assert refused(content).field == "third"
