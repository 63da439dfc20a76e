"""`make bench`: gpudesk beside nvitop and ollama-mtop, in one run, on the same simulated card and engine.

Machines differ and are shared: what counts is the ratio of medians taken in turn, not a number of seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import acting, editors, environment, fit, guard, measures, previews
from tests.benchmarks.measures import Subject
from tests.benchmarks.workload import Workload

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table: what, gpudesk's figure, the peers', the ratio to ollama-mtop and the bar."""

    what: str
    gpudesk: str
    peers: str = ""
    ratio: str = ""
    bar: str = ""
    within: bool | None = None


@dataclass(frozen=True)
class Programs:
    """Where the programs under test are."""

    gpudesk: Path
    mtop: Path
    nvitop: Path
    modelinfo: Path


def against_mtop(what: str, ours: float, theirs: float, limit: float, show: Callable[[float], str]) -> Row:
    """A line whose bar is a ratio."""
    ratio = ours / theirs
    return Row(what, show(ours), f"mtop {show(theirs)}", f"{ratio:.2f}", f"≤ {limit:.1f} x mtop", ratio <= limit)


def against(what: str, ours: float, limit: float, show: Callable[[float], str], peers: str = "") -> Row:
    """A line whose bar is a figure of its own."""
    return Row(what, show(ours), peers, "", f"≤ {show(limit)}", ours <= limit)


def seconds(value: float) -> str:
    """Format seconds."""
    return f"{value:.3f} s"


def share(value: float) -> str:
    """Format a share of one core."""
    return f"{value * 100:.2f} %"


def mebibytes(value: float) -> str:
    """Format bytes."""
    return f"{value / MEBIBYTE:.0f} MiB"


def small_desk(programs: Programs, runs: int, window: float) -> list[Row]:
    """One card, three loaded models, 40 installed."""
    with Workload("bench") as load:
        names = tuple(load.loaded)
        ours = Subject((programs.gpudesk,), (*names, "RTX 4090", load.installed[0]), load)
        mtop = Subject((programs.mtop, "-m", "local"), names, load)
        nvitop = Subject((programs.nvitop,), ("4090",), load)
        paint = measures.in_turn(runs, *(lambda s=s: measures.first_paint(s) for s in (ours, mtop, nvitop)))
        status = measures.in_turn(
            runs,
            lambda: measures.whole_command(ours, "status", "--json"),
            lambda: measures.whole_command(mtop, "--json"),
        )
        gone = measures.in_turn(
            runs,
            lambda: measures.quit_seconds(ours, hanging=False),
            lambda: measures.quit_seconds(ours, hanging=True),
        )
        (cpu, memory), mtop_cost, nvitop_cost = measures.idle_costs(3, window, ours, mtop, nvitop)
        calls = measures.nvml_calls_per_second(ours, 20.0)
    beside = f"mtop {mebibytes(mtop_cost[1])}, nvitop {mebibytes(nvitop_cost[1])}"
    return [
        against_mtop(f"first full paint (nvitop {seconds(paint[2])})", paint[0], paint[1], 1.5, seconds),
        against("q to prompt", gone[0], 0.15, seconds),
        against("q to prompt, driver hanging", gone[1], 0.15, seconds),
        against_mtop(f"idle share of a core (nvitop {share(nvitop_cost[0])})", cpu, mtop_cost[0], 1.0, share),
        against("resident memory", memory, 60 * MEBIBYTE, mebibytes, beside),
        against_mtop("status --json", status[0], status[1], 2.5, seconds),
        Row("NVML calls per second, one card", f"{calls:.1f}"),
    ]


def large_desk(programs: Programs, window: float) -> list[Row]:
    """Eight cards, 200 processes, 20 loaded and 500 installed models; the bar is mtop's share on the small desk."""
    with Workload("bench") as small:
        mtop = Subject((programs.mtop, "-m", "local"), tuple(small.loaded), small)
        ((base, _),) = measures.idle_costs(3, window, mtop)
    with Workload("many", cards=8, other_processes=180) as load:
        ours = Subject((programs.gpudesk,), ("RTX 4090", load.loaded[0]), load)
        ((cpu, memory),) = measures.idle_costs(3, window, ours)
        slowest = max(measures.key_latencies(ours, 20, "Leave gpudesk; models stay"))
    return [
        against_mtop("8 cards, 200 processes, 20 + 500 models: idle share", cpu, base, 3.0, share),
        against("the same: resident memory", memory, 180 * MEBIBYTE, mebibytes),
        against("the same: slowest of 20 answers to a key", slowest, 0.05, seconds),
    ]


