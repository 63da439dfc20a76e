"""Who is on a card: process lists read with a guard against drivers whose structs are not what they say.

NVML lists processes by functions in three versions, and drivers changed what the third one writes without telling:
535.43 to 535.86 wrote longer structs (XuehaiPan/nvitop#79, #181), one of 2026 wrote the 16 bytes of the first version
(XuehaiPan/nvitop pull request 226). Read with the wrong layout, pid and memory come out swapped or as garbage
(gpuopenanalytics/pynvml#50). Hence: whenever a list names a process that does not exist, pid 0, or memory that cannot
be, the same bytes are read in the other layouts and the older functions are asked; the reading with fewer such entries
wins and is remembered for the driver. Where none is better (a container that sees no host pids) nothing changes.

pynvml has no function for the 16-byte struct and makes two calls per list (one for the length), so lists are read here
with a buffer of our own: one call per list, through pynvml's function pointers.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.domain.card import CardProcess
from gpudesk.records import dataclass
from gpudesk.sources.nvml_library import NvmlLibrary, NvmlRefusal
from gpudesk.sources.nvml_words import (
    ARGUMENT_VERSION_MISMATCH,
    DEPRECATED,
    FUNCTION_NOT_FOUND,
    INSUFFICIENT_SIZE,
    UNKNOWN,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

COMPUTE = "Compute"
GRAPHICS = "Graphics"

Row = tuple[int, int | None, int | None]
"""pid, memory in bytes or None, GPU instance id or None."""

_NOT_AVAILABLE = (1 << 64) - 1
_NO_INSTANCE = (1 << 32) - 1
_PAGE = 4096
_TOO_OLD = frozenset({FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED})
_LAYOUTS = {24: struct.Struct("=I4xQII"), 32: struct.Struct("=I4xQIIQ"), 16: struct.Struct("=I4xQ")}
"""Bytes per process to what is in them: pid, padding, memory, GPU instance, compute instance, protected memory."""
_LONGEST = max(_LAYOUTS)
_NEWEST_VERSION = 3
_MAX_INSTANCE = 14
"""Highest GPU instance id; read with a wrong layout, an id looks like a small pid that nearly always exists."""
_MAX_GROWTH = 4
_MAX_JUDGED = 4096
_MAX_PAUSE_SECONDS = 60.0


def pid_exists(pid: int) -> bool:
    """Tell whether this computer, as we see it, has such a process."""
    if platform.system() == "Linux":
        return Path(f"/proc/{pid}").exists()
    import psutil

    return psutil.pid_exists(pid)


@dataclass(slots=True)
class _Reading:
    """How one kind of list is read: which function, which layout, and which odd pids have been looked into."""

    version: int = _NEWEST_VERSION
    stride: int = 24
    compared_at: float = 0.0
    in_vain: int = 0
    """Comparisons in a row that found nothing better."""


class ProcessLists:
    """Reads process lists of all cards of one driver, remembering what that driver's structs turned out to be."""

    def __init__(self, library: NvmlLibrary, exists: Callable[[int], bool] = pid_exists) -> None:
        self._library = library
        self._exists = exists
        self._readings = {COMPUTE: _Reading(), GRAPHICS: _Reading()}
        self._found: set[int] = set()
        self._judged: set[int] = set()
        self._capacity = 0
        self._make_room(64)

    def read(self, handle: object, kind: str, memory_total_bytes: int | None, now: float) -> tuple[Row, ...]:
        """List the processes of one kind on a card or slice, one NVML call when all is well.

        Raises:
            NvmlRefusal: no version of the function gives a list.
        """
        reading = self._readings[kind]
        rows, raw = self._fetch_newest(handle, kind, reading)
        odd = self._odd(rows, memory_total_bytes)
        if odd and self._worth_comparing(reading, odd, now):
            better = self._compare(handle, kind, reading, raw, len(rows), len(odd), memory_total_bytes)
            if better is None:
                reading.in_vain += 1
                reading.compared_at = now
                if len(self._judged) > _MAX_JUDGED:
                    self._judged.clear()
                self._judged.update(pid for pid, _, _ in odd)
            else:
                reading.in_vain = 0
                rows = better
        return _plausible(rows, memory_total_bytes)

    def _fetch_newest(self, handle: object, kind: str, reading: _Reading) -> tuple[tuple[Row, ...], bytes]:
        while True:
            try:
                count, raw = self._fetch(handle, kind, reading.version)
            except NvmlRefusal as refusal:
                if refusal.code not in _TOO_OLD or reading.version == 1:
                    raise
                reading.version -= 1
                reading.stride = 16 if reading.version == 1 else 24
            else:
                return _decode(raw, count, reading.stride), raw

    def _fetch(self, handle: object, kind: str, version: int) -> tuple[int, bytes]:
        """Make one call, or more while the list outgrows the buffer; the bytes are enough for the longest layout."""
        suffix = "" if version == 1 else f"_v{version}"
        function = self._library.export(f"nvmlDeviceGet{kind}RunningProcesses{suffix}")
        for _ in range(_MAX_GROWTH):
            self._count.value = self._capacity
            self._library.calls += 1
            code = function(handle, self._count_reference, self._buffer)
            count = self._count.value
            if code == 0 and count <= self._capacity:
                return count, ctypes.string_at(self._buffer, count * _LONGEST)
            if code == 0:  # more than there was room for: reading on would leave the buffer
                code = UNKNOWN
            if code != INSUFFICIENT_SIZE:
                break
            self._make_room(max(count, self._capacity) * 2)
        self._library.refusals.add(code)
        raise NvmlRefusal(code)

    def _make_room(self, capacity: int) -> None:
        self._capacity = min(capacity, 1 << 16)
        self._buffer = ctypes.create_string_buffer(self._capacity * (_LONGEST + 8))
        self._count = ctypes.c_uint()
        self._count_reference = ctypes.byref(self._count)

    def _odd(self, rows: Iterable[Row], memory_total_bytes: int | None) -> list[Row]:
        """Return the rows that cannot be right: pid 0 or unknown here, more memory than there is, or split pages."""
        return [
            row
            for row in rows
            if row[0] == 0
            or (row[1] is not None and (row[1] % _PAGE or (memory_total_bytes and row[1] > memory_total_bytes)))
            or not self._is_found(row[0])
        ]

    def _doubtful(self, rows: Iterable[Row], memory_total_bytes: int | None) -> int:
        """Count the rows that give another layout no credit: the odd ones, and pids that may be instance ids."""
        rows = list(rows)
        odd = set(self._odd(rows, memory_total_bytes))
        return sum(row in odd or row[0] <= _MAX_INSTANCE for row in rows)

    def _is_found(self, pid: int) -> bool:
        if pid in self._found:
            return True
        if not self._exists(pid):
            return False
        if len(self._found) > _MAX_JUDGED:
            self._found.clear()
        self._found.add(pid)
        return True

    def _worth_comparing(self, reading: _Reading, odd: list[Row], now: float) -> bool:
        if all(pid in self._judged for pid, _, _ in odd):
            return False
        pause = min(_MAX_PAUSE_SECONDS, 2.0**reading.in_vain) if reading.in_vain > 2 else 0.0
        return now >= reading.compared_at + pause

    def _compare(
        self,
        handle: object,
        kind: str,
        reading: _Reading,
        raw: bytes,
        count: int,
        odd_now: int,
        memory_total_bytes: int | None,
    ) -> tuple[Row, ...] | None:
        """Look for a version and layout with fewer odd rows, and switch to the best one."""
        candidates: list[tuple[int, int, int, tuple[Row, ...]]] = []
        if count > 1:  # the layouts differ from the second process on
            for stride in _LAYOUTS:
                rows = _decode(raw, count, stride)
                candidates.append((self._doubtful(rows, memory_total_bytes), reading.version, stride, rows))
        for version in range(reading.version - 1, 0, -1):
            try:
                other_count, other = self._fetch(handle, kind, version)
            except NvmlRefusal:
                continue
            if other_count != count:  # a process came or went in between: nothing to compare
                continue
            stride = 16 if version == 1 else 24
            rows = _decode(other, count, stride)
            candidates.append((self._doubtful(rows, memory_total_bytes), version, stride, rows))
        best = min(candidates, key=lambda candidate: candidate[0], default=None)
        if best is None or best[0] >= odd_now:
            return None
        _, reading.version, reading.stride, rows = best
        return rows


