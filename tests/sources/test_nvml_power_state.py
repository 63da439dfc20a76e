"""Laptop cards: a sleeping card is not woken, an idle one is let go of, and neither for longer than it helps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.process import Process, Runner, RunnerKind
from gpudesk.errors import SourceError
from gpudesk.sim.cards import GIBIBYTE, SimulatedCard, SimulatedProcess
from gpudesk.sources.power_state import nvidia_displays, short_bus_id, supports_power_down
from tests.sources.nvml_rig import EMPTY_DESK, Rig, busy_card, place_on_bus, rig

if TYPE_CHECKING:
    from pathlib import Path

BUS = "0000:01:00.0"


def idle_card(index: int = 0) -> SimulatedCard:
    card = busy_card(index)
    card.processes = {990: SimulatedProcess(990, 4 << 20, compute=False, graphics=True)}
    card.utilization_percent = 0
    return card


def rest(desk: Rig) -> None:
    """Be idle until NVML is let go of."""
    for _ in range(32):
        desk.read(1)
    assert not desk.driver.initialized


class TestSysfs:
    def test_nvidia_displays_in_bus_order(self, tmp_path: Path) -> None:
        place_on_bus(tmp_path, "0000:41:00.0", **{"class": "0x030200"})
        place_on_bus(tmp_path, BUS)
        place_on_bus(tmp_path, "0000:01:00.1", **{"class": "0x040300"})  # the card's sound device
        place_on_bus(tmp_path, "0000:00:02.0", vendor="0x8086", driver="i915")
        place_on_bus(tmp_path, "0000:05:00.0", driver="vfio-pci")
        place_on_bus(tmp_path, "0000:06:00.0", driver="nouveau")
        assert [display.bus_id for display in nvidia_displays(tmp_path)] == [BUS, "0000:41:00.0"]

    def test_a_device_without_a_driver_counts(self, tmp_path: Path) -> None:
        place_on_bus(tmp_path, BUS, driver="")
        assert len(nvidia_displays(tmp_path)) == 1

    def test_no_sysfs_no_devices(self, tmp_path: Path) -> None:
        assert nvidia_displays(tmp_path / "nothing") == ()

    @pytest.mark.parametrize(
        ("status", "asleep"),
        [
            ("active", False),
            ("suspended", True),
            ("suspending", True),
            ("resuming", False),
            ("error", False),
            ("unsupported", False),
            ("", False),
        ],
    )
    def test_states(self, tmp_path: Path, status: str, asleep: bool) -> None:
        place_on_bus(tmp_path, BUS, runtime_status=status)
        (display,) = nvidia_displays(tmp_path)
        assert display.is_asleep() is asleep

    def test_files_that_are_missing_mean_awake_and_always_on(self, tmp_path: Path) -> None:
        device = place_on_bus(tmp_path, BUS)
        (device / "power" / "runtime_status").unlink()
        (device / "power" / "control").unlink()
        (display,) = nvidia_displays(tmp_path)
        assert not display.is_asleep()
        assert not display.can_sleep()

    def test_bus_ids_of_kernel_and_driver_are_the_same(self) -> None:
        assert short_bus_id("00000000:0A:00.0") == short_bus_id("0000:0a:00.0") == "0000:0a:00.0"
        assert short_bus_id("0000000F:01:00.0") == "000f:01:00.0"

    @pytest.mark.parametrize(
        ("line", "supported"),
        [
            ("Runtime D3 status:          Enabled (fine-grained)", True),
            ("Runtime D3 status:          Enabled (coarse-grained)", True),
            ("Runtime D3 status:          Not supported", False),
            ("Runtime D3 status:          Disabled by default", False),
            ("Video Memory:               Active", True),
        ],
    )
    def test_the_drivers_own_word(self, tmp_path: Path, line: str, supported: bool) -> None:
        path = tmp_path / "driver" / "nvidia" / "gpus" / BUS
        path.mkdir(parents=True)
        (path / "power").write_text(f"{line}\n")
        assert supports_power_down(tmp_path, BUS) is supported
        assert supports_power_down(tmp_path, "0000:02:00.0") is True


def test_a_sleeping_laptop_card_is_not_woken(tmp_path: Path) -> None:
    """An open handle, even one query, wakes it for minutes (henrygd/beszel docs pull request 35)."""
    place_on_bus(tmp_path, BUS, runtime_status="suspended")
    with rig(sysfs_root=tmp_path) as desk:
        for _ in range(100):
            sample = desk.read(1)
        assert desk.driver.call_counts.total() == 0
        (card,) = sample.cards
        assert (card.index, card.pci_bus_id, card.asleep, card.name) == (0, BUS, True, None)
        assert sample.calls == 0


def test_a_card_that_somebody_woke_is_read(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS, runtime_status="suspended")
    with rig(sysfs_root=tmp_path) as desk:
        assert desk.card().asleep
        place_on_bus(tmp_path, BUS, runtime_status="active")
        card = desk.card(1)
        assert not card.asleep
        assert card.memory_total_bytes == desk.cards.cards[0].memory_total_bytes


def test_a_desktop_card_is_always_read(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS, control="on")
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        for _ in range(200):
            desk.read(1)
        assert desk.driver.initialized
        assert desk.driver.call_counts["nvmlShutdown"] == 0


def test_a_card_the_driver_cannot_power_down_is_always_read(tmp_path: Path) -> None:
    """Distributions set `auto` for desktop cards too; the driver says that it does not support it."""
    place_on_bus(tmp_path, BUS)
    path = tmp_path / "proc" / "driver" / "nvidia" / "gpus" / BUS
    path.mkdir(parents=True)
    (path / "power").write_text("Runtime D3 status:          Not supported\n")
    with rig(idle_card(), sysfs_root=tmp_path, proc_root=tmp_path / "proc") as desk:
        for _ in range(200):
            desk.read(1)
        assert desk.driver.call_counts["nvmlShutdown"] == 0


def test_an_idle_laptop_card_is_let_go_of_and_sleeps(tmp_path: Path) -> None:
    """An open NVML handle alone keeps it in D0 (cosmic-applet issue 38, omencore pull request 166)."""
    place_on_bus(tmp_path, BUS)
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        awake = desk.card()
        rest(desk)
        place_on_bus(tmp_path, BUS, runtime_status="suspended")
        desk.driver.call_counts.clear()
        card = desk.card(1)
        for _ in range(3600):
            card = desk.card(1)
        assert desk.driver.call_counts.total() == 0
        assert card == replace(
            awake,
            asleep=True,
            utilization_ratio=None,
            temperature_celsius=None,
            power_draw_watts=None,
            graphics_clock_megahertz=None,
            memory_clock_megahertz=None,
            fan_ratio=None,
        ), "what does not move is the last known"


@pytest.mark.parametrize("busy", ["compute", "utilization"])
def test_a_laptop_card_in_use_is_kept(tmp_path: Path, busy: str) -> None:
    place_on_bus(tmp_path, BUS)
    card = idle_card()
    if busy == "compute":
        card.processes[4242] = SimulatedProcess(4242, 5 * GIBIBYTE)
    else:
        card.utilization_percent = 3
    with rig(card, sysfs_root=tmp_path) as desk:
        for _ in range(200):
            desk.read(1)
        assert desk.driver.call_counts["nvmlShutdown"] == 0


def test_idle_means_idle_without_interruption(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS)
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        for _ in range(5):
            for _ in range(25):
                desk.read(1)
            desk.cards.cards[0].utilization_percent = 9
            desk.read(1)
            desk.cards.cards[0].utilization_percent = 0
        assert desk.driver.call_counts["nvmlShutdown"] == 0


def test_a_sleeping_card_that_wakes_is_read_at_once(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS)
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        rest(desk)
        place_on_bus(tmp_path, BUS, runtime_status="suspended")
        assert desk.card(1).asleep
        place_on_bus(tmp_path, BUS, runtime_status="active")
        desk.cards.cards[0].processes[4242] = SimulatedProcess(4242, 5 * GIBIBYTE)
        card = desk.card(1)
        assert not card.asleep
        assert 4242 in {process.pid for process in card.processes}


DESKS = {
    "loaded model": replace(EMPTY_DESK, models=(LoadedModel("qwen3:14b", "http://127.0.0.1:11434"),)),
    "runner": replace(EMPTY_DESK, processes=(Process(7, runner=Runner(RunnerKind.LLAMA_SERVER)),)),
    "remote model": replace(EMPTY_DESK, models=(LoadedModel("qwen3:14b", "http://far:11434", local=False),)),
    "model on the CPU": replace(
        EMPTY_DESK, models=(LoadedModel("tiny", "http://127.0.0.1:11434", reported_vram_bytes=0),)
    ),
    "plain process": Desk(datetime(2026, 3, 2, tzinfo=UTC), processes=(Process(7, name="Xorg"),)),
}


@pytest.mark.parametrize(
    ("name", "wakes"),
    [
        ("loaded model", True),
        ("runner", True),
        ("remote model", False),
        ("model on the CPU", False),
        ("plain process", False),
    ],
)
def test_a_model_loaded_before_the_card_fell_asleep_ends_the_rest(tmp_path: Path, name: str, wakes: bool) -> None:
    place_on_bus(tmp_path, BUS)
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        rest(desk)
        assert desk.read(1, DESKS[name]).cards[0].asleep is not wakes


def test_a_model_on_the_desk_does_not_wake_a_card_that_sleeps(tmp_path: Path) -> None:
    """Nothing can be on a card that is powered down: the desk lags behind."""
    place_on_bus(tmp_path, BUS, runtime_status="suspended")
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        assert desk.read(1, DESKS["loaded model"]).cards[0].asleep
        assert desk.driver.call_counts.total() == 0


@pytest.mark.slow
def test_a_card_that_does_not_fall_asleep_is_read_again_and_seldom_tried(tmp_path: Path) -> None:
    """Somebody else keeps it awake: then resting only hides figures."""
    place_on_bus(tmp_path, BUS)
    with rig(idle_card(), sysfs_root=tmp_path) as desk:
        hidden = sum(desk.card(1).asleep for _ in range(3600))
        assert hidden <= 3 * 20, "20 s each time, first after half a minute, then after 10 and 20 more"
        assert desk.driver.call_counts["nvmlShutdown"] == 3
        assert desk.driver.initialized


def test_only_the_cards_that_are_awake_are_touched(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS, runtime_status="suspended")
    place_on_bus(tmp_path, "0000:02:00.0", control="on")
    with rig(idle_card(), busy_card(1), sysfs_root=tmp_path) as desk:
        first, second = desk.read().cards
        assert (first.index, first.asleep, first.pci_bus_id) == (0, True, BUS)
        assert (second.index, second.asleep) == (1, False)
        assert second.memory_total_bytes is not None
        assert desk.driver.call_counts["nvmlDeviceGetHandleByIndex_v2"] == 0
        assert desk.driver.call_counts["nvmlDeviceGetHandleByPciBusId_v2"] == 1
        place_on_bus(tmp_path, BUS, runtime_status="active")
        first, second = desk.read(1).cards
        assert not first.asleep
        assert first.name == "NVIDIA GeForce RTX 4090"


def test_a_card_that_is_plugged_in_is_found(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS, control="on")
    with rig(sysfs_root=tmp_path) as desk:
        assert len(desk.read().cards) == 1
        desk.cards.cards.append(busy_card(1))
        place_on_bus(tmp_path, "0000:02:00.0", control="on")
        assert len(desk.read(31).cards) == 2


def test_a_driver_that_fails_while_the_card_is_awake_still_says_so(tmp_path: Path) -> None:
    place_on_bus(tmp_path, BUS)
    with rig(sysfs_root=tmp_path) as desk:
        desk.cards.errors["nvmlInitWithFlags"] = 18
        with pytest.raises(SourceError, match="different versions"):
            desk.read()
