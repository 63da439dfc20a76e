"""The simulated driver seen through pynvml, as any program sees a real one."""

from __future__ import annotations

import threading

import pynvml
import pytest

from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE, SimulatedCard, SimulatedCards, SimulatedProcess, SimulatedSlice
from gpudesk.sim.nvml import SimulatedDriver


def two_cards() -> SimulatedCards:
    first = SimulatedCard(utilization_percent=55)
    first.processes[4242] = SimulatedProcess(4242, 9 * GIBIBYTE, name="/usr/bin/ollama")
    first.processes[990] = SimulatedProcess(990, 300 * MEBIBYTE, compute=False, graphics=True)
    second = SimulatedCard(index=1, name="NVIDIA A100", uuid="GPU-2", pci_bus_id="00000000:41:00.0", fan_percent=None)
    return SimulatedCards(cards=[first, second])


def test_what_a_card_is() -> None:
    with SimulatedDriver(two_cards()):
        pynvml.nvmlInit()
        assert pynvml.nvmlSystemGetDriverVersion() == "580.95.05"
        assert pynvml.nvmlSystemGetNVMLVersion() == "13.580.95.05"
        assert pynvml.nvmlSystemGetCudaDriverVersion() == 13000
        assert pynvml.nvmlSystemGetCudaDriverVersion_v2() == 13000
        assert pynvml.nvmlDeviceGetCount() == 2
        handle = pynvml.nvmlDeviceGetHandleByIndex(1)
        assert pynvml.nvmlDeviceGetName(handle) == "NVIDIA A100"
        assert pynvml.nvmlDeviceGetUUID(handle) == "GPU-2"
        assert pynvml.nvmlDeviceGetIndex(handle) == 1
        pci = pynvml.nvmlDeviceGetPciInfo(handle)
        assert (pci.busId, pci.busIdLegacy, pci.bus) == ("00000000:41:00.0", "0000:41:00.0", 0x41)
        for found in (
            pynvml.nvmlDeviceGetHandleByUUID("GPU-2"),
            pynvml.nvmlDeviceGetHandleByPciBusId("0000:41:00.0"),
            pynvml.nvmlDeviceGetHandleByPciBusId("00000000:41:00.0"),
        ):
            assert pynvml.nvmlDeviceGetIndex(found) == 1
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetHandleByUUID("GPU-nobody")
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            pynvml.nvmlDeviceGetHandleByIndex(2)


def test_figures_in_both_versions_of_the_memory_struct() -> None:
    cards = two_cards()
    card = cards.cards[0]
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        first = pynvml.nvmlDeviceGetMemoryInfo(handle)
        second = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
        assert first.total == second.total == card.memory_total_bytes
        assert first.used == second.used + second.reserved, "the first version counts the reserve as used"
        assert second.used + second.reserved + second.free == second.total
        with pytest.raises(pynvml.NVMLError_ArgumentVersionMismatch):
            pynvml.nvmlDeviceGetMemoryInfo(handle, 0x03000028)
        assert pynvml.nvmlDeviceGetUtilizationRates(handle).gpu == 55
        assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) == 41
        assert pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU) == 41
        assert pynvml.nvmlDeviceGetTemperatureThreshold(handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN) == 83
        assert pynvml.nvmlDeviceGetPowerUsage(handle) == 24_000
        assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) == 450_000
        assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_GRAPHICS) == 210
        assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM) == 405
        assert pynvml.nvmlDeviceGetFanSpeed(handle) == 30
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetFanSpeed(pynvml.nvmlDeviceGetHandleByIndex(1))


@pytest.mark.parametrize("suffix", ["", "_v2", "_v3"])
def test_process_lists(suffix: str) -> None:
    with SimulatedDriver(two_cards()) as driver:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        compute = getattr(pynvml, f"nvmlDeviceGetComputeRunningProcesses{suffix}")(handle)
        graphics = getattr(pynvml, f"nvmlDeviceGetGraphicsRunningProcesses{suffix}")(handle)
        assert [(p.pid, p.usedGpuMemory) for p in compute] == [(4242, 9 * GIBIBYTE)]
        assert [(p.pid, p.usedGpuMemory) for p in graphics] == [(990, 300 * MEBIBYTE)]
        assert compute[0].gpuInstanceId == 0xFFFFFFFF
        assert pynvml.nvmlSystemGetProcessName(4242) == "/usr/bin/ollama"
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlSystemGetProcessName(1)
        exported = f"nvmlDeviceGetComputeRunningProcesses{suffix or '_v3'}"
        assert driver.call_counts[exported] == 2, "pynvml asks for the length first and got Insufficient Size"


def test_an_empty_process_list_needs_one_call() -> None:
    with SimulatedDriver(two_cards()) as driver:
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(1)) == []
        assert driver.call_counts["nvmlDeviceGetComputeRunningProcesses_v3"] == 1


def test_memory_that_is_not_available_is_none_in_pynvml() -> None:
    cards = two_cards()
    cards.cards[0].process_memory_available = False
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        (process,) = pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByIndex(0))
        assert (process.pid, process.usedGpuMemory) == (4242, None)


