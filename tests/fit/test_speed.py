"""Tokens per second and seconds of a swap: bounds against figures that were measured elsewhere."""

from __future__ import annotations

import pytest

from gpudesk.fit.card_table import card_named
from gpudesk.fit.speed import Reads, active_ratio, decode_speed, reads_of, slowdown
from gpudesk.fit.swap_cost import MeasuredLoad, load_seconds, swap_seconds
from gpudesk.units import GIBIBYTE
from tests.fit.models import metadata_of, simulated

GTX_1070_TI = 256e9


def test_a_9b_on_a_gtx_1070_ti_and_what_two_layers_on_the_cpu_cost() -> None:
    """Measured (HilbertRaum): 29.0 tokens/s with 33 of 33 layers, 20.2 with 31 of 33, a 5.55 GiB file."""
    weights = int(5.1 * GIBIBYTE)
    layer = weights // 34
    whole = decode_speed(reads_of(weights, 0), card_bytes_per_second=GTX_1070_TI)
    assert 23 < whole.tokens_per_second < 36
    assert whole.bound_tokens_per_second > 29.0, "nothing is faster than the bound"
    loss = slowdown(
        reads_of(weights, 0), reads_of(weights - 2 * layer, 2 * layer),
        card_bytes_per_second=GTX_1070_TI, host_bytes_per_second=38e9,
    )  # fmt: skip
    assert 1.25 < loss < 1.6, "measured: 1.44"


def test_a_mixture_mostly_on_the_cpu() -> None:
    """Measured: qwen3-coder-next, 20 of 49 layers on the card, 18 tokens/s; 80B, 3B active, about 45 GiB."""
    size = 45 * GIBIBYTE
    reads = reads_of(size * 20 // 49, size * 29 // 49, active=0.06)
    assert 8 < decode_speed(reads, card_bytes_per_second=936e9, host_bytes_per_second=60e9).tokens_per_second < 30


def test_more_on_the_cpu_is_never_faster() -> None:
    size = 9 * GIBIBYTE
    speeds = [
        decode_speed(
            reads_of(size - part * size // 20, part * size // 20), card_bytes_per_second=1e12
        ).tokens_per_second
        for part in range(21)
    ]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] > 8 * speeds[-1], "an article says ten times and more"


def test_a_faster_card_is_faster_and_never_above_the_bound() -> None:
    reads = Reads(8 * GIBIBYTE, 0)
    slow, fast = (
        decode_speed(reads, card_bytes_per_second=card_named(name).bandwidth_bytes_per_second)
        for name in ("RTX 4060", "RTX 4090")
    )
    assert slow.tokens_per_second < fast.tokens_per_second
    assert fast.tokens_per_second < fast.bound_tokens_per_second


def test_of_a_mixture_only_the_experts_used_are_read() -> None:
    moe, dense = metadata_of(simulated("qwen3:30b-a3b")), metadata_of(simulated("qwen3:32b"))
    assert active_ratio(dense, 100, 0) == 1
    assert active_ratio(moe, 100, 96) == pytest.approx((4 + 96 * 8 / 128) / 100)


def test_nothing_to_read_is_no_division_by_zero() -> None:
    assert decode_speed(Reads(0, 0)).tokens_per_second > 0


@pytest.mark.parametrize(
    ("gibibytes", "cached", "disk", "measured", "tolerance"),
    [
        (18.2, 1.0, None, 6.1, 0.35),
        (14.0, 0.0, None, 14.9, 0.35),
        (20.7, 0.0, None, 20.2, 0.35),
        (5.55, 0.0, 0.15 * GIBIBYTE, 37.4, 0.15),
        (4.36, 1.0, None, 4.0, 0.4),
    ],
)
def test_loads_as_measured(
    gibibytes: float, cached: float, disk: float | None, measured: float, tolerance: float
) -> None:
    """llama-server on a 3090 from the cache and cold; a USB disk; Ollama on a 3060."""
    cost = load_seconds(int(gibibytes * GIBIBYTE), cached_ratio=cached, disk_bytes_per_second=disk)
    assert cost.seconds == pytest.approx(measured, rel=tolerance)


def test_measured_loads_are_believed_first() -> None:
    loads = [MeasuredLoad(8 * GIBIBYTE, seconds, digest="a") for seconds in (5, 6, 60)]
    same = load_seconds(8 * GIBIBYTE, loads=loads, digest="a")
    assert (same.seconds, same.basis) == (6, "measured"), "one odd load changes nothing"
    other = load_seconds(16 * GIBIBYTE, loads=loads, digest="b")
    assert other.basis == "rate measured"
    assert other.seconds == pytest.approx(1.5 + 2 * 4.5)


def test_a_swap_costs_a_load_and_the_unloads() -> None:
    size = 8 * GIBIBYTE
    assert swap_seconds(size, unloads=2) - swap_seconds(size, unloads=0) == pytest.approx(0.8)
    assert swap_seconds(size, cached_ratio=1) < swap_seconds(size)
