"""Whether a graphics card sleeps, told by the kernel without waking it.

On laptops the discrete card powers down when nobody uses it. Reading these sysfs files costs nothing and wakes
nothing; opening NVML does wake the card, and an open NVML handle keeps it awake: monitors that ignored this cost
5 to 25 W (Syllo/nvtop#267, henrygd/beszel docs pull request 35). Values of `power/runtime_status` and
`power/control`: kernel Documentation/ABI/testing/sysfs-devices-power.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
_ASLEEP = frozenset({"suspended", "suspending"})


@dataclass(frozen=True, slots=True)
class DisplayDevice:
    """One NVIDIA display device on the PCI bus."""

    bus_id: str
    """As `short_bus_id` writes it."""
    path: Path
    """Its directory in sysfs."""

    def can_sleep(self) -> bool:
        """Tell whether the kernel may power it down: `power/control` is `auto`."""
        return _read(self.path / "power" / "control") == "auto"

    def is_asleep(self) -> bool:
        """Tell whether it is powered down or about to be; unknown counts as awake."""
        return _read(self.path / "power" / "runtime_status") in _ASLEEP


def nvidia_displays(sysfs_root: Path) -> tuple[DisplayDevice, ...]:
    """List NVIDIA's display devices in bus order; empty where there is no sysfs (Windows, WSL, macOS).

    Devices bound to another driver (nouveau, or vfio-pci for a virtual machine) are left out: NVML does not see them.
    """
    try:
        entries = sorted((sysfs_root / "bus" / "pci" / "devices").iterdir())
    except OSError:
        return ()
    return tuple(
        DisplayDevice(short_bus_id(entry.name), entry)
        for entry in entries
        if _read(entry / "vendor") == _NVIDIA_VENDOR
        and _read(entry / "class").startswith(_DISPLAY_CLASS)
        and _driver(entry) in {None, "nvidia"}
    )


def supports_power_down(proc_root: Path, bus_id: str) -> bool:
    """Tell whether the NVIDIA driver itself can power this card down, as far as it says so.

    Desktop cards often have `power/control` set to `auto` by a distribution's rule and still never sleep; the driver's
    own word is the line `Runtime D3 status` of /proc/driver/nvidia/gpus/<bus id>/power (NVIDIA driver README,
    chapter "PCI-Express Runtime D3 Power Management"). Only to be asked while the card is awake.
    """
    for line in _read(proc_root / "driver" / "nvidia" / "gpus" / bus_id / "power").splitlines():
        label, _, value = line.partition(":")
        if label.strip() == "Runtime D3 status":
            return value.strip().lower().startswith("enabled")
    return True


def short_bus_id(bus_id: str) -> str:
    """Write a bus id as the kernel does, `0000:01:00.0`; NVML has eight digits of domain and upper case."""
    domain, _, rest = bus_id.strip().lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _driver(device: Path) -> str | None:
    try:
        return (device / "driver").readlink().name
    except OSError:
        return None
