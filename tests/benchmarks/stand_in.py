"""Building the C stand-in for libnvidia-ml and the idle programs whose pids it reports."""

from __future__ import annotations

import mmap
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MAX_PROCESSES = 1024
_HEADER = struct.Struct("=IIIIQ")
_PROCESS = struct.Struct("=IIQ")
_HANG_OFFSET = 8
_CALLS_OFFSET = 16


def build(folder: Path) -> Path:
    """Compile the stand-in and the idle program into `folder`; return the folder to put on LD_LIBRARY_PATH."""
    import pynvml

    folder.mkdir(parents=True, exist_ok=True)
    source = (HERE / "nvml_stub.c").read_text()
    written = set(re.findall(r"\b(nvml\w+)\(", source))
    asked = set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"\)', Path(pynvml.__file__).read_text()))
    stubs = "\n".join(f"int {name}(void) {{ return 3; }}" for name in sorted(asked - written))
    generated = folder / "nvml_all.c"
    generated.write_text(f"{source}\n{stubs}\n")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, generated], check=True
    )
    subprocess.run(["gcc", "-O2", "-o", folder / "pause", HERE / "pause.c"], check=True)
    return folder


@dataclass
class CardState:
    """The file every process maps: how many cards, who is on them, whether the driver hangs, how often it was asked."""

    path: Path
    cards: int

    def write(self, processes: list[tuple[int, int, int]]) -> None:
        """Write the whole state; `processes` are (card, pid, bytes)."""
        body = b"".join(_PROCESS.pack(*process) for process in processes[:MAX_PROCESSES])
        header = _HEADER.pack(self.cards, len(processes), 0, 0, 0)
        self.path.write_bytes(header + body.ljust(_PROCESS.size * MAX_PROCESSES, b"\0"))

    @property
    def calls(self) -> int:
        """NVML calls so far, by everybody."""
        with self.path.open("rb") as file:
            return int(_HEADER.unpack(file.read(_HEADER.size))[4])

    def hang(self, hanging: bool) -> None:
        """Make memory queries block, or let them go."""
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[_HANG_OFFSET : _HANG_OFFSET + 4] = struct.pack("=I", int(hanging))
