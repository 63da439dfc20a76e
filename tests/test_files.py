from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpudesk.errors import StoreError
from gpudesk.files import (
    ChangedFileError,
    MissingFileError,
    backup,
    read_bounded,
    set_aside,
    write_over,
    write_whole,
)

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions, links and signals")
NOBODY = 65534


def mode_of(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    """Return everything that lies in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def without_privileges() -> Iterator[Path]:
    """Give a folder that belongs to whoever runs the test, who is not allowed everything meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
                os.setegid(0)
            folder.chmod(0o700)


def test_a_new_file_is_its_owners_alone_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "new.toml"
    write_whole(path, b"x = 1\n")
    assert path.read_bytes() == b"x = 1\n"
    assert names(path.parent) == ["new.toml"]
    if sys.platform != "win32":
        assert mode_of(path) == 0o600
        assert mode_of(path.parent) == 0o700


@POSIX
def test_a_given_mode_is_that_of_a_new_file_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "shared", b"", mode=0o666)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "shared") == 0o640


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o400, 0o755])
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_whole(path, b"new", mode=0o666)
    assert (path.read_bytes(), mode_of(path)) == (b"new", mode)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_an_existing_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    write_whole(path, b"new")
    about = path.stat()
    assert (about.st_uid, about.st_gid, mode_of(path)) == (12345, 23456, 0o640)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another's file")
def test_the_file_of_another_user_is_left_alone() -> None:
    with without_privileges() as folder:
        os.seteuid(0)
        path = folder / "file"
        path.write_bytes(b"old")
        path.chmod(0o644)
        os.seteuid(NOBODY)
        with pytest.raises(StoreError, match="file cannot be written: it belongs to another user") as caught:
            write_whole(path, b"new")
        assert "chown" in (caught.value.hint or "")
        assert (path.read_bytes(), path.stat().st_uid, names(folder)) == (b"old", 0, ["file"])


@pytest.mark.skipif(sys.platform != "linux", reason="extended attributes as Linux has them")
def test_extended_attributes_go_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.origin", b"dotfiles")
    except OSError as error:
        pytest.skip(f"the file system has none: {error}")
    write_whole(path, b"new")
    assert os.getxattr(path, "user.origin") == b"dotfiles"


@POSIX
def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config.yaml"
    real.parent.mkdir()
    real.write_bytes(b"old")
    middle, link = tmp_path / "middle", tmp_path / "home" / "config.yaml"
    link.parent.mkdir()
    middle.symlink_to("dotfiles/config.yaml")
    link.symlink_to("../middle")
    write_whole(link, b"new")
    assert real.read_bytes() == b"new"
    assert (link.readlink(), middle.readlink()) == (Path("../middle"), Path("dotfiles/config.yaml"))
    assert names(real.parent) == ["config.yaml"]
    assert names(link.parent) == ["config.yaml"]


@POSIX
def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new folder" / "file")
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "new folder" / "file").read_bytes() == b"new"


@POSIX
def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for work in (lambda path: write_whole(path, b""), backup, set_aside):
        with pytest.raises(StoreError, match="a cannot be found: its symbolic link leads back to itself"):
            work(tmp_path / "a")
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_in_its_place_is_told_and_stays(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    for work in (lambda path: write_whole(path, b""), lambda path: read_bounded(path, 10), backup):
        with pytest.raises(StoreError, match=r"config\.toml is a folder, not a file"):
            work(tmp_path / "config.toml")
    assert names(tmp_path) == ["config.toml"]


@POSIX
def test_a_pipe_in_its_place_neither_blocks_nor_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for work in (lambda: write_whole(path, b""), lambda: read_bounded(path, 10), lambda: backup(path)):
        with pytest.raises(StoreError, match="pipe is not a file but a device, a pipe or a socket"):
            work()
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"mine")
    with pytest.raises(StoreError, match=r"file cannot be (written|read): what should be a folder above it is a file"):
        write_whole(tmp_path / "config" / "gpudesk" / "file", b"")
    assert (tmp_path / "config").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["n" * 300, "nul\x00byte"])
def test_a_name_that_cannot_be_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be"):
        write_whole(tmp_path / name, b"")
    assert names(tmp_path) == []


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("n" * 255), b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


