from __future__ import annotations

import math

import pytest

from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import Verdict
from gpudesk.fit.vllm import (
    ABOVE_SHARE_BYTES,
    Start,
    VllmInstance,
    kv_bytes_per_token,
    lora_slot_bytes,
    plan_instances,
    share_bytes,
    weights_bytes,
)
from gpudesk.units import GIBIBYTE

GB = 10**9
CARD = 24 * GB


def llama_8b(**changes: object) -> ModelMetadata:
    """Llama 3.1 8B: 32 layers, 8 KV heads of 128."""
    values: dict[str, object] = {
        "architecture": "llama", "layer_count": 32, "embedding_length": 4096, "head_count": (32,) * 32,
        "head_count_kv": (8,) * 32, "key_length": 128, "value_length": 128, "feed_forward_length": (14336,) * 32,
        **changes,
    }  # fmt: skip
    return ModelMetadata(**values)  # type: ignore[arg-type]


class TestPublishedPair:
    """Two instances at 0.55 and 0.35 on 24 GB."""

    def test_shares(self) -> None:
        plan = plan_instances([VllmInstance("coder", 0.55), VllmInstance("chat", 0.35)], CARD)
        assert [round(share.share_bytes / GB, 3) for share in plan.shares] == [13.2, 8.4]
        assert math.isclose(plan.fraction_sum, 0.9)
        assert [share.start for share in plan.shares] == [Start.STARTS, Start.STARTS]
        assert plan.verdict is Verdict.FITS
        assert plan.notes == ("start them one after the other: each measures the whole card while it starts",)

    def test_sixteen_bit_weights_of_22_billion_do_not_fit(self) -> None:
        wide = VllmInstance("coder", 0.55, weights_bytes(22, "fp16"))
        assert wide.weights_bytes == 44 * GB
        plan = plan_instances([wide, VllmInstance("chat", 0.35)], CARD)
        assert plan.verdict is Verdict.DOES_NOT_FIT
        assert "41.0 GiB of weights do not fit its share of 12.3 GiB" in plan.shares[0].notes

    def test_four_bit_weights_do_but_leave_little(self) -> None:
        narrow = weights_bytes(22, "awq", wide_parameters_billion=0.4)
        assert 11.9 * GB < narrow < 12.1 * GB
        kv = 2 * 56 * 8 * 128 * 2
        instance = VllmInstance("coder", 0.55, narrow, kv, 32768)
        (share,) = plan_instances([instance], CARD).shares
        assert share.kv_bytes is not None
        assert 0 < share.kv_bytes < GB
        assert share.max_concurrency is not None
        assert share.max_concurrency < 1
        assert not share.works
        assert f"set --max-model-len {share.kv_tokens} or less" in share.notes[-1]


class TestStart:
    """The check uses free memory, the share is of total memory."""

    def test_a_second_one_may_refuse(self) -> None:
        plan = plan_instances([VllmInstance("a", 0.5), VllmInstance("b", 0.48)], CARD)
        assert plan.shares[1].start is Start.MAY_REFUSE
        assert plan.verdict is Verdict.TIGHT
        assert plan.shares[1].free_at_start_bytes == (11_200_000_000, 12_000_000_000)
        assert "is less than desired GPU memory utilization (0.48, 10.73 GiB)" in plan.shares[1].notes[0]
        assert any("0.98" in note for note in plan.notes)

    def test_a_second_one_refuses(self) -> None:
        plan = plan_instances([VllmInstance("a", 0.6), VllmInstance("b", 0.5)], CARD)
        assert plan.shares[1].start is Start.REFUSES
        assert plan.verdict is Verdict.DOES_NOT_FIT

    def test_what_refuses_holds_nothing(self) -> None:
        plan = plan_instances([VllmInstance("a", 0.6), VllmInstance("b", 0.5), VllmInstance("c", 0.3)], CARD)
        assert [share.start for share in plan.shares] == [Start.STARTS, Start.REFUSES, Start.STARTS]

    def test_other_programs_count(self) -> None:
        plan = plan_instances([VllmInstance("a", 0.9)], CARD, available_bytes=21_599_999_999)
        assert plan.shares[0].start is Start.REFUSES
        plan = plan_instances([VllmInstance("a", 0.9)], CARD, available_bytes=21_600_000_000)
        assert plan.shares[0].start is Start.STARTS
        assert plan.verdict is Verdict.TIGHT

    @pytest.mark.parametrize("fraction", [0, -0.1, 1.01, math.nan, math.inf])
    def test_impossible_fractions(self, fraction: float) -> None:
        with pytest.raises(ValueError, match="gpu-memory-utilization"):
            share_bytes(fraction, CARD)

    def test_shares_are_rounded_up(self) -> None:
        assert share_bytes(0.3, 101) == 31


