"""One card read again and again: every value optional, dear ones rarely, unchanging ones once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpudesk.domain.card import Card, CardProcess, ProcessAccounting, Slice
from gpudesk.records import dataclass
from gpudesk.sources.nvml_library import ONCE, NvmlLibrary, NvmlRefusal
from gpudesk.sources.nvml_processes import COMPUTE, GRAPHICS, ProcessLists, Row, merge
from gpudesk.sources.nvml_slices import SliceReaders
from gpudesk.sources.nvml_words import (
    ABSENT,
    CARD_GONE,
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    describe,
    list_refused,
    memory_implausible,
    memory_not_told,
    memory_refused,
)
from gpudesk.sources.power_state import short_bus_id
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.domain.problem import Problem

DEAR_SECONDS = 5.0
"""Power, clocks and fan: some drivers stall every core for milliseconds per question
(NVIDIA/open-gpu-kernel-modules#1248, flightlessmango/MangoHud#1626, wookayin/gpustat#54)."""
LIMIT_SECONDS = 60.0
"""Limits change when an administrator changes them."""
_MEMORY_VERSION_SECONDS = 60.0
_LIST_ABSENT_SECONDS = 60.0
_UNIFIED_NAMES = ("GB10", "Orin", "Thor", "Xavier", "Tegra")
"""Chips without memory of their own; some of their drivers answer with wrong figures instead of NOT_SUPPORTED
(XuehaiPan/nvitop pull request 208)."""

HostMemory = tuple[int | None, int | None]
"""Total and available bytes of the host."""


@dataclass(frozen=True, slots=True)
class _Memory:
    total: int | None = None
    used: int | None = None
    free: int | None = None
    reserved: int | None = None
    unified: bool = False
    problem: Problem | None = None


class CardReader:
    """Reads one card through one handle. Made anew whenever NVML is initialized anew."""

    def __init__(
        self,
        library: NvmlLibrary,
        lists: ProcessLists,
        handle: Any,
        index: int,
        host_memory: Callable[[], HostMemory],
    ) -> None:
        self.index = index
        self.bus_id: str | None = None
        """As the kernel writes it, once known."""
        self.codes: frozenset[int] = frozenset()
        """Return codes other than success of the last pass."""
        self._library = library
        self._lists = lists
        self._handle = handle
        self._host_memory = host_memory
        api = library.api
        query = library.query
        self._name = query("nvmlDeviceGetName", handle, every=ONCE)
        self._uuid = query("nvmlDeviceGetUUID", handle, every=ONCE)
        self._pci = query("nvmlDeviceGetPciInfo", handle, every=ONCE)
        self._memory_v2 = query("nvmlDeviceGetMemoryInfo", handle, api.nvmlMemory_v2)
        self._memory_v1 = query("nvmlDeviceGetMemoryInfo", handle)
        self._utilization = query("nvmlDeviceGetUtilizationRates", handle)
        self._temperature = query("nvmlDeviceGetTemperature", handle, api.NVML_TEMPERATURE_GPU)
        self._temperature_struct = query("nvmlDeviceGetTemperatureV", handle, api.NVML_TEMPERATURE_GPU)
        self._temperature_limit = query(
            "nvmlDeviceGetTemperatureThreshold", handle, api.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN, every=ONCE
        )
        self._power = query("nvmlDeviceGetPowerUsage", handle, every=DEAR_SECONDS)
        self._power_limit = query("nvmlDeviceGetEnforcedPowerLimit", handle, every=LIMIT_SECONDS)
        self._graphics_clock = query("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_GRAPHICS, every=DEAR_SECONDS)
        self._memory_clock = query("nvmlDeviceGetClockInfo", handle, api.NVML_CLOCK_MEM, every=DEAR_SECONDS)
        self._fan = query("nvmlDeviceGetFanSpeed", handle, every=DEAR_SECONDS)
        self._slices = SliceReaders(library, handle)
        self._list_codes = {COMPUTE: 0, GRAPHICS: 0}
        self._list_due_at = {COMPUTE: -math.inf, GRAPHICS: -math.inf}
        self._rows: tuple[tuple[Row, ...], tuple[Row, ...]] = ((), ())
        self._processes: tuple[CardProcess, ...] = ()

    def read(self, now: float) -> Card:
        """Look once. Never raises; a card that does not answer at all has `error` set."""
        self._library.refusals.clear()
        name = self._name.read(now)
        uuid = self._uuid.read(now)
        if self.bus_id is None:
            pci = self._pci.read(now)
            self.bus_id = None if pci is None else short_bus_id(_decoded(pci.busId))
        slices = self._slices.read(now)
        memory = self._read_memory(name or "", slices, now)
        processes, accounting, problems = self._read_processes(memory.total, now)
        utilization = self._utilization.read(now)
        power, limit, fan = self._power.read(now), self._power_limit.read(now), self._fan.read(now)
        temperature = self._read_temperature(now)
        card = Card(
            index=self.index,
            uuid=clean(uuid) if uuid else None,
            name=clean(name) if name else None,
            memory_total_bytes=memory.total,
            memory_used_bytes=memory.used,
            memory_free_bytes=memory.free,
            memory_reserved_bytes=memory.reserved,
            utilization_ratio=None if utilization is None or utilization.gpu > 100 else utilization.gpu / 100,
            temperature_celsius=temperature,
            temperature_limit_celsius=self._temperature_limit.read(now),
            power_draw_watts=None if power is None else power / 1000,
            power_limit_watts=None if limit is None else limit / 1000,
            graphics_clock_megahertz=self._graphics_clock.read(now),
            memory_clock_megahertz=self._memory_clock.read(now),
            fan_ratio=None if fan is None else fan / 100,
            pci_bus_id=self.bus_id,
            processes=processes,
            process_accounting=accounting,
            slices=slices,
            unified_memory=memory.unified,
            error=self._error(memory.total, utilization, temperature),
            problems=problems if memory.problem is None else (memory.problem, *problems),
        )
        self.codes = frozenset(self._library.refusals)
        return card

    def _error(self, *live: object) -> str | None:
        """Say why the card as a whole cannot be read, if so; `live` are the values asked for in every pass."""
        for code in CARD_GONE & self._library.refusals:
            return describe(code)
        if all(value is None for value in live) and all(self._list_codes.values()):
            return describe(self._utilization.code)
        return None

    def _read_temperature(self, now: float) -> float | None:
        value = self._temperature.read(now)
        if value is None and self._temperature.code in ABSENT:
            value = self._temperature_struct.read(now)
        return value if value is None else float(value)

    def _read_memory(self, name: str, slices: tuple[Slice, ...], now: float) -> _Memory:
        """Read with the second version, which tells the reserve apart; with the first where that fails."""
        info, reserved = self._memory_v2.read(now), None
        if info is not None:
            reserved = info.reserved
        elif GPU_IS_LOST not in self._library.refusals:
            info = self._memory_v1.read(now)
        if info is None:
            code = self._memory_v1.code or self._memory_v2.code
            if slices and code in {NO_PERMISSION, NOT_SUPPORTED}:
                return _memory_of_slices(slices)
            return self._unified() if code == NOT_SUPPORTED else _Memory(problem=memory_refused(code))
        if info.total == 0 or any(chip in name for chip in _UNIFIED_NAMES):
            return self._unified()
        if info.used > info.total or info.free > info.total:
            return _Memory(problem=memory_implausible())
        return _Memory(info.total, info.used, info.free, reserved)

    def _unified(self) -> _Memory:
        """Take the host's figures: the card shares them and NVML says NOT_SUPPORTED (GB10 with 580.173.02)."""
        total, available = self._host_memory()
        used = None if total is None or available is None else max(0, total - available)
        return _Memory(total, used, available, None, unified=True)

    def _read_processes(
        self, memory_total_bytes: int | None, now: float
    ) -> tuple[tuple[CardProcess, ...], ProcessAccounting, tuple[Problem, ...]]:
        compute = self._list(COMPUTE, memory_total_bytes, now)
        graphics = self._list(GRAPHICS, memory_total_bytes, now)
        if compute != self._rows[0] or graphics != self._rows[1]:
            self._rows = (compute, graphics)
            self._processes = merge(compute, graphics)
        processes = self._processes
        if self._list_codes[COMPUTE]:
            return processes, ProcessAccounting.NONE, (list_refused(self._list_codes[COMPUTE]),)
        if processes and all(process.memory_bytes is None for process in processes):
            return processes, ProcessAccounting.PIDS_ONLY, (memory_not_told(),)
        return processes, ProcessAccounting.FULL, ()

    def _list(self, kind: str, memory_total_bytes: int | None, now: float) -> tuple[Row, ...]:
        """List one kind of processes; in MIG mode slice by slice when the whole card is refused."""
        if now < self._list_due_at[kind]:
            return ()
        try:
            rows = self._lists.read(self._handle, kind, memory_total_bytes, now)
        except NvmlRefusal as refusal:
            if self._slices.readers:
                return self._list_slices(kind, memory_total_bytes, now)
            self._list_codes[kind] = refusal.code
            if refusal.code in ABSENT:
                self._list_due_at[kind] = now + _LIST_ABSENT_SECONDS
            return ()
        self._list_codes[kind] = 0
        return rows

    def _list_slices(self, kind: str, memory_total_bytes: int | None, now: float) -> tuple[Row, ...]:
        rows: list[Row] = []
        refused = 0
        for reader in self._slices.readers:
            try:
                listed = self._lists.read(reader.handle, kind, memory_total_bytes, now)
            except NvmlRefusal as refusal:
                refused = refusal.code
            else:
                index = reader.index
                rows.extend((pid, memory, index) for pid, memory, _ in listed)
        self._list_codes[kind] = refused
        return tuple(rows)


def _memory_of_slices(slices: tuple[Slice, ...]) -> _Memory:
    """Add up the slices: inside a slice's container the whole card is refused (NVIDIA MIG user guide)."""
    totals = [cut.memory_total_bytes for cut in slices if cut.memory_total_bytes is not None]
    used = [cut.memory_used_bytes for cut in slices if cut.memory_used_bytes is not None]
    free = [cut.memory_free_bytes for cut in slices if cut.memory_free_bytes is not None]
    complete = len(totals) == len(used) == len(free) == len(slices)
    return _Memory(sum(totals), sum(used), sum(free)) if complete else _Memory(sum(totals) or None)


def _decoded(text: bytes | str) -> str:
    return text if isinstance(text, str) else text.decode("ascii", "replace")
