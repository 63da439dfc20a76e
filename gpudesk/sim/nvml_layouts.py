"""How process lists lie in memory, in the layouts drivers really used, right and wrong ones.

The functions that list processes carry a version in their name, and drivers still changed what they write:

- `…RunningProcesses` (v1) writes 16 bytes per process, `…_v2` and `…_v3` write 24 (nvml.h since R510);
- 535.43 to 535.86 wrote 32 bytes from `…_v3`, which 535.98 took back (XuehaiPan/nvitop#79, #181);
- a driver seen in 2026 wrote the 16 bytes of v1 from `…_v3` (XuehaiPan/nvitop pull request 226);
- seen from outside, pid and memory were swapped (gpuopenanalytics/pynvml#50).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_AVAILABLE = (1 << 64) - 1
"""What NVML writes for a process whose memory it does not know (NVML_VALUE_NOT_AVAILABLE)."""
NO_INSTANCE = (1 << 32) - 1
"""GPU and compute instance id of a process outside MIG."""

Row = tuple[int, int, int, int]
"""pid, memory in bytes, GPU instance id, compute instance id."""

_V1 = struct.Struct("=I4xQ")
_V2 = struct.Struct("=I4xQII")
_LONG = struct.Struct("=I4xQIIQ")
_SHIFTED = struct.Struct("=QI4xII")

STRUCT_TRAPS: dict[str, dict[int, str]] = {
    "v3-longer": {3: "long"},
    "v3-as-v1": {3: "v1"},
    "v3-shifted": {3: "shifted"},
    "only-v1-right": {2: "shifted", 3: "shifted"},
}
"""Name of a faulty driver to the layout it writes instead of the right one, by function version."""


def pack(rows: Sequence[Row], version: int, trap: str | None) -> bytes:
    """Return `rows` as the function of that version writes them under that struct trap.

    Raises:
        KeyError: no such trap.
    """
    layout = "v1" if version == 1 else "v2"
    if trap is not None:
        layout = STRUCT_TRAPS[trap].get(version, layout)
    if layout == "v1":
        return b"".join(_V1.pack(pid, memory) for pid, memory, _, _ in rows)
    if layout == "long":
        return b"".join(_LONG.pack(*row, 0) for row in rows)
    if layout == "shifted":
        return b"".join(
            _SHIFTED.pack(memory, pid, instance, compute_instance) for pid, memory, instance, compute_instance in rows
        )
    return b"".join(_V2.pack(*row) for row in rows)
