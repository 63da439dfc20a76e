"""How often the driver is asked: counted below pynvml, and equal to what the module's docstring says."""

from __future__ import annotations

import time

import pytest

from gpudesk.sim.cards import GIBIBYTE, SimulatedSlice
from tests.sources.nvml_rig import SOURCE_FUNCTIONS, busy_card, rig

EVERY_PASS = {
    "nvmlDeviceGetMemoryInfo_v2": 1,
    "nvmlDeviceGetComputeRunningProcesses_v3": 1,
    "nvmlDeviceGetGraphicsRunningProcesses_v3": 1,
    "nvmlDeviceGetUtilizationRates": 1,
    "nvmlDeviceGetTemperature": 1,
}


@pytest.mark.parametrize("count", [1, 8])
def test_a_minute_of_calls_at_the_default_cadence(count: int) -> None:
    with rig(*(busy_card(index) for index in range(count))) as desk:
        assert desk.source.interval_seconds == 1.0
        desk.read()
        desk.driver.call_counts.clear()
        reported = sum(desk.read(1).calls for _ in range(60))
        expected = dict.fromkeys(EVERY_PASS, 60 * count) | {
            "nvmlDeviceGetPowerUsage": 12 * count,
            "nvmlDeviceGetFanSpeed": 12 * count,
            "nvmlDeviceGetClockInfo": 24 * count,
            "nvmlDeviceGetEnforcedPowerLimit": count,
            "nvmlDeviceGetMigMode": count,
        }
        assert dict(desk.driver.call_counts) == expected
        assert reported == desk.driver.call_counts.total()
        assert reported / 60 / count == pytest.approx(5.8 + 2 / 60)


def test_between_the_dear_ones_a_pass_makes_five_calls() -> None:
    with rig() as desk:
        desk.read()
        desk.driver.call_counts.clear()
        assert desk.read(1).calls == 5
        assert dict(desk.driver.call_counts) == EVERY_PASS


def test_the_first_pass_counts_its_init_too() -> None:
    with rig() as desk:
        assert desk.read().calls == desk.driver.call_counts.total()
        assert set(SOURCE_FUNCTIONS) < set(desk.driver.call_counts)


def test_nvml_is_initialized_once_and_closed_once() -> None:
    with rig() as desk:
        assert desk.driver.call_counts.total() == 0, "nothing is touched before the first read"
        for _ in range(100):
            desk.read(1)
        assert desk.driver.call_counts["nvmlInitWithFlags"] == 1
        assert desk.driver.call_counts["nvmlDeviceGetHandleByIndex_v2"] == 1
        desk.source.close()
        assert desk.driver.call_counts["nvmlShutdown"] == 1
        assert not desk.driver.initialized


def test_what_a_card_does_not_have_is_asked_for_once_a_minute() -> None:
    with rig(busy_card(fan_percent=None)) as desk:
        desk.read()
        desk.driver.call_counts.clear()
        for _ in range(60):
            desk.read(1)
        assert desk.driver.call_counts["nvmlDeviceGetFanSpeed"] == 1


def test_slices_cost_one_call_each_per_pass() -> None:
    card = busy_card()
    card.slices = [SimulatedSlice(n, f"MIG-{n}", "slice", 5 * GIBIBYTE, 0) for n in (1, 2, 5)]
    with rig(card) as desk:
        desk.read()
        calls = desk.read(1).calls
        assert calls == 4 + 3, "memory, two lists, temperature; no utilization in MIG mode"


def test_a_long_time_between_reads_does_not_pile_anything_up() -> None:
    with rig() as desk:
        desk.read()
        assert desk.read(86_400).calls <= 16


@pytest.mark.slow
def test_the_time_of_a_pass() -> None:
    """Python's own share, with the simulated driver's included: far below what a real driver takes."""
    with rig(*(busy_card(index) for index in range(8))) as desk:
        desk.read()
        best = 1.0
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(50):
                desk.read(1)
            best = min(best, (time.perf_counter() - start) / 50 / 8)
        assert best < 0.000_400
