"""What the source reports is what the cards are: figures, processes, several cards, unknown values."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.domain.card import Driver, ProcessAccounting
from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE, SimulatedCard, SimulatedProcess
from tests.sources.nvml_rig import busy_card, rig


def test_one_card_with_everything() -> None:
    with rig() as desk:
        simulated = desk.cards.cards[0]
        sample = desk.read()
        (card,) = sample.cards
        assert card.index == 0
        assert card.name == "NVIDIA GeForce RTX 4090"
        assert card.uuid == simulated.uuid
        assert card.pci_bus_id == "0000:01:00.0"
        assert card.memory_total_bytes == simulated.memory_total_bytes
        assert card.memory_used_bytes == simulated.memory_used_bytes
        assert card.memory_free_bytes == simulated.memory_free_bytes
        assert card.memory_reserved_bytes == simulated.memory_reserved_bytes
        assert card.utilization_ratio == 0.37
        assert card.temperature_celsius == 41.0
        assert card.temperature_limit_celsius == 83.0
        assert card.power_draw_watts == 24.0
        assert card.power_limit_watts == 450.0
        assert card.graphics_clock_megahertz == 210
        assert card.memory_clock_megahertz == 405
        assert card.fan_ratio == 0.3
        assert card.process_accounting is ProcessAccounting.FULL
        assert (card.error, card.problems, card.slices) == (None, (), ())
        assert not card.asleep
        assert not card.unified_memory
        assert sample.driver == Driver("580.95.05", "13.580.95.05", "13.0")


def test_a_process_in_both_lists_counts_once() -> None:
    with rig() as desk:
        processes = {process.pid: process for process in desk.card().processes}
        assert {pid: process.memory_bytes for pid, process in processes.items()} == {
            4242: 9 * GIBIBYTE + 4096,
            4343: GIBIBYTE,
            990: 300 * MEBIBYTE,
        }
        assert [(processes[pid].compute, processes[pid].graphics) for pid in (4242, 4343, 990)] == [
            (True, False),
            (True, True),
            (False, True),
        ]


def test_a_process_that_comes_grows_and_goes() -> None:
    with rig(SimulatedCard()) as desk:
        assert desk.card().processes == ()
        desk.cards.cards[0].processes[5] = SimulatedProcess(5, GIBIBYTE)
        assert [(p.pid, p.memory_bytes) for p in desk.card(1).processes] == [(5, GIBIBYTE)]
        desk.cards.cards[0].processes[5].memory_bytes = 2 * GIBIBYTE
        assert [(p.pid, p.memory_bytes) for p in desk.card(1).processes] == [(5, 2 * GIBIBYTE)]
        desk.cards.cards[0].processes.clear()
        assert desk.card(1).processes == ()


def test_more_processes_than_the_buffer_has_room_for() -> None:
    card = SimulatedCard()
    card.processes = {pid: SimulatedProcess(pid, pid * 4096) for pid in range(1, 501)}
    with rig(card) as desk:
        assert {(p.pid, p.memory_bytes) for p in desk.card().processes} == {(n, n * 4096) for n in range(1, 501)}
        calls = desk.driver.call_counts["nvmlDeviceGetComputeRunningProcesses_v3"]
        desk.read(1)
        assert desk.driver.call_counts["nvmlDeviceGetComputeRunningProcesses_v3"] == calls + 1, "room was kept"


def test_several_cards_in_the_drivers_order() -> None:
    with rig(*(busy_card(index, name=f"card {index}") for index in range(8))) as desk:
        cards = desk.read().cards
        assert [card.index for card in cards] == list(range(8))
        assert [card.name for card in cards] == [f"card {index}" for index in range(8)]
        assert len({card.uuid for card in cards}) == 8


def test_a_fan_less_card_has_no_fan() -> None:
    with rig(SimulatedCard(fan_percent=None)) as desk:
        assert desk.card().fan_ratio is None


def test_utilization_above_one_is_unknown() -> None:
    with rig(SimulatedCard(utilization_percent=101)) as desk:
        assert desk.card().utilization_ratio is None


def test_a_figure_of_all_ones_is_not_available() -> None:
    """NVML_VALUE_NOT_AVAILABLE as an unsigned int."""
    with rig(SimulatedCard(power_draw_milliwatts=0xFFFFFFFF)) as desk:
        assert desk.card().power_draw_watts is None


def test_nothing_is_ever_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("started a process")

    for module, name in ((subprocess, "Popen"), (os, "fork"), (os, "posix_spawn"), (os, "system")):
        monkeypatch.setattr(module, name, refuse)
    with rig() as desk:
        for _ in range(30):
            assert desk.card(7).error is None


def test_names_are_cleaned_for_the_screen() -> None:
    with rig(SimulatedCard(name="NVIDIA\x1b[31m [red]RTX\u202e")) as desk:
        assert desk.card().name == "NVIDIA[31m [red]RTX"


def test_text_that_is_not_utf8_loses_the_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def garbage(_handle: object) -> str:
        return b"\xff\xfe".decode()

    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", garbage)
    with rig() as desk:
        card = desk.card()
        assert card.name is None
        assert card.memory_total_bytes == desk.cards.cards[0].memory_total_bytes
        assert card.error is None


@pytest.mark.parametrize(("missing", "reserved"), [(set(), True), ({"nvmlDeviceGetMemoryInfo_v2"}, False)])
def test_an_old_driver_without_the_second_memory_struct(missing: set[str], reserved: bool) -> None:
    with rig() as desk:
        desk.cards.missing_functions = missing
        simulated = desk.cards.cards[0]
        card = desk.card()
        assert (card.memory_reserved_bytes is not None) == reserved
        in_use = simulated.memory_used_bytes + (0 if reserved else simulated.memory_reserved_bytes)
        assert (card.memory_used_bytes, card.memory_free_bytes) == (in_use, simulated.memory_free_bytes)
        asked = desk.driver.call_counts["nvmlDeviceGetMemoryInfo_v2"]
        desk.read(1)
        assert desk.driver.call_counts["nvmlDeviceGetMemoryInfo_v2"] == asked + int(reserved)


def test_a_driver_with_only_the_struct_for_temperatures() -> None:
    with rig() as desk:
        desk.cards.missing_functions = {"nvmlDeviceGetTemperature"}
        assert desk.card().temperature_celsius == 41.0
        assert desk.card(1).temperature_celsius == 41.0


def test_power_limit_and_clocks_follow_changes_within_their_interval() -> None:
    with rig() as desk:
        simulated = desk.cards.cards[0]
        assert desk.card().power_draw_watts == 24.0
        simulated.power_draw_milliwatts = 331_500
        simulated.graphics_clock_megahertz = 2520
        assert desk.card(1).power_draw_watts == 24.0, "asked for every 5 s"
        assert desk.card(4).power_draw_watts == 331.5
        assert desk.card().graphics_clock_megahertz == 2520


card_states = st.builds(
    SimulatedCard,
    memory_total_bytes=st.integers(4 * GIBIBYTE, 200 * GIBIBYTE),
    memory_reserved_bytes=st.integers(0, GIBIBYTE),
    memory_hidden_bytes=st.integers(0, GIBIBYTE),
    utilization_percent=st.integers(0, 100),
    temperature_celsius=st.integers(0, 120),
    power_draw_milliwatts=st.integers(0, 1_200_000),
    power_limit_milliwatts=st.integers(0, 1_200_000),
    graphics_clock_megahertz=st.integers(0, 4000),
    memory_clock_megahertz=st.integers(0, 16000),
    fan_percent=st.none() | st.integers(0, 100),
    process_memory_available=st.booleans(),
    processes=st.lists(
        st.builds(
            SimulatedProcess,
            pid=st.integers(1, 4_194_304),
            memory_bytes=st.integers(1, 40_000).map(lambda pages: pages * 65536),
            compute=st.booleans(),
            graphics=st.booleans(),
        ),
        max_size=12,
        unique_by=lambda process: process.pid,
    ).map(lambda processes: {process.pid: process for process in processes}),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(card_states, min_size=1, max_size=3))
def test_what_is_reported_is_the_simulated_state(states: list[SimulatedCard]) -> None:
    with rig(*states) as desk:
        cards = desk.read().cards
        assert len(cards) == len(states)
        for card, state in zip(cards, states, strict=True):
            total = state.memory_total_bytes
            assert card.memory_total_bytes == total
            assert card.memory_used_bytes == state.memory_used_bytes
            assert card.memory_free_bytes == state.memory_free_bytes
            assert card.memory_reserved_bytes == state.memory_reserved_bytes
            assert card.utilization_ratio == state.utilization_percent / 100
            assert card.temperature_celsius == state.temperature_celsius
            assert card.power_draw_watts == state.power_draw_milliwatts / 1000
            assert card.power_limit_watts == state.power_limit_milliwatts / 1000
            assert card.graphics_clock_megahertz == state.graphics_clock_megahertz
            assert card.memory_clock_megahertz == state.memory_clock_megahertz
            assert card.fan_ratio == (None if state.fan_percent is None else state.fan_percent / 100)
            told = state.process_memory_available
            assert {(p.pid, p.memory_bytes, p.compute, p.graphics) for p in card.processes} == {
                (p.pid, p.memory_bytes if told and p.memory_bytes <= total else None, p.compute, p.graphics)
                for p in state.processes.values()
                if p.compute or p.graphics
            }


def test_importing_the_source_loads_no_heavy_library() -> None:
    code = (
        "import sys, gpudesk.sources.nvml; print([m for m in ('pynvml', 'psutil', 'ctypes.util') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