def test_slices() -> None:
    cards = two_cards()
    card = cards.cards[0]
    card.slices = [
        SimulatedSlice(7, "MIG-a", "NVIDIA A100 MIG 1g.5gb", 5 * GIBIBYTE, GIBIBYTE),
        SimulatedSlice(9, "MIG-b", "NVIDIA A100 MIG 2g.10gb", 10 * GIBIBYTE, 0),
    ]
    card.processes[4242].slice_index = 9
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        assert pynvml.nvmlDeviceGetMigMode(handle) == [1, 1]
        assert pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) == 7
        first, second = (pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index) for index in (0, 1))
        with pytest.raises(pynvml.NVMLError_NotFound):
            pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 2)
        assert pynvml.nvmlDeviceGetName(second).endswith("MIG 2g.10gb")
        assert pynvml.nvmlDeviceGetUUID(first) == "MIG-a"
        assert pynvml.nvmlDeviceGetGpuInstanceId(second) == 9
        assert pynvml.nvmlDeviceGetComputeInstanceId(second) == 0
        assert pynvml.nvmlDeviceGetAttributes(second).memorySizeMB == 10240
        memory = pynvml.nvmlDeviceGetMemoryInfo(first)
        assert (memory.total, memory.used, memory.free) == (5 * GIBIBYTE, GIBIBYTE, 4 * GIBIBYTE)
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(first) == []
        (process,) = pynvml.nvmlDeviceGetComputeRunningProcesses(second)
        assert (process.pid, process.gpuInstanceId, process.computeInstanceId) == (4242, 9, 0)
        assert pynvml.nvmlDeviceGetComputeRunningProcesses(handle)[0].gpuInstanceId == 9
        parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(second)
        assert pynvml.nvmlDeviceGetIndex(parent) == 0
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetUtilizationRates(handle)
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetMigMode(pynvml.nvmlDeviceGetHandleByIndex(1))


def test_every_function_pynvml_knows_can_be_asked_for() -> None:
    """What is not simulated says Not Supported; nothing is missing unless the state says so."""
    import inspect
    import re

    names = set(re.findall(r'_nvmlGetFunctionPointer\("(nvml\w+)"\)', inspect.getsource(pynvml)))
    assert len(names) > 350
    with SimulatedDriver(SimulatedCards()):
        pynvml.nvmlInit()
        for name in names:
            assert callable(pynvml._nvmlGetFunctionPointer(name)), name
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        for call in (
            pynvml.nvmlDeviceGetEccMode,
            pynvml.nvmlDeviceGetPcieThroughput,
            pynvml.nvmlDeviceGetBAR1MemoryInfo,
        ):
            with pytest.raises(pynvml.NVMLError_NotSupported):
                call(*((handle, 0) if call is pynvml.nvmlDeviceGetPcieThroughput else (handle,)))


def test_a_missing_function_is_function_not_found() -> None:
    cards = SimulatedCards(missing_functions={"nvmlDeviceGetComputeRunningProcesses_v3"})
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        with pytest.raises(pynvml.NVMLError_FunctionNotFound):
            pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle)
        assert pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle) == []


def test_a_missing_library_is_library_not_found() -> None:
    with SimulatedDriver(SimulatedCards(library_present=False)), pytest.raises(pynvml.NVMLError_LibraryNotFound):
        pynvml.nvmlInit()


def test_uninstalling_gives_back_exactly_what_was_there() -> None:
    def state() -> tuple[object, ...]:
        return (
            pynvml.nvmlLib,
            dict(pynvml._nvmlGetFunctionPointer_cache),
            pynvml._nvmlLib_refcount,
            pynvml.CDLL,
        )

    before = state()
    with SimulatedDriver(two_cards()):
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 2
        with SimulatedDriver(SimulatedCards()):
            pynvml.nvmlInit()
            assert pynvml.nvmlDeviceGetCount() == 1
        assert pynvml.nvmlDeviceGetCount() == 2, "the outer driver and its init are back"
    assert state() == before


def test_installing_twice_is_refused() -> None:
    with SimulatedDriver(SimulatedCards()) as driver, pytest.raises(RuntimeError, match="already installed"):
        driver.install()


def test_nothing_works_before_init_and_after_shutdown() -> None:
    with SimulatedDriver(two_cards()) as driver:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlShutdown()
        assert not driver.initialized
        for call in (pynvml.nvmlDeviceGetCount, pynvml.nvmlSystemGetDriverVersion, pynvml.nvmlShutdown):
            with pytest.raises(pynvml.NVMLError_Uninitialized):
                call()
        assert pynvml.nvmlSystemGetNVMLVersion() == "13.580.95.05", "needs no init (nvml.h)"
        pynvml.nvmlInit()
        with pytest.raises(pynvml.NVMLError_InvalidArgument):
            pynvml.nvmlDeviceGetName(handle)


def test_init_is_counted_as_in_nvml() -> None:
    with SimulatedDriver(two_cards()) as driver:
        pynvml.nvmlInit()
        pynvml.nvmlInit()
        pynvml.nvmlShutdown()
        assert driver.initialized
        assert pynvml.nvmlDeviceGetCount() == 2
        pynvml.nvmlShutdown()
        assert not driver.initialized


def test_threads_share_one_driver() -> None:
    cards = two_cards()
    wrong: list[object] = []

    def ask() -> None:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            for _ in range(50):
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
                if memory.used + memory.free + memory.reserved != memory.total:
                    wrong.append(memory)
        except Exception as error:
            wrong.append(error)

    with SimulatedDriver(cards) as driver:
        pynvml.nvmlInit()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for size in range(60):
            with cards.lock:
                cards.cards[0].processes[4242].memory_bytes = size * 100 * MEBIBYTE
        for thread in threads:
            thread.join(20)
        assert wrong == []
        assert driver.call_counts["nvmlDeviceGetMemoryInfo_v2"] == 200
