"""The simulated process table keeps the promises of the real one."""

from __future__ import annotations

from datetime import timedelta

from gpudesk.sim.cards import GIBIBYTE
from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.processes import SimulatedProcessTable
from gpudesk.sources.process_table import ProcessTable


def made() -> tuple[SteppedClock, SimulatedProcessTable]:
    clock = SteppedClock()
    return clock, SimulatedProcessTable(clock, host_total_bytes=32 * GIBIBYTE)


def test_it_is_a_process_table() -> None:
    _clock, table = made()
    protocol: ProcessTable = table
    assert protocol.in_container() is False
    assert protocol.describe(1) is None


def test_a_process_is_described_as_it_was_started() -> None:
    clock, table = made()
    pid = table.spawn(name="python", argv=("/usr/bin/python", "train.py"), user="ana", parent_pid=7, age_seconds=60)
    raw = table.describe(pid)
    assert raw is not None
    assert (raw.name, raw.argv, raw.user, raw.parent_pid) == ("python", ("/usr/bin/python", "train.py"), "ana", 7)
    assert raw.started_at == clock.now() - timedelta(seconds=60)


def test_a_long_name_is_cut_as_linux_cuts_it() -> None:
    _clock, table = made()
    raw = table.describe(table.spawn(name="a-program-with-a-long-name", argv=("x",)))
    assert raw is not None
    assert raw.name == "a-program-with-"


def test_a_number_that_is_used_again_has_another_stamp() -> None:
    _clock, table = made()
    pid = table.spawn(name="one", argv=("one",))
    first = table.stamp(pid)
    table.end(pid)
    assert table.stamp(pid) is None
    table.spawn(name="two", argv=("two",), pid=pid)
    assert table.stamp(pid) not in (None, first)


def test_what_processes_occupy_is_not_available() -> None:
    _clock, table = made()
    before = table.host().memory_available_bytes
    pid = table.spawn(name="one", argv=("one",), resident_bytes=GIBIBYTE)
    table.set_resident(pid, 3 * GIBIBYTE)
    assert table.resident_bytes(pid) == 3 * GIBIBYTE
    assert before is not None
    assert table.host().memory_available_bytes == before - 3 * GIBIBYTE
    table.end(pid)
    assert table.host().memory_available_bytes == before


def test_hidden_processes_and_containers() -> None:
    _clock, table = made()
    hidden, seen = (table.spawn(name="ollama", argv=("ollama",)) for _ in range(2))
    table.hide(hidden)
    assert table.describe(hidden) is None
    assert [raw.pid for raw in table.runner_candidates()] == [seen]
    table.container = True
    assert table.in_container()
    assert table.describe(seen) is None
    assert table.stamp(seen) is None
    assert table.resident_bytes(seen) is None
