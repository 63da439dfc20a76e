"""The MIG slices of a card, read only; most cards have none and are asked once in a long while."""

from __future__ import annotations

import math
from typing import Any

from gpudesk.domain.card import Slice
from gpudesk.sources.nvml_library import ONCE, NvmlLibrary, NvmlRefusal, Query
from gpudesk.sources.nvml_words import ABSENT
from gpudesk.text import clean

_MODE_SECONDS = 60.0
_LIST_SECONDS = 30.0
_MAX_SLICES = 16
"""More than any card can be cut into (7 today); bounds the loop when the driver answers nonsense."""


class SliceReader:
    """Reads one slice."""

    def __init__(self, library: NvmlLibrary, handle: Any, position: int) -> None:
        self.handle = handle
        self.index = position
        """GPU instance id once known, until then the position."""
        self._instance = library.query("nvmlDeviceGetGpuInstanceId", handle, every=ONCE)
        self._uuid = library.query("nvmlDeviceGetUUID", handle, every=ONCE)
        self._name = library.query("nvmlDeviceGetName", handle, every=ONCE)
        self._memory = library.query("nvmlDeviceGetMemoryInfo", handle)

    def read(self, now: float) -> Slice:
        """Look once; every value may be None."""
        memory = self._memory.read(now)
        instance = self._instance.read(now)
        uuid = self._uuid.read(now)
        name = self._name.read(now)
        if instance is not None:
            self.index = instance
        believable = memory is not None and memory.total > 0 and memory.used <= memory.total
        return Slice(
            index=self.index,
            uuid=clean(uuid) if uuid else None,
            name=clean(name) if name else None,
            memory_total_bytes=memory.total if believable else None,
            memory_used_bytes=memory.used if believable else None,
            memory_free_bytes=memory.free if believable and memory.free <= memory.total else None,
        )


class SliceReaders:
    """Finds the slices of one card and reads them."""

    def __init__(self, library: NvmlLibrary, handle: Any) -> None:
        self.readers: tuple[SliceReader, ...] = ()
        self._library = library
        self._handle = handle
        self._mode: Query = library.query("nvmlDeviceGetMigMode", handle, every=_MODE_SECONDS)
        self._list_due_at = -math.inf

    def read(self, now: float) -> tuple[Slice, ...]:
        """Look once; empty for a card that is not cut."""
        mode = self._mode.read(now)
        if mode is None and self._mode.code not in ABSENT:
            return tuple(reader.read(now) for reader in self.readers)  # asked again soon
        if mode is None or not mode[0]:
            self.readers = ()
            self._list_due_at = -math.inf
            return ()
        if now >= self._list_due_at:
            self.readers = self._find()
            self._list_due_at = now + _LIST_SECONDS
        return tuple(reader.read(now) for reader in self.readers)

    def _find(self) -> tuple[SliceReader, ...]:
        api = self._library.api
        try:
            count = min(_MAX_SLICES, self._library.call(api.nvmlDeviceGetMaxMigDeviceCount, self._handle))
        except NvmlRefusal:
            return ()
        found = []
        for position in range(count):
            try:
                handle = self._library.call(api.nvmlDeviceGetMigDeviceHandleByIndex, self._handle, position)
            except NvmlRefusal:  # slices are numbered with gaps
                continue
            found.append(SliceReader(self._library, handle, position))
        return tuple(found)
