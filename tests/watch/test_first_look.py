from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.watch import first_look
from gpudesk.watch.first_look import begin_first_look

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the first look is taken by a fork, on Linux")


ENDS_SECONDS = 5.0
"""Half of what a look may take by itself."""


def runs(pid: object) -> bool:
    """Tell whether a process is there and not merely waiting to be asked how it ended."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def look(case: str) -> dict[str, object]:
    """Take a first look in an interpreter of its own; what that prints beside its answer shows."""
    command = [sys.executable, "-m", "tests.watch.first_look_child", case]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    told: dict[str, object] = json.loads(ended.stdout)
    return told


def test_everything_is_seen_and_nothing_is_drawn_on_the_terminal() -> None:
    told = look("whole")
    assert (told["cards"], told["models"], told["host"]) == ([0], ["qwen3:14b"], 8)
    assert (told["events"], told["problems"]) == (0, []), "what is there at the first look is not news"
    assert (told["same"], told["last"], told["limit"]) == (True, True, 123)
    assert told["gone"] is True, "the process is waited for"


def test_a_source_that_fails_is_told_with_its_reason() -> None:
    assert look("failure")["problems"] == ["nobody listens"]


def test_a_process_that_ends_without_a_word_ends_the_look() -> None:
    assert look("crash") == {"desk": None, "watched": True, "gone": True, "last": False, "second": None}


def test_a_hanging_driver_keeps_nobody_once_the_look_is_stopped() -> None:
    told = look("hang")
    assert (told["host"], told["cards"]) == (8, [])
    assert (told["gone"], told["quiet"]) == (True, True)


def test_what_came_right_after_another_reading_is_told_without_waiting_for_the_next() -> None:
    told = look("late")
    assert (told["cards"], told["host"]) == ([0], 8)
    assert told["problems"] == [], "told before the engine that hangs was given up"


def test_a_look_that_hangs_ends_with_the_original() -> None:
    told = look("leave")
    assert told["runs"] is True
    deadline = time.monotonic() + ENDS_SECONDS
    while runs(told["pid"]):
        assert time.monotonic() < deadline, "lives on without anybody to tell"
        time.sleep(0.005)


@pytest.mark.parametrize("call", ["pipe", "fork"])
def test_no_room_for_another_process_means_no_first_look(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(first_look, "active_count", lambda: 1)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setattr(os, call, full)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert begin_first_look((), SYSTEM_CLOCK, AlarmLimits()) is None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_nothing_is_forked_once_the_drivers_library_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    forks: list[int] = []

    def full() -> int:
        forks.append(1)
        raise BlockingIOError

    monkeypatch.setattr(first_look, "active_count", lambda: 1)
    monkeypatch.setattr(os, "fork", full)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    begin_first_look((), SYSTEM_CLOCK, AlarmLimits())
    monkeypatch.setitem(sys.modules, "pynvml", ModuleType("pynvml"))
    begin_first_look((), SYSTEM_CLOCK, AlarmLimits())
    assert forks == [1]


def test_nothing_is_forked_beside_other_threads() -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    try:
        assert begin_first_look((), SYSTEM_CLOCK, AlarmLimits()) is None
    finally:
        leave.set()
        thread.join()
