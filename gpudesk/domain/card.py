"""A graphics card as NVML reports it, before anyone says whose memory it is."""

from __future__ import annotations

from enum import StrEnum

from gpudesk.domain.problem import Problem
from gpudesk.records import dataclass


class ProcessAccounting(StrEnum):
    """Whether the driver tells how much memory each process holds on a card."""

    FULL = "full"
    """Every process with its bytes."""
    PIDS_ONLY = "pids_only"
    """Processes without bytes: Windows (WDDM) and WSL report 'not available'."""
    NONE = "none"
    """No process list at all: not supported, no permission, or the call failed."""


@dataclass(frozen=True, slots=True)
class CardProcess:
    """One process on one card."""

    pid: int
    """Process id as NVML gives it: the host's numbering, also inside a container."""
    memory_bytes: int | None
    """Memory on this card; None where the driver does not say (NVML's 2**64-1)."""
    compute: bool = True
    """In the driver's compute list (CUDA)."""
    graphics: bool = False
    """In the driver's graphics list (a desktop, a game)."""
    slice_index: int | None = None
    """GPU instance id when the card is cut into MIG slices."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One MIG slice of a card; read only."""

    index: int
    uuid: str | None
    name: str | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    memory_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU as read in one sample. `None` is unknown or unsupported everywhere."""

    index: int
    """NVML's index, the order of `nvidia-smi`."""
    uuid: str | None = None
    name: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Used by anybody, without the driver's own reserve where the driver tells that apart."""
    memory_free_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    """Held back by driver and firmware (nvmlDeviceGetMemoryInfo_v2); total = used + reserved + free."""
    utilization_ratio: float | None = None
    """Share of the last sample period in which a kernel ran, 0..1."""
    temperature_celsius: float | None = None
    temperature_limit_celsius: float | None = None
    """Where the card slows itself down."""
    power_draw_watts: float | None = None
    power_limit_watts: float | None = None
    graphics_clock_megahertz: int | None = None
    memory_clock_megahertz: int | None = None
    fan_ratio: float | None = None
    pci_bus_id: str | None = None
    processes: tuple[CardProcess, ...] = ()
    process_accounting: ProcessAccounting = ProcessAccounting.NONE
    slices: tuple[Slice, ...] = ()
    unified_memory: bool = False
    """The card shares the host's memory (GB10, Grace, Jetson): total and free are the host's."""
    asleep: bool = False
    """Powered down to save energy and left alone; figures are the last known ones or None."""
    error: str | None = None
    """Why this card could not be read, in words for the screen; the other cards are unaffected."""
    problems: tuple[Problem, ...] = ()
    """Single values that could not be read and are worth telling (per-process numbers on WSL, say)."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver behind the cards."""

    version: str | None = None
    """For example `580.95.05`."""
    nvml_version: str | None = None
    cuda_version: str | None = None
    """Newest CUDA the driver supports, `13.0`."""


@dataclass(frozen=True, slots=True)
class CardsSample:
    """What one pass over the driver gave."""

    cards: tuple[Card, ...] = ()
    driver: Driver = Driver()
    calls: int = 0
    """NVML calls this pass made; documented and kept low because some drivers stall for each."""
