from __future__ import annotations

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from gpudesk.fit.gguf import HeaderError
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.tensor_sizes import BLOCK_SIZES, KINDS, row_bytes, tensor_bytes, total_bytes


def test_every_type_of_the_gguf_package_has_the_same_number_and_sizes() -> None:
    for kind, sizes in GGML_QUANT_SIZES.items():
        assert KINDS[int(kind)] == kind.name
        assert BLOCK_SIZES[kind.name] == tuple(sizes)
    assert {kind.name for kind in GGMLQuantizationType} <= set(BLOCK_SIZES)


def test_every_number_names_a_type_with_a_size() -> None:
    assert sorted(KINDS.values()) == sorted(BLOCK_SIZES)


@pytest.mark.parametrize(
    ("kind", "shape", "size"),
    [
        ("F32", (7,), 28),
        ("F16", (3, 5, 2), 60),
        ("Q8_0", (64, 3), 204),
        ("Q4_K", (5120, 5120), 14_745_600),
        ("Q6_K", (4096, 151_936), 510_504_960),  # output of Qwen3-8B
        ("MXFP4", (2880, 2880, 32), 141_004_800),
        ("Q2_0", (128, 2), 72),
        ("F32", (), 4),
        ("F16", (0, 4), 0),
    ],
)
def test_bytes_of_a_tensor(kind: str, shape: tuple[int, ...], size: int) -> None:
    assert tensor_bytes(Tensor("t", kind, shape)) == size


def test_names_of_types_are_taken_in_any_case() -> None:
    assert tensor_bytes(Tensor("t", "q4_k", (256, 2))) == 288


def test_a_sum() -> None:
    assert total_bytes([Tensor("a", "F32", (2,)), Tensor("b", "F16", (2,))]) == 12


@pytest.mark.parametrize("kind", ["unknown", "", "Q9_Z", "\x1b[31mQ4_K"])
def test_an_unknown_type_names_tensor_and_type(kind: str) -> None:
    with pytest.raises(HeaderError, match=r"tensor blk\.0\.x: unknown type") as caught:
        tensor_bytes(Tensor("blk.0.x", kind, (256,)))
    assert "\x1b" not in caught.value.message


def test_a_row_must_be_whole_blocks() -> None:
    with pytest.raises(HeaderError, match=r"rows of 100 elements"):
        tensor_bytes(Tensor("t", "Q4_K", (100, 256)))


@pytest.mark.parametrize("shape", [(1 << 62, 1 << 62), (1 << 49,)])
def test_a_tensor_larger_than_any_model(shape: tuple[int, ...]) -> None:
    with pytest.raises(HeaderError, match="larger than any model"):
        tensor_bytes(Tensor("t", "F32", shape))


def test_a_cache_row_is_padded_to_whole_blocks() -> None:
    assert row_bytes("q8_0", 576) == 612
    assert row_bytes("q8_0", 33) == 68
    assert row_bytes("f16", 33) == 66
    with pytest.raises(HeaderError, match="unknown type"):
        row_bytes("q8_9", 32)
