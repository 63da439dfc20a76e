"""What the simulated NVML functions do that list things: the processes on a card, the MIG slices of a card."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpudesk.sim.cards import MEBIBYTE, SimulatedCard, SimulatedSlice
from gpudesk.sim.nvml_exports import (
    INSUFFICIENT_SIZE,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    POINTER,
    SUCCESS,
    UINT,
    Handler,
    Target,
    exported,
    write_optional_uint,
    write_uint,
)
from gpudesk.sim.nvml_layouts import NO_INSTANCE, NOT_AVAILABLE, Row, pack

if TYPE_CHECKING:
    from gpudesk.sim.nvml import SimulatedDriver

_MAX_SLICES = 7


# Processes


def _list_processes(version: int, *, compute: bool) -> Handler:
    def handler(driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, count: int, rows: int | None) -> int:
        card = driver.card_of(target)
        listed: list[Row] = [
            (
                process.pid,
                process.memory_bytes if card.process_memory_available else NOT_AVAILABLE,
                NO_INSTANCE if process.slice_index is None else process.slice_index,
                NO_INSTANCE if process.slice_index is None else 0,
            )
            for process in card.processes.values()
            if (process.compute if compute else process.graphics)
            and (isinstance(target, SimulatedCard) or process.slice_index == target.index)
        ]
        room = UINT.from_address(count)
        if room.value < len(listed) or (listed and rows is None):
            room.value = len(listed)
            return INSUFFICIENT_SIZE
        room.value = len(listed)
        if listed and rows is not None:
            data = pack(listed, version, driver.cards.struct_trap)
            ctypes.memmove(rows, data, len(data))
        return SUCCESS

    return handler


for _suffix, _version in (("", 1), ("_v2", 2), ("_v3", 3)):
    exported(f"nvmlDeviceGetComputeRunningProcesses{_suffix}", types=(POINTER, POINTER))(
        _list_processes(_version, compute=True)
    )
    exported(f"nvmlDeviceGetGraphicsRunningProcesses{_suffix}", types=(POINTER, POINTER))(
        _list_processes(_version, compute=False)
    )


# MIG


@exported("nvmlDeviceGetMigMode", types=(POINTER, POINTER))
def _mig_mode(_driver: SimulatedDriver, target: Target, current: int, pending: int) -> int:
    if not isinstance(target, SimulatedCard) or not (target.mig_capable or target.slices):
        return NOT_SUPPORTED
    write_uint(current, int(bool(target.slices)))
    return write_uint(pending, int(bool(target.slices)))


@exported("nvmlDeviceGetMaxMigDeviceCount", types=(POINTER,))
def _max_slices(_driver: SimulatedDriver, target: Target, address: int) -> int:
    if not isinstance(target, SimulatedCard):
        return INVALID_ARGUMENT
    return write_uint(address, _MAX_SLICES if target.mig_capable or target.slices else 0)


@exported("nvmlDeviceGetMigDeviceHandleByIndex", types=(UINT, POINTER))
def _slice_handle(driver: SimulatedDriver, target: Target, index: int, address: int) -> int:
    if not isinstance(target, SimulatedCard) or index >= _MAX_SLICES:
        return INVALID_ARGUMENT
    if index >= len(target.slices):
        return NOT_FOUND
    POINTER.from_address(address).value = driver.handle_of(target.slices[index])
    return SUCCESS


@exported("nvmlDeviceIsMigDeviceHandle", types=(POINTER,))
def _is_slice(_driver: SimulatedDriver, target: Target, address: int) -> int:
    return write_uint(address, int(isinstance(target, SimulatedSlice)))


@exported("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", types=(POINTER,))
def _card_of_slice(driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, address: int) -> int:
    POINTER.from_address(address).value = driver.handle_of(driver.card_of(target))
    return SUCCESS


@exported("nvmlDeviceGetGpuInstanceId", types=(POINTER,))
def _gpu_instance(_driver: SimulatedDriver, target: Target, address: int) -> int:
    return write_optional_uint(address, target.index if isinstance(target, SimulatedSlice) else None)


@exported("nvmlDeviceGetComputeInstanceId", types=(POINTER,))
def _compute_instance(_driver: SimulatedDriver, target: Target, address: int) -> int:
    return write_optional_uint(address, 0 if isinstance(target, SimulatedSlice) else None)


@exported("nvmlDeviceGetAttributes_v2", "nvmlDeviceGetAttributes", types=(POINTER,))
def _attributes(_driver: SimulatedDriver, target: Target, address: int) -> int:
    import pynvml

    if not isinstance(target, SimulatedSlice):
        return NOT_SUPPORTED
    attributes = pynvml.c_nvmlDeviceAttributes.from_address(address)
    attributes.multiprocessorCount = 14
    attributes.gpuInstanceSliceCount = 1
    attributes.computeInstanceSliceCount = 1
    attributes.memorySizeMB = target.memory_total_bytes // MEBIBYTE
    return SUCCESS
