"""Telling whether a process that left a note is still the one that runs: a pid alone is given out again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def process_identity(pid: int) -> str | None:
    """Return what tells a process from every other that had or will have its pid; None when it does not run.

    Linux: the boot and the clock ticks since it (field 22 of /proc/PID/stat, proc(5)), which no change of the clock
    moves. Elsewhere the time it was started.
    """
    if pid <= 0:
        return None
    return _linux_identity(pid) if sys.platform == "linux" else _start_time(pid)


def own_identity() -> str | None:
    """Return the identity of this process."""
    return process_identity(os.getpid())


def is_running(pid: int, identity: str | None) -> bool:
    """Tell whether the process that called itself so still runs."""
    return identity is not None and process_identity(pid) == identity


def _linux_identity(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    fields = status.rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return f"boot {boot} tick {int(fields[19])}"


def _start_time(pid: int) -> str | None:
    import psutil

    try:
        return f"started {psutil.Process(pid).create_time():.2f}"
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None