class TestInside:
    """What is left for the KV cache."""

    def test_a_published_log(self) -> None:
        total = round(23.58 * GIBIBYTE)
        instance = VllmInstance("m", 0.99, round(21.21 * GIBIBYTE))
        (share,) = plan_instances([instance], total).shares
        assert share.kv_bytes is not None
        assert abs(share.kv_bytes / GIBIBYTE - 1.57) < 0.02

    @pytest.mark.parametrize(
        ("fraction", "total_gb", "measured"),
        [(0.95, 24, 23.60), (0.9, 24, 22.40), (0.92, 24, 22.10), (0.92, 24, 22.87)],
    )
    def test_measured_processes_lie_in_the_band(self, fraction: float, total_gb: int, measured: float) -> None:
        (share,) = plan_instances([VllmInstance("m", fraction)], total_gb * GB).shares
        low, expected, high = share.held_bytes
        assert low < expected < high
        assert low <= measured * GB <= high

    def test_concurrency_counts_whole_blocks(self) -> None:
        per_token = kv_bytes_per_token(llama_8b())
        assert per_token == 131072
        instance = VllmInstance("m", 0.5, 5 * GIBIBYTE, per_token, 8200, activation_bytes=0)
        (share,) = plan_instances([instance], 24 * GIBIBYTE).shares
        assert share.kv_bytes is not None
        blocks = share.kv_bytes // (16 * per_token)
        assert share.kv_tokens == blocks * 16
        assert share.max_concurrency == blocks / 513

    def test_concurrency_needs_to_know_the_model(self) -> None:
        (share,) = plan_instances([VllmInstance("m", 0.5, 5 * GIBIBYTE)], CARD).shares
        assert (share.kv_tokens, share.max_concurrency) == (None, None)
        assert share.works

    def test_weights_that_leave_nothing(self) -> None:
        (share,) = plan_instances([VllmInstance("m", 0.5, 12 * GB - 1, 131072)], CARD).shares
        assert share.kv_bytes is not None
        assert share.kv_bytes < 0
        assert share.kv_tokens == 0
        assert not share.works
        assert "nothing is left for the KV cache" in share.notes[0]


class TestModels:
    """Sizes from headers."""

    def test_latent_cache(self) -> None:
        latent = llama_8b(layer_count=61, kv_lora_rank=512, rope_dimension_count=64)
        assert kv_bytes_per_token(latent) == 61 * 576 * 2

    def test_shared_layers_have_no_cache(self) -> None:
        assert kv_bytes_per_token(llama_8b(shared_kv_layers=8)) == 24 * 8 * 256 * 2

    def test_one_byte_cache(self) -> None:
        assert kv_bytes_per_token(llama_8b(), bytes_per_value=1) == 65536

    def test_lora_slots_are_below_a_gigabyte(self) -> None:
        slot = lora_slot_bytes(llama_8b(), 16)
        per_layer = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)
        assert slot == 32 * per_layer * 16 * 2
        assert 4 * slot < GB

    def test_lora_slots_take_from_the_share(self) -> None:
        slot = lora_slot_bytes(llama_8b(), 64)
        plain = VllmInstance("m", 0.9, 16 * GB)
        adapted = VllmInstance("m", 0.9, 16 * GB, lora_slots=4, lora_slot_bytes=slot)
        (without,) = plan_instances([plain], CARD).shares
        (with_slots,) = plan_instances([adapted], CARD).shares
        assert without.kv_bytes is not None
        assert with_slots.kv_bytes == without.kv_bytes - 4 * slot
        assert with_slots.held_bytes == without.held_bytes

    @pytest.mark.parametrize(("kind", "expected"), [("fp16", 14.0), ("bf16", 14.0), ("fp8", 7.0), ("fp32", 28.0)])
    def test_weights(self, kind: str, expected: float) -> None:
        assert weights_bytes(7, kind) == expected * GB

    def test_unknown_weights(self) -> None:
        with pytest.raises(ValueError, match="potato"):
            weights_bytes(7, "potato")


def test_the_band_above_the_share_is_ordered() -> None:
    assert list(ABOVE_SHARE_BYTES) == sorted(ABOVE_SHARE_BYTES)
