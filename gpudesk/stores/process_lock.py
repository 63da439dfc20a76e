"""A lock between processes that the operating system lets go of when its holder dies, `kill -9` included.

The lock file stays: removing it would let two processes hold locks on two files of one name. What stands in it (who
holds it, for what, since when) is for the message of the one that is turned away; the lock itself is the system's.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpudesk.errors import RefusedError, StoreError
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.stores.process_identity import is_running, own_identity
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RETRY_SECONDS = 0.01
_NOTE_BYTES = 4096
_NOTE_SECONDS = 0.2
"""How long a new holder may take to write its note before it goes unnamed."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock."""

    pid: int
    what: str
    """`swap qwen3:14b to gpt-oss:20b`."""
    since: datetime | None = None
    """Aware UTC."""


class HeldError(RefusedError):
    """Somebody else holds the lock; `holder` says who, where that is known."""

    def __init__(self, message: str, hint: str | None, holder: LockHolder | None) -> None:
        super().__init__(message, hint)
        self.holder = holder


class ProcessLock:
    """One lock file. Not reentrant, and threads of one process keep each other out as processes do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread_lock = threading.Lock()
        self._descriptor: int | None = None

    @contextmanager
    def hold(self, what: str, wait_seconds: float = 0.0) -> Iterator[None]:
        """Hold the lock while `what` is done.

        Args:
            what: told to whoever is turned away meanwhile.
            wait_seconds: how long to wait for the holder before; 0 tries once.

        Raises:
            HeldError: somebody else holds it.
            StoreError: the lock file cannot be made.
        """
        self.acquire(what, wait_seconds)
        try:
            yield
        finally:
            self.release()

    def acquire(self, what: str, wait_seconds: float = 0.0) -> None:
        """Take the lock and keep it until `release`; raises as `hold` does."""
        deadline = time.monotonic() + wait_seconds
        while not self._try(what):
            if time.monotonic() >= deadline:
                holder = self._named_holder()
                if holder is None and self._try(what):
                    return
                raise _held(holder)
            time.sleep(_RETRY_SECONDS)

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held."""
        with self._thread_lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            _unlock(descriptor)
            os.close(descriptor)

    def holder(self) -> LockHolder | None:
        """Return who holds the lock, without touching it; None when nobody does or has not said so yet."""
        try:
            with self.path.open("rb") as file:
                note = json.loads(file.read(_NOTE_BYTES))
            pid, what, since = int(note["pid"]), clean(str(note["what"])), datetime.fromisoformat(note["since"])
            running = is_running(pid, note["identity"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        return LockHolder(pid, what, since) if running else None

    def _try(self, what: str) -> bool:
        with self._thread_lock:
            if self._descriptor is not None:
                return False
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                message = f"{shortened(self.path)} cannot be locked: {error.strerror or error}"
                raise StoreError(message, "Look at the permissions of its folder") from error
            try:
                taken = _lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                message = f"{shortened(self.path)} cannot be locked: {error.strerror or error}"
                raise StoreError(
                    message, "Set GPUDESK_STATE_DIR and GPUDESK_DATA_DIR to folders on a local disk"
                ) from error
            if not taken:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
            _write_note(descriptor, what)
            return True

    def _named_holder(self) -> LockHolder | None:
        """Return who holds it, giving a new holder a moment to say so."""
        deadline = time.monotonic() + _NOTE_SECONDS
        holder = self.holder()
        while holder is None and time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
            holder = self.holder()
        return holder


def _held(holder: LockHolder | None) -> HeldError:
    if holder is None:
        return HeldError("another gpudesk is at work", "Try again when it has ended", None)
    who = "this gpudesk" if holder.pid == os.getpid() else f"another gpudesk (pid {holder.pid})"
    return HeldError(f"{who} is at work: {holder.what}", "Try again when it has ended", holder)


def guard_lock(directory: Path) -> ProcessLock:
    """Return the lock that one guard per user holds for as long as it runs."""
    return ProcessLock(directory / "guard.lock")


def _write_note(descriptor: int, what: str) -> None:
    """Say who holds the lock; on a full disk it is held all the same."""
    note = {
        "pid": os.getpid(),
        "identity": own_identity(),
        "what": clean(what),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(note).encode())


if sys.platform == "win32":
    import msvcrt

    _LOCKED_AT = 1 << 30
    """A locked byte can be read by nobody else on Windows, so it lies behind the note."""

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_AT, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_AT, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
