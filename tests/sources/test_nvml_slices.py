"""MIG slices: read only, found and lost while running."""

from __future__ import annotations

from gpudesk.domain.card import ProcessAccounting, Slice
from gpudesk.sim.cards import GIBIBYTE, SimulatedCard, SimulatedProcess, SimulatedSlice
from tests.sources.nvml_rig import rig


def cut_card() -> SimulatedCard:
    card = SimulatedCard(name="NVIDIA A100-SXM4-40GB", memory_total_bytes=40 * GIBIBYTE, mig_capable=True)
    card.slices = [
        SimulatedSlice(2, "MIG-aa", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * GIBIBYTE, 9 * GIBIBYTE),
        SimulatedSlice(9, "MIG-bb", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5 * GIBIBYTE, 0),
    ]
    card.processes = {4242: SimulatedProcess(4242, 9 * GIBIBYTE, slice_index=2)}
    return card


def test_slices_with_their_figures() -> None:
    with rig(cut_card()) as desk:
        card = desk.card()
        assert card.slices == (
            Slice(2, "MIG-aa", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * GIBIBYTE, 9 * GIBIBYTE, 11 * GIBIBYTE),
            Slice(9, "MIG-bb", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5 * GIBIBYTE, 0, 5 * GIBIBYTE),
        )
        assert card.memory_total_bytes == 40 * GIBIBYTE
        assert card.utilization_ratio is None, "not supported in MIG mode, and not 0 %"
        assert [(p.pid, p.slice_index) for p in card.processes] == [(4242, 2)]
        desk.cards.cards[0].slices[1].memory_used_bytes = GIBIBYTE
        assert desk.card(1).slices[1].memory_used_bytes == GIBIBYTE


def test_an_uncut_card_that_could_be_cut_has_none() -> None:
    with rig(SimulatedCard(mig_capable=True)) as desk:
        assert desk.card().slices == ()
        assert desk.driver.call_counts["nvmlDeviceGetMaxMigDeviceCount"] == 0


def test_a_card_that_is_cut_and_mended_while_running() -> None:
    card = cut_card()
    slices, card.slices = card.slices, []
    card.processes.clear()
    with rig(card) as desk:
        assert desk.card().slices == ()
        card.slices = slices
        assert [cut.index for cut in desk.card(61).slices] == [2, 9]
        card.slices = slices[:1]
        assert [cut.index for cut in desk.card(31).slices] == [2]
        card.slices = []
        assert desk.card(61).slices == ()


def test_processes_are_asked_for_slice_by_slice_without_permission_for_the_card() -> None:
    card = cut_card()
    card.processes[7] = SimulatedProcess(7, GIBIBYTE, slice_index=9)
    card.errors["nvmlDeviceGetComputeRunningProcesses"] = 4
    card.errors["nvmlDeviceGetGraphicsRunningProcesses"] = 4
    with rig(card) as desk:
        seen = desk.card()
        assert [(p.pid, p.slice_index) for p in seen.processes] == [(4242, 2), (7, 9)]
        assert seen.process_accounting is ProcessAccounting.FULL
        card.processes.clear()
        assert desk.card(1).processes == ()
        assert desk.card(1).process_accounting is ProcessAccounting.FULL, "nobody there is an answer too"


def test_a_process_in_two_slices_is_two_entries() -> None:
    card = cut_card()
    with rig(card) as desk:
        card.processes[-1] = SimulatedProcess(4242, GIBIBYTE, slice_index=9)
        assert [(p.pid, p.memory_bytes, p.slice_index) for p in desk.card().processes] == [
            (4242, 9 * GIBIBYTE, 2),
            (4242, GIBIBYTE, 9),
        ]


def test_a_slice_that_refuses_its_list_makes_the_list_incomplete() -> None:
    card = cut_card()
    card.errors["nvmlDeviceGetComputeRunningProcesses"] = 4
    card.slices[1].errors["nvmlDeviceGetComputeRunningProcesses"] = 4
    with rig(card) as desk:
        seen = desk.card()
        assert [p.pid for p in seen.processes] == [4242]
        assert seen.process_accounting is ProcessAccounting.NONE


def test_slices_stay_when_the_mode_cannot_be_told_for_a_moment() -> None:
    card = cut_card()
    with rig(card) as desk:
        desk.read()
        card.errors["nvmlDeviceGetMigMode"] = 999
        assert [cut.index for cut in desk.card(61).slices] == [2, 9]
        card.errors["nvmlDeviceGetMigMode"] = 3
        assert desk.card(61).slices == ()


def test_a_slice_that_uses_more_than_it_has_has_no_figures() -> None:
    card = cut_card()
    card.slices[0].memory_used_bytes = 21 * GIBIBYTE
    with rig(card) as desk:
        first, second = desk.card().slices
        assert (first.memory_total_bytes, first.memory_used_bytes, first.memory_free_bytes) == (None, None, None)
        assert second.memory_total_bytes == 5 * GIBIBYTE
