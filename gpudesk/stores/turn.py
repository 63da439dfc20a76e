"""One gpudesk acts at a time: the lock in the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.stores.process_lock import LockHolder, ProcessLock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_PATIENCE_SECONDS = 0.1
"""An action that is just ending is waited for; everything longer is told."""


class FileTurn:
    """`actions.ports.Turn` as a lock file; the operating system ends it with the process, however that ends."""

    def __init__(self, directory: Path) -> None:
        self._lock = ProcessLock(directory / "acting.lock")

    def take(self, what: str) -> AbstractContextManager[None]:
        """Hold the turn while `what` is done.

        Raises:
            HeldError: a RefusedError naming what another gpudesk is doing, and its pid.
            StoreError: the state folder cannot be written.
        """
        return self._lock.hold(what, _PATIENCE_SECONDS)

    def holder(self) -> LockHolder | None:
        """Return who is acting now, and what it does; None when nobody is."""
        return self._lock.holder()
