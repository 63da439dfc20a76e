"""Every trap other monitors fell into, by name; the issue that tells of it is in each docstring."""

from __future__ import annotations

import platform
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.domain.card import Card, ProcessAccounting
from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE, SimulatedCard, SimulatedProcess, SimulatedSlice
from gpudesk.sim.nvml_layouts import STRUCT_TRAPS
from tests.sources.nvml_rig import busy_card, rig


def figures(card: Card) -> dict[int, int | None]:
    return {process.pid: process.memory_bytes for process in card.processes}


def card_with(*memory: int | tuple[int, int], **fields: Any) -> SimulatedCard:
    card = SimulatedCard(memory_total_bytes=48 * GIBIBYTE, **fields)
    for position, entry in enumerate(memory):
        pid, size = entry if isinstance(entry, tuple) else (4000 + 7 * position, entry)
        card.processes[pid] = SimulatedProcess(pid, size)
    return card


def test_memory_not_available_is_unknown_and_never_17179869184_gib() -> None:
    """2**64-1 means not available; nvtop asserted on it and printed it (Syllo/nvtop#432)."""
    with rig(busy_card(process_memory_available=False)) as desk:
        card = desk.card()
        assert figures(card) == {4242: None, 4343: None, 990: None}
        assert card.process_accounting is ProcessAccounting.PIDS_ONLY
        assert card.memory_used_bytes == desk.cards.cards[0].memory_used_bytes
        (problem,) = card.problems
        assert problem.message == "the driver does not say how much memory each process holds"


def test_memory_zero_is_unknown() -> None:
    """Whoever is on a card has at least a context there; 0 is another way of not telling (ollama-mtop)."""
    with rig(card_with((5, 0), (6, GIBIBYTE))) as desk:
        card = desk.card()
        assert figures(card) == {5: None, 6: GIBIBYTE}
        assert card.process_accounting is ProcessAccounting.FULL


