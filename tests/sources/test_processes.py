"""The process source over a process table of our own making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from gpudesk.clock import Clock
from gpudesk.domain.card import Card, CardProcess
from gpudesk.domain.desk import CardState, Desk, LoadedModel
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import Process, ProcessSample
from gpudesk.sources.process_table import RawProcess
from gpudesk.sources.processes import SCAN_SECONDS, ProcessSource
from tests.sources.test_manifests import write

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
HEX = "a" * 64
BLOB = f"/models/blobs/sha256-{HEX}"
OLLAMA = RawProcess(900, "ollama", ("/usr/bin/ollama", "serve"), 1, "ollama", NOW - timedelta(hours=1))


class Table:
    """A process table whose looks are counted."""

    def __init__(self, *processes: RawProcess) -> None:
        self.processes = {raw.pid: raw for raw in processes}
        self.births = Counter[int]()
        self.described = Counter[int]()
        self.scans = 0
        self.asked = Counter[int]()
        self.listening: dict[int, tuple[tuple[str, int], ...]] = {}
        self.container = False

    def add(self, raw: RawProcess) -> None:
        self.processes[raw.pid] = raw
        self.births[raw.pid] += 1

    def stamp(self, pid: int) -> Hashable | None:
        return self.births[pid] if pid in self.processes else None

    def describe(self, pid: int) -> RawProcess | None:
        self.described[pid] += 1
        return self.processes.get(pid)

    def resident_bytes(self, pid: int) -> int | None:
        return self.processes[pid].memory_resident_bytes if pid in self.processes else None

    def runner_candidates(self) -> Iterable[RawProcess]:
        self.scans += 1
        return tuple(raw for raw in self.processes.values() if "llama" in (raw.name or ""))

    def listens(self, pid: int) -> tuple[tuple[str, int], ...] | None:
        self.asked[pid] += 1
        return self.listening.get(pid)

    def in_container(self) -> bool:
        return self.container


class Bench:
    """A source, its table, a clock to step, and what the desk says."""

    def __init__(self, *processes: RawProcess, models_directories: tuple[Path, ...] = ()) -> None:
        self.seconds = 1000.0
        self.table = Table(*processes)
        self.on_cards: tuple[int, ...] = ()
        self.loaded: tuple[LoadedModel, ...] = ()
        self.details: tuple[ModelDetails, ...] = ()
        clock = Clock(lambda: NOW + timedelta(seconds=self.seconds - 1000), lambda: self.seconds)
        self.source = ProcessSource(self.table, clock=clock, models_directories=models_directories)

    def desk(self) -> Desk:
        card = Card(0, processes=tuple(CardProcess(pid, None) for pid in self.on_cards))
        return Desk(NOW, cards=(CardState(card),), models=self.loaded, details=self.details)

    def read(self, *, after: float = 0.0) -> dict[int, Process]:
        sample = self.sample(after=after)
        assert [process.pid for process in sample.processes] == sorted({process.pid for process in sample.processes})
        return {process.pid: process for process in sample.processes}

    def sample(self, *, after: float = 0.0) -> ProcessSample:
        self.seconds += after
        return self.source.read(self.desk())


def raw(pid: int, *argv: str, parent: int = 1, age: float = 3600, resident: int = 5) -> RawProcess:
    name = argv[0].rpartition("/")[2]
    return RawProcess(pid, name, argv, parent, "me", NOW - timedelta(seconds=age), resident)


def llama_server(pid: int, *, parent: int = 900, age: float = 3600, resident: int = 5) -> RawProcess:
    return raw(
        pid, "llama-server", "--model", BLOB, "-c", "4096", "-np", "2", parent=parent, age=age, resident=resident
    )


def test_it_looks_at_the_cards_pids_and_the_runners_and_nothing_else() -> None:
    bench = Bench(OLLAMA, llama_server(10), raw(20, "/usr/lib/xorg/Xorg"), raw(30, "firefox"))
    bench.on_cards = (20,)
    found = bench.read()
    assert set(found) == {10, 20}
    assert found[20].name == "Xorg"
    assert found[20].memory_resident_bytes is None
    assert found[20].runner is None
    assert found[10].runner is not None
    assert found[10].runner.context_per_slot == 2048
    assert found[10].memory_resident_bytes == 5
    assert (found[10].user, found[10].parent_pid) == ("me", 900)
    assert bench.table.described[30] == 0


def test_a_pid_is_described_once() -> None:
    bench = Bench(raw(20, "Xorg"))
    bench.on_cards = (20,)
    first = bench.read()[20]
    for _pass in range(60):
        assert bench.read(after=1.0)[20] is first
    assert bench.table.described[20] == 1


def test_a_reused_pid_is_described_anew() -> None:
    bench = Bench(raw(20, "Xorg"))
    bench.on_cards = (20,)
    assert bench.read()[20].name == "Xorg"
    bench.table.add(raw(20, "blender"))
    assert bench.read()[20].name == "blender"


def test_a_young_process_is_looked_at_again_at_twice_its_age() -> None:
    bench = Bench(raw(20, "python", "launch.py", age=0))
    bench.on_cards = (20,)
    assert bench.read()[20].name == "python launch.py"
    bench.table.processes[20] = replace(bench.table.processes[20], argv=("VLLM::EngineCore",))
    assert bench.read(after=0.9)[20].name == "python launch.py"
    assert bench.read(after=0.1)[20].name == "vllm EngineCore"
    for _pass in range(1000):
        bench.read(after=1.0)
    assert bench.table.described[20] <= 13


def test_a_process_that_goes_is_gone_and_forgotten() -> None:
    bench = Bench(raw(20, "Xorg"))
    bench.on_cards = (20, 21)
    bench.read()
    del bench.table.processes[20]
    assert bench.read()[20] == Process(20, exists=False)
    assert bench.read()[21] == Process(21, exists=False)
    bench.on_cards = ()
    assert bench.read() == {}


def test_a_process_that_goes_between_two_looks() -> None:
    bench = Bench(raw(20, "Xorg"))
    bench.on_cards = (20,)
    bench.table.stamp = lambda pid: 1  # type: ignore[method-assign]
    del bench.table.processes[20]
    assert bench.read()[20] == Process(20, exists=False)


def test_runners_are_searched_for_less_and_less_often() -> None:
    bench = Bench(OLLAMA)
    scans = []
    for second in range(60):
        before = bench.table.scans
        bench.read(after=1.0)
        if bench.table.scans > before:
            scans.append(second)
    assert scans[:5] == [0, 1, 3, 7, 15]
    assert {later - earlier for earlier, later in pairwise(scans[4:])} == {SCAN_SECONDS}


def test_a_change_of_the_loaded_models_starts_a_search() -> None:
    bench = Bench(OLLAMA)
    for _second in range(60):
        bench.read(after=1.0)
    bench.table.add(llama_server(10))
    assert bench.read(after=0.1) == {}
    bench.loaded = (LoadedModel("m:1b", "http://e"),)
    assert 10 in bench.read(after=0.1)


def test_a_remote_engines_models_start_no_search() -> None:
    bench = Bench(OLLAMA)
    for _second in range(60):
        bench.read(after=1.0)
    before = bench.table.scans
    bench.loaded = (LoadedModel("m:1b", "http://e", local=False),)
    bench.read(after=0.1)
    assert bench.table.scans == before


def test_a_vanished_runner_is_dropped_and_its_successor_found_at_once() -> None:
    bench = Bench(OLLAMA, llama_server(10))
    for _second in range(60):
        bench.read(after=1.0)
    del bench.table.processes[10]
    bench.table.add(llama_server(11))
    assert set(bench.read(after=0.1)) == {11}


def test_a_number_that_went_from_a_runner_to_somebody_else_is_dropped() -> None:
    bench = Bench(OLLAMA, llama_server(10))
    for _second in range(60):
        bench.read(after=1.0)
    bench.table.add(raw(10, "vim"))
    bench.table.add(llama_server(11))
    assert set(bench.read(after=0.1)) == {11}


def test_a_runners_host_memory_follows() -> None:
    bench = Bench(OLLAMA, llama_server(10))
    assert bench.read()[10].memory_resident_bytes == 5
    bench.table.processes[10] = llama_server(10, resident=9)
    assert bench.read(after=1.0)[10].memory_resident_bytes == 9
    assert bench.table.described[10] == 0


def test_somebodys_own_llama_server_is_an_ordinary_process() -> None:
    bench = Bench(raw(7, "bash"), raw(10, "llama-server", "-m", "/m/qwen.gguf", parent=7), llama_server(11, parent=7))
    bench.on_cards = (10,)
    found = bench.read()
    assert set(found) == {10}
    assert found[10].name == "llama-server qwen.gguf"
    assert found[10].runner is None


def test_a_runner_whose_parent_is_not_visible_is_known_by_its_blob() -> None:
    assert 10 in Bench(llama_server(10)).read()


def test_children_that_list_devices_are_ignored() -> None:
    bench = Bench(OLLAMA, raw(10, "llama-server", "--list-devices", "--offline", "--verbose", parent=900))
    assert bench.read() == {}


def test_pool_workers_are_named_after_their_parent() -> None:
    bench = Bench(
        raw(10, "python", "train.py"),
        raw(11, "python", "-c", "from multiprocessing.spawn import spawn_main", "--multiprocessing-fork", parent=10),
        raw(12, "python", "-c", "x", "--multiprocessing-fork", parent=99),
    )
    bench.on_cards = (11, 12)
    found = bench.read()
    assert found[11].name == "python train.py"
    assert found[12].name == "python -c"


def test_the_little_that_is_told_of_others_processes() -> None:
    bench = Bench(RawProcess(20, "Xorg", None, user="evil\x1b[2Juser"), RawProcess(21))
    bench.on_cards = (20, 21)
    found = bench.read()
    assert (found[20].name, found[20].user, found[20].exists) == ("Xorg", "evil[2Juser", True)
    assert (found[21].name, found[21].user, found[21].exists) == (None, None, True)


# -- names from the manifests --------------------------------------------------------------------------------------


def test_a_runner_no_engine_has_explained_is_named_by_the_manifests(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    write(tmp_path, "registry.ollama.ai/library/b/1b", HEX)
    bench = Bench(OLLAMA, llama_server(10), models_directories=(tmp_path,))
    runner = bench.read()[10].runner
    assert runner is not None
    assert runner.model_name == "a:1b"
    bench.loaded = (LoadedModel("b:1b", "http://e"),)
    runner = bench.read()[10].runner
    assert runner is not None
    assert runner.model_name == "b:1b"


def test_the_manifests_are_not_asked_for_what_the_engine_has_told(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    bench = Bench(OLLAMA, llama_server(10), models_directories=(tmp_path,))
    bench.loaded = (LoadedModel("b:1b", "http://e", digest="d"),)
    bench.details = (ModelDetails("d", (HEX,)),)
    runner = bench.read()[10].runner
    assert runner is not None
    assert runner.model_name is None
    bench.loaded = ()
    runner = bench.read()[10].runner
    assert runner is not None
    assert runner.model_name == "a:1b"


# -- containers ----------------------------------------------------------------------------------------------------


def test_in_a_container_a_number_alone_proves_nothing() -> None:
    bench = Bench(replace(raw(20, "vim"), opens_card=False), replace(raw(21, "top"), opens_card=None))
    bench.table.container = True
    bench.on_cards = (20, 21, 22)
    sample = bench.sample()
    assert sample.in_container
    assert [process.exists for process in sample.processes] == [False, False, False]


def test_a_driver_that_translates_numbers_is_believed() -> None:
    bench = Bench(replace(raw(20, "python", "train.py"), opens_card=True), replace(raw(21, "x"), opens_card=None))
    bench.table.container = True
    bench.on_cards = (20, 21)
    sample = bench.sample()
    assert not sample.in_container
    assert [process.name for process in sample.processes] == ["python train.py", "x"]


def test_outside_of_containers_numbers_are_the_drivers() -> None:
    bench = Bench(replace(raw(20, "vim"), opens_card=None))
    bench.on_cards = (20,)
    assert not bench.sample().in_container
    assert bench.read()[20].exists


def test_in_a_container_our_own_runners_are_still_seen() -> None:
    bench = Bench(llama_server(10))
    bench.table.container = True
    bench.on_cards = (5001,)
    sample = bench.sample()
    assert sample.in_container
    assert [(process.pid, process.exists) for process in sample.processes] == [(10, True), (5001, False)]


# -- cost ----------------------------------------------------------------------------------------------------------


def test_two_hundred_quiet_processes_cost_one_stamp_each() -> None:
    bench = Bench(*(raw(pid, "python", f"job{pid}.py") for pid in range(1000, 1200)))
    bench.on_cards = tuple(range(1000, 1200))
    bench.read()
    bench.table.described.clear()
    stamps: Counter[int] = Counter()
    plain = bench.table.stamp

    def counted(pid: int) -> Hashable | None:
        stamps[pid] += 1
        return plain(pid)

    bench.table.stamp = counted  # type: ignore[method-assign]
    assert len(bench.read(after=1.0)) == 200
    assert set(stamps.values()) == {1}
    assert not bench.table.described


def test_what_a_source_must_have() -> None:
    source = ProcessSource(Table())
    assert (source.name, source.interval_seconds) == ("processes", 1.0)
    source.close()
