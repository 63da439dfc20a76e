"""Running gpudesk as its users do: as a process of its own, on a computer without a driver."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HIDE_DRIVER = """\
import ctypes
loaded = ctypes.CDLL.__init__
def load(self, name, *arguments, **options):
    if name and "nvidia-ml" in str(name):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    loaded(self, name, *arguments, **options)
ctypes.CDLL.__init__ = load
"""
"""Makes a computer with a driver look like one without."""


@dataclass(frozen=True)
class CommandLine:
    """A prepared environment to run gpudesk in."""

    environment: Mapping[str, str]
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start gpudesk with pipes on all sides, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "gpudesk", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            start_new_session=True,
        )

    def run(self, *arguments: str, timeout: float = 30, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run gpudesk to its end."""
        with self.start(*arguments, **environment) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def command_line(folder: Path, url: str) -> CommandLine:
    """Prepare an environment whose one engine is at `url` and whose driver cannot be found."""
    (folder / "sitecustomize.py").write_text(HIDE_DRIVER)
    root = Path(__file__).parents[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}},
        "PYTHONPATH": os.pathsep.join((str(folder), str(root))),
        "OLLAMA_HOST": url,
        "PYTHONIOENCODING": "utf-8",
    }
    return CommandLine(environment, folder)


@contextmanager
def nobody_listens() -> Iterator[str]:
    """Give an address that refuses every connection for as long as this lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