def fit_costs(programs: Programs, runs: int) -> list[Row]:
    """A fit from the shell, and a plan in process."""
    ours, theirs = fit.shell_seconds(programs.gpudesk, programs.modelinfo, runs)
    ratio = ours / theirs
    large, again, close = fit.plan_seconds(runs)
    return [
        Row("fit FILE", seconds(ours), f"modelinfo {seconds(theirs)}", f"{ratio:.2f}", "≤ 1.0 x modelinfo", ratio <= 1),
        against("plan of 6 models on 2 cards, headers new to it", large, 0.02, seconds),
        against("the same, another context for one model", again, 0.02, seconds),
        against("6 models that nearly fit, every alternative, headers new to it", close, 0.02, seconds),
    ]


def acting_costs(programs: Programs, runs: int, window: float) -> list[Row]:
    """What an action costs beside what the engine and the driver take, its preview, and a guard that waits."""
    taken = previews.preview_seconds(runs)
    slowest = max(taken, key=lambda kind: taken[kind])
    share_of_core, resident = guard.guard_cost(programs.gpudesk, window)
    return [
        against("own share of a swap", acting.swap_overhead_seconds(runs), 0.05, seconds),
        against(f"preview with 500 installed models, the slowest kind ({slowest})", taken[slowest], 0.03, seconds),
        against("guard alone: share of a core", share_of_core, 0.003, share),
        against("guard alone: resident memory", resident, 40 * MEBIBYTE, mebibytes),
    ]


def editor_costs(programs: Programs, runs: int) -> list[Row]:
    """The preview of a change to an editor's file, and a check from the shell."""
    rows = [against(f"preview: {what}", taken, 0.1, seconds) for what, taken in editors.previews(runs).items()]
    answered, alone = editors.check_seconds(programs.gpudesk, runs)
    return [
        *rows,
        against("editors check, eight editors", answered, 0.4, seconds),
        against("the same, no engine", alone, 0.4, seconds),
    ]


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| what | gpudesk | peers | ratio | bar | |\n|---|---|---|---|---|---|")
    for line in rows:
        verdict = {True: "within", False: "OVER", None: ""}[line.within]
        print(f"| {line.what} | {line.gpudesk} | {line.peers} | {line.ratio} | {line.bar} | {verdict} |")


def main() -> int:
    """Run the benchmarks that were asked for; exit 1 when one is over its bar."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="rounds per timing (default 7)")
    parser.add_argument("--window", type=float, default=30.0, help="seconds per processor-share window (default 30)")
    parser.add_argument(
        "--only", choices=["small", "large", "version", "fit", "acting", "editors"], help="one part of it"
    )
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    options = parser.parse_args()
    peers, own = environment.peers(), environment.gpudesk()
    programs = Programs(own / "gpudesk", peers / "mtop", peers / "nvitop", peers / "modelinfo")
    rows: list[Row] = []
    if options.only in (None, "version"):
        count = measures.modules_loaded(own / "python")
        rows.append(Row("modules loaded by --version", str(count), bar="< 60", within=count < 60))
    if options.only in (None, "small"):
        rows += small_desk(programs, options.runs, options.window)
    if options.only in (None, "large"):
        rows += large_desk(programs, options.window)
    if options.only in (None, "fit"):
        rows += fit_costs(programs, options.runs)
    if options.only in (None, "acting"):
        rows += acting_costs(programs, options.runs, options.window)
    if options.only in (None, "editors"):
        rows += editor_costs(programs, options.runs)
    if options.json:
        print(json.dumps([vars(line) for line in rows]))
    else:
        print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors\n")
        print_table(rows)
    return 1 if any(line.within is False for line in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