def test_wsl_has_no_figures_per_process_and_less_room_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pids without memory; about 2 GiB of the free memory cannot be had (microsoft/WSL#41176)."""
    monkeypatch.setattr(platform, "release", lambda: "5.15.167.4-microsoft-standard-WSL2")
    with rig(busy_card(process_memory_available=False)) as desk:
        (problem,) = desk.card().problems
        assert "WSL" in problem.message
        assert "2 GiB" in (problem.hint or "")


def test_windows_wddm_has_no_figures_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    with rig(busy_card(process_memory_available=False)) as desk:
        card = desk.card()
        assert card.process_accounting is ProcessAccounting.PIDS_ONLY
        assert "WDDM" in card.problems[0].message
        assert "engine" in (card.problems[0].hint or "")


def test_wsl_without_any_process_list() -> None:
    """Some WSL drivers do not list processes at all: Not Supported, and everything else stays."""
    with rig() as desk:
        for kind in ("Compute", "Graphics"):
            desk.cards.errors[f"nvmlDeviceGet{kind}RunningProcesses"] = 3
        card = desk.card()
        assert (card.processes, card.process_accounting) == ((), ProcessAccounting.NONE)
        assert card.memory_used_bytes is not None
        assert card.error is None
        assert "cannot be listed" in card.problems[0].message


def test_pids_of_another_namespace_are_kept_as_they_are() -> None:
    """In a container NVML tells host pids that match nothing there (NVIDIA/nvidia-docker#179, gpustat#117)."""
    with rig(process_exists=lambda _pid: False) as desk:
        assert set(figures(desk.card())) == {4242, 4343, 990}


def test_pids_of_another_namespace_do_not_cost_calls_in_every_pass() -> None:
    with rig(process_exists=lambda _pid: False) as desk:
        desk.read()
        assert [desk.read(1).calls for _ in range(4)] == [5] * 4


def test_the_pid_is_the_drivers_whatever_process_tree_it_belongs_to() -> None:
    """Since Ollama 0.30 a child `llama-server` holds the memory; vLLM's is in EngineCore: no pid is replaced."""
    with rig(card_with((31337, 9 * GIBIBYTE), (31338, 7 * GIBIBYTE))) as desk:
        assert figures(desk.card()) == {31337: 9 * GIBIBYTE, 31338: 7 * GIBIBYTE}


def test_processes_add_up_to_less_than_what_is_used() -> None:
    """Contexts, the driver's reserve and the desktop are in nobody's figure: `used` is the driver's, not a sum."""
    with rig(card_with(9 * GIBIBYTE, memory_hidden_bytes=700 * MEBIBYTE)) as desk:
        card = desk.card()
        assert card.memory_used_bytes == 9 * GIBIBYTE + 700 * MEBIBYTE


def test_the_reserve_is_not_used_memory() -> None:
    """The first memory struct counts it as used: 308 MB with nothing running (wookayin/gpustat#141)."""
    with rig(SimulatedCard(memory_hidden_bytes=0, memory_reserved_bytes=308 * MEBIBYTE)) as desk:
        card = desk.card()
        assert card.memory_used_bytes == 0
        assert card.memory_reserved_bytes == 308 * MEBIBYTE
        assert card.memory_free_bytes == (card.memory_total_bytes or 0) - 308 * MEBIBYTE


@pytest.mark.parametrize("trap", STRUCT_TRAPS)
@pytest.mark.parametrize("count", [2, 3, 7])
def test_structs_that_are_not_what_they_say(trap: str, count: int) -> None:
    """R535's longer structs, 16 bytes from the third version, swapped pid and memory (pynvml#50, nvitop#75, #181,
    nvitop pull request 226)."""
    sizes = [(position + 1) * GIBIBYTE + position * 65536 for position in range(count)]
    with rig(card_with(*sizes)) as desk:
        desk.cards.struct_trap = trap
        expected = {pid: process.memory_bytes for pid, process in desk.cards.cards[0].processes.items()}
        assert figures(desk.card()) == expected
        desk.driver.call_counts.clear()
        assert figures(desk.card(1)) == expected
        lists = [name for name in desk.driver.call_counts if "ComputeRunning" in name]
        assert len(lists) == 1, "what worked is remembered"
        assert desk.driver.call_counts[lists[0]] == 1


@pytest.mark.parametrize("trap", STRUCT_TRAPS)
def test_a_struct_trap_that_begins_to_show_with_the_second_process(trap: str) -> None:
    with rig(card_with((4242, 9 * GIBIBYTE))) as desk:
        desk.cards.struct_trap = trap
        assert figures(desk.card()) == {4242: 9 * GIBIBYTE}
        desk.cards.cards[0].processes[77] = SimulatedProcess(77, 4 * GIBIBYTE)
        assert figures(desk.card(1)) == {4242: 9 * GIBIBYTE, 77: 4 * GIBIBYTE}


@pytest.mark.parametrize("trap", STRUCT_TRAPS)
def test_a_struct_trap_in_slices_whose_ids_look_like_pids(trap: str) -> None:
    card = card_with((4242, 9 * GIBIBYTE), (77, 3 * GIBIBYTE), (91, GIBIBYTE))
    card.slices = [SimulatedSlice(1, "MIG-1", "slice", 24 * GIBIBYTE, 0)]
    for process in card.processes.values():
        process.slice_index = 1
    with rig(card, process_exists=lambda pid: pid in (1, 2, 3, 4242, 77, 91)) as desk:
        desk.cards.struct_trap = trap
        assert figures(desk.card()) == {4242: 9 * GIBIBYTE, 77: 3 * GIBIBYTE, 91: GIBIBYTE}


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([None, *STRUCT_TRAPS]),
    st.lists(
        st.tuples(st.integers(300, 4_194_304), st.integers(20, 700_000).map(lambda pages: pages * 65536)),
        min_size=1,
        max_size=10,
        unique_by=lambda entry: entry[0],
    ),
)
def test_no_layout_invents_a_process(trap: str | None, entries: list[tuple[int, int]]) -> None:
    """Whatever a driver writes, on a computer that knows its pids every figure is the right one."""
    with rig(card_with(*entries)) as desk:
        desk.cards.struct_trap = trap
        assert figures(desk.card()) == dict(entries)


def test_a_process_that_dies_between_list_and_check_changes_nothing() -> None:
    card = card_with((4242, 9 * GIBIBYTE), (77, GIBIBYTE), (5150, GIBIBYTE))

    def exists(pid: int) -> bool:
        if pid == 5150:
            card.processes.pop(5150, None)
        return pid in card.processes

    with rig(card, process_exists=exists) as desk:
        assert set(figures(desk.card())) == {4242, 77, 5150}
        desk.driver.call_counts.clear()
        assert set(figures(desk.card(1))) == {4242, 77}
        assert desk.driver.call_counts["nvmlDeviceGetComputeRunningProcesses_v3"] == 1, "still the newest version"
        assert desk.driver.call_counts.total() == 5


