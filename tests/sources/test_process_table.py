"""The real process table, with real processes that we start and end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from gpudesk.domain.card import Card, CardProcess
from gpudesk.domain.desk import CardState, Desk
from gpudesk.sources.process_names import readable_name
from gpudesk.sources.process_table import INITIAL_PID_NAMESPACE, OPEN_FILE_LIMIT, ProcessTable, PsutilProcessTable
from gpudesk.sources.processes import ProcessSource

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
HEX = "6a0746a1ec1aef3e7ec53868f220ff6e389f6f8ef87a01d77c96807de94ca2aa"


@contextmanager
def running(*argv: str, executable: str | None = None, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process whose standard input keeps it alive; end it, and only it, afterwards."""
    child = subprocess.Popen(argv, executable=executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something the operating system is about to do."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def table() -> PsutilProcessTable:
    return PsutilProcessTable()


def test_it_is_a_process_table() -> None:
    checked: ProcessTable = table()
    assert checked.describe(os.getpid()) is not None


def test_our_own_process() -> None:
    raw = table().describe(os.getpid())
    assert raw is not None
    assert raw.pid == os.getpid()
    assert raw.parent_pid == os.getppid()
    assert raw.argv
    assert raw.user == psutil.Process().username()
    assert raw.memory_resident_bytes is not None
    assert raw.memory_resident_bytes > 1 << 20
    assert raw.started_at is not None
    assert raw.started_at.tzinfo is UTC
    assert 0 <= (datetime.now(UTC) - raw.started_at).total_seconds() < 24 * 3600
    assert raw.working_directory == str(Path.cwd())


@pytest.mark.parametrize("pid", [0x7FFFFFF0, -1, 2**40, 2**70])
def test_numbers_without_a_process(pid: int) -> None:
    assert table().describe(pid) is None
    assert table().stamp(pid) is None
    assert table().resident_bytes(pid) is None


@linux_only
def test_a_script_is_named_after_itself(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    with running(sys.executable, "-u", str(script), "--token", "hf_secret") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        raw = table().describe(child.pid)
        assert raw is not None
        assert readable_name(raw) == "python train.py"
        assert raw.parent_pid == os.getpid()


WAIT = "import sys; sys.stdin.read()"
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


def interpreter(folder: Path, name: str) -> str:
    """Return a path by which Python runs under another program's name."""
    link = folder / name
    link.symlink_to(Path(sys.executable).resolve())
    return str(link)


@contextmanager
def engine_with_runner(folder: Path, parent: str = "ollama") -> Iterator[tuple[int, int]]:
    """Run what looks like an engine with one runner; gives both pids. The runner ends with its parent's pipe."""
    server = interpreter(folder, "llama-server")
    options = ["--model", f"/m/blobs/sha256-{HEX}", "-c", "8192", "-np", "2", "--port", "4000"]
    with running(interpreter(folder, parent), "-c", PARENT, server, "-c", WAIT, *options) as engine:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        until(lambda: any(raw.pid == pid for raw in table().runner_candidates()))
        try:
            yield engine.pid, pid
        finally:
            assert engine.stdin is not None
            engine.stdin.close()
            engine.wait(10)
            engine.stdin = None


@linux_only
def test_a_runner_is_found_by_its_name_and_its_engine(tmp_path: Path) -> None:
    with engine_with_runner(tmp_path) as (engine, pid):
        source = ProcessSource(table(), models_directories=())
        found = {process.pid: process for process in source.read(EMPTY).processes}
        assert engine not in found
        runner = found[pid].runner
        assert runner is not None
        assert (runner.blob_digest, runner.context_total, runner.parallel, runner.port) == (HEX, 8192, 2, 4000)
        assert found[pid].parent_pid == engine
        assert (found[pid].memory_resident_bytes or 0) > 100_000, "bytes, not pages or KiB"
    assert pid not in {process.pid for process in source.read(EMPTY).processes}


@linux_only
def test_a_llama_server_of_somebody_else_is_none(tmp_path: Path) -> None:
    with engine_with_runner(tmp_path, parent="launcher") as (_parent, pid):
        source = ProcessSource(table(), models_directories=())
        assert pid not in {process.pid for process in source.read(EMPTY).processes}
        (process,) = (found for found in source.read(desk_with(pid)).processes if found.pid == pid)
        assert process.runner is None
        assert process.name == "llama-server sha256-6a0746a1ec1a"


@linux_only
def test_a_title_set_by_exec(tmp_path: Path) -> None:
    argv = ["bash", "-c", 'exec -a VLLM::EngineCore "$0" "$@"', sys.executable, "-c", WAIT]
    with running(*argv) as child:
        until(lambda: psutil.Process(child.pid).cmdline()[:1] == ["VLLM::EngineCore"])
        source = ProcessSource(table(), models_directories=())
        names = {process.pid: process.name for process in source.read(desk_with(child.pid)).processes}
        assert names[child.pid] == "vllm EngineCore"


@linux_only
def test_a_zombie_has_its_short_name(tmp_path: Path) -> None:
    with running(sys.executable, "-c", "pass") as child:
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        raw = table().describe(child.pid)
        assert raw is not None
        assert not raw.argv
        assert readable_name(raw)
        assert table().stamp(child.pid) is not None
        assert table().resident_bytes(child.pid) == 0


@linux_only
def test_a_stamp_stays_while_a_process_lives_and_goes_with_it() -> None:
    with running(sys.executable, "-c", WAIT) as child:
        first = table().stamp(child.pid)
        assert first is not None
        with running(sys.executable, "-c", WAIT) as other:
            assert table().stamp(other.pid) not in (None, first)
        assert table().stamp(child.pid) == first
    assert table().stamp(child.pid) is None
    assert table().describe(child.pid) is None
    assert table().resident_bytes(child.pid) is None


@linux_only
def test_a_kernel_thread_has_a_name_and_no_command_line() -> None:
    threads = [process.pid for process in psutil.process_iter(["ppid"]) if process.info["ppid"] == 2]
    if not threads:
        pytest.skip("no kernel threads visible here")
    raw = table().describe(threads[0])
    assert raw is not None
    assert raw.argv == ()
    assert readable_name(raw)


def refusing(monkeypatch: pytest.MonkeyPatch, *members: str, error: type[psutil.Error] = psutil.AccessDenied) -> None:
    """Let psutil refuse these facts of every process."""

    def refuse(self: psutil.Process) -> None:
        raise error(self.pid)

    namespace = {"oneshot": lambda self: nullcontext(), **dict.fromkeys(members, refuse)}
    monkeypatch.setattr(psutil, "Process", type("Refusing", (psutil.Process,), namespace))


def test_refused_facts_are_unknown_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "cmdline", "cwd", "username", "memory_info")
    raw = table().describe(os.getpid())
    assert raw is not None
    assert (raw.argv, raw.working_directory, raw.user, raw.memory_resident_bytes) == (None, None, None, None)
    assert raw.name
    assert raw.parent_pid == os.getppid()
    if sys.platform != "linux":
        assert table().resident_bytes(os.getpid()) is None


@linux_only
def test_host_memory_that_is_refused_or_nonsense_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    assert PsutilProcessTable(tmp_path).resident_bytes(7) is None
    for text in ("", "12", "12 x 3", "\n"):
        (tmp_path / "7" / "statm").write_text(text)
        assert PsutilProcessTable(tmp_path).resident_bytes(7) is None


def test_host_memory_is_in_bytes() -> None:
    with running(sys.executable, "-c", WAIT) as child:
        until(lambda: (table().resident_bytes(child.pid) or 0) > 1 << 20)
        assert table().resident_bytes(child.pid) == pytest.approx(psutil.Process(child.pid).memory_info().rss, rel=0.5)


def test_a_process_refused_altogether_still_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "cmdline", "cwd", "username", "memory_info", "name", "ppid", "create_time")
    raw = table().describe(os.getpid())
    assert raw is not None
    assert readable_name(raw) is None
    assert (raw.started_at, raw.parent_pid) == (None, None)


