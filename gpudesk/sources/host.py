"""The host's memory and load."""

from __future__ import annotations

from gpudesk.domain.desk import Desk
from gpudesk.domain.host import Host
from gpudesk.errors import FailureKind, SourceError


class HostSource:
    """Reads memory, processor count and load average; the last two are optional."""

    name = "host"

    def __init__(self, *, interval_seconds: float = 5.0) -> None:
        self.interval_seconds = interval_seconds

    def read(self, desk: Desk) -> Host:  # noqa: ARG002 - every source is handed the desk
        """Look once.

        Raises:
            SourceError: the operating system does not tell its memory.
        """
        import psutil

        try:
            memory = psutil.virtual_memory()
        except (psutil.Error, OSError, RuntimeError, ValueError, KeyError) as error:
            raise SourceError(
                FailureKind.FAILED, f"the host's memory could not be read: {error}", "is /proc/meminfo readable?"
            ) from error
        total = memory.total if memory.total > 0 else None
        count = psutil.cpu_count() or None
        return Host(
            memory_total_bytes=total,
            memory_available_bytes=min(max(0, memory.available), total) if total else None,
            cpu_count=count,
            load_ratio=_load_ratio(count),
        )

    def close(self) -> None:
        """Nothing is held open."""


def _load_ratio(cpu_count: int | None) -> float | None:
    """Return the one-minute load per processor; None on Windows, where psutil only emulates it from our own start."""
    import psutil

    if psutil.WINDOWS or not cpu_count:
        return None
    try:
        return float(psutil.getloadavg()[0]) / cpu_count
    except (OSError, RuntimeError):
        return None
