"""What is measured, one function per figure, each on a whole process watched from outside."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.terminal import Terminal
from tests.benchmarks.workload import Workload


@dataclass(frozen=True)
class Subject:
    """A program under test: how to start it, and what is on its screen when it has painted in full."""

    command: tuple[str | Path, ...]
    wanted: tuple[str, ...]
    load: Workload

    def open(self) -> Terminal:
        """Start it in a terminal of 120x40."""
        return Terminal([str(part) for part in self.command], self.load.environment)


def in_turn(runs: int, *measurements: Callable[[], float]) -> list[float]:
    """Medians of `runs` rounds in which each measurement is taken once, so that drift hits all alike."""
    taken: list[list[float]] = [[] for _ in measurements]
    for round_number in range(runs + 1):
        for results, measure in zip(taken, measurements, strict=True):
            value = measure()
            if round_number:  # the first round warms caches
                results.append(value)
    return [median(results) for results in taken]


def first_paint(subject: Subject) -> float:
    """Seconds from start until every wanted text is on the screen."""
    with subject.open() as terminal:
        return terminal.first_paint(subject.wanted)


def quit_seconds(subject: Subject, *, hanging: bool) -> float:
    """Seconds from `q` to the prompt; `hanging` while the driver answers nothing."""
    with subject.open() as terminal:
        terminal.first_paint(subject.wanted)
        terminal.idle(1.0)
        try:
            if hanging:
                subject.load.state.hang(True)
                terminal.idle(2.5)
            return terminal.quit()
        finally:
            subject.load.state.hang(False)


def idle_cost(subject: Subject, seconds: float) -> tuple[float, float]:
    """Share of a core over `seconds`, and resident bytes, after things have settled."""
    with subject.open() as terminal:
        terminal.first_paint(subject.wanted)
        terminal.idle(4.0)
        return terminal.cpu_share(seconds), float(terminal.resident_bytes())


def idle_costs(runs: int, seconds: float, *subjects: Subject) -> list[tuple[float, float]]:
    """Medians of `idle_cost`, taken in turn."""
    taken: list[list[tuple[float, float]]] = [[] for _ in subjects]
    for _ in range(runs):
        for results, subject in zip(taken, subjects, strict=True):
            results.append(idle_cost(subject, seconds))
    return [(median(cost[0] for cost in costs), median(cost[1] for cost in costs)) for costs in taken]


def whole_command(subject: Subject, *arguments: str) -> float:
    """Seconds a command takes from start to end."""
    begin = time.perf_counter()
    subprocess.run(
        [*subject.command, *arguments],
        env={**os.environ, **subject.load.environment},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=30,
    )
    return time.perf_counter() - begin


def key_latencies(subject: Subject, presses: int, answer: str) -> list[float]:
    """Seconds until `?` shows the help, each press at another moment of the sampling cycle."""
    latencies = []
    with subject.open() as terminal:
        terminal.first_paint(subject.wanted)
        terminal.idle(3.0)
        for number in range(presses):
            terminal.idle(0.37 + 0.05 * (number % 5))
            start = terminal.press("?")
            latencies.append(terminal.wait_for([answer], start=start))
            terminal.idle(0.2)
            terminal.press("\x1b")
            terminal.idle(0.3)
    return latencies


def nvml_calls_per_second(subject: Subject, seconds: float) -> float:
    """Calls the program makes into the driver's library once it has settled."""
    with subject.open() as terminal:
        terminal.first_paint(subject.wanted)
        terminal.idle(3.0)
        before, begin = subject.load.state.calls, time.perf_counter()
        terminal.idle(seconds)
        return (subject.load.state.calls - before) / (time.perf_counter() - begin)


def modules_loaded(python: Path) -> int:
    """Modules in memory after `gpudesk --version`."""
    code = (
        "import sys; sys.argv = ['gpudesk', '--version']; from gpudesk.__main__ import main; main();"
        "print(len(sys.modules))"
    )
    printed = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    return int(printed.split()[-1])
