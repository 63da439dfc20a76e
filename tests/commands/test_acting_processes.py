"""Commands that change something as processes of their own: signals, kills, two at once, the guard."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpudesk.domain.pin import PinWish
from gpudesk.sim.clock import RunningClock
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.scenarios_stage import Stage
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.stores.process_lock import guard_lock
from tests.command_line import CommandLine, command_line
from tests.commands.acting_rig import CHAT, EMBED, SMALL

pytestmark = pytest.mark.slow


class Processes:
    """An engine in this process, and commands beside it that do not see a driver."""

    def __init__(self, folder: Path, workstation: SimulatedWorkstation) -> None:
        self.sim = workstation
        self.state, self.data = folder / "state", folder / "data"
        plain = command_line(folder, workstation.url)
        own = {
            "GPUDESK_STATE_DIR": str(self.state),
            "GPUDESK_DATA_DIR": str(self.data),
            "GPUDESK_CACHE_DIR": str(folder),
        }
        self.line = CommandLine({**plain.environment, **own, "PATH": str(folder)}, folder)

    def loaded(self) -> dict[str, int]:
        with self.sim.timeline.changed:
            return {r.model.name: r.options.num_ctx for r in self.sim.server.scheduler.loaded.values() if not r.dead}

    def entries(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.ending.value) for entry in FileJournal(self.state).read(99)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Processes]:
    def script(stage: Stage) -> None:
        stage.loaded(CHAT, num_ctx=8192, keep_alive=-1)
        stage.loaded(EMBED, num_ctx=2048, keep_alive=-1)

    scenario = Scenario("processes", "for tests", script, settings=lambda: EngineSettings(load_seconds=2.0))
    with SimulatedWorkstation(scenario, RunningClock(scale=10.0), driver=False) as workstation:
        yield Processes(tmp_path, workstation)
        workstation.server.step_faults.clear()


def until(condition: Any, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_brings_back_what_was_there(here: Processes, number: int, code: int) -> None:
    fault = here.sim.server.fault("load", "hang", model=SMALL, moment="middle")
    with here.line.start("swap", CHAT, f"{SMALL}@8k", "--yes", "--json") as process:
        assert fault.reached.wait(20)
        assert CHAT not in here.loaded()
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=30)
    document = json.loads(out)
    assert process.returncode == code, err
    assert (document["outcome"]["ending"], document["outcome"]["canceled"]) == ("undone", True)
    assert err.startswith("gpudesk: canceled; ")
    assert here.loaded() == {CHAT: 8192, EMBED: 2048}
    assert here.entries() == [("swap", "undone")]
    assert FileJournal(here.state).unfinished() is None


def test_ctrl_c_three_times_leaves_it_and_the_next_command_offers_to_undo(here: Processes) -> None:
    fault = here.sim.server.fault("load", "hang", model=SMALL, moment="middle")
    again = here.sim.server.fault("load", "hang", model=CHAT, times=None)
    with here.line.start("swap", CHAT, f"{SMALL}@8k", "--yes") as process:
        assert fault.reached.wait(20)
        os.kill(process.pid, signal.SIGINT)
        assert again.reached.wait(20), "it brings back what was there"
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "once more leaves it as it is" in err
    assert "gpudesk restore --unfinished undo" in err
    here.sim.server.step_faults.clear()
    told = here.line.run("keep", EMBED, "forever")
    assert f"killed in the middle of: swap {CHAT} to {SMALL}" in told.stderr


def test_after_kill_9_the_next_start_undoes(here: Processes) -> None:
    fault = here.sim.server.fault("load", "hang", model=SMALL, moment="middle")
    with here.line.start("swap", CHAT, f"{SMALL}@8k", "--yes") as process:
        assert fault.reached.wait(20)
        process.kill()
        process.communicate(timeout=10)
    assert until(lambda: here.loaded() == {EMBED: 2048})
    done = here.line.run("restore", "--unfinished", "undo", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert here.loaded() == {CHAT: 8192, EMBED: 2048}


def test_two_at_once_do_not_mix(here: Processes) -> None:
    fault = here.sim.server.fault("load", "hang", model=SMALL, moment="middle")
    with here.line.start("load", f"{SMALL}@8k", "--yes") as first:
        assert fault.reached.wait(20)
        second = here.line.run("unload", EMBED)
        assert second.returncode == 4
        assert f"load {SMALL}" in second.stderr
        assert f"{first.pid}" in second.stderr
        assert EMBED in here.loaded()
        os.kill(first.pid, signal.SIGINT)
        first.communicate(timeout=20)
    assert here.line.run("unload", EMBED).returncode == 0


def test_a_question_is_asked_and_answered_at_a_terminal(here: Processes) -> None:
    TomlPinStore(here.data).put(PinWish(here.sim.url, CHAT))
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpudesk", "unload", CHAT],
        stdin=inner, stdout=inner, stderr=inner, env=dict(here.line.environment), start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    seen = b""
    try:
        while b"[y/N]" not in seen:
            assert select.select([outer], [], [], 20)[0], seen
            seen += os.read(outer, 4096)
        assert b"its pin ends" in seen
        assert CHAT in here.loaded()
        os.write(outer, b"y\n")
        while True:
            try:
                seen += os.read(outer, 4096)
            except OSError:
                break
        assert process.wait(20) == 0, seen
    finally:
        os.close(outer)
        process.kill()
        process.wait(5)
    assert here.loaded() == {EMBED: 2048}
    assert TomlPinStore(here.data).read() == ()


def test_the_status_tells_of_pins(here: Processes) -> None:
    TomlPinStore(here.data).put(PinWish(here.sim.url, EMBED))
    assert here.line.run("pin", CHAT).returncode == 0
    models = json.loads(here.line.run("status", "--json").stdout)["models"]
    assert {model["name"]: model["pin"] for model in models} == {CHAT: "held", EMBED: "held"}
    assert here.line.run("unpin", CHAT).returncode == 0
    models = json.loads(here.line.run("status", "--json").stdout)["models"]
    assert {model["name"]: model["pin"] for model in models} == {CHAT: "none", EMBED: "held"}


def test_the_journal_is_followed(here: Processes) -> None:
    with here.line.start("log", "--follow", "--json") as process:
        assert process.stdout is not None
        assert here.line.run("keep", CHAT, "5m").returncode == 0
        entry = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 130
    assert (entry["schema_version"], entry["action"], entry["ending"]) == (1, "keep", "done")


def test_the_guard_puts_a_lost_pin_right_and_ends_with_0(here: Processes) -> None:
    TomlPinStore(here.data).put(PinWish(here.sim.url, CHAT, context_length=8192, restore=True))
    with here.line.start("guard") as process:
        assert process.stdout is not None
        assert "guarding http://" in process.stdout.readline()
        with here.sim.timeline.changed:
            here.sim.stage.ask(CHAT, num_ctx=8192, keep_alive=1800, tokens=4)
        assert until(lambda: ("pin", "done") in here.entries(), 100), process.poll()
        process.terminate()
        rest, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert f"the pin of {CHAT} is put right" in rest
    assert guard_lock(here.state).holder() is None


def test_of_two_guards_one_waits_and_takes_over(here: Processes) -> None:
    with here.line.start("guard") as first:
        assert first.stdout is not None
        assert "guarding" in first.stdout.readline()
        with here.line.start("guard", "--json") as second:
            assert second.stdout is not None
            told = json.loads(second.stdout.readline())["message"]
            first.terminate()
            first.communicate(timeout=20)
            after = json.loads(second.stdout.readline())["message"]
            second.send_signal(signal.SIGINT)
            second.communicate(timeout=20)
    assert f"another gpudesk guards (pid {first.pid})" in told
    assert after == f"guarding {here.sim.url}"
    assert second.returncode == 130
    assert guard_lock(here.state).holder() is None


def test_the_guard_only_tells_when_nothing_may_be_changed(here: Processes) -> None:
    TomlPinStore(here.data).put(PinWish(here.sim.url, CHAT, context_length=8192, restore=True))
    with here.line.start("guard", "--read-only") as process:
        assert process.stdout is not None
        assert "guarding" in process.stdout.readline()
        with here.sim.timeline.changed:
            here.sim.stage.ask(CHAT, num_ctx=8192, keep_alive=1800, tokens=4)
        line = process.stdout.readline()
        time.sleep(3.0)  # longer than it waits before it would act
        process.terminate()
        rest, _ = process.communicate(timeout=20)
    assert CHAT in line
    assert "put right" not in rest
    assert here.entries() == []


def test_the_guard_loads_no_screen_and_no_formulas() -> None:
    code = (
        "import sys, json; sys.argv = ['gpudesk', 'guard']\n"
        "import gpudesk.build, gpudesk.cli, gpudesk.commands.guard, gpudesk.acting.guarding, gpudesk.watch.poller\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(json.loads(done.stdout))
    heavy = (
        "textual",
        "rich",
        "httpx",
        "gpudesk.ui",
        "gpudesk.sim",
        "gpudesk.fit.plan",
        "gpudesk.planning.desk_planner",
    )
    assert not [name for name in modules if name.startswith(heavy)]


def test_a_watch_knows_what_a_command_beside_it_unloads(here: Processes) -> None:
    with here.line.start("status", "--watch", "--interval", "0.2") as watching:
        assert watching.stdout is not None
        assert CHAT in watching.stdout.readline()
        assert here.line.run("swap", CHAT, f"{SMALL}@8k", "--yes").returncode == 0
        deadline, told = time.monotonic() + 20.0, ""
        while "unloaded" not in told and "evicted" not in told:
            assert time.monotonic() < deadline
            told = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)
    assert f"{CHAT} unloaded: gpudesk asked for it" in told
