"""The simulated driver's faults: codes, hangs, lost cards, structs that are not what they say."""

from __future__ import annotations

import threading

import pynvml
import pytest

from gpudesk.sim.cards import GIBIBYTE, SimulatedCard, SimulatedCards, SimulatedProcess, SimulatedSlice
from gpudesk.sim.nvml import SimulatedDriver
from gpudesk.sim.nvml_layouts import STRUCT_TRAPS

CODES = sorted(value for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_"))


def cards_with_two_processes(trap: str | None = None) -> SimulatedCards:
    card = SimulatedCard()
    card.processes = {4242: SimulatedProcess(4242, 9 * GIBIBYTE), 77: SimulatedProcess(77, GIBIBYTE)}
    return SimulatedCards(cards=[card], struct_trap=trap)


def listed(version: int) -> list[tuple[int, int | None]]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    function = getattr(pynvml, f"nvmlDeviceGetComputeRunningProcesses_v{version}")
    return [(process.pid, process.usedGpuMemory) for process in function(handle)]


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_arrives_with_its_class_and_words(code: int) -> None:
    cards = SimulatedCards()
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        cards.cards[0].errors["nvmlDeviceGetPowerUsage"] = code
        with pytest.raises(pynvml.nvmlExceptionClass(code)) as error:
            pynvml.nvmlDeviceGetPowerUsage(handle)
        assert error.value.value == code
        assert "Unknown" not in pynvml.nvmlErrorString(code) or code == pynvml.NVML_ERROR_UNKNOWN


def test_an_error_hits_one_card_or_all_of_them() -> None:
    cards = SimulatedCards(cards=[SimulatedCard(), SimulatedCard(index=1)])
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        first, second = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in (0, 1))
        cards.cards[0].errors["nvmlDeviceGetFanSpeed"] = 999
        with pytest.raises(pynvml.NVMLError_Unknown):
            pynvml.nvmlDeviceGetFanSpeed(first)
        assert pynvml.nvmlDeviceGetFanSpeed(second) == 30
        cards.errors["nvmlDeviceGetFanSpeed"] = 10
        for handle in (first, second):
            with pytest.raises(pynvml.NVMLError_Timeout):
                pynvml.nvmlDeviceGetFanSpeed(handle)
        cards.errors.clear()
        cards.cards[0].errors.clear()
        assert pynvml.nvmlDeviceGetFanSpeed(first) == 30


def test_an_error_without_version_hits_every_version_and_an_exact_one_only_its_own() -> None:
    cards = SimulatedCards()
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        cards.cards[0].errors["nvmlDeviceGetMemoryInfo_v2"] = 3
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
        pynvml.nvmlDeviceGetMemoryInfo(handle)
        cards.cards[0].errors["nvmlDeviceGetMemoryInfo"] = 4
        with pytest.raises(pynvml.NVMLError_NoPermission):
            pynvml.nvmlDeviceGetMemoryInfo(handle)


def test_errors_of_init_and_of_a_slice() -> None:
    cards = SimulatedCards()
    card = cards.cards[0]
    card.slices = [SimulatedSlice(1, "MIG-a", "slice", GIBIBYTE, 0, errors={"*": 4})]
    with SimulatedDriver(cards):
        cards.errors["nvmlInitWithFlags"] = 18
        with pytest.raises(pynvml.NVMLError_LibRmVersionMismatch):
            pynvml.nvmlInit()
        cards.errors.clear()
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        cut = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, 0)
        with pytest.raises(pynvml.NVMLError_NoPermission):
            pynvml.nvmlDeviceGetMemoryInfo(cut)
        pynvml.nvmlDeviceGetMemoryInfo(handle)


def test_a_lost_card_stays_lost_until_nvml_is_initialized_anew() -> None:
    cards = SimulatedCards(cards=[SimulatedCard(), SimulatedCard(index=1)])
    lost = cards.cards[0]
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        first, second = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in (0, 1))
        lost.errors["*"] = 15
        for call in (pynvml.nvmlDeviceGetName, pynvml.nvmlDeviceGetMemoryInfo):
            with pytest.raises(pynvml.NVMLError_GpuIsLost):
                call(first)
        lost.errors.clear()
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetName(first)
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetHandleByIndex(0)
        assert pynvml.nvmlDeviceGetName(second)
        pynvml.nvmlShutdown()
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))


