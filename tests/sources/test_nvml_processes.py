"""Joining the two process lists, and reading bytes that may lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.card import CardProcess, ProcessAccounting
from gpudesk.sim.cards import GIBIBYTE, SimulatedProcess
from gpudesk.sources.nvml_processes import Row, merge, pid_exists
from tests.sources.nvml_rig import busy_card, rig

rows = st.lists(st.tuples(st.integers(0, 6), st.none() | st.integers(1, 9), st.none() | st.integers(1, 2)), max_size=12)


def test_a_pid_in_both_lists_counts_once_with_the_larger_figure() -> None:
    assert merge([(7, 100, None)], [(7, 300, None)]) == (CardProcess(7, 300, compute=True, graphics=True),)
    assert merge([(7, 300, None)], [(7, 100, None)]) == (CardProcess(7, 300, compute=True, graphics=True),)


@pytest.mark.parametrize(("compute", "graphics"), [(None, 5), (5, None)])
def test_a_known_figure_beats_an_unknown_one(compute: int | None, graphics: int | None) -> None:
    assert merge([(7, compute, None)], [(7, graphics, None)])[0].memory_bytes == 5


def test_duplicates_within_one_list_are_one_process() -> None:
    assert merge([(7, 100, None), (7, 300, None), (7, 200, None)], []) == (CardProcess(7, 300),)


@pytest.mark.slow
@given(rows, rows)
def test_every_process_appears_once_and_none_is_invented(compute: list[Row], graphics: list[Row]) -> None:
    merged = merge(compute, graphics)
    keys = [(process.pid, process.slice_index) for process in merged]
    assert len(keys) == len(set(keys))
    assert set(keys) == {(pid, cut) for pid, _, cut in [*compute, *graphics] if pid}
    for process in merged:
        key = (process.pid, process.slice_index)
        told = [memory for pid, memory, cut in [*compute, *graphics] if (pid, cut) == key and memory is not None]
        assert process.memory_bytes == max(told, default=None)
        assert process.compute == any((pid, cut) == key for pid, _, cut in compute)
        assert process.graphics == any((pid, cut) == key for pid, _, cut in graphics)


def test_pids_of_this_computer_are_known() -> None:
    import os

    assert pid_exists(os.getpid())
    assert not pid_exists(2**31 - 7)


def test_a_known_pid_is_not_looked_up_again() -> None:
    looked_up: list[int] = []

    def exists(pid: int) -> bool:
        looked_up.append(pid)
        return True

    with rig(process_exists=exists) as desk:
        for _ in range(20):
            desk.read(1)
        assert sorted(looked_up) == [990, 4242, 4343]
        desk.cards.cards[0].processes[8] = SimulatedProcess(8, GIBIBYTE)
        desk.read(1)
        assert sorted(looked_up) == [8, 990, 4242, 4343]


def test_garbage_that_nothing_explains_is_not_looked_into_in_every_pass() -> None:
    """Pids that change all the time and exist nowhere: comparing is given longer and longer pauses."""
    with rig(busy_card(), process_exists=lambda _pid: False) as desk:
        desk.read()
        calls = 0
        for pid in range(10_000, 10_300):
            desk.cards.cards[0].processes = {pid: SimulatedProcess(pid, GIBIBYTE)}
            calls += desk.read(1).calls
        in_vain = calls - round(300 * 5.8) - 15
        assert in_vain < 40


def test_a_driver_that_claims_more_processes_than_it_had_room_for_is_not_believed() -> None:
    """Otherwise memory beyond the buffer would be read."""
    import ctypes

    import pynvml

    with rig() as desk:
        desk.read()

        def claim(_handle: int, count: int, _rows: int) -> int:
            ctypes.c_uint.from_address(count).value = 1 << 30
            return 0

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        function = kind(claim)
        pynvml._nvmlGetFunctionPointer_cache["nvmlDeviceGetComputeRunningProcesses_v3"] = function
        card = desk.card(1)
        assert {process.pid for process in card.processes} == {4343, 990}, "the graphics list alone"
        assert card.process_accounting is ProcessAccounting.NONE
        assert card.error is None


def test_a_list_that_never_fits_is_given_up() -> None:
    import ctypes

    import pynvml

    with rig() as desk:
        desk.read()

        def never(_handle: int, count: int, _rows: int) -> int:
            ctypes.c_uint.from_address(count).value *= 3
            return 7

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        function = kind(never)
        pynvml._nvmlGetFunctionPointer_cache["nvmlDeviceGetComputeRunningProcesses_v3"] = function
        card = desk.card(1)
        assert card.error is None
        assert "kept growing" in card.problems[0].message
