"""What everybody is measured against: the same cards, the same engine, the same processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.benchmarks.stand_in import CardState, build

GIBIBYTE = 1 << 30


@dataclass
class Workload:
    """A running simulated engine, idle processes with an engine's command lines, and cards that report them."""

    scenario: str
    cards: int = 1
    other_processes: int = 2
    loaded: list[str] = field(default_factory=list, init=False)
    installed: list[str] = field(default_factory=list, init=False)
    environment: dict[str, str] = field(default_factory=dict, init=False)
    state: CardState = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Workload:
        """Start everything; what was started is ended again where the rest cannot be."""
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that was started."""
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpudesk-bench-")))
        library = build(folder / "lib")
        url = self._start_engine(stack)
        self.state = CardState(folder / "cards", self.cards)
        self.state.write(self._start_processes(stack, url, library / "pause"))
        for name in ("config", "cache", "data", "state"):
            (folder / name).mkdir()
            self.environment[f"XDG_{name.upper()}_HOME"] = str(folder / name)
        self.environment |= {
            "LD_LIBRARY_PATH": str(library),
            "GPUDESK_BENCH_STATE": str(self.state.path),
            "OLLAMA_HOST": url,
        }

    def _start_engine(self, stack: ExitStack) -> str:
        command = [sys.executable, "-m", "gpudesk.sim", "--scenario", self.scenario, "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(_end, process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError("the simulated engine did not start")
        return url

    def _start_processes(self, stack: ExitStack, url: str, pause: Path) -> list[tuple[int, int, int]]:
        listed: list[tuple[int, int, int]] = []
        _idle(stack, pause, ["ollama", "serve"])
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
            loaded = client.get("/api/ps").json()["models"]
            self.loaded = [model["name"] for model in loaded]
            self.installed = [model["name"] for model in client.get("/api/tags").json()["models"]]
            for number, model in enumerate(loaded):
                shown = client.post("/api/show", json={"model": model["name"]}).json()
                blob = next(line.split(None, 1)[1] for line in shown["modelfile"].splitlines() if line[:5] == "FROM ")
                arguments = ["llama-server", "--model", blob, "--port", str(40000 + number), "-c", "8192", "-np", "1"]
                size = min(int(model["size_vram"]) + GIBIBYTE // 2, 7 * GIBIBYTE)
                listed.append((number % self.cards, _idle(stack, pause, arguments), size))
        for number in range(self.other_processes):
            arguments = ["python", f"train_{number}.py"]
            listed.append((number % self.cards, _idle(stack, pause, arguments), 64 << 20))
        return listed


def _idle(stack: ExitStack, pause: Path, arguments: list[str]) -> int:
    process = subprocess.Popen(arguments, executable=pause)
    stack.callback(_end, process)
    return process.pid


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    if process.stdout is not None:
        process.stdout.close()