def test_a_card_taken_out_is_lost() -> None:
    cards = SimulatedCards(cards=[SimulatedCard(), SimulatedCard(index=1)])
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(1)
        with cards.lock:
            del cards.cards[1]
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlDeviceGetName(handle)
        assert pynvml.nvmlDeviceGetCount() == 1


def test_a_reloaded_driver_voids_every_use() -> None:
    with SimulatedDriver(SimulatedCards()) as driver:
        pynvml.nvmlInit()
        driver.reload()
        with pytest.raises(pynvml.NVMLError_Uninitialized):
            pynvml.nvmlDeviceGetCount()


def test_a_hang_blocks_its_caller_alone_until_it_is_released() -> None:
    cards = SimulatedCards(cards=[SimulatedCard(), SimulatedCard(index=1)])
    with SimulatedDriver(cards) as driver:
        pynvml.nvmlInit()
        first, second = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in (0, 1))
        cards.cards[0].hang_seconds["nvmlDeviceGetMemoryInfo"] = 60.0
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(pynvml.nvmlDeviceGetMemoryInfo(first, pynvml.nvmlMemory_v2).total),
            daemon=True,
        )
        thread.start()
        assert pynvml.nvmlDeviceGetMemoryInfo(second).total, "the other card answers meanwhile"
        assert pynvml.nvmlDeviceGetName(first), "and other functions of the same card too"
        while not driver.hanging:
            thread.join(0.001)
        with cards.lock:
            cards.cards[0].hang_seconds.clear()
        thread.join(0.05)
        assert thread.is_alive()
        assert answers == []
        driver.release()
        thread.join(20)
        assert answers == [cards.cards[0].memory_total_bytes]


def test_a_hang_ends_by_itself_after_its_seconds() -> None:
    cards = SimulatedCards()
    with SimulatedDriver(cards):
        pynvml.nvmlInit()
        cards.hang_seconds["nvmlDeviceGetCount"] = 0.01
        assert pynvml.nvmlDeviceGetCount() == 1


def test_uninstalling_ends_hangs() -> None:
    cards = SimulatedCards(hang_seconds={"nvmlInitWithFlags": 60.0})
    driver = SimulatedDriver(cards)
    with driver:
        thread = threading.Thread(target=pynvml.nvmlInit, daemon=True)
        thread.start()
        while not driver.hanging:
            thread.join(0.001)
    thread.join(20)
    assert not thread.is_alive()


RIGHT = [(4242, 9 * GIBIBYTE), (77, GIBIBYTE)]


def test_longer_structs_shift_everything_after_the_first_process() -> None:
    with SimulatedDriver(cards_with_two_processes("v3-longer")):
        pynvml.nvmlInit()
        assert listed(3)[0] == RIGHT[0]
        assert listed(3)[1] != RIGHT[1]
        assert listed(2) == RIGHT


def test_structs_of_the_first_version_from_the_third_function_turn_memory_into_pids() -> None:
    with SimulatedDriver(cards_with_two_processes("v3-as-v1")):
        pynvml.nvmlInit()
        assert listed(3) == [(4242, 9 * GIBIBYTE), (GIBIBYTE, 0)]
        assert listed(2) == RIGHT


def test_shifted_structs_swap_pid_and_memory() -> None:
    with SimulatedDriver(cards_with_two_processes("v3-shifted")):
        pynvml.nvmlInit()
        assert listed(3) == [((9 * GIBIBYTE) & 0xFFFFFFFF, 4242), (GIBIBYTE, 77)]
        assert listed(2) == RIGHT


def test_a_driver_whose_first_version_alone_is_right() -> None:
    with SimulatedDriver(cards_with_two_processes("only-v1-right")):
        pynvml.nvmlInit()
        assert listed(3) != RIGHT
        assert listed(2) != RIGHT
    assert set(STRUCT_TRAPS) == {"v3-longer", "v3-as-v1", "v3-shifted", "only-v1-right"}
