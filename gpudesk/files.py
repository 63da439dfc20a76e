"""Files that are never half written, whosever they are: gpudesk's own and the user's.

A file is written beside its place, made durable and moved there in one step, so a crash, a full disk or `kill -9`
leaves the old one or the new one, whole. Symbolic links are followed first (people keep such files in repositories),
and mode, owner and extended attributes go over to the new file. A hard link is the one thing that does not survive.

A new file is readable by its owner only (0o600) unless a mode is given: names of models and addresses concern nobody
else, and an editor's configuration holds keys. Folders that have to be made are the owner's alone as well (0o700),
as the XDG base directory specification wants it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.errors import StoreError
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

NEW_FILE_MODE = 0o600
NEW_FOLDER_MODE = 0o700
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".gpudesk-", ".tmp"
_LEFTOVER_SECONDS = 3600.0
"""A temporary file this old belongs to a write that was killed."""

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Make room and try again"),
    errno.EDQUOT: ("the disk quota is used up", "Make room and try again"),
    errno.EFBIG: ("it would be larger than a file may be here", None),
    errno.EROFS: ("it is on a read-only file system", None),
    errno.EACCES: ("permission denied", "Look at the permissions of the file and its folder"),
    errno.EPERM: ("permission denied", "Look at the permissions of the file and its folder"),
    errno.ENOTDIR: ("what should be a folder above it is a file", None),
    errno.EISDIR: ("it is a folder", None),
    errno.ELOOP: ("its symbolic link leads back to itself", None),
    errno.ENAMETOOLONG: ("its name is too long", None),
}


class MissingFileError(StoreError):
    """There is no such file."""


class ChangedFileError(StoreError):
    """The file is not what it was when it was read."""


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a file.

    Raises:
        MissingFileError: there is none.
        StoreError: it cannot be read, is no plain file, or is larger than `limit_bytes`.
    """
    # Without O_NONBLOCK a named pipe in the file's place would block for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            _check_plain(path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(limit_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise MissingFileError(f"{shortened(path)} does not exist") from error
    except (OSError, ValueError) as error:
        raise _failed("read", path, error) from error
    if len(data) > limit_bytes:
        raise StoreError(f"{shortened(path)} is larger than {_size_text(limit_bytes)}", "Look at what the file is")
    return data


