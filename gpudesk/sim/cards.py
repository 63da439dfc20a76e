"""The state of simulated cards: plain mutable values that scenarios change and the simulated driver reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20


@dataclass(slots=True)
class SimulatedProcess:
    """One process on a simulated card."""

    pid: int
    memory_bytes: int
    compute: bool = True
    graphics: bool = False
    slice_index: int | None = None
    name: str = ""
    """Path of the program, as nvmlSystemGetProcessName tells it."""


@dataclass(slots=True)
class SimulatedSlice:
    """One MIG slice of a simulated card."""

    index: int
    """GPU instance id; `SimulatedProcess.slice_index` refers to it."""
    uuid: str
    name: str
    memory_total_bytes: int
    memory_used_bytes: int
    errors: dict[str, int] = field(default_factory=dict)
    """As `SimulatedCard.errors`, for calls with the handle of this slice."""


@dataclass(slots=True)
class SimulatedCard:
    """One simulated GPU. Used memory follows from its processes plus what nobody owns up to."""

    index: int = 0
    name: str = "NVIDIA GeForce RTX 4090"
    uuid: str = "GPU-00000000-0000-4000-8000-000000000000"
    memory_total_bytes: int = 24564 * MEBIBYTE
    memory_reserved_bytes: int = 460 * MEBIBYTE
    memory_hidden_bytes: int = 120 * MEBIBYTE
    """Used, but in no process list: the driver's own contexts."""
    processes: dict[int, SimulatedProcess] = field(default_factory=dict)
    utilization_percent: int = 0
    temperature_celsius: int = 41
    temperature_limit_celsius: int = 83
    power_draw_milliwatts: int = 24_000
    power_limit_milliwatts: int = 450_000
    graphics_clock_megahertz: int = 210
    memory_clock_megahertz: int = 405
    fan_percent: int | None = 30
    pci_bus_id: str = "00000000:01:00.0"
    slices: list[SimulatedSlice] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    """NVML function name (without version suffix) to the error code it returns for this card; `*` is every one."""
    hang_seconds: dict[str, float] = field(default_factory=dict)
    """NVML function name to how long it blocks; released early by `SimulatedDriver.release`."""
    process_memory_available: bool = True
    """False: every process reports 2**64-1, as on WSL and WDDM."""
    unified_memory: bool = False
    """The card has no memory of its own: nvmlDeviceGetMemoryInfo is not supported, as on GB10 with 580.173.02."""
    mig_capable: bool = False
    """Answers nvmlDeviceGetMigMode; a card with slices does so anyway."""

    @property
    def memory_used_bytes(self) -> int:
        """Used without the reserve, never more than fits."""
        wanted = sum(process.memory_bytes for process in self.processes.values()) + self.memory_hidden_bytes
        return min(wanted, self.memory_total_bytes - self.memory_reserved_bytes)

    @property
    def memory_free_bytes(self) -> int:
        """What is left."""
        return self.memory_total_bytes - self.memory_reserved_bytes - self.memory_used_bytes


@dataclass(slots=True)
class SimulatedCards:
    """All cards of the workstation, the driver's facts, and the one lock everybody changes them under."""

    cards: list[SimulatedCard] = field(default_factory=lambda: [SimulatedCard()])
    driver_version: str = "580.95.05"
    nvml_version: str = "13.580.95.05"
    cuda_version: int = 13000
    lock: RLock = field(default_factory=RLock)
    errors: dict[str, int] = field(default_factory=dict)
    """NVML function name to the error code it returns for every card and without one (`nvmlInitWithFlags`, …)."""
    hang_seconds: dict[str, float] = field(default_factory=dict)
    """As `SimulatedCard.hang_seconds`, for every card and for functions without one."""
    library_present: bool = True
    """False: there is no libnvidia-ml.so.1 to load."""
    missing_functions: set[str] = field(default_factory=set)
    """Exported names this driver does not have, as an old driver lacks `…_v3`."""
    struct_trap: str | None = None
    """Name of a driver whose process structs do not match what pynvml asks for; see `sim.nvml`."""