@POSIX
def test_a_read_only_folder_is_told() -> None:
    with without_privileges() as folder:
        (folder / "file").write_bytes(b"old")
        folder.chmod(0o500)
        with pytest.raises(StoreError, match="file cannot be written: permission denied") as caught:
            write_whole(folder / "file", b"new")
        assert caught.value.hint
        with pytest.raises(StoreError, match="other cannot be written: permission denied"):
            write_whole(folder / "other", b"new")
        with pytest.raises(StoreError, match="permission denied"):
            write_whole(folder / "new folder" / "file", b"new")
        with pytest.raises(StoreError, match="file cannot be copied: permission denied"):
            backup(folder / "file")
        assert ((folder / "file").read_bytes(), names(folder)) == (b"old", ["file"])


@POSIX
def test_what_may_not_be_read_is_told() -> None:
    with without_privileges() as folder:
        (folder / "file").write_bytes(b"secret")
        (folder / "file").chmod(0)
        with pytest.raises(StoreError, match="file cannot be read: permission denied"):
            read_bounded(folder / "file", 100)


@POSIX
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """The limit on the size of files is real: the kernel refuses in the middle of the data."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path; from gpudesk.files import write_whole, backup\n"
        "from gpudesk.errors import StoreError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_whole(Path(sys.argv[1]), b'n' * 100_000)\n"
        "except StoreError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{path} cannot be written: it would be larger than a file may be here\n"
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "it is on a read-only file system"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_failure_at_each_step_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, reason: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_values: object, **_named: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(StoreError, match=f"file cannot be written: {reason}"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_writes_that_take_only_a_part_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
    write_whole(tmp_path / "file", bytes(range(256)))
    assert (tmp_path / "file").read_bytes() == bytes(range(256))


@POSIX
def test_the_data_is_durable_before_it_is_in_place_and_then_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"file of {os.fstat(descriptor).st_size}"
        steps.append(kind)
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_whole(tmp_path / "file", b"12345")
    assert steps == ["file of 5", "replace", "folder"]
    steps.clear()
    write_whole(tmp_path / "file", b"123456", durable=False)
    assert steps == ["replace"]


@POSIX
def test_a_folder_that_cannot_be_made_durable_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_killed_writes_left_long_ago_is_removed(tmp_path: Path) -> None:
    old, fresh, foreign = (tmp_path / name for name in (".gpudesk-1-a.tmp", ".gpudesk-2-b.tmp", "gpudesk.tmp"))
    for path in (old, fresh, foreign):
        path.write_bytes(b"")
    for path in (old, foreign):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    write_whole(tmp_path / "file", b"new")
    assert names(tmp_path) == [".gpudesk-2-b.tmp", "file", "gpudesk.tmp"]


def test_writing_over_needs_the_file_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_over(path, None, b"one")
    write_over(path, b"one", b"two")
    assert path.read_bytes() == b"two"
    for before in (b"one", None, b"", b"two and more", b"tw"):
        with pytest.raises(ChangedFileError, match="file has changed since it was read"):
            write_over(path, before, b"three")
    path.unlink()
    with pytest.raises(ChangedFileError):
        write_over(path, b"two", b"three")
    assert names(tmp_path) == []
    path.write_bytes(b"")
    with pytest.raises(ChangedFileError):
        write_over(path, None, b"three")
    assert (path.read_bytes(), names(tmp_path)) == (b"", ["file"])


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_bounded(path, 1000) == b"x" * 1000
    with pytest.raises(StoreError, match="file is larger than 999 bytes"):
        read_bounded(path, 999)
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(StoreError, match="file is larger than 1 MiB"):
        read_bounded(path, 1 << 20)
    with pytest.raises(MissingFileError, match="none does not exist"):
        read_bounded(tmp_path / "none", 10)


def test_a_backup_is_dated_and_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"one")
    first = backup(path, now=NOON)
    path.write_bytes(b"two")
    second = backup(path, now=NOON)
    assert first.name == "config.yaml.20261121T120000Z.backup"
    assert second.name == "config.yaml.20261121T120000Z-2.backup"
    assert (first.read_bytes(), second.read_bytes(), path.read_bytes()) == (b"one", b"two", b"two")
    assert len(names(tmp_path)) == 3
    with pytest.raises(MissingFileError):
        backup(tmp_path / "none")


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_backup_has_the_permissions_of_the_file(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"key: secret")
    path.chmod(mode)
    copy = backup(path, tmp_path / "deep" / "backups", now=NOON)
    assert (copy.parent, mode_of(copy), mode_of(copy.parent)) == (tmp_path / "deep" / "backups", mode, 0o700)
    assert copy.read_bytes() == b"key: secret"


@POSIX
def test_the_backup_of_a_link_lies_beside_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real/file")
    copy = backup(tmp_path / "link", now=NOON)
    assert copy.parent.samefile(tmp_path / "real")
    assert not copy.is_symlink()


@POSIX
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_keeps_backups_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_values: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "file").write_bytes(b"x")
    assert backup(tmp_path / "file", now=NOON).read_bytes() == b"x"
    assert backup(tmp_path / "file", now=NOON).name.endswith("-2.backup")
    assert len(names(tmp_path)) == 3


def test_a_backup_onto_a_full_disk_leaves_no_half_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_values: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="file cannot be copied: the disk is full"):
        backup(tmp_path / "file")
    assert names(tmp_path) == ["file"]


def test_what_is_set_aside_keeps_its_content_under_a_dated_name(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "pins.toml").write_bytes(content)
        set_aside(tmp_path / "pins.toml", now=NOON)
    assert names(tmp_path) == ["pins.toml.20261121T120000Z-2.wrong", "pins.toml.20261121T120000Z.wrong"]
    assert (tmp_path / "pins.toml.20261121T120000Z-2.wrong").read_bytes() == b"two"
    with pytest.raises(StoreError, match=r"pins\.toml cannot be set aside"):
        set_aside(tmp_path / "pins.toml")


def test_the_home_folder_is_not_told(own_folders: Path) -> None:
    (own_folders / "x").mkdir()
    with pytest.raises(StoreError, match=r"^~.x is a folder"):
        write_whole(own_folders / "x", b"")


WRITER = """
import sys
from pathlib import Path
from gpudesk.files import write_whole
path = Path(sys.argv[1])
print("ready", flush=True)
for number in range(1_000_000):
    write_whole(path, (b"%d " % (number % 10)) * 100_000)
