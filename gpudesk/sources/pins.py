"""The pins as they are stored now; another gpudesk or a person with an editor may change them at any time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gpudesk.domain.pin import PinSample

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.stores.pins import TomlPinStore

_FRESH_SECONDS = 2.0
"""A file changed this lately may change again without its time showing it (FAT counts in steps of two seconds)."""


class PinSource:
    """Looks at the file once a second and reads it when it is another one; what is wrong is told in the sample."""

    name = "pins"

    def __init__(self, store: TomlPinStore, *, interval_seconds: float = 1.0) -> None:
        self.interval_seconds = interval_seconds
        self._store = store
        self._mark: tuple[int, ...] | None = None
        self._sample: PinSample | None = None

    def read(self, desk: Desk) -> PinSample:  # noqa: ARG002 - every source is handed the desk
        """Look once; the same sample as before when nothing was written."""
        mark = self._mark_of_file()
        if self._sample is None or mark is None or mark != self._mark:
            self._mark = mark
            sample = self._store.sample()
            if sample != self._sample:
                self._sample = sample
        return self._sample

    def close(self) -> None:
        """Nothing is held open."""

    def _mark_of_file(self) -> tuple[int, ...] | None:
        """Return what tells one state of the file from another; None when it has to be read to know."""
        try:
            about = self._store.path.stat()
        except FileNotFoundError:
            return (0,)
        except OSError:
            return None
        if abs(time.time() - about.st_mtime) < _FRESH_SECONDS:
            return None
        return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