def test_a_wrong_layout_is_not_taken_because_its_garbage_happens_to_exist() -> None:
    """Read with 16 bytes each, a slice's id is a pid (of a kernel thread, say) and a pid is its memory."""
    card = card_with((4242, 9 * GIBIBYTE), (77, GIBIBYTE))
    card.slices = [SimulatedSlice(3, "MIG-3", "slice", 24 * GIBIBYTE, 0)]
    for process in card.processes.values():
        process.slice_index = 3
    with rig(card, process_exists=lambda pid: pid in (3, 4242)) as desk:  # 77 has just died
        assert figures(desk.card()) == {4242: 9 * GIBIBYTE, 77: GIBIBYTE}


def test_a_figure_above_the_cards_memory_is_unknown() -> None:
    """Where no version gives anything better, nonsense is not shown; the process stays."""
    with rig(card_with((4242, 900 * GIBIBYTE), (77, GIBIBYTE), memory_hidden_bytes=0)) as desk:
        assert figures(desk.card()) == {4242: None, 77: GIBIBYTE}


def test_pid_zero_is_nobody() -> None:
    with rig(card_with((0, GIBIBYTE), (77, GIBIBYTE))) as desk:
        assert figures(desk.card()) == {77: GIBIBYTE}


@pytest.mark.parametrize(
    ("missing", "used"),
    [({"_v3"}, "nvmlDeviceGetComputeRunningProcesses_v2"), ({"_v3", "_v2"}, "nvmlDeviceGetComputeRunningProcesses")],
)
def test_drivers_before_r510_lack_the_newer_lists(missing: set[str], used: str) -> None:
    with rig(card_with(3 * GIBIBYTE, GIBIBYTE, 2 * GIBIBYTE)) as desk:
        desk.cards.missing_functions = {
            f"nvmlDeviceGet{kind}RunningProcesses{suffix}" for kind in ("Compute", "Graphics") for suffix in missing
        }
        expected = {pid: process.memory_bytes for pid, process in desk.cards.cards[0].processes.items()}
        assert figures(desk.card()) == expected
        assert desk.driver.call_counts[used] == 1
        assert desk.card(1).process_accounting is ProcessAccounting.FULL


def test_a_driver_without_any_list_function() -> None:
    with rig() as desk:
        desk.cards.missing_functions = {
            f"nvmlDeviceGet{kind}RunningProcesses{suffix}"
            for kind in ("Compute", "Graphics")
            for suffix in ("", "_v2", "_v3")
        }
        card = desk.card()
        assert (card.processes, card.process_accounting, card.error) == ((), ProcessAccounting.NONE, None)


def test_mig_no_permission_for_the_whole_card_inside_a_slice() -> None:
    """Device-level calls give NoPermission in a slice's container (NVIDIA/nvidia-container-toolkit#842); its
    utilization is Not Supported, not 0 % (Syllo/nvtop#256)."""
    card = busy_card()
    card.slices = [SimulatedSlice(3, "MIG-a", "A100 MIG 1g.5gb", 5 * GIBIBYTE, 2 * GIBIBYTE)]
    card.processes = {4242: SimulatedProcess(4242, 2 * GIBIBYTE, slice_index=3)}
    for name in ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetPowerUsage"):
        card.errors[name] = 4
    with rig(card) as desk:
        seen = desk.card()
        assert seen.error is None
        assert seen.utilization_ratio is None
        assert (seen.memory_total_bytes, seen.memory_used_bytes) == (5 * GIBIBYTE, 2 * GIBIBYTE)
        assert [(p.pid, p.memory_bytes, p.slice_index) for p in seen.processes] == [(4242, 2 * GIBIBYTE, 3)]
        assert seen.process_accounting is ProcessAccounting.FULL