def merge(compute: Iterable[Row], graphics: Iterable[Row]) -> tuple[CardProcess, ...]:
    """Join both lists by process: one in both counts once, with the larger figure; pid 0 is nobody."""
    merged: dict[tuple[int, int | None], CardProcess] = {}
    for rows, in_compute in ((compute, True), (graphics, False)):
        for pid, memory, slice_index in rows:
            if pid == 0:
                continue
            before = merged.get((pid, slice_index))
            if before is not None and before.memory_bytes is not None:
                memory = before.memory_bytes if memory is None else max(memory, before.memory_bytes)  # noqa: PLW2901
            merged[pid, slice_index] = CardProcess(
                pid,
                memory,
                compute=in_compute or (before is not None and before.compute),
                graphics=not in_compute or (before is not None and before.graphics),
                slice_index=slice_index,
            )
    return tuple(merged.values())


def _decode(raw: bytes, count: int, stride: int) -> tuple[Row, ...]:
    rows = []
    for values in _LAYOUTS[stride].iter_unpack(raw[: count * stride]):
        instance = values[2] if len(values) > 2 else _NO_INSTANCE
        rows.append(
            (
                values[0],
                # 0 means the same as not available: whoever is on a card has at least a context there
                None if values[1] in (0, _NOT_AVAILABLE) else values[1],
                None if instance == _NO_INSTANCE else instance,
            )
        )
    return tuple(rows)


def _plausible(rows: tuple[Row, ...], memory_total_bytes: int | None) -> tuple[Row, ...]:
    """Forget figures above the card's own memory; the process stays."""
    if not memory_total_bytes or all(row[1] is None or row[1] <= memory_total_bytes for row in rows):
        return rows
    return tuple((row[0], None if (row[1] or 0) > memory_total_bytes else row[1], row[2]) for row in rows)
