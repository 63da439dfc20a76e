from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpudesk.build import DEFAULT_SCENARIO, look_for_sources, open_workstation, scenario_names
from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.sim.nvml import SimulatedDriver
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.watch.poller import sample_once
from tests.benchmarks.terminal import Terminal
from tests.command_line import CommandLine, command_line, nobody_listens


@pytest.fixture
def refused() -> Iterator[str]:
    """An address where nobody listens."""
    with nobody_listens() as url:
        yield url


@pytest.fixture
def computer(tmp_path: Path, refused: str) -> CommandLine:
    """A computer with neither a driver nor an engine."""
    return command_line(tmp_path, refused)


def settings(*urls: str) -> Settings:
    """Settings with these engines."""
    return Settings(engines=tuple(EngineAddress(url) for url in urls))


def test_an_engine_is_found_whatever_the_driver_says(refused: str) -> None:
    with SimulatedWorkstation("coding", driver=False) as simulated:
        found = look_for_sources(settings(refused, simulated.url))
    assert found.engines == (simulated.url,)
    assert found.anything
    assert [search.what for search in found.searched] == [
        "NVIDIA driver", f"Ollama at {refused}", f"Ollama at {simulated.url}",
    ]  # fmt: skip
    assert "refused" in found.searched[1].result
    assert found.searched[2].result == "found"


def test_a_driver_is_found_without_an_engine(refused: str) -> None:
    with SimulatedWorkstation("coding") as simulated:
        assert isinstance(simulated.driver, SimulatedDriver)
        found = look_for_sources(settings(refused))
    assert found.driver
    assert found.engines == ()


def test_a_driver_that_hangs_takes_no_longer_than_allowed(refused: str) -> None:
    import time

    with SimulatedWorkstation("coding") as simulated:
        simulated.cards.cards[0].hang_seconds["nvmlDeviceGetMemoryInfo"] = 20.0
        simulated.cards.cards[0].hang_seconds["nvmlDeviceGetName"] = 20.0
        begin = time.monotonic()
        found = look_for_sources(settings(refused), timeout_seconds=0.5)
        assert time.monotonic() - begin < 2.0
    assert found.driver  # it is there, and in trouble: worth a screen


def test_this_computer_is_read_with_its_own_clock() -> None:
    workstation = open_workstation(settings("http://127.0.0.1:1"))
    names = [source.name for source in workstation.sources]
    assert names == [
        "nvml", "ollama http://127.0.0.1:1", "ollama-catalog http://127.0.0.1:1", "ollama-details http://127.0.0.1:1",
        "processes", "host",
    ]  # fmt: skip
    assert workstation.banner is None
    assert workstation.clock is SYSTEM_CLOCK


def test_intervals_follow_the_setting() -> None:
    slow = open_workstation(Settings(engines=(EngineAddress("http://127.0.0.1:1"),), interval_seconds=3.0))
    intervals = {source.name.split()[0]: source.interval_seconds for source in slow.sources}
    assert (intervals["nvml"], intervals["ollama"], intervals["processes"]) == (3.0, 6.0, 3.0)


@pytest.mark.parametrize("scenario", scenario_names())
def test_every_scenario_can_be_looked_at(scenario: str) -> None:
    workstation = open_workstation(settings(), demo=scenario)
    try:
        desk = sample_once(workstation.sources, workstation.clock, 5)
    finally:
        workstation.close()
    assert workstation.demo
    assert desk.cards
    for state in desk.cards:
        if state.card.memory_total_bytes is not None and state.free_bytes is not None:
            held = sum(holder.memory_bytes for holder in state.holders)
            assert held + state.free_bytes == state.card.memory_total_bytes


def test_a_demo_leaves_nothing_behind() -> None:
    import pynvml

    before = pynvml.nvmlLib
    threads = set(threading.enumerate())
    workstation = open_workstation(settings(), demo=DEFAULT_SCENARIO)
    sample_once(workstation.sources, workstation.clock, 5)
    workstation.close()
    assert pynvml.nvmlLib is before
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert not thread.is_alive(), thread.name


@pytest.mark.slow
def test_a_demo_if_empty_names_both_searches(computer: CommandLine, refused: str) -> None:
    terminal = Terminal([sys.executable, "-m", "gpudesk", "--demo-if-empty"], computer.environment)
    with terminal:
        terminal.first_paint(("DEMO", "no NVIDIA driver", refused.removeprefix("http://"), "RTX 4090"))
        terminal.idle(0.3)
        assert terminal.quit() < 2.0


@pytest.mark.slow
def test_nothing_found_on_a_terminal_draws_no_screen(computer: CommandLine, refused: str) -> None:
    with Terminal([sys.executable, "-m", "gpudesk"], computer.environment) as terminal:
        terminal.wait_for(("found neither an NVIDIA driver nor an engine", refused, "--demo"))
        for _ in range(100):
            if not terminal.pump(0.05):
                break
        assert terminal.ended is not None
        assert b"\x1b[?1049h" not in terminal.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", ["--theme=gpudesk-light", "--ansi", "--no-color", "--reduced-motion", "--reserve=20GiB"]
)
def test_the_screen_takes_its_options(computer: CommandLine, option: str) -> None:
    with Terminal([sys.executable, "-m", "gpudesk", "--demo", option], computer.environment) as terminal:
        terminal.first_paint(("DEMO", "RTX 4090"))
        terminal.idle(0.2)
        assert terminal.quit() < 2.0
