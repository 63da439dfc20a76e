"""A source that reads simulated cards, with time under the test's control."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gpudesk.clock import Clock
from gpudesk.domain.desk import Desk
from gpudesk.sim.cards import GIBIBYTE, SimulatedCard, SimulatedCards, SimulatedProcess
from gpudesk.sim.nvml import SimulatedDriver
from gpudesk.sources import nvml_words
from gpudesk.sources.nvml import NvmlSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.domain.card import Card, CardsSample

EMPTY_DESK = Desk(taken_at=datetime(2026, 3, 2, tzinfo=UTC))
NOWHERE = Path("/nonexistent")

EVERY_CODE = (*range(1, 31), 777, 999)
"""Every nvmlReturn_t of nvml.h that is not success, and one that pynvml has never heard of."""

TOLD_APART = nvml_words.ABSENT | nvml_words.CARD_GONE | nvml_words.DRIVER_GONE | {nvml_words.NO_PERMISSION, 777, 999}
"""Codes after which something else is done than after the others, and two of the others."""

EVERY_CODE_IN_TURN = tuple(
    pytest.param(code, marks=() if code in TOLD_APART else pytest.mark.slow) for code in EVERY_CODE
)
"""For tests that have every function fail with every code."""

SOURCE_FUNCTIONS = (
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetTemperatureThreshold",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetFanSpeed",
)
"""Everything a first pass asks of a healthy card."""


@dataclass
class Rig:
    """Simulated cards, the driver below pynvml, the source above it."""

    cards: SimulatedCards
    driver: SimulatedDriver
    source: NvmlSource
    seconds: float = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def read(self, after: float = 0.0, desk: Desk = EMPTY_DESK) -> CardsSample:
        """Let time pass and read once."""
        self.seconds += after
        return self.source.read(desk)

    def card(self, after: float = 0.0) -> Card:
        """Let time pass and return the only card."""
        (card,) = self.read(after).cards
        return card


@contextmanager
def rig(*cards: SimulatedCard, **options: Any) -> Iterator[Rig]:
    """Install a driver with these cards (one by default) and give a source whose pids exist when they are simulated."""
    state = SimulatedCards(cards=list(cards) or [busy_card()])
    driver = SimulatedDriver(state)
    holder: list[Rig] = []
    options.setdefault("sysfs_root", NOWHERE)
    options.setdefault("proc_root", NOWHERE)
    options.setdefault("process_exists", lambda pid: any(pid in card.processes for card in state.cards))
    source = NvmlSource(Clock(monotonic=lambda: holder[0].seconds), **options)
    holder.append(Rig(state, driver, source))
    with driver:
        yield holder[0]
        source.close()


def busy_card(index: int = 0, **fields: Any) -> SimulatedCard:
    """Return a card with a model's runner, another computation and a desktop on it."""
    card = SimulatedCard(index=index, **fields)
    card.uuid = f"GPU-{index:08d}-0000-4000-8000-000000000000"
    card.pci_bus_id = f"00000000:{index + 1:02X}:00.0"
    card.utilization_percent = 37
    for process in (
        SimulatedProcess(4242, 9 * GIBIBYTE + 4096),
        SimulatedProcess(4343, 1 * GIBIBYTE, graphics=True),
        SimulatedProcess(990, 300 << 20, compute=False, graphics=True),
    ):
        card.processes[process.pid] = process
    return card


def place_on_bus(sysfs_root: Path, bus_id: str, **files: str) -> Path:
    """Write an NVIDIA display device into a made-up sysfs; keyword `driver` links it to a driver."""
    device = sysfs_root / "bus" / "pci" / "devices" / bus_id
    (device / "power").mkdir(parents=True, exist_ok=True)
    driver = files.pop("driver", "nvidia")
    values = {"vendor": "0x10de", "class": "0x030000", "control": "auto", "runtime_status": "active"} | files
    for name, value in values.items():
        path = device / "power" / name if name in {"control", "runtime_status"} else device / name
        path.write_text(f"{value}\n")
    if driver and not (device / "driver").is_symlink():
        (device / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
    return device
