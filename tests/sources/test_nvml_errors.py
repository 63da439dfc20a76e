"""Every entry point failing with every code: never an exception, never a lost neighbor."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

import pytest

from gpudesk.domain.card import Card, ProcessAccounting
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sim.cards import GIBIBYTE, SimulatedSlice
from gpudesk.sources.nvml_words import describe, driver_error, hint_for
from tests.sources.nvml_rig import EVERY_CODE, EVERY_CODE_IN_TURN, SOURCE_FUNCTIONS, Rig, busy_card, rig

MAY_CHANGE: dict[str, set[str]] = {
    "nvmlDeviceGetName": {"name"},
    "nvmlDeviceGetUUID": {"uuid"},
    "nvmlDeviceGetPciInfo_v3": {"pci_bus_id"},
    "nvmlDeviceGetMigMode": set(),
    "nvmlDeviceGetMemoryInfo_v2": {"memory_used_bytes", "memory_reserved_bytes"},
    "nvmlDeviceGetMemoryInfo": {
        "memory_total_bytes",
        "memory_used_bytes",
        "memory_free_bytes",
        "memory_reserved_bytes",
        "unified_memory",
        "problems",
    },
    "nvmlDeviceGetComputeRunningProcesses_v3": {"processes", "process_accounting", "problems"},
    "nvmlDeviceGetComputeRunningProcesses": {"processes", "process_accounting", "problems"},
    "nvmlDeviceGetGraphicsRunningProcesses_v3": {"processes"},
    "nvmlDeviceGetGraphicsRunningProcesses": {"processes"},
    "nvmlDeviceGetUtilizationRates": {"utilization_ratio"},
    "nvmlDeviceGetTemperature": {"temperature_celsius"},
    "nvmlDeviceGetTemperatureThreshold": {"temperature_limit_celsius"},
    "nvmlDeviceGetPowerUsage": {"power_draw_watts"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts"},
    "nvmlDeviceGetClockInfo": {"graphics_clock_megahertz", "memory_clock_megahertz"},
    "nvmlDeviceGetFanSpeed": {"fan_ratio"},
}
"""Function to the fields of a card its failure may touch."""


def changed(before: Card, after: Card) -> set[str]:
    return {field.name for field in fields(Card) if getattr(before, field.name) != getattr(after, field.name)}


def healthy(desk: Rig) -> tuple[Card, ...]:
    return desk.read().cards


def test_the_table_covers_every_function_of_a_pass() -> None:
    assert set(SOURCE_FUNCTIONS) <= set(MAY_CHANGE)


@pytest.mark.parametrize("code", EVERY_CODE_IN_TURN)
@pytest.mark.parametrize("function", MAY_CHANGE)
def test_a_failing_function_takes_its_own_value_and_nothing_else(function: str, code: int) -> None:
    with rig(busy_card(), busy_card(1), host_memory=lambda: (64 * GIBIBYTE, 48 * GIBIBYTE)) as desk:
        expected = healthy(desk)
        desk.source.close()
    with rig(busy_card(), busy_card(1), host_memory=lambda: (64 * GIBIBYTE, 48 * GIBIBYTE)) as desk:
        desk.cards.cards[0].errors[function] = code
        first, second = desk.read().cards
        assert second == expected[1], "the other card is untouched"
        allowed = MAY_CHANGE[function] | ({"error"} if code in (15, 16) else set())
        if code == 15:
            allowed = {field.name for field in fields(Card)} - {"index"}  # lost by then to every later question
        assert changed(expected[0], first) <= allowed
        for _ in range(3):
            again = desk.read(1).cards
            assert len(again) == 2
            assert again[1].error is None
            assert again[1].memory_total_bytes == expected[1].memory_total_bytes


@pytest.mark.parametrize("code", EVERY_CODE_IN_TURN)
@pytest.mark.parametrize("function", [*SOURCE_FUNCTIONS, "nvmlDeviceGetMemoryInfo", "*"])
def test_after_a_fault_everything_comes_back(function: str, code: int) -> None:
    with rig() as desk:
        expected = desk.card()
        desk.cards.cards[0].errors[function] = code
        for _ in range(20):
            with suppress(SourceError):
                assert len(desk.read(3).cards) == 1
        desk.cards.cards[0].errors.clear()
        for _ in range(65):
            with suppress(SourceError):
                desk.read(2)
        assert desk.card(1) == expected


@pytest.mark.parametrize("code", EVERY_CODE)
@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetCount"])
def test_a_driver_that_cannot_be_used_is_a_source_error_and_comes_back(function: str, code: int) -> None:
    with rig() as desk:
        desk.cards.errors[function] = code
        for _ in range(10):
            with pytest.raises(SourceError) as raised:
                desk.read(1)
            assert raised.value.message == driver_error(code).message
            assert not desk.driver.initialized, "nothing is left open"
        desk.cards.errors.clear()
        assert desk.card(after=31).error is None


@pytest.mark.parametrize("code", EVERY_CODE)
@pytest.mark.parametrize(
    "function", ["nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion"]
)
def test_a_version_that_cannot_be_read_is_unknown(function: str, code: int) -> None:
    with rig() as desk:
        desk.cards.errors[function] = code
        sample = desk.read()
        values = (sample.driver.version, sample.driver.nvml_version, sample.driver.cuda_version)
        assert sum(value is None for value in values) == 1
        assert sample.cards[0].error is None
        desk.cards.errors.clear()
        assert desk.read(61).driver.version == "580.95.05"


@pytest.mark.parametrize("code", EVERY_CODE)
def test_a_handle_that_is_refused_is_one_card_with_an_error(code: int) -> None:
    with rig(busy_card(), busy_card(1)) as desk:
        desk.cards.cards[0].errors["nvmlDeviceGetHandleByIndex"] = code
        first, second = desk.read().cards
        assert first == Card(index=0, error=describe(code))
        assert second.error is None
        assert second.memory_total_bytes is not None
        desk.cards.cards[0].errors.clear()
        first, second = desk.read(65).cards
        assert first.error is None
        assert first.name is not None


@pytest.mark.parametrize("code", EVERY_CODE)
@pytest.mark.parametrize(
    "function",
    [
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetMigDeviceHandleByIndex",
        "nvmlDeviceGetMigMode",
    ],
)
def test_a_card_in_slices_survives_what_fails_about_slices(function: str, code: int) -> None:
    card = busy_card()
    card.slices = [SimulatedSlice(1, "MIG-1", "slice", 5 * GIBIBYTE, 0)]
    with rig(card) as desk:
        card.errors[function] = code
        seen = desk.card()
        assert (seen.error is None) == (code not in (15, 16))
        if code != 15:
            assert seen.memory_total_bytes == card.memory_total_bytes


@pytest.mark.parametrize("code", EVERY_CODE)
def test_a_slice_that_does_not_answer_is_a_slice_without_figures(code: int) -> None:
    card = busy_card()
    card.slices = [
        SimulatedSlice(1, "MIG-1", "one", 5 * GIBIBYTE, 0, errors={"*": code}),
        SimulatedSlice(2, "MIG-2", "two", 5 * GIBIBYTE, GIBIBYTE),
    ]
    with rig(card) as desk:
        first, second = desk.card().slices
        assert (first.uuid, first.memory_total_bytes) == (None, None)
        assert (second.index, second.memory_used_bytes) == (2, GIBIBYTE)


def test_a_card_that_answers_nothing_says_why() -> None:
    with rig(busy_card(), busy_card(1)) as desk:
        desk.cards.cards[1].errors.update(dict.fromkeys(MAY_CHANGE, 999))
        first, second = desk.read().cards
        assert first.error is None
        assert second.error == "the driver reports an unknown error"
        assert second.process_accounting is ProcessAccounting.NONE


@pytest.mark.parametrize("code", EVERY_CODE)
def test_every_code_has_words_and_a_kind(code: int) -> None:
    error = driver_error(code)
    assert error.message
    assert not error.message.endswith(".")
    assert isinstance(error.kind, FailureKind)


def test_the_hints_name_the_next_step() -> None:
    assert "libnvidia-ml.so.1" in driver_error(12).message
    assert "--gpus all" in (hint_for(12) or "")
    assert "modprobe" in (hint_for(9) or "")
    assert "restart" in (hint_for(18) or "")
    assert "/dev/nvidia" in (hint_for(4) or "")
    assert driver_error(4).kind is FailureKind.DENIED
    assert driver_error(9).kind is FailureKind.MISSING
    assert driver_error(15).kind is FailureKind.LOST
