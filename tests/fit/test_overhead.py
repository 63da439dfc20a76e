"""What a process takes besides its buffers, against what others measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.metadata import Tensor
from gpudesk.fit.overhead import overhead
from gpudesk.fit.projector import projector, projector_high
from gpudesk.fit.values import CardBudget, EngineProfile
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit import report


def card(name: str, gibibytes: int = 24) -> CardBudget:
    return CardBudget(0, name, gibibytes * GIBIBYTE, gibibytes * GIBIBYTE)


@pytest.mark.parametrize(
    ("name", "measured"),
    [("RTX 4060 Ti 16GB", 107), ("RTX 4090", 453), ("RTX PRO 6000 Blackwell Workstation Edition", 555),
     ("a card nobody knows", 430)],
)  # fmt: skip
def test_what_was_measured_lies_in_the_band(name: str, measured: int) -> None:
    low, expected, high = overhead(EngineProfile(), card(name))
    assert low <= measured * MEBIBYTE <= high
    assert abs(expected - measured * MEBIBYTE) <= 128 * MEBIBYTE


def test_larger_cards_take_more() -> None:
    small, large = (overhead(EngineProfile(), card(name))[1] for name in ("RTX 3060", "RTX 4090"))
    assert small < large


@pytest.mark.parametrize("backend", ["cuda", "rocm", "vulkan", "metal", "cpu"])
def test_low_expected_and_high_are_in_order(backend: str) -> None:
    low, expected, high = overhead(EngineProfile(backend=backend), card("unknown"))
    assert 0 <= low <= expected <= high


@pytest.mark.parametrize(
    ("version", "extra"), [("0.11.4", 0), ("0.11.5", 146), ("0.11.7", 146), ("0.11.8", 0), (None, 0)]
)
def test_three_versions_took_more(version: str | None, extra: int) -> None:
    old = EngineProfile(era=Era.ESTIMATE, version=version)
    plain = overhead(EngineProfile(era=Era.ESTIMATE), card("RTX 4090"))[1]
    assert overhead(old, card("RTX 4090"))[1] - plain == extra * MEBIBYTE


def test_a_projector_is_its_tensors_and_the_encoders_buffer() -> None:
    # gemma3:27b: 796 MiB and 1.0 GiB for the attention over 4096 patches, 16 heads (Ollama before 0.30)
    metadata = replace(
        report.HEADERS["Qwen3-8B"]().metadata(),
        projector_tensors=(Tensor("v.blk.0.ffn", "F16", (1024, 796 * 512)),),
        vision_image_size=896, vision_patch_size=14, vision_embedding_length=1152, vision_head_count=16,
    )  # fmt: skip
    assert projector(metadata, Era.LAYOUT) / MEBIBYTE == pytest.approx(796 + 1024, abs=16)
    later = projector(metadata, Era.LLAMA_SERVER)
    assert 796 * MEBIBYTE < later < projector(metadata, Era.LAYOUT)
    assert projector_high(metadata, Era.LLAMA_SERVER) > projector(metadata, Era.LAYOUT)


def test_an_encoder_of_any_size_takes_no_more_than_an_image_may_have_tokens() -> None:
    # mistral-small3.2: its file names images of 1540 pixels, llama.cpp gives it 1024 tokens of four patches at most
    metadata = replace(
        report.HEADERS["Qwen3-8B"]().metadata(), projector_bytes=838 * MEBIBYTE,
        vision_image_size=1540, vision_patch_size=14, vision_embedding_length=1024, vision_head_count=16,
    )  # fmt: skip
    usual, high = projector(metadata, Era.LLAMA_SERVER), projector_high(metadata, Era.LLAMA_SERVER)
    smaller = replace(metadata, vision_image_size=14 * 64)
    assert usual == projector(smaller, Era.LLAMA_SERVER)
    assert high - usual == 4 * 4096**2 * 16
    # Ollama's own engine reserved room for the attention over the whole image, once.
    assert projector(metadata, Era.LAYOUT) - 838 * MEBIBYTE > 4 * 12100**2 * 16
    assert projector_high(metadata, Era.LAYOUT) == projector(metadata, Era.LAYOUT)


def test_without_a_projector_nothing_is_added() -> None:
    metadata = report.HEADERS["Qwen3-8B"]().metadata()
    assert projector(metadata, Era.LLAMA_SERVER) == projector_high(metadata, Era.LLAMA_SERVER) == 0


def test_a_projector_of_unknown_tensors_is_its_file() -> None:
    metadata = replace(report.HEADERS["Qwen3-8B"]().metadata(), projector_bytes=100 * MEBIBYTE)
    assert projector(metadata, Era.LLAMA_SERVER) > 100 * MEBIBYTE
