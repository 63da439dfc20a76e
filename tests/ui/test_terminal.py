"""The real driver on a real pseudo-terminal: whatever ends the screen, the terminal is left as it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyte
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal"),
]

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
PROMPT_SECONDS = 0.15

MODES_WHEN_LEFT = {
    1049: False, 25: True, 7: True, 1000: False, 1003: False, 1004: False, 1006: False, 1015: False, 2004: False,
}  # fmt: skip
"""DEC private modes and how a shell expects them."""


class Terminal:
    """A child on a pseudo-terminal."""

    def __init__(self, size: tuple[int, int] = (80, 24), arguments: Sequence[str] = ()) -> None:
        self.output = b""
        self.status: int | None = None
        pid, self.master = pty.fork()
        if pid == 0:
            os.chdir(REPOSITORY)
            environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(REPOSITORY)}
            os.execve(sys.executable, [sys.executable, "-m", "tests.ui.terminal_child", *arguments], environment)
        self.pid = pid
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.settings = termios.tcgetattr(self.master)

    def pump(self, seconds: float) -> bool:
        """Read what there is, waiting at most `seconds`; False once the other end is closed."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            self.output += data
            return bool(data)
        return True

    def wait_for(self, text: str, since: int = 0) -> None:
        """Read until `text` was written after position `since`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text.encode() not in self.output[since:]:
            assert time.monotonic() < deadline, f"{text!r} was never shown"
            assert self.pump(0.05), f"ended before {text!r} was shown"

    def screen(self, since: int = 0) -> list[str]:
        """What a terminal shows that was empty when position `since` was written."""
        shown = pyte.Screen(80, 24)
        # The private modes of a real terminal that the emulator reads as something else.
        written = re.sub(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$]+", b"", self.output[since:])
        pyte.ByteStream(shown).feed(written)
        return [line.rstrip() for line in shown.display]

    def wait_for_screen(self, wanted: list[str], since: int) -> None:
        """Read until a terminal that was empty at `since` shows exactly this."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.screen(since) != wanted:
            assert time.monotonic() < deadline, "\n".join(self.screen(since))
            assert self.pump(0.05), "ended"

    def wait_for_end(self) -> int:
        """Read until the child has ended and return its exit status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.status is None:
            assert time.monotonic() < deadline, "did not end"
            self.pump(0.005)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        while self.pump(0.02) and select.select([self.master], [], [], 0.02)[0]:
            pass
        return self.status

    def modes(self) -> dict[int, bool]:
        """The private modes as they stand after everything written so far."""
        state: dict[int, bool] = {}
        for number, switch in re.findall(rb"\x1b\[\?(\d+)([hl])", self.output):
            state[int(number)] = switch == b"h"
        return state

    def close(self) -> None:
        """End the child, whatever happened."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    child = Terminal()
    try:
        child.wait_for("INSTALLED MODEL")
        yield child
    finally:
        child.close()


def assert_left_clean(terminal: Terminal) -> None:
    modes = terminal.modes()
    assert {mode: modes.get(mode, MODES_WHEN_LEFT[mode]) for mode in MODES_WHEN_LEFT} == MODES_WHEN_LEFT
    assert terminal.output.count(b"\x1b[>") == terminal.output.count(b"\x1b[<u")  # keyboard protocol
    assert termios.tcgetattr(terminal.master) == terminal.settings
    assert b"Traceback" not in terminal.output


def test_the_screen_takes_the_terminal_over(terminal: Terminal) -> None:
    modes = terminal.modes()
    assert modes[1049]
    assert not modes[25]
    assert termios.tcgetattr(terminal.master) != terminal.settings


def test_q_gives_the_prompt_back_at_once(terminal: Terminal) -> None:
    started = time.monotonic()
    os.write(terminal.master, b"q")
    assert terminal.wait_for_end() == 0
    assert time.monotonic() - started < PROMPT_SECONDS
    assert_left_clean(terminal)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["interrupt", "terminate"]
)
def test_signals_leave_through_the_front_door(terminal: Terminal, number: int, code: int) -> None:
    os.kill(terminal.pid, number)
    assert terminal.wait_for_end() == code
    assert_left_clean(terminal)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["interrupt", "terminate", "hang up"],
)
def test_signals_do_so_as_soon_as_the_terminal_is_taken_over(number: int, code: int) -> None:
    terminal = Terminal(arguments=[str(int(number))])
    try:
        assert terminal.wait_for_end() == code
        assert_left_clean(terminal)
    finally:
        terminal.close()


def test_ctrl_c_leaves_with_130(terminal: Terminal) -> None:
    os.write(terminal.master, b"\x03")
    assert terminal.wait_for_end() == 130
    assert_left_clean(terminal)


def test_a_hang_up_signal_ends_it(terminal: Terminal) -> None:
    os.kill(terminal.pid, signal.SIGHUP)
    assert terminal.wait_for_end() == 129
    assert_left_clean(terminal)


def test_a_closed_terminal_ends_it(terminal: Terminal) -> None:
    os.close(terminal.master)
    deadline = time.monotonic() + PATIENCE_SECONDS
    pid = 0
    while not pid:
        assert time.monotonic() < deadline, "lives on without a terminal"
        pid, status = os.waitpid(terminal.pid, os.WNOHANG)
        time.sleep(0.01)
    terminal.status = os.waitstatus_to_exitcode(status)
    assert terminal.status in (0, 129)


def test_ctrl_z_suspends_and_comes_back(terminal: Terminal) -> None:
    while select.select([terminal.master], [], [], 0.5)[0]:
        assert terminal.pump(0)
    before = terminal.screen()
    os.write(terminal.master, b"\x1a")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, "was not suspended"
        terminal.pump(0.02)
        pid, status = os.waitpid(terminal.pid, os.WNOHANG | os.WUNTRACED)
        if pid:
            break
    assert os.WIFSTOPPED(status)
    terminal.pump(0.05)
    assert_left_clean(terminal)
    position = len(terminal.output)
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.wait_for_screen(before, position)
    assert terminal.modes()[1049]
    os.write(terminal.master, b"q")
    assert terminal.wait_for_end() == 0
    assert_left_clean(terminal)


def test_a_lone_escape_is_a_key(terminal: Terminal) -> None:
    os.write(terminal.master, b"?")
    terminal.wait_for("Show every key")
    position = len(terminal.output)
    os.write(terminal.master, b"\x1b")
    terminal.wait_for("INSTALLED", position)


def test_typing_and_resizing_while_it_runs(terminal: Terminal) -> None:
    for rows, columns in ((5, 20), (60, 200), (24, 80)):
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(terminal.pid, signal.SIGWINCH)
        terminal.pump(0.2)
    position = len(terminal.output)
    os.write(terminal.master, b"3")
    terminal.wait_for("WHAT", position)
    os.write(terminal.master, b"q")
    assert terminal.wait_for_end() == 0
    assert_left_clean(terminal)
