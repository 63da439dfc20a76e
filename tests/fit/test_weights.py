"""Weights against what engines print: `CPU_Mapped` and device `model buffer size`, to the printed hundredth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.fit.metadata import Tensor
from gpudesk.fit.weights import adapter_bytes, weights
from gpudesk.units import MEBIBYTE
from tests.fit import rebuild, report


@pytest.mark.parametrize("case", report.cases(), ids=lambda case: case.name)
def test_weights_are_those_the_engine_prints(case: report.Case) -> None:
    printed = case.row["weights_mib"]
    if not printed or case.weights_given:
        pytest.skip("the row has no weights, or its mix of types is the publisher's own")
    assert case.estimate.parts.weights_bytes / MEBIBYTE == pytest.approx(float(printed), rel=0.001)


def test_the_input_embedding_stays_on_the_host() -> None:
    layout = weights(report.HEADERS["Qwen3-8B"]().metadata())
    assert layout.card_bytes / MEBIBYTE == pytest.approx(4455.34, abs=0.01)
    assert layout.host_bytes / MEBIBYTE == pytest.approx(333.84, abs=0.01)


def test_a_tied_embedding_is_on_the_host_and_is_the_output_too() -> None:
    layout = weights(report.HEADERS["gemma-4-12B-it QAT"]().metadata())
    assert layout.card_bytes / MEBIBYTE == pytest.approx(6637.63, abs=0.01)
    assert layout.host_bytes / MEBIBYTE == pytest.approx(787.5, abs=0.01)
    assert layout.output_bytes >= layout.input_bytes == layout.host_bytes


def test_the_per_layer_embedding_never_enters_a_card() -> None:
    header = report.HEADERS["gemma-4-E2B-it QAT"]()
    layout = weights(header.metadata())
    table = next(tensor for tensor in header.tensors if tensor.name.startswith("per_layer_token_embd"))
    without = replace(header.metadata(), tensors=tuple(tensor for tensor in header.tensors if tensor is not table))
    assert weights(without).card_bytes == layout.card_bytes
    assert weights(without).host_bytes < layout.host_bytes


def test_an_encoder_has_no_output_layer() -> None:
    header = rebuild.bert(
        layers=2, embedding=64, heads=4, width=128, vocabulary=1000, positions=512, kind=rebuild.uniform("F16")
    )
    layout = weights(header.metadata())
    assert layout.output_bytes == 0
    assert layout.host_bytes == 64 * 1000 * 2 + 64 * 512 * 2 + 4 * 64 * 4


def test_parts_add_up_to_the_tensors() -> None:
    header = report.HEADERS["Qwen3-30B-A3B"]()
    layout = weights(header.metadata())
    file = sum(replace_size(tensor) for tensor in header.tensors)
    assert layout.card_bytes + layout.host_bytes == file
    assert all(0 < experts < layer for experts, layer in zip(layout.experts, layout.layers, strict=True))


def replace_size(tensor: Tensor) -> int:
    return adapter_bytes([[tensor]])


def test_blocks_for_prediction_are_apart_from_the_layers() -> None:
    header = report.HEADERS["Qwen3.5-2B"]()
    plain = weights(header.metadata())
    for name in ("blk.24.nextn.eh_proj.weight", "mtp.fc.weight"):
        extra = Tensor(name, "F16", (4096, 2048))
        more = weights(replace(header.metadata(), tensors=(*header.tensors, extra)))
        assert more.prediction_bytes == 4096 * 2048 * 2
        assert more.listed_bytes == plain.listed_bytes + 4096 * 2048 * 2
        assert replace(more, prediction_bytes=0, listed_bytes=plain.listed_bytes) == plain


def test_without_tensors_the_file_size_stands_for_the_weights() -> None:
    metadata = replace(report.HEADERS["Qwen3-8B"]().metadata(), tensors=(), file_bytes=5_000_000_001)
    layout = weights(metadata)
    assert layout.card_bytes == 5_000_000_001
    assert not layout.known
