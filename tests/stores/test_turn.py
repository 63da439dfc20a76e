from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpudesk.errors import ExitCode, RefusedError, StoreError
from gpudesk.stores.process_identity import is_running, own_identity, process_identity
from gpudesk.stores.process_lock import HeldError, ProcessLock, guard_lock
from gpudesk.stores.turn import FileTurn

HOLDER = """
import sys
from pathlib import Path
from gpudesk.stores.turn import FileTurn
with FileTurn(Path(sys.argv[1])).take(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_gpudesk(directory: Path, what: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run another process that has the turn until its input ends."""
    arguments = [sys.executable, "-c", HOLDER, str(directory), what]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        if child.stdin is not None:
            child.stdin.close()


def test_one_gpudesk_acts_at_a_time_and_the_other_is_told_who(tmp_path: Path) -> None:
    turn = FileTurn(tmp_path)
    with another_gpudesk(tmp_path, "swap qwen3:14b to gpt-oss:20b") as other:
        with pytest.raises(RefusedError) as caught, turn.take("load b"):
            pytest.fail("both had it")
        assert caught.value.message == f"another gpudesk (pid {other.pid}) is at work: swap qwen3:14b to gpt-oss:20b"
        assert caught.value.exit_code == ExitCode.REFUSED
        holder = turn.holder()
        assert holder is not None
        assert (holder.pid, holder.what) == (other.pid, "swap qwen3:14b to gpt-oss:20b")
        assert holder.since is not None
    assert turn.holder() is None
    with turn.take("load b"):
        pass


def test_a_killed_gpudesk_has_the_turn_no_longer(tmp_path: Path) -> None:
    turn = FileTurn(tmp_path)
    with another_gpudesk(tmp_path, "load a") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert turn.holder() is None
        with turn.take("load b"):
            holder = turn.holder()
            assert holder is not None
            assert (holder.pid, holder.what) == (os.getpid(), "load b")


def test_the_turn_ends_with_what_was_done_also_when_that_failed(tmp_path: Path) -> None:
    turn = FileTurn(tmp_path)
    with pytest.raises(KeyError), turn.take("load a"):
        raise KeyError
    assert turn.holder() is None
    with turn.take("load b"), pytest.raises(HeldError, match="this gpudesk is at work: load b"):
        FileTurn(tmp_path).take("load c").__enter__()
    with turn.take("load d"), pytest.raises(HeldError, match="this gpudesk is at work: load d"):
        turn.take("load e").__enter__()


def test_threads_keep_each_other_out(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    inside, most, done = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        with lock.hold("counting", wait_seconds=60):
            with guard:
                inside += 1
                most = max(most, inside)
            with guard:
                inside -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 8)


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    with another_gpudesk(tmp_path, "load a") as other:
        threading.Timer(0.05, lambda: other.stdin and other.stdin.close()).start()
        with ProcessLock(tmp_path / "acting.lock").hold("load b", wait_seconds=30):
            pass


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"pid": "x", "what": "load", "since": "2026-11-21T12:00:00+00:00", "identity": "x"}',
        b'{"pid": 1, "what": "load", "since": "soon", "identity": "x"}',
        b'{"pid": 1, "what": "load", "since": "2026-11-21T12:00:00+00:00"}',
        b'{"pid": 1, "what": "load", "since": "2026-11-21T12:00:00+00:00", "identity": null}',
        b'{"pid": 1, "what": "load", "since": "2026-11-21T12:00:00+00:00", "identity": "boot x tick 1"}',
        b'{"pid": 99999999999999999999, "what": "load", "since": "2026-11-21T12:00:00+00:00", "identity": "x"}',
        b'{"pid": -1, "what": "load", "since": "2026-11-21T12:00:00+00:00", "identity": "x"}',
        b"[" * 5000,
    ],
)
def test_an_old_or_odd_note_holds_nothing(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "acting.lock"
    path.write_bytes(note)
    turn = FileTurn(tmp_path)
    assert turn.holder() is None
    with turn.take("load"):
        assert turn.holder() is not None


def test_a_note_is_clean_before_it_is_shown(tmp_path: Path) -> None:
    with ProcessLock(tmp_path / "lock").hold("load \x1b[2Jevil\u202e"):
        holder = ProcessLock(tmp_path / "lock").holder()
    assert holder is not None
    assert holder.what == "load [2Jevil"


def test_a_holder_without_a_note_still_keeps_others_out(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "lock")
    with lock.hold("load"):
        os.truncate(tmp_path / "lock", 0)
        with pytest.raises(HeldError, match="another gpudesk is at work") as caught:
            ProcessLock(tmp_path / "lock").acquire("load")
        assert caught.value.holder is None


def test_a_full_disk_takes_the_note_but_not_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_values: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with ProcessLock(tmp_path / "lock").hold("load"), pytest.raises(HeldError):
        ProcessLock(tmp_path / "lock").acquire("load")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(StoreError, match=r"acting\.lock cannot be locked: "):
        FileTurn(tmp_path / "state").take("load").__enter__()


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX")
def test_a_file_system_without_locks_is_told_and_nothing_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match=r"acting\.lock cannot be locked: No locks available") as caught:
        FileTurn(tmp_path).take("load").__enter__()
    assert "GPUDESK_STATE_DIR" in (caught.value.hint or "")
    assert (len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0) == before


def test_two_guards_never_fight(tmp_path: Path) -> None:
    first, second = guard_lock(tmp_path), guard_lock(tmp_path)
    first.acquire("keeping pins")
    with pytest.raises(HeldError, match="keeping pins"):
        second.acquire("keeping pins")
    with FileTurn(tmp_path).take("load"):
        pass
    first.release()
    first.release()
    second.acquire("keeping pins")
    second.release()


def test_a_process_is_told_from_a_later_one_of_its_pid() -> None:
    identity = own_identity()
    assert identity is not None
    assert identity == process_identity(os.getpid())
    assert is_running(os.getpid(), identity)
    assert not is_running(os.getpid(), identity + "0")
    assert not is_running(os.getpid(), None)
    for nobody in (0, -1, 1 << 40):
        assert process_identity(nobody) is None


def test_a_process_that_has_ended_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = process_identity(child.pid)
        assert identity is not None
        assert identity != own_identity()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) if sys.platform != "win32" else child.wait()
        assert not is_running(child.pid, identity), "a zombie runs no more"


def test_the_lock_file_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    with FileTurn(tmp_path / "state").take("load"):
        note = json.loads((tmp_path / "state" / "acting.lock").read_bytes())
        assert set(note) == {"pid", "identity", "what", "since"}
    assert (tmp_path / "state" / "acting.lock").read_bytes() == b""
    if sys.platform != "win32":
        assert (tmp_path / "state" / "acting.lock").stat().st_mode & 0o777 == 0o600
