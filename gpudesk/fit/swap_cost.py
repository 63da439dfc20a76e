"""How long a model takes to come back after it was unloaded.

A load is the start of a process, then bytes through the narrowest of disk (or page cache) and bus, then a warm-up;
where other loads were measured on this computer, their rates are used instead. The rates were seen in public logs:
llama-server from the page cache over PCIe 3 at 3.0 GiB/s, cold from a SATA-class or slow NVMe disk at 0.9 to 1.0,
Ollama's runner with a 4.36 GiB file in 2.46 s of a request of 4.0 s; waiting for freed memory takes 0.25 s and up to
5 s (ollama server/sched.go:1441 at v0.33.0-rc2).
"""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.records import dataclass
from gpudesk.units import GIBIBYTE

START_SECONDS = 0.8
"""Start of a runner, until it begins to read."""
WARM_UP_SECONDS = 0.7
"""From the last byte to the first answer: graph reservation, an empty run."""
UNLOAD_SECONDS = 0.4
"""Kill, and the wait until the driver has the memory back; Ollama polls every 250 ms."""
BUS_BYTES_PER_SECOND = 3.0 * GIBIBYTE
"""Pageable host memory to the card."""
CACHE_BYTES_PER_SECOND = 3.0 * GIBIBYTE
"""From the page cache: the copy to the card is the limit."""
DISK_BYTES_PER_SECOND = 0.95 * GIBIBYTE
"""A first read, when nothing about the disk is known."""


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """One load that was watched on this computer."""

    file_bytes: int
    seconds: float
    """From the request to the model being ready."""
    cached: bool | None = None
    """Whether the file was in the page cache; None when nobody looked."""
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class SwapCost:
    """Seconds for one load, and why."""

    seconds: float
    basis: str
    """`measured`, `rate measured`, `page cache`, `disk`."""


def load_seconds(
    file_bytes: int,
    *,
    cached_ratio: float | None = None,
    disk_bytes_per_second: float | None = None,
    bus_bytes_per_second: float = BUS_BYTES_PER_SECOND,
    loads: Sequence[MeasuredLoad] = (),
    digest: str | None = None,
) -> SwapCost:
    """Estimate how long loading a file of this size takes.

    Args:
        file_bytes: weights and projector files.
        cached_ratio: share of it in the page cache; None when unknown, then it is taken as read from disk.
        disk_bytes_per_second: of the disk, when known.
        bus_bytes_per_second: host memory to card.
        loads: measured ones; the median of the same file's answers outright, others give the rate.
        digest: of this file.
    """
    from gpudesk.fit.points import median  # not that of `statistics`, which takes 10 ms to import

    same = [load.seconds for load in loads if digest is not None and load.digest == digest]
    if same:
        return SwapCost(median(same), "measured")
    fixed = START_SECONDS + WARM_UP_SECONDS
    rates = [
        load.file_bytes / (load.seconds - fixed)
        for load in loads
        if load.seconds > fixed * 1.2 and load.file_bytes > GIBIBYTE // 4
    ]
    if rates:
        return SwapCost(fixed + file_bytes / median(rates), "rate measured")
    cached = min(1.0, max(0.0, cached_ratio or 0.0))
    disk = disk_bytes_per_second or DISK_BYTES_PER_SECOND
    slow, fast = file_bytes * (1 - cached), file_bytes * cached
    seconds = slow / min(disk, bus_bytes_per_second) + fast / min(CACHE_BYTES_PER_SECOND, bus_bytes_per_second)
    return SwapCost(fixed + seconds, "page cache" if cached >= 0.5 else "disk")


def swap_seconds(
    file_bytes: int,
    *,
    unloads: int = 1,
    cached_ratio: float | None = None,
    disk_bytes_per_second: float | None = None,
    loads: Sequence[MeasuredLoad] = (),
    digest: str | None = None,
) -> float:
    """Estimate a swap: the old models go, then the new one is loaded. Arguments as for `load_seconds`."""
    cost = load_seconds(
        file_bytes,
        cached_ratio=cached_ratio,
        disk_bytes_per_second=disk_bytes_per_second,
        loads=loads,
        digest=digest,
    )
    return cost.seconds + UNLOAD_SECONDS * max(0, unloads)