def test_a_zombie_told_by_an_error_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "cmdline", "cwd", error=psutil.ZombieProcess)
    raw = table().describe(os.getpid())
    assert raw is not None
    assert raw.argv is None
    assert raw.name


def test_a_process_that_ends_during_the_look_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "username", error=psutil.NoSuchProcess)
    assert table().describe(os.getpid()) is None


def test_command_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "cmdline", lambda self: ["x"] * 100_000)
    raw = table().describe(os.getpid())
    assert raw is not None
    assert raw.argv is not None
    assert len(raw.argv) == 256


def test_systems_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    other = PsutilProcessTable()
    assert other.stamp(os.getpid()) == psutil.Process().create_time()
    assert other.stamp(0x7FFFFFF0) is None
    assert not other.in_container()
    assert all("llama" in (raw.name or "").lower() for raw in other.runner_candidates())
    raw = other.describe(os.getpid())
    assert raw is not None
    assert raw.opens_card is None


def test_candidates_elsewhere_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed:
        def __init__(self, pid: int, name: str | None) -> None:
            self.pid = pid
            self.info = {"name": name}

    listed = [Listed(os.getpid(), "Ollama.exe"), Listed(os.getppid(), "bash"), Listed(0x7FFFFFF0, "llama-server")]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "process_iter", lambda attributes: [*listed, Listed(4, None)])
    assert [raw.pid for raw in PsutilProcessTable().runner_candidates()] == [os.getpid()]