"""


@POSIX
@pytest.mark.slow
def test_a_hundred_kills_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    whole = {(b"%d " % number) * 100_000 for number in range(10)}
    write_whole(path, b"0 " * 100_000)
    moments = random.Random(4)
    seen, left = set(), 0
    for _ in range(100):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0, 0.02))  # a random moment is what is tested
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        content = path.read_bytes()
        assert content in whole
        assert mode_of(path) == 0o600
        seen.add(content)
        left += len(names(tmp_path)) - 1
        for name in names(tmp_path):
            if name != "file":
                (tmp_path / name).unlink()
    assert len(seen) > 1
    assert left, "no kill came in the middle of a write, so nothing was tested"


STEPS = """
import os, signal, sys
from pathlib import Path
from gpudesk.files import write_whole
left = int(sys.argv[2])
def counted(function):
    def call(*values, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values, **named)
    return call
for name in ("open", "write", "fsync", "close", "fchmod", "replace", "unlink", "scandir", "fstat"):
    setattr(os, name, counted(getattr(os, name)))
write_whole(Path(sys.argv[1]), b"new" * 10)
"""


@POSIX
@pytest.mark.slow
def test_a_kill_before_each_call_of_the_system_leaves_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = []
    for step in range(1, 60):
        path.write_bytes(b"old")
        path.chmod(0o640)
        done = subprocess.run([sys.executable, "-c", STEPS, str(path), str(step)], timeout=60, check=False)
        assert path.read_bytes() in (b"old", b"new" * 10)
        assert mode_of(path) == 0o640
        seen.append(path.read_bytes())
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    else:
        pytest.fail("it never came to an end")
    assert len(seen) > 8
    assert seen == sorted(seen, reverse=True), "first the old one, from some step on the new one"
