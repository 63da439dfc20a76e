"""The computer around the cards."""

from __future__ import annotations

from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """The host's memory: what a spilled model lives in."""

    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    """What programs can still get without swapping (MemAvailable)."""
    cpu_count: int | None = None
    load_ratio: float | None = None
    """One-minute load average divided by the number of processors."""