# -- a folder that plays /proc -------------------------------------------------------------------------------------


def proc_with(folder: Path, namespace: str, *targets: str, cgroup: str = "0::/user.slice") -> PsutilProcessTable:
    """Return a table over a folder in which we have these files open."""
    pid = os.getpid()
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(namespace)
    (folder / f"{pid}/fd").mkdir(parents=True)
    (folder / f"{pid}/cgroup").write_text(cgroup)
    for number, target in enumerate(targets):
        (folder / f"{pid}/fd/{number}").symlink_to(target)
    return PsutilProcessTable(folder)


@linux_only
@pytest.mark.parametrize(
    ("targets", "opens"),
    [
        (("/dev/null", "/dev/nvidia0"), True),
        (("/dev/nvidiactl",), True),
        (("/dev/dxg",), True),
        (("/dev/null", "pipe:[5]"), False),
        ((), False),
    ],
)
def test_in_a_container_open_devices_are_looked_for(tmp_path: Path, targets: tuple[str, ...], opens: bool) -> None:
    inside = proc_with(tmp_path, "pid:[4026532500]", *targets)
    assert inside.in_container()
    raw = inside.describe(os.getpid())
    assert raw is not None
    assert raw.opens_card is opens


@linux_only
def test_open_files_of_others_are_unknown_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = proc_with(tmp_path, "pid:[4026532500]")
    shutil.rmtree(tmp_path / f"{os.getpid()}/fd")
    raw = inside.describe(os.getpid())
    assert raw is not None
    assert raw.opens_card is None


@linux_only
def test_the_search_through_open_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = proc_with(tmp_path, "pid:[4026532500]")
    real = os.listdir

    def listdir(path: str) -> list[str]:
        return ["none"] * OPEN_FILE_LIMIT + ["0"] if path.endswith("/fd") else real(path)

    (tmp_path / f"{os.getpid()}/fd/0").symlink_to("/dev/nvidia0")
    monkeypatch.setattr(os, "listdir", listdir)
    raw = inside.describe(os.getpid())
    assert raw is not None
    assert raw.opens_card is False


@linux_only
def test_outside_of_containers_nobody_looks_at_open_files(tmp_path: Path) -> None:
    outside = proc_with(tmp_path, INITIAL_PID_NAMESPACE, "/dev/nvidia0")
    assert not outside.in_container()
    raw = outside.describe(os.getpid())
    assert raw is not None
    assert raw.opens_card is None


@linux_only
def test_without_a_readable_namespace_we_are_in_none(tmp_path: Path) -> None:
    assert not PsutilProcessTable(tmp_path).in_container()
    assert list(PsutilProcessTable(tmp_path / "none").runner_candidates()) == []


@linux_only
@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        ("0::/system.slice/docker-0123.scope\n", True),
        ("12:memory:/docker/0123\n0::/\n", True),
        ("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-01.scope/container\n", True),
        ("0::/kubepods.slice/kubepods-pod01.slice/cri-containerd-01.scope\n", True),
        ("0::/lxc/101/ns\n", True),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", False),
        ("0::/system.slice/ollama.service\n", False),
        ("0::/system.slice/docker.service\n", False),
        ("0::/system.slice/containerd.service\n", False),
        ("0::/\n", False),
        ("", False),
    ],
)
def test_containers_are_told_by_the_control_group(tmp_path: Path, cgroup: str, container: bool) -> None:
    raw = proc_with(tmp_path, INITIAL_PID_NAMESPACE, cgroup=cgroup).describe(os.getpid())
    assert raw is not None
    assert raw.container is container


# -- cost ----------------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.slow
def test_a_pass_over_two_hundred_processes_costs_under_two_milliseconds() -> None:
    sleepers = [subprocess.Popen(["sleep", "60"]) for _number in range(200)]
    try:
        source = ProcessSource(table(), models_directories=())
        desk = desk_with(*(child.pid for child in sleepers))
        source.read(desk)
        time.sleep(1.1)
        source.read(desk)
        best = min(_seconds(lambda: source.read(desk)) for _pass in range(20))
        named = {process.pid: process.name for process in source.read(desk).processes}
        assert all(named[child.pid] == "sleep" for child in sleepers)
        assert best < 0.002
    finally:
        for child in sleepers:
            child.send_signal(signal.SIGKILL)
        for child in sleepers:
            child.wait()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def desk_with(*pids: int) -> Desk:
    card = Card(0, processes=tuple(CardProcess(pid, None) for pid in pids))
    return Desk(datetime.now(UTC), cards=(CardState(card),))


EMPTY = Desk(datetime(2026, 1, 1, tzinfo=UTC))
