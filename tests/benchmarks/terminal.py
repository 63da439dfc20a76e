"""A program in a pseudo terminal, watched from outside: when it paints, what it costs, how fast it answers and ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P^_].*?\x1b\\|\x1b[@-Z\\-_=>]|\x0f"
)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Terminal:
    """One running program; use as a context manager so that it never outlives the measurement."""

    command: Sequence[str]
    environment: Mapping[str, str]
    columns: int = 120
    rows: int = 40
    pid: int = field(default=0, init=False)
    output: bytearray = field(default_factory=bytearray, init=False)
    started: float = field(default=0.0, init=False)
    ended: float | None = field(default=None, init=False)
    _master: int = field(default=-1, init=False)

    def __enter__(self) -> Terminal:
        """Start the program; `started` is just before the fork."""
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **self.environment}
        self.started = time.perf_counter()
        pid, self._master = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
            os.execvpe(self.command[0], list(self.command), environment)
        self.pid = pid
        return self

    def __exit__(self, *_: object) -> None:
        """End the program if it still runs."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._master)

    def pump(self, seconds: float) -> bool:
        """Read what comes within `seconds`; False when the program has ended."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        if ready:
            try:
                self.output += os.read(self._master, 1 << 16)
            except OSError:
                self._reap(block=True)
                return False
        return not self._reap(block=False)

    def _reap(self, *, block: bool) -> bool:
        if self.ended is None:
            pid, _ = os.waitpid(self.pid, 0 if block else os.WNOHANG)
            if pid:
                self.ended = time.perf_counter()
        return self.ended is not None

    def text(self, start: int = 0) -> str:
        """What was printed from byte `start` on, without escape sequences."""
        return _ESCAPES.sub(b"", bytes(self.output[start:])).decode("utf-8", "replace")

    def wait_for(self, wanted: Sequence[str], *, start: int = 0, timeout_seconds: float = 10.0) -> float:
        """Seconds from now until every wanted text has been printed; raises TimeoutError with what was seen."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < timeout_seconds:
            alive = self.pump(0.02)
            text = self.text(start)
            if all(word in text for word in wanted):
                return time.perf_counter() - begin
            if not alive:
                break
        missing = [word for word in wanted if word not in self.text(start)]
        raise TimeoutError(f"{self.command[0]}: never printed {missing}; the end of its output: {self.text()[-800:]!r}")

    def first_paint(self, wanted: Sequence[str]) -> float:
        """Seconds from the start until everything wanted is on the screen."""
        self.wait_for(wanted)
        return time.perf_counter() - self.started

    def press(self, keys: str) -> int:
        """Type `keys`; return where in the output the answer begins."""
        start = len(self.output)
        os.write(self._master, keys.encode())
        return start

    def quit(self, keys: str = "q", timeout_seconds: float = 5.0) -> float:
        """Type `keys` and return the seconds until the process is gone."""
        begin = time.perf_counter()
        self.press(keys)
        while time.perf_counter() - begin < timeout_seconds:
            if not self.pump(0.002):
                assert self.ended is not None
                return self.ended - begin
        raise TimeoutError(f"{self.command[0]} did not end within {timeout_seconds} s")

    def idle(self, seconds: float) -> None:
        """Let it run, reading what it prints."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and self.pump(min(left, 0.2)):
            pass

    def cpu_seconds(self) -> float:
        """Processor time it has used so far, user and system."""
        with open(f"/proc/{self.pid}/stat", "rb") as file:  # noqa: PTH123 (called in a measurement loop)
            fields = file.read().rsplit(b")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Resident memory now."""
        with open(f"/proc/{self.pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE_BYTES

    def cpu_share(self, seconds: float) -> float:
        """Share of one core used over the next `seconds`, 0..1."""
        before, begin = self.cpu_seconds(), time.perf_counter()
        self.idle(seconds)
        return (self.cpu_seconds() - before) / (time.perf_counter() - begin)
