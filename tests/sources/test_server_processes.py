"""The engines' servers, as the process source follows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gpudesk.domain.desk import LoadedModel
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import ServerProcess
from gpudesk.sources.process_table import RawProcess
from gpudesk.sources.runner_argv import is_server
from gpudesk.sources.server_processes import MOURNED_SECONDS, RETRY_SECONDS, SERVER_LIMIT
from tests.sources.test_manifests import write
from tests.sources.test_processes import HEX, NOW, OLLAMA, Bench, llama_server, raw

HERE = (("127.0.0.1", 11434),)
INIT = RawProcess(1, "systemd", ("/sbin/init",), 0, "root", NOW - timedelta(days=9))


@pytest.mark.parametrize(
    ("argv", "name", "server"),
    [
        (("/usr/bin/ollama", "serve"), "ollama", True),
        (("C:\\Programs\\Ollama\\ollama.exe", "serve"), "ollama.exe", True),
        (("/opt/bigdl/ollama-lib", "serve"), "ollama-lib", True),
        (("ollama", "runner", "--model", "x"), "ollama", False),
        (("ollama", "run", "qwen3"), "ollama", False),
        (("ollama",), "ollama", False),
        (("vim", "serve"), "vim", False),
        (("bash", "ollama", "serve"), "bash", False),
        (None, "ollama", True),
        (None, "vim", False),
        ((), "ollama", False),
        (None, None, False),
    ],
)
def test_who_is_a_server(argv: tuple[str, ...] | None, name: str | None, server: bool) -> None:
    assert is_server(argv, name) is server


def test_a_server_is_told_with_and_without_runners() -> None:
    bench = Bench(OLLAMA)
    bench.table.listening[900] = HERE
    found = bench.sample()
    assert found.processes == ()
    assert found.servers == (ServerProcess(900, OLLAMA.started_at, HERE),)


def test_a_server_is_met_as_the_parent_of_a_runner() -> None:
    server = replace(OLLAMA, name="server")  # not among those whose name says what they are
    bench = Bench(server, raw(10, "ollama", "runner", "--model", f"/m/blobs/sha256-{HEX}", parent=900))
    assert [server.pid for server in bench.sample().servers] == [900]


def test_who_listens_is_asked_once() -> None:
    bench = Bench(OLLAMA, llama_server(10))
    bench.table.listening[900] = HERE
    for _second in range(600):
        bench.read(after=1.0)
    assert bench.table.asked[900] == 1


def test_one_that_does_not_tell_is_asked_less_and_less_often() -> None:
    bench = Bench(OLLAMA)
    for _second in range(3600):
        bench.read(after=1.0)
    assert bench.table.asked[900] <= 16
    bench.table.listening[900] = HERE
    assert bench.sample(after=RETRY_SECONDS).servers[0].listens == HERE


def test_a_server_that_just_started_is_asked_again_soon() -> None:
    bench = Bench(OLLAMA)
    assert bench.sample().servers[0].listens is None
    bench.table.listening[900] = HERE
    assert bench.sample(after=1.0).servers[0].listens == HERE


def test_a_server_that_ends_is_gone_and_the_next_one_is_found_at_once() -> None:
    bench = Bench(OLLAMA)
    for _second in range(60):
        bench.read(after=1.0)
    del bench.table.processes[900]
    bench.table.add(replace(OLLAMA, pid=901))
    assert [server.pid for server in bench.sample(after=0.1).servers] == [901]


def test_a_server_that_ended_keeps_its_place_until_another_has_it() -> None:
    bench = Bench(OLLAMA)
    bench.table.listening[900] = HERE
    bench.read()
    del bench.table.processes[900]
    gone = ServerProcess(900, OLLAMA.started_at, HERE, exists=False)
    assert bench.sample(after=1.0).servers == (gone,)
    other = replace(OLLAMA, pid=901)
    bench.table.add(other)
    assert bench.sample(after=10.0).servers == (ServerProcess(901, OLLAMA.started_at), gone)
    bench.table.listening[901] = HERE
    assert bench.sample(after=10.0).servers == (ServerProcess(901, OLLAMA.started_at, HERE),)


def test_a_server_that_ended_is_forgotten_after_a_minute() -> None:
    bench = Bench(OLLAMA)
    bench.table.listening[900] = HERE
    bench.read()
    del bench.table.processes[900]
    assert bench.sample(after=1.0).servers
    assert bench.sample(after=MOURNED_SECONDS).servers == ()


def test_a_number_that_went_to_another_server_is_another_server() -> None:
    bench = Bench(OLLAMA)
    bench.read()
    bench.table.add(replace(OLLAMA, started_at=NOW))
    assert [server.started_at for server in bench.sample(after=0.1).servers] == [NOW]


def test_an_ended_server_that_nobody_waited_for_is_gone() -> None:
    bench = Bench(OLLAMA)
    bench.read()
    bench.table.processes[900] = replace(OLLAMA, argv=(), memory_resident_bytes=0)
    assert bench.sample(after=0.1).servers == ()


def test_a_runner_whose_server_ended_is_left_behind_whoever_has_it_now() -> None:
    runner = llama_server(10)
    runner = replace(runner, argv=("/usr/lib/ollama/llama-server", *(runner.argv or ())[1:]))
    bench = Bench(OLLAMA, runner, raw(50, "tini"))
    assert not bench.read()[10].orphaned
    del bench.table.processes[900]
    bench.table.processes[10] = replace(runner, parent_pid=50)
    for _second in range(5000):  # until it has been described again
        assert bench.read(after=1.0)[10].orphaned


@pytest.mark.parametrize(
    ("parent", "orphaned"),
    [
        (INIT, True),
        (RawProcess(1, "process_api", ("/process_api",)), True),
        (RawProcess(60, "systemd", ("/lib/systemd/systemd", "--user")), True),
        (RawProcess(60, "wrapper", ("/opt/wrapper",)), False),
        (RawProcess(1, "ollama", ("/bin/ollama", "serve")), False),
        (None, False),
    ],
)
def test_a_runner_found_with_an_adopter_as_parent_was_left_behind(parent: RawProcess | None, orphaned: bool) -> None:
    others = () if parent is None else (parent,)
    runner = raw(10, "ollama", "runner", "--model", f"/m/blobs/sha256-{'a' * 64}", parent=parent.pid if parent else 7)
    found = Bench(runner, *others).read()
    assert found[10].orphaned is orphaned


def test_a_runner_left_behind_is_named_although_its_model_is_loaded_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    bench = Bench(OLLAMA, llama_server(10), models_directories=(tmp_path,))
    bench.loaded = (LoadedModel("b:1b", "http://e", digest="d"),)
    bench.details = (ModelDetails("d", (HEX,)),)
    runner = bench.read()[10].runner
    assert runner is not None
    assert runner.model_name is None, "its engine tells"
    del bench.table.processes[900]
    runner = bench.read(after=0.1)[10].runner
    assert runner is not None
    assert runner.model_name == "a:1b"


def test_a_runner_left_behind_is_named_by_what_it_held(tmp_path: Path) -> None:
    write(tmp_path, "registry.ollama.ai/library/a/1b", HEX)
    write(tmp_path, "registry.ollama.ai/library/b/1b", HEX)
    bench = Bench(OLLAMA, llama_server(10), models_directories=(tmp_path,))
    bench.read()
    bench.loaded = (LoadedModel("b:1b", "http://e", pids=(10,)),)
    bench.read()
    del bench.table.processes[900]
    bench.loaded = ()
    runner = bench.read(after=0.1)[10].runner
    assert runner is not None
    assert runner.model_name == "b:1b"


def test_ollamas_own_llama_server_with_an_adopter_was_left_behind_and_somebodys_own_was_not() -> None:
    theirs = llama_server(10, parent=1)
    ours = replace(theirs, pid=11, argv=("/usr/lib/ollama/llama-server", *(theirs.argv or ())[1:]))
    found = Bench(INIT, theirs, ours).read()
    assert {pid: process.orphaned for pid, process in found.items()} == {11: True}


def test_servers_are_bounded() -> None:
    bench = Bench(*(replace(OLLAMA, pid=1000 + number) for number in range(SERVER_LIMIT + 8)))
    assert len(bench.sample().servers) == SERVER_LIMIT


def test_following_a_server_costs_one_look_at_it() -> None:
    bench = Bench(OLLAMA, llama_server(10))
    bench.table.listening[900] = HERE
    for _second in range(60):
        bench.read(after=1.0)
    described, scans = bench.table.described[900], bench.table.scans
    for _second in range(60):
        bench.read(after=1.0)
    assert bench.table.described[900] == described
    assert bench.table.scans - scans <= 6
