from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpudesk import files
from gpudesk.clock import Clock
from gpudesk.errors import ExportError, RefusedError
from gpudesk.exports import writing
from gpudesk.exports.values import Export, FileChange, Way
from gpudesk.exports.writing import (
    ChangedMeanwhileError,
    apply,
    backups,
    restore,
    restoring,
    written_paths,
)
from gpudesk.exports.written import WRITES_KEPT
from gpudesk.records import replace
from gpudesk.stores.process_lock import ProcessLock

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions, links and signals")
NOON = Clock(now=lambda: datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def change(path: Path, before: bytes | None, after: bytes | None) -> FileChange:
    return FileChange(path, before, after, "the models of gpudesk")


def export(*changes: FileChange) -> Export:
    return Export("zed", Way.MERGE, changes)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too, and every empty folder."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"(folder)"
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_written_with_a_copy_first(home: Path, state: Path) -> None:
    old, new = home / "config.yaml", home / "models" / "gpudesk.yaml"
    old.write_bytes(b"old")
    done = apply(export(change(new, None, b"block"), change(old, b"old", b"new")), state=state, clock=NOON)
    assert content(home) == {"config.yaml": b"new", "models/gpudesk.yaml": b"block"}
    assert done.paths == (new, old)
    assert [copy.name for copy in done.copies] == ["config.yaml.20261121T120000Z.backup"]
    assert done.copies[0].read_bytes() == b"old"
    assert mode_of(new) == 0o600
    (write,) = backups(state=state)
    assert (write.number, write.editor, write.at) == (1, "zed", NOON.now())
    assert written_paths("zed", state=state) == (new, old)
    assert backups("codex", state=state) == ()


@POSIX
def test_copies_are_never_readable_by_more_people(home: Path, state: Path) -> None:
    for mode in (0o600, 0o640, 0o644, 0o666):
        path = home / f"{mode:o}"
        path.write_bytes(b"secret")
        path.chmod(mode)
        done = apply(export(change(path, b"secret", b"more")), state=state)
        assert mode_of(path) == mode
        assert mode_of(done.copies[0]) == mode
        for folder in (state / "editors", state / "editors" / "copies", done.copies[0].parent):
            assert mode_of(folder) == 0o700, "nobody else comes as far as the copies"
    assert mode_of(state / "editors" / "written.json") == 0o600


@POSIX
def test_links_stay_links(home: Path, state: Path, tmp_path: Path) -> None:
    repository = tmp_path / "dotfiles"
    repository.mkdir()
    (repository / "settings.json").write_bytes(b"{}")
    path = home / "settings.json"
    path.symlink_to(repository / "settings.json")
    done = apply(export(change(path, b"{}", b'{"a": 1}')), state=state)
    assert path.is_symlink()
    assert content(repository) == {"settings.json": b'{"a": 1}'}, "no copy in somebody's repository"
    assert done.copies[0].is_relative_to(state)
    restore(backups(state=state)[0], state=state)
    assert path.is_symlink()
    assert content(repository) == {"settings.json": b"{}"}


def test_a_file_that_changed_is_refused_and_shown(home: Path, state: Path) -> None:
    first, second = home / "first", home / "second"
    first.write_bytes(b"one\n")
    second.write_bytes(b"two\nthree\n")
    with pytest.raises(
        ChangedMeanwhileError, match="second has changed since it was read; nothing was written"
    ) as told:
        apply(export(change(first, b"one\n", b"1\n"), change(second, b"two\n", b"2\n")), state=state)
    assert told.value.difference.endswith("@@ -1 +1,2 @@\n two\n+three\n")
    assert content(home) == {"first": b"one\n", "second": b"two\nthree\n"}
    assert backups(state=state) == ()
    with pytest.raises(ChangedMeanwhileError, match="first was made since it was read"):
        apply(export(change(first, None, b"1\n")), state=state)
    with pytest.raises(ChangedMeanwhileError, match="gone is gone since it was read"):
        apply(export(change(home / "gone", b"1", b"2")), state=state)
    with pytest.raises(ChangedMeanwhileError):
        apply(export(change(first, b"", None)), state=state)


def test_a_change_in_the_last_moment_undoes_those_before_it(
    home: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [home / name for name in ("a", "b", "c")]
    for path in paths[1:]:
        path.write_bytes(b"old")
    written = files._written

    def meddling(folder: Path, data: bytes, *rest: object, **named: object) -> Path:
        if data == b"c new":
            paths[2].write_bytes(b"meddled")
        return written(folder, data, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_written", meddling)
    changes = [change(paths[0], None, b"a new"), change(paths[1], b"old", b"b new"), change(paths[2], b"old", b"c new")]
    with pytest.raises(ChangedMeanwhileError, match="c has changed") as told:
        apply(export(*changes), state=state)
    assert "+meddled" in told.value.difference
    assert content(home) == {"b": b"old", "c": b"meddled"}
    assert backups(state=state) == ()
    assert content(state / "editors").keys() <= {"written.json", "lock", "copies"}


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_full_disk_at_any_moment_leaves_everything_as_it_was(
    home: Path, state: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    (home / "a").write_bytes(b"a old")
    (home / "b").write_bytes(b"b old")
    changes = [
        change(home / "new" / "c", None, b"c new"),
        change(home / "a", b"a old", b"a new"),
        change(home / "b", b"b old", b"b new"),
    ]
    calls = 0
    fsync = os.fsync

    def full(descriptor: int) -> None:
        nonlocal calls
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls += 1
            if calls == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    if failing > 6:  # two copies, the record, three files: nothing more is written
        apply(export(*changes), state=state)
        assert calls == 6
        return
    with pytest.raises(ExportError, match="the disk is full") as told:
        apply(export(*changes), state=state)
    assert told.value.hint == "Make room and try again"
    assert content(home) == {"a": b"a old", "b": b"b old"}
    assert backups(state=state) == ()


def test_when_undoing_fails_it_is_said_and_can_be_restored(
    home: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "a").write_bytes(b"a old")
    (home / "b").write_bytes(b"b old")
    written = files._written

    def failing(folder: Path, data: bytes, *rest: object, **named: object) -> Path:
        if folder == home and data != b"a new":
            raise OSError(errno.EIO, "Input/output error")
        return written(folder, data, *rest, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(files, "_written", failing)
        with pytest.raises(ExportError, match="b cannot be written") as told:
            apply(export(change(home / "a", b"a old", b"a new"), change(home / "b", b"b old", b"b new")), state=state)
    assert "a could not be put back" in (told.value.hint or "")
    assert content(home) == {"a": b"a new", "b": b"b old"}
    restore(backups(state=state)[0], state=state)
    assert content(home) == {"a": b"a old", "b": b"b old"}


def test_an_interruption_undoes_what_was_written(home: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "a").write_bytes(b"a old")
    (home / "b").write_bytes(b"b old")
    over = files.write_over

    def interrupted(path: Path, before: bytes | None, data: bytes) -> None:
        over(path, before, data)
        if path.name == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_over", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(export(change(home / "a", b"a old", b"a new"), change(home / "b", b"b old", b"b new")), state=state)
    assert content(home) == {"a": b"a old", "b": b"b old"}
    assert backups(state=state) == ()


def test_two_gpudesks_do_not_write_at_the_same_time(home: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_LOCK_SECONDS", 0.0)
    with (
        ProcessLock(state / "editors" / "lock").hold("writing files of codex"),
        pytest.raises(RefusedError, match="is at work: writing files of codex"),
    ):
        apply(export(change(home / "a", None, b"x")), state=state)
    assert content(home) == {}
    apply(export(change(home / "a", None, b"x")), state=state)
    assert content(home) == {"a": b"x"}


def test_a_state_folder_that_cannot_be_written_stops_before_the_files(home: Path, state: Path) -> None:
    state.write_bytes(b"a file")
    with pytest.raises(ExportError, match="lock cannot be locked"):
        apply(export(change(home / "a", None, b"x")), state=state)
    assert content(home) == {}


@POSIX
def test_what_cannot_be_written_is_said_before_anything_is(home: Path, state: Path) -> None:
    (home / "first").write_bytes(b"one")
    (home / "locked").write_bytes(b"x")
    (home / "locked").chmod(0o444)
    (home / "folder").mkdir()
    (home / "loop").symlink_to(home / "loop")
    os.mkfifo(home / "pipe")
    (home / "large").write_bytes(b"x" * 10_000_001)
    good = change(home / "first", b"one", b"1")
    for bad, message in (
        (change(home / "locked", b"x", b"y"), "locked is read-only"),
        (change(home / "folder", None, b"y"), "folder is a folder, not a file"),
        (change(home / "first" / "x", None, b"y"), "what should be a folder above it is a file"),
        (change(home / "loop", None, b"y"), "leads back to itself"),
        (change(home / "pipe", None, b"y"), "is not a file but a device, a pipe or a socket"),
        (change(home / "large", b"x", b"y"), "large is larger than"),
    ):
        with pytest.raises(ExportError, match=message):
            apply(export(good, bad), state=state)
        assert (home / "first").read_bytes() == b"one"
        with pytest.raises(ExportError, match=message):
            apply(export(bad, good), state=state)
    with pytest.raises(ExportError, match=r"the folder .*/none does not exist"):
        apply(replace(export(good, change(home / "none" / "x", None, b"y")), named=True), state=state)
    assert (home / "first").read_bytes() == b"one"
    assert mode_of(home / "locked") == 0o444
    assert not (home / "none").exists()
    assert backups(state=state) == ()


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to become somebody else")
def test_a_folder_of_somebody_else_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home, state = tmp_path / "home", tmp_path / "state"
    home.mkdir(mode=0o755)
    state.mkdir()
    os.chown(state, 65534, 65534)
    (home / "file").write_bytes(b"x")
    (home / "file").chmod(0o644)
    for folder in tmp_path.parents[:3]:
        if not mode_of(folder) & 0o001:
            folder.chmod(0o711)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with pytest.raises(ExportError, match="file cannot be written: permission denied"):
            apply(export(change(home / "file", b"x", b"y")), state=state)
        with pytest.raises(ExportError, match=r"new cannot be written: the folder .*home is read-only"):
            apply(export(change(home / "new", None, b"y")), state=state)
    finally:
        os.seteuid(0)
        os.setegid(0)
    assert content(home) == {"file": b"x"}


@POSIX
def test_one_file_by_two_names_is_refused(home: Path, state: Path) -> None:
    (home / "a").write_bytes(b"x")
    (home / "b").symlink_to(home / "a")
    with pytest.raises(ExportError, match="two changes for one file"):
        apply(export(change(home / "a", b"x", b"1"), change(home / "b", b"x", b"2")), state=state)
    assert (home / "a").read_bytes() == b"x"


def test_restoring_brings_back_and_can_be_restored(home: Path, state: Path) -> None:
    old, new, gone = home / "old", home / "new", home / "gone"
    old.write_bytes(b"old")
    gone.write_bytes(b"gone")
    apply(export(change(old, b"old", b"1"), change(new, None, b"2"), change(gone, b"gone", None)), state=state)
    assert content(home) == {"old": b"1", "new": b"2"}
    restore(backups(state=state)[0], state=state)
    assert content(home) == {"old": b"old", "gone": b"gone"}
    restore(backups(state=state)[0], state=state)
    assert content(home) == {"old": b"1", "new": b"2"}
    assert [write.number for write in backups("zed", state=state)] == [3, 2, 1]
    restore(backups(state=state)[-1], state=state)
    assert content(home) == {"old": b"old", "gone": b"gone"}
    assert restoring(backups(state=state)[-1]).changes == ()


def test_restoring_says_what_else_is_lost(home: Path, state: Path) -> None:
    path = home / "file"
    path.write_bytes(b"old")
    apply(export(change(path, b"old", b"new")), state=state)
    assert restoring(backups(state=state)[0]).notes == ()
    path.write_bytes(b"mine")
    coming = restoring(backups(state=state)[0])
    assert coming.changes[0].before == b"mine"
    assert coming.changes[0].after == b"old"
    assert "has changed since gpudesk wrote it" in coming.notes[0]


def test_a_copy_that_is_gone_or_changed_is_not_restored(home: Path, state: Path) -> None:
    path = home / "file"
    path.write_bytes(b"old")
    (copy,) = apply(export(change(path, b"old", b"new")), state=state).copies
    copy.write_bytes(b"older")
    with pytest.raises(ExportError, match=r"the copy of .*file has changed"):
        restore(backups(state=state)[0], state=state)
    copy.unlink()
    with pytest.raises(ExportError, match=r"the copy of .*file is gone"):
        restore(backups(state=state)[0], state=state)
    assert path.read_bytes() == b"new"


def test_nothing_outside_of_the_bounds_is_changed_or_touched(home: Path, state: Path, tmp_path: Path) -> None:
    outside = tmp_path / "mine"
    outside.write_bytes(b"mine")
    os.utime(outside, (1, 1))
    (home / "link").symlink_to(outside)
    for path, after in ((outside, b"x"), (outside, b"mine"), (home / "link", b"x"), (home / ".." / "mine", None)):
        with pytest.raises(RefusedError, match="a demo changes nothing"):
            apply(export(change(home / "in", None, b"x"), change(path, b"mine", after)), state=state, within=home)
    assert (outside.read_bytes(), outside.stat().st_mtime) == (b"mine", 1)
    assert not (home / "in").exists()
    assert apply(export(change(home / "in", None, b"x")), state=state, within=home).paths == (home / "in",)


def test_touching_changes_nothing_but_the_time(home: Path, state: Path) -> None:
    path = home / "config.yaml"
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    done = apply(export(change(path, b"x", b"x"), change(home / "none", None, None)), state=state)
    assert done.touched == (path,)
    assert (done.number, done.paths) == (None, ())
    assert path.stat().st_mtime > 1
    assert not state.exists()
    path.unlink()
    assert apply(export(change(path, b"x", b"x")), state=state).notes == (
        f"{path} could not be touched: no such file or directory; restart the editor",
    )


def test_old_copies_go_and_the_first_one_stays(home: Path, state: Path) -> None:
    path = home / "file"
    path.write_bytes(b"original")
    for number in range(WRITES_KEPT + 5):
        apply(export(change(path, path.read_bytes(), b"%d" % number)), state=state)
    kept = backups(state=state)
    assert len(kept) == WRITES_KEPT + 1
    assert kept[-1].number == 1
    assert len(list((state / "editors" / "copies").iterdir())) == len(kept)
    restore(kept[-1], state=state)
    assert path.read_bytes() == b"original"


def test_a_record_that_makes_no_sense_stands_in_nobodys_way(home: Path, state: Path) -> None:
    (state / "editors").mkdir(parents=True)
    (state / "editors" / "written.json").write_bytes(b'{"writes": 5}')
    apply(export(change(home / "a", None, b"x")), state=state)
    assert (home / "a").read_bytes() == b"x"
    assert len(backups(state=state)) == 1
    assert any(path.name.endswith(".wrong") for path in (state / "editors").iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from gpudesk.exports.values import Export, FileChange, Way
from gpudesk.exports.writing import apply
home, state, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def counted(function):
    def call(*values, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values, **named)
    return call
for name in ("open", "write", "fsync", "close", "replace", "link", "unlink"):
    setattr(os, name, counted(getattr(os, name)))
def data(number, name):
    return (b"%s %d " % (name.encode(), number)) * 20_000
print("ready", flush=True)
for number in range(1, 10):
    changes = [FileChange(home / name, data(number - 1, name), data(number, name), "x") for name in "abc"]
    changes.append(FileChange(home / "new", None, b"new" * 9, "x") if number % 2 else
                   FileChange(home / "new", b"new" * 9, None, "x"))
    apply(Export("zed", Way.MERGE, tuple(changes)), state=state)
"""


def wholes(name: str) -> set[bytes]:
    return {(b"%s %d " % (name.encode(), number)) * 20_000 for number in range(10)}


@POSIX
@pytest.mark.slow
def test_a_hundred_kills_leave_each_file_whole(tmp_path: Path) -> None:
    moments = random.Random(7)
    between_files, restored, unfinished = 0, 0, 0
    for turn in range(100):
        home, state = tmp_path / f"home{turn}", tmp_path / f"state{turn}"
        home.mkdir()
        first = {name: (b"%s 0 " % name.encode()) * 20_000 for name in "abc"}
        for name, data in first.items():
            (home / name).write_bytes(data)
            (home / name).chmod(0o640)
        step = 1 + 3 * turn if turn % 2 else 0  # every other one before a certain call of the system
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(home), str(state), str(step)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        if not step:
            time.sleep(moments.uniform(0, 0.12))  # a random moment is what is tested
            child.send_signal(signal.SIGKILL)
        assert child.wait(timeout=60) in {-signal.SIGKILL, 0}
        child.stdout.close()
        now = {name: (home / name).read_bytes() for name in "abc"}
        for name, data in now.items():
            assert data in wholes(name)
            assert mode_of(home / name) == 0o640
        if (home / "new").exists():
            assert (home / "new").read_bytes() == b"new" * 9
        between_files += len({data[2:3] for data in now.values()}) > 1
        unfinished += any(path.name.endswith(".tmp") for path in home.iterdir())
        writes = backups(state=state)
        if not writes:
            assert now == first
            continue
        for write in writes:
            restore(write, state=state)
        restored += 1
        assert {name: (home / name).read_bytes() for name in "abc"} == first
        assert not (home / "new").exists()
    assert between_files, "no kill came between two files, so nothing was tested"
    assert unfinished, "no kill came in the middle of a file"
    assert restored > 10