@pytest.mark.parametrize("trap", ["not supported", "zero", "wrong figures"])
def test_unified_memory_is_the_hosts(trap: str) -> None:
    """GB10 answers Not Supported (580.173.02), zero, or wrong figures (nvitop pull request 208, nvtop#449, #411)."""
    card = card_with(9 * GIBIBYTE)
    card.name = "NVIDIA GB10" if trap == "wrong figures" else "NVIDIA Spark"
    card.fan_percent = None
    if trap == "not supported":
        card.unified_memory = True
    elif trap == "zero":
        card.memory_total_bytes = card.memory_reserved_bytes = 0
    available = [100 * GIBIBYTE]
    with rig(card, host_memory=lambda: (121 * GIBIBYTE, available[0])) as desk:
        seen = desk.card()
        assert seen.unified_memory
        assert seen.memory_total_bytes == 121 * GIBIBYTE
        assert seen.memory_free_bytes == 100 * GIBIBYTE
        assert seen.memory_used_bytes == 21 * GIBIBYTE
        assert seen.memory_reserved_bytes is None
        assert figures(seen) == {4000: 9 * GIBIBYTE}, "per process NVML still works there"
        assert (seen.error, seen.problems) == (None, ())
        available[0] = 60 * GIBIBYTE
        assert desk.card(1).memory_free_bytes == 60 * GIBIBYTE


def test_unified_memory_on_a_host_that_tells_nothing() -> None:
    with rig(busy_card(unified_memory=True), host_memory=lambda: (None, None)) as desk:
        seen = desk.card()
        assert seen.unified_memory
        assert (seen.memory_total_bytes, seen.memory_used_bytes, seen.memory_free_bytes) == (None, None, None)


def test_a_discrete_card_whose_memory_fails_otherwise_is_not_taken_for_unified() -> None:
    for code in (4, 10, 999):
        with rig() as desk:
            desk.cards.cards[0].errors["nvmlDeviceGetMemoryInfo"] = code
            seen = desk.card()
            assert not seen.unified_memory
            assert seen.memory_total_bytes is None
            assert "memory of the card cannot be read" in seen.problems[0].message


def test_a_driver_that_contradicts_itself_about_memory() -> None:
    with rig(SimulatedCard(memory_total_bytes=GIBIBYTE, memory_reserved_bytes=2 * GIBIBYTE)) as desk:
        seen = desk.card()
        assert seen.memory_total_bytes is None
        assert "contradict" in seen.problems[0].message


def test_freed_memory_lags_behind_the_process_list() -> None:
    """Ollama itself polls until the driver gives the memory back: `used` is what the driver says meanwhile."""
    with rig(card_with(9 * GIBIBYTE, memory_hidden_bytes=0)) as desk:
        desk.read()
        desk.cards.cards[0].processes.clear()
        desk.cards.cards[0].memory_hidden_bytes = 9 * GIBIBYTE
        lagging = desk.card(1)
        assert lagging.processes == ()
        assert lagging.memory_used_bytes == 9 * GIBIBYTE
        desk.cards.cards[0].memory_hidden_bytes = 0
        assert desk.card(1).memory_used_bytes == 0


def test_process_utilization_is_never_asked_for() -> None:
    """When idle it can return a hundred samples of garbage (Syllo/nvtop#110)."""
    with rig() as desk:
        for _ in range(10):
            desk.read(7)
        assert not [name for name in desk.driver.call_counts if "ProcessUtilization" in name]


def test_graphics_processes_without_permission_leave_compute_alone() -> None:
    with rig() as desk:
        desk.cards.cards[0].errors["nvmlDeviceGetGraphicsRunningProcesses"] = 4
        card = desk.card()
        assert figures(card) == {4242: 9 * GIBIBYTE + 4096, 4343: GIBIBYTE}
        assert card.process_accounting is ProcessAccounting.FULL


def test_compute_processes_without_permission_are_said_to_be_unknown() -> None:
    with rig() as desk:
        desk.cards.cards[0].errors["nvmlDeviceGetComputeRunningProcesses"] = 4
        card = desk.card()
        assert set(figures(card)) == {4343, 990}, "what the graphics list tells is still told"
        assert card.process_accounting is ProcessAccounting.NONE
        assert "no permission" in card.problems[0].message


def test_an_instance_id_is_no_evidence_for_another_layout() -> None:
    """In a container the driver's pids are unknown here, but pid 1 exists, which instance 1 looks like."""
    card = busy_card()
    card.slices = [SimulatedSlice(1, "MIG-a", "A100 MIG 1g.5gb", 5 * GIBIBYTE, 2 * GIBIBYTE)]
    card.processes = {pid: SimulatedProcess(pid, GIBIBYTE, slice_index=1) for pid in (818_001, 818_002, 818_003)}
    with rig(card, process_exists=lambda pid: pid == 1) as desk:
        assert figures(desk.card()) == dict.fromkeys((818_001, 818_002, 818_003), GIBIBYTE)
