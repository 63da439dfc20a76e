"""What `gpudesk doctor` finds out about the driver's library without calling it: where it is and what it exports."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from gpudesk.commands.checks import Check, State
from gpudesk.paths import shortened
from gpudesk.text import clean

LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"

PLACES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/lib/nvidia",
    "/usr/lib64/nvidia",
    "/usr/local/nvidia/lib64",
    "/opt/nvidia/lib64",
)
"""Where distributions, WSL, NixOS and the container toolkit put the library."""

CALLS = {
    "sizes without the driver's reserve": ("nvmlDeviceGetMemoryInfo_v2",),
    "processes that compute": (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetComputeRunningProcesses_v2",
        "nvmlDeviceGetComputeRunningProcesses",
    ),
    "processes that draw": (
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v2",
        "nvmlDeviceGetGraphicsRunningProcesses",
    ),
    "MIG slices": ("nvmlDeviceGetMigMode",),
}
"""What is read, and the functions that can tell it, newest first."""


def library_checks() -> list[Check]:
    """Look for the library as the loader does, then in known places, and say what it exports."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        return [_not_loaded(error)]
    checks = [Check("library", f"{LIBRARY}, loaded from {_loaded_from()}")]
    available: list[str] = []
    missing: list[str] = []
    for purpose, names in CALLS.items():
        newest = next((name for name in names if hasattr(library, name)), None)
        (missing if newest is None else available).append(f"{purpose}: {newest}" if newest else purpose)
    checks.append(Check("functions", "; ".join(available) or "none"))
    if missing:
        hint = "A newer driver tells more"
        checks.append(Check("functions", f"this driver cannot tell {', '.join(missing)}", State.WARNING, hint))
    return checks


def _not_loaded(error: OSError) -> Check:
    found = [f"{place}/{LIBRARY}" for place in PLACES if Path(place, LIBRARY).exists()]
    if found:
        hint = f"Let the loader find it: LD_LIBRARY_PATH={Path(found[0]).parent} or a line in /etc/ld.so.conf.d"
        return Check("library", f"{found[0]} exists and does not load: {clean(str(error))}", State.PROBLEM, hint)
    extra = [shortened(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place]
    looked = ", ".join(["the loader's own places", *extra, *PLACES])
    hint = "Install NVIDIA's driver; in a container, start it with --gpus all"
    return Check("library", f"{LIBRARY} is not there; looked in {looked}", State.PROBLEM, hint)


def _loaded_from() -> str:
    """Return the file behind the loaded library, from the memory map."""
    try:
        with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
            for line in maps:
                if LIBRARY.removesuffix(".1") in line:
                    return shortened(os.path.realpath(line.split(maxsplit=5)[-1].strip()))
    except (OSError, IndexError):
        pass
    return "the loader's own places"


def kernel_checks(root: Path = Path("/")) -> list[Check]:
    """Look at the kernel's side of the driver; nothing is said where there is no such side (WSL, Windows)."""
    if sys.platform != "linux":
        return []
    version = root / "proc/driver/nvidia/version"
    checks = []
    try:
        checks.append(Check("kernel module", clean(version.read_text(encoding="utf-8").splitlines()[0], 120)))
    except (OSError, IndexError, UnicodeDecodeError):
        if not (root / "dev/dxg").exists():
            hint = "Load it (modprobe nvidia) or install the driver for this kernel"
            checks.append(Check("kernel module", "not loaded", State.WARNING, hint))
    device = root / "dev/nvidiactl"
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        hint = "Join the group that owns the file, often `video` or `render`"
        checks.append(Check("device", f"no permission to use {device}", State.PROBLEM, hint))
    return checks
