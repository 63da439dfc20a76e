"""What each simulated NVML function does once nothing stands in its way: the system, the cards, their figures.

Addresses are where the C caller wants its result.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpudesk.sim.cards import SimulatedCard, SimulatedSlice
from gpudesk.sim.nvml_exports import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    POINTER,
    SUCCESS,
    UINT,
    Target,
    exported,
    write_optional_uint,
    write_text,
    write_uint,
)

if TYPE_CHECKING:
    from gpudesk.sim.nvml import SimulatedDriver

_MEMORY_V2 = 0x02000028
_TEMPERATURE_V1 = 0x0100000C


# Without a card


@exported("nvmlInitWithFlags", types=(UINT,), takes_handle=False, needs_init=False)
def _init_with_flags(driver: SimulatedDriver, _flags: int) -> int:
    driver.initialize()
    return SUCCESS


@exported("nvmlInit_v2", "nvmlInit", takes_handle=False, needs_init=False)
def _init(driver: SimulatedDriver) -> int:
    driver.initialize()
    return SUCCESS


@exported("nvmlShutdown", takes_handle=False)
def _shutdown(driver: SimulatedDriver) -> int:
    driver.shut_down()
    return SUCCESS


@exported("nvmlSystemGetDriverVersion", types=(POINTER, UINT), takes_handle=False)
def _driver_version(driver: SimulatedDriver, address: int, length: int) -> int:
    return write_text(address, length, driver.cards.driver_version)


@exported("nvmlSystemGetNVMLVersion", types=(POINTER, UINT), takes_handle=False, needs_init=False)
def _nvml_version(driver: SimulatedDriver, address: int, length: int) -> int:
    return write_text(address, length, driver.cards.nvml_version)


@exported(
    "nvmlSystemGetCudaDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
    types=(POINTER,),
    takes_handle=False,
    needs_init=False,
)
def _cuda_version(driver: SimulatedDriver, address: int) -> int:
    return write_uint(address, driver.cards.cuda_version)


@exported("nvmlSystemGetProcessName", types=(UINT, POINTER, UINT), takes_handle=False)
def _process_name(driver: SimulatedDriver, pid: int, address: int, length: int) -> int:
    for card in driver.cards.cards:
        process = card.processes.get(pid)
        if process is not None:
            return write_text(address, length, process.name)
    return NOT_FOUND


@exported("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount", types=(POINTER,), takes_handle=False)
def _count(driver: SimulatedDriver, address: int) -> int:
    return write_uint(address, len(driver.cards.cards))


def _write_handle(driver: SimulatedDriver, address: int, card: SimulatedCard | None) -> int:
    if card is None:
        return NOT_FOUND
    refused = driver.refusal_of_handle(card)
    if refused:
        return refused
    POINTER.from_address(address).value = driver.handle_of(card)
    return SUCCESS


@exported("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex", types=(UINT, POINTER), takes_handle=False)
def _handle_by_index(driver: SimulatedDriver, index: int, address: int) -> int:
    if index >= len(driver.cards.cards):
        return INVALID_ARGUMENT
    return _write_handle(driver, address, driver.cards.cards[index])


@exported("nvmlDeviceGetHandleByUUID", types=(POINTER, POINTER), takes_handle=False)
def _handle_by_uuid(driver: SimulatedDriver, text: int, address: int) -> int:
    uuid = ctypes.string_at(text).decode()
    return _write_handle(driver, address, next((c for c in driver.cards.cards if c.uuid == uuid), None))


@exported(
    "nvmlDeviceGetHandleByPciBusId_v2",
    "nvmlDeviceGetHandleByPciBusId",
    types=(POINTER, POINTER),
    takes_handle=False,
)
def _handle_by_pci(driver: SimulatedDriver, text: int, address: int) -> int:
    wanted = _short_bus_id(ctypes.string_at(text).decode())
    return _write_handle(
        driver, address, next((c for c in driver.cards.cards if _short_bus_id(c.pci_bus_id) == wanted), None)
    )


def _short_bus_id(bus_id: str) -> str:
    """Four-digit domain, lower case: what the kernel and NVML write differently made equal."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


# What a card is


@exported("nvmlDeviceGetIndex", types=(POINTER,))
def _index(driver: SimulatedDriver, target: Target, address: int) -> int:
    for position, card in enumerate(driver.cards.cards):
        if card is target:
            return write_uint(address, position)
    return NOT_FOUND


@exported("nvmlDeviceGetName", types=(POINTER, UINT))
def _name(_driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, address: int, length: int) -> int:
    return write_text(address, length, target.name)


@exported("nvmlDeviceGetUUID", types=(POINTER, UINT))
def _uuid(_driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, address: int, length: int) -> int:
    return write_text(address, length, target.uuid)


@exported("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", types=(POINTER,))
def _pci_info(_driver: SimulatedDriver, target: Target, address: int) -> int:
    import pynvml

    if not isinstance(target, SimulatedCard):
        return INVALID_ARGUMENT
    domain, bus, rest = target.pci_bus_id.split(":")
    info = pynvml.nvmlPciInfo_t.from_address(address)
    info.busIdLegacy = f"{domain[-4:]}:{bus}:{rest}".encode()
    info.busId = target.pci_bus_id.encode()
    info.domain, info.bus, info.device = int(domain, 16), int(bus, 16), int(rest.split(".")[0], 16)
    info.pciDeviceId = 0x268410DE
    return SUCCESS


