"""What `gpudesk guard` costs while nothing happens."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.workload import Workload

SETTLE_SECONDS = 6.0


def guard_cost(gpudesk: Path, seconds: float) -> tuple[float, float]:
    """Share of a core and resident bytes of `gpudesk guard` with a pin, on the desk the screen is measured on."""
    with Workload("bench") as load, tempfile.TemporaryDirectory(prefix="gpudesk-bench-") as folder:
        (Path(folder) / "pins.toml").write_text(
            f'[[pin]]\nengine = "{load.environment["OLLAMA_HOST"]}"\nmodel = "{load.loaded[0]}"\nrestore = true\n'
        )
        environ = {**os.environ, **load.environment, "GPUDESK_DATA_DIR": folder}
        process = subprocess.Popen([gpudesk, "guard"], env=environ, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert "guarding" in process.stdout.readline()
            time.sleep(SETTLE_SECONDS)
            before, begin = _processor_seconds(process.pid), time.perf_counter()
            time.sleep(seconds)
            share = (_processor_seconds(process.pid) - before) / (time.perf_counter() - begin)
            return share, _resident_bytes(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