def write_whole(path: Path, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """Put `data` in the place of a file in one step; folders that are missing are made.

    Args:
        path: where; a symbolic link is followed, also to a file that does not exist yet.
        data: the whole new content.
        mode: permissions of a file that is new, less the umask; None is 0o600. An existing file keeps its own.
        durable: wait until it would survive a power cut, some 10 ms; a kill it survives anyway.

    Raises:
        StoreError: it could not be written, names path and reason; the old file is there, whole.
    """
    _write(path, data, mode, durable=durable)


def write_over(path: Path, before: bytes | None, data: bytes, *, mode: int | None = None) -> None:
    """Do as `write_whole`, but only when the file still is what it was when it was read.

    Args:
        path: where.
        before: what was read; None: there was no file.
        data: the whole new content.
        mode: of a new file.

    Raises:
        ChangedFileError: somebody else has written it since; nothing was changed.
        StoreError: it could not be written; the old file is there, whole.
    """

    def unchanged(target: Path) -> None:
        try:
            now: bytes | None = read_bounded(target, len(before or b"") + 1)
        except MissingFileError:
            now = None
        except StoreError as error:
            raise ChangedFileError(f"{shortened(path)} has changed since it was read", error.message) from error
        if now != before:
            raise ChangedFileError(f"{shortened(path)} has changed since it was read", "Look at it and try again")

    _write(path, data, mode, check=unchanged)


def backup(path: Path, folder: Path | None = None, *, now: datetime | None = None) -> Path:
    """Copy a file to a dated name, with its permissions and owner; return where the copy is.

    Args:
        path: the file; a symbolic link is followed, the copy lies beside what it leads to.
        folder: where to keep the copy instead; made when missing.
        now: aware; the time in the name, now when None.

    Raises:
        MissingFileError: there is nothing to copy.
        StoreError: the copy could not be made.
    """
    target = resolved(path)
    about = _about(target)
    if about is None:
        raise MissingFileError(f"{shortened(path)} does not exist")
    data = read_bounded(target, about.st_size + (1 << 20))
    directory = target.parent if folder is None else folder
    try:
        directory.mkdir(mode=NEW_FOLDER_MODE, parents=True, exist_ok=True)
        temporary = _written(directory, data, NEW_FILE_MODE, about, target)
    except OSError as error:
        raise _failed("copied", path, error) from error
    try:
        return _moved_to_free_name(temporary, dated(directory / target.name, "backup", now))
    except OSError as error:
        raise _failed("copied", path, error) from error
    finally:
        _remove(temporary)


def set_aside(path: Path, *, now: datetime | None = None) -> Path:
    """Rename a file that cannot be believed to a dated name, so that it is not lost; return where it is.

    Raises:
        StoreError: it could not be renamed.
    """
    target = resolved(path)
    try:
        return _moved_to_free_name(target, dated(target, "wrong", now))
    except OSError as error:
        raise _failed("set aside", path, error) from error


def dated(path: Path, word: str, now: datetime | None = None) -> Path:
    """Return the name of a copy: `pins.toml.20261121T122200Z.wrong`, which no program takes for the file itself."""
    from datetime import UTC
    from datetime import datetime as clock

    stamp = (now or clock.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return path.with_name(f"{path.name}.{stamp}.{word}")


def resolved(path: Path) -> Path:
    """Follow symbolic links to where a file is or would be.

    Raises:
        StoreError: the links go in a circle.
    """
    try:
        target = Path(os.path.realpath(path))
        circular = target.is_symlink()
    except (OSError, ValueError) as error:
        raise _failed("found", path, error) from error
    if circular:
        raise StoreError(f"{shortened(path)} cannot be found: its symbolic link leads back to itself")
    return target


def _write(
    path: Path,
    data: bytes,
    mode: int | None,
    *,
    check: Callable[[Path], None] | None = None,
    durable: bool = True,
) -> None:
    target = resolved(path)
    temporary = None
    try:
        target.parent.mkdir(mode=NEW_FOLDER_MODE, parents=True, exist_ok=True)
        about = _about(target)
        _remove_leftovers(target.parent)
        temporary = _written(target.parent, data, NEW_FILE_MODE if mode is None else mode, about, path, durable=durable)
        if check is not None:
            check(target)
        temporary.replace(target)
    except (OSError, ValueError) as error:
        raise _failed("written", path, error) from error
    finally:
        if temporary is not None:
            _remove(temporary)
    if durable:
        _make_durable(target.parent)


def _about(target: Path) -> os.stat_result | None:
    """Return what is known of a plain file; None when there is none."""
    try:
        about = target.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _failed("read", target, error) from error
    _check_plain(target, about)
    return about


def _check_plain(path: Path, about: os.stat_result) -> None:
    if stat.S_ISDIR(about.st_mode):
        raise StoreError(f"{shortened(path)} is a folder, not a file", "Move it away")
    if not stat.S_ISREG(about.st_mode):
        raise StoreError(f"{shortened(path)} is not a file but a device, a pipe or a socket")


def _written(
    folder: Path, data: bytes, mode: int, like: os.stat_result | None, path: Path, *, durable: bool = True
) -> Path:
    """Write a temporary file in a folder, with the permissions it shall have; return it."""
    name = f"{_TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(6).hex()}{_TEMPORARY_SUFFIX}"
    temporary = folder / name
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(temporary, flags, NEW_FILE_MODE if like is not None else mode)
    try:
        try:
            if like is not None:
                _make_alike(descriptor, like, path)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _make_alike(descriptor: int, like: os.stat_result, path: Path) -> None:
    """Give a new file the owner, permissions and extended attributes (access lists among them) of the old one."""
    if sys.platform == "win32":
        return
    mode = stat.S_IMODE(like.st_mode)
    mine = os.fstat(descriptor)
    if mine.st_uid != like.st_uid:
        try:
            os.fchown(descriptor, like.st_uid, -1)
        except PermissionError:
            raise StoreError(
                f"{shortened(path)} cannot be written: it belongs to another user",
                f"Make it yours: sudo chown $USER {shortened(path)}",
            ) from None
    if mine.st_gid != like.st_gid:
        try:
            os.fchown(descriptor, -1, like.st_gid)
        except PermissionError:
            mode &= ~0o070  # what was meant for that group is not meant for ours
    if sys.platform == "linux":
        with suppress(OSError):
            for name in os.listxattr(path):
                with suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(path, name))
    os.fchmod(descriptor, mode)


def _make_durable(folder: Path) -> None:
    """Have the folder's new entry survive a power cut; not every file system can, and the file is in place anyway."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _moved_to_free_name(source: Path, wanted: Path) -> Path:
    """Rename a file without ever replacing another; a number tells it from one of the same second."""
    for number in range(1, 1000):
        name = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        if os.path.lexists(name):
            continue
        try:
            _move_exclusively(source, name)
        except FileExistsError:
            continue
        _make_durable(name.parent)
        return name
    raise FileExistsError(errno.EEXIST, "too many copies of the same second")


def _move_exclusively(source: Path, name: Path) -> None:
    """Rename; raises FileExistsError when the name is taken (a plain rename would replace it on POSIX)."""
    if sys.platform != "win32":
        try:
            name.hardlink_to(source)
        except FileExistsError:
            raise
        except OSError:  # file systems without hard links, such as exFAT
            pass
        else:
            source.unlink()
            return
    source.rename(name)


def _remove_leftovers(folder: Path) -> None:
    """Remove what writes that were killed long ago left in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            ours = entry.name.startswith(_TEMPORARY_PREFIX) and entry.name.endswith(_TEMPORARY_SUFFIX)
            if ours and time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFTOVER_SECONDS:
                _remove(Path(entry.path))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _failed(what: str, path: Path, error: OSError | ValueError) -> StoreError:
    number = error.errno if isinstance(error, OSError) else None
    reason, hint = _REASONS.get(number or 0, (getattr(error, "strerror", None) or str(error), None))
    return StoreError(f"{shortened(path)} cannot be {what}: {reason}", hint)


def _size_text(amount: int) -> str:
    return f"{amount >> 20} MiB" if amount >= 1 << 20 and amount % (1 << 20) == 0 else f"{amount} bytes"