# Figures


@exported("nvmlDeviceGetMemoryInfo", types=(POINTER,))
def _memory(_driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, address: int) -> int:
    import pynvml

    memory = pynvml.c_nvmlMemory_t.from_address(address)
    if isinstance(target, SimulatedSlice):
        memory.total, memory.used = target.memory_total_bytes, target.memory_used_bytes
        memory.free = target.memory_total_bytes - target.memory_used_bytes
        return SUCCESS
    if target.unified_memory:
        return NOT_SUPPORTED
    memory.total, memory.free = target.memory_total_bytes, target.memory_free_bytes
    memory.used = target.memory_used_bytes + target.memory_reserved_bytes
    return SUCCESS


@exported("nvmlDeviceGetMemoryInfo_v2", types=(POINTER,))
def _memory_v2(_driver: SimulatedDriver, target: SimulatedCard | SimulatedSlice, address: int) -> int:
    import pynvml

    memory = pynvml.c_nvmlMemory_v2_t.from_address(address)
    if memory.version != _MEMORY_V2:
        return ARGUMENT_VERSION_MISMATCH
    memory.reserved = 0
    if isinstance(target, SimulatedSlice):
        memory.total, memory.used = target.memory_total_bytes, target.memory_used_bytes
        memory.free = target.memory_total_bytes - target.memory_used_bytes
        return SUCCESS
    if target.unified_memory:
        return NOT_SUPPORTED
    memory.total, memory.free = target.memory_total_bytes, target.memory_free_bytes
    memory.used, memory.reserved = target.memory_used_bytes, target.memory_reserved_bytes
    return SUCCESS


@exported("nvmlDeviceGetUtilizationRates", types=(POINTER,))
def _utilization(_driver: SimulatedDriver, target: Target, address: int) -> int:
    import pynvml

    if not isinstance(target, SimulatedCard) or target.slices:
        return NOT_SUPPORTED  # a card in MIG mode tells none, nor does a slice (NVIDIA MIG user guide)
    rates = pynvml.c_nvmlUtilization_t.from_address(address)
    rates.gpu = target.utilization_percent
    rates.memory = target.utilization_percent // 2
    return SUCCESS


@exported("nvmlDeviceGetTemperature", types=(UINT, POINTER))
def _temperature(_driver: SimulatedDriver, target: Target, sensor: int, address: int) -> int:
    if sensor != 0 or not isinstance(target, SimulatedCard):
        return INVALID_ARGUMENT
    return write_uint(address, target.temperature_celsius)


@exported("nvmlDeviceGetTemperatureV", types=(POINTER,))
def _temperature_struct(_driver: SimulatedDriver, target: Target, address: int) -> int:
    import pynvml

    temperature = pynvml.c_nvmlTemperature_v1_t.from_address(address)
    if temperature.version != _TEMPERATURE_V1:
        return ARGUMENT_VERSION_MISMATCH
    if temperature.sensorType != 0 or not isinstance(target, SimulatedCard):
        return INVALID_ARGUMENT
    temperature.temperature = target.temperature_celsius
    return SUCCESS


@exported("nvmlDeviceGetTemperatureThreshold", types=(UINT, POINTER))
def _temperature_threshold(_driver: SimulatedDriver, target: Target, kind: int, address: int) -> int:
    if not isinstance(target, SimulatedCard):
        return INVALID_ARGUMENT
    beyond_slowdown = {0: 5, 1: 0, 3: -2}.get(kind)  # shutdown, slowdown, highest in operation
    return write_optional_uint(
        address, None if beyond_slowdown is None else target.temperature_limit_celsius + beyond_slowdown
    )


@exported("nvmlDeviceGetPowerUsage", types=(POINTER,))
def _power_draw(_driver: SimulatedDriver, target: Target, address: int) -> int:
    if not isinstance(target, SimulatedCard):
        return NOT_SUPPORTED
    return write_uint(address, target.power_draw_milliwatts)


@exported("nvmlDeviceGetEnforcedPowerLimit", types=(POINTER,))
def _power_limit(_driver: SimulatedDriver, target: Target, address: int) -> int:
    if not isinstance(target, SimulatedCard):
        return NOT_SUPPORTED
    return write_uint(address, target.power_limit_milliwatts)


@exported("nvmlDeviceGetClockInfo", types=(UINT, POINTER))
def _clock(_driver: SimulatedDriver, target: Target, kind: int, address: int) -> int:
    if not isinstance(target, SimulatedCard):
        return NOT_SUPPORTED
    clocks = {0: target.graphics_clock_megahertz, 1: target.graphics_clock_megahertz, 2: target.memory_clock_megahertz}
    return write_uint(address, clocks[kind]) if kind in clocks else INVALID_ARGUMENT


@exported("nvmlDeviceGetFanSpeed", types=(POINTER,))
def _fan(_driver: SimulatedDriver, target: Target, address: int) -> int:
    return write_optional_uint(address, target.fan_percent if isinstance(target, SimulatedCard) else None)
