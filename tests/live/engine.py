"""A real Ollama server as a child process: started, watched, killed and ended by its pid."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.api import Api, version_of

if TYPE_CHECKING:
    import psutil

START_SECONDS = 20.0
STOP_SECONDS = 10.0
PORT_RANGE = 16_000
PORT_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class RunnerProcess:
    """A process in which an engine keeps a model: what can be seen of it from outside."""

    pid: int
    argv: tuple[str, ...]

    def argument(self, name: str) -> str:
        """The value after an option such as `--model`."""
        return self.argv[self.argv.index(name) + 1]


class StartError(Exception):
    """The server did not come up; the text ends with its log."""


class OllamaProcess:
    """`ollama serve` with its own home and models, on a free loopback port that it keeps over restarts.

    Attributes:
        url: Where it answers.
        directory: Its home; `models` below it holds manifests and blobs, `server.log` what it said.
    """

    def __init__(self, installation: Path, directory: Path, environment: Mapping[str, str]) -> None:
        self._executable = installation / "ollama"
        self.directory = directory
        self.models_directory = directory / "models"
        self.log_path = directory / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "LD_LIBRARY_PATH": str(installation),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_MODELS": str(self.models_directory),
            "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}",  # nothing listens: a pull must never leave the machine
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._orphans: list[psutil.Process] = []

    @property
    def pid(self) -> int:
        """The server's process number."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything the server has written."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def version(self) -> tuple[int, ...]:
        """The version it tells."""
        api = Api(self.url)
        try:
            return version_of(api.get("/api/version").json["version"])
        finally:
            api.close()

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            StartError: It ended or did not answer in time.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._executable), "serve"],
                env=self._environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl+C for the test run reaches it through `stop`, not by surprise
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StartError(f"the server at {self.url} did not start; its log ends:\n{self.log[-3000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def runners(self) -> tuple[RunnerProcess, ...]:
        """Its runners, as the operating system lists them."""
        found = []
        for child in self._children():
            argv = _argv(child)
            if "--model" in argv:
                found.append(RunnerProcess(child.pid, argv))
        return tuple(sorted(found, key=lambda runner: runner.pid))

    def _children(self) -> list[psutil.Process]:
        import psutil

        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill_runner(self, pid: int) -> None:
        """End one of its runners as the out-of-memory killer would."""
        assert pid in {runner.pid for runner in self.runners()}
        os.kill(pid, signal.SIGKILL)

    def signal_runner(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one of its runners, if it is there still."""
        import psutil

        for child in self._children():
            if child.pid == pid:
                with suppress(psutil.NoSuchProcess):  # checks the start time too, so never a later process
                    child.send_signal(number)

    def kill(self) -> None:
        """End the server alone, as the out-of-memory killer would; its runners live on until `end_orphan` or `stop`."""
        assert self._process is not None
        self._orphans += self._children()
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None

    def end_orphan(self, pid: int) -> None:
        """End a runner that a killed server left behind."""
        for orphan in self._orphans:
            if orphan.pid == pid and orphan.is_running():
                orphan.kill()
                # Its parent is init now, which may take its time to bury it.
                orphan.wait(STOP_SECONDS)

    def stop(self) -> None:
        """End the server and whatever it started, and nothing else."""
        import psutil

        for orphan in self._orphans:
            self.end_orphan(orphan.pid)
        self._orphans = []
        if self._process is None:
            return
        children = self._children()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        for child in children:
            if child.is_running():  # compares the start time too, so never a later process with the same number
                child.kill()
        psutil.wait_procs(children, timeout=STOP_SECONDS)
        self._process = None

    def restart(self) -> None:
        """End the server and start it again, at the same address and with the same models."""
        self.stop()
        self.start()


def _argv(process: psutil.Process) -> tuple[str, ...]:
    import psutil

    try:
        return tuple(process.cmdline())
    except psutil.Error:
        return ()


def free_port() -> int:
    """A port nobody listens on just now, and none that the system gives to outgoing connections meanwhile.

    The server must be told its port, and takes the same one again when it is restarted.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(PORT_ATTEMPTS):
        port = random.randrange(max(1024, low - PORT_RANGE), low)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise StartError(f"no free port below {low} in {PORT_ATTEMPTS} attempts")
