"""The workstation as a whole: it starts fast, ends clean, and the process of its own behaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import httpx
import psutil
import pynvml
import pytest

from gpudesk.sim.clock import RunningClock, SteppedClock
from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation


def test_card_and_engine_tell_the_same_story() -> None:
    with SimulatedWorkstation("bench", SteppedClock()) as station, httpx.Client(trust_env=False) as client:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        held = {p.pid: p.usedGpuMemory for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        pynvml.nvmlShutdown()
        rows = client.get(f"{station.url}/api/ps").json()["models"]
        runners = {raw.pid: raw for raw in station.process_table.runner_candidates() if raw.name == "llama-server"}
        assert set(runners) <= set(held)
        assert len(rows) == len(runners) == 3
        for row in rows:
            shown = client.post(f"{station.url}/api/show", json={"model": row["name"]}).json()
            path = shown["modelfile"].split("\nFROM ")[1].split("\n")[0]
            (pid,) = [pid for pid, raw in runners.items() if raw.argv is not None and path in raw.argv]
            assert held[pid] - row["size_vram"] == pytest.approx(457 * 2**20, abs=32 * 2**20)


def test_time_is_real_unless_a_clock_is_given() -> None:
    with SimulatedWorkstation("idle") as station:
        assert abs((station.clock.now() - datetime.now(UTC)).total_seconds()) < 1
        with pytest.raises(TypeError, match="SteppedClock"):
            station.step()


def test_time_can_run_faster() -> None:
    with SimulatedWorkstation("editor-resets-keep-alive", RunningClock(scale=200), driver=False) as station:
        deadline = time.monotonic() + 5
        while not any(r.session_nanoseconds == 1800 * 10**9 for r in station.server.scheduler.loaded.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_nothing_stays_behind() -> None:
    before = set(threading.enumerate())
    with SimulatedWorkstation("coding") as station:
        url = station.url
        assert httpx.get(f"{url}/api/version", trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/api/version", trust_env=False)
    deadline = time.monotonic() + 5
    while left := {thread for thread in set(threading.enumerate()) - before if thread.is_alive()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_two_workstations_can_be_there_at_once() -> None:
    with (
        SimulatedWorkstation("bench", SteppedClock(), driver=False) as one,
        SimulatedWorkstation("idle", SteppedClock(), driver=False) as other,
    ):
        assert one.url != other.url
        assert len(httpx.get(f"{one.url}/api/ps", trust_env=False).json()["models"]) == 3
        assert httpx.get(f"{other.url}/api/ps", trust_env=False).json()["models"] == []


def test_an_unknown_scenario_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no scenario called 'nope'; there are: coding, pinned"):
        SimulatedWorkstation("nope")


def test_a_version_of_one_s_own() -> None:
    with SimulatedWorkstation("bench", SteppedClock(), driver=False, version="0.12.6") as station:
        assert httpx.get(f"{station.url}/api/version", trust_env=False).json() == {"version": "0.12.6"}
        names = {raw.name for raw in station.process_table.runner_candidates()}
        assert names == {"ollama"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_workstation_is_there_in_a_blink(name: str) -> None:
    with SimulatedWorkstation("idle", SteppedClock(), driver=False):
        pass
    started = time.perf_counter()
    with SimulatedWorkstation(name, SteppedClock(), driver=False):
        assert time.perf_counter() - started < 0.15


@pytest.mark.slow
def test_an_idle_workstation_costs_next_to_nothing() -> None:
    command = [sys.executable, "-m", "gpudesk.sim", "--scenario", "bench"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        seen = psutil.Process(process.pid)
        before = sum(seen.cpu_times()[:2])
        time.sleep(1.5)
        spent = sum(seen.cpu_times()[:2]) - before
        process.terminate()
        assert process.wait(5) == 0
    assert spent <= 0.01, "one tick of the kernel's accounting"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own_prints_its_url_and_ends_when_it_is_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "gpudesk.sim", "--scenario", "bench", "--version", "0.24.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/api/version", trust_env=False).json() == {"version": "0.24.0"}
        process.send_signal(number)
        assert process.wait(5) == 0
