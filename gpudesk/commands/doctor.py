"""`gpudesk doctor`: what was found, what not, why, and what to do. Can be pasted into a bug report."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from gpudesk.commands import checks
from gpudesk.commands.checks import Check, Group, State
from gpudesk.commands.status import LOOK_SECONDS, style_for
from gpudesk.domain.card import ProcessAccounting
from gpudesk.domain.engine import era_of
from gpudesk.errors import ExitCode
from gpudesk.units import celsius, gibibytes, percent, watts
from gpudesk.workstation import DRIVER_SOURCE, ENGINE_PREFIX, Workstation, is_readable

if TYPE_CHECKING:
    from gpudesk.config.layers import Effective
    from gpudesk.domain.desk import CardState, Desk
    from gpudesk.domain.engine import Engine
    from gpudesk.domain.reading import Sample
    from gpudesk.output.desk_json import Value
    from gpudesk.output.status_text import Style
    from gpudesk.sources.base import Source

SKEW_SECONDS = 5.0
"""A clock this far off makes an engine's times worth a remark."""

_ERAS = {
    "estimate": "its sizes are computed before the load, not measured",
    "layout": "its sizes are the runner's allocations or an estimate",
    "llama_server": "its sizes are added up from log lines and miss what is not logged",
}


class _Timed:
    """A source that remembers how long it took."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.interval_seconds = source.interval_seconds
        self.seconds: float | None = None
        self._source = source

    def read(self, desk: Desk) -> Sample:
        """Look once and take the time."""
        begin = time.perf_counter()
        try:
            return self._source.read(desk)
        finally:
            self.seconds = time.perf_counter() - begin

    def close(self) -> None:
        """Close the source itself."""
        self._source.close()


def run(
    workstation: Workstation,
    configured: Effective,
    out: TextIO,
    *,
    as_json: bool,
    timeout_seconds: float = LOOK_SECONDS,
) -> int:
    """Check everything, print it, and return 0 when there is something to show, else 3."""
    from gpudesk.watch.poller import sample_once

    timed = tuple(_Timed(source) for source in workstation.sources)
    desk = sample_once(timed, workstation.clock, timeout_seconds)
    seconds = {source.name: source.seconds for source in timed}
    groups = (
        checks.program(),
        checks.system(),
        _driver(desk, workstation),
        _cards(desk),
        _engines(desk, seconds),
        _processes(desk),
        checks.configuration(configured),
        checks.variables(os.environ),
        checks.folders(),
        checks.terminal(os.environ, out),
    )
    usable = is_readable(desk)
    if as_json:
        from gpudesk.output.desk_json import to_json

        out.write(to_json(_document(desk, groups, usable=usable, demo=workstation.demo), indented=True) + "\n")
    else:
        style = style_for(out, workstation, os.environ)
        out.write("\n".join(lines_of(groups, style, workstation.banner)) + "\n")
    return ExitCode.OK if usable else ExitCode.UNREACHABLE


def _driver(desk: Desk, workstation: Workstation) -> Group:
    found: list[Check] = []
    if workstation.demo:
        found.append(Check("library", "simulated"))
    else:
        from gpudesk.commands.driver_checks import kernel_checks, library_checks

        found += [*library_checks(), *kernel_checks()]
    state = desk.source(DRIVER_SOURCE)
    if state is None or (state.failure is None and state.last_value_at is None):
        found.append(Check("driver", "not asked", State.PROBLEM))
    elif state.failure is not None:
        found.append(Check("driver", state.failure.message, State.PROBLEM, state.failure.hint))
    elif desk.driver is not None:
        cuda = f", CUDA up to {desk.driver.cuda_version}" if desk.driver.cuda_version else ""
        found.append(Check("driver", f"{desk.driver.version or 'unknown version'}{cuda}"))
    return Group("driver", tuple(found))


def _cards(desk: Desk) -> Group:
    found = [check for state in desk.cards for check in _card(state)]
    return Group("cards", tuple(found) or (Check("", "none found", State.WARNING),))


def _card(state: CardState) -> list[Check]:
    card = state.card
    name = f"card {card.index}"
    if card.error is not None:
        return [Check(name, f"{card.name or 'unnamed'}: {card.error}", State.PROBLEM)]
    figures = [gibibytes(card.memory_total_bytes), percent(card.utilization_ratio), celsius(card.temperature_celsius),
               watts(card.power_draw_watts)]  # fmt: skip
    kinds = [word for word, there in (("MIG", card.slices), ("unified memory", card.unified_memory),
                                      ("asleep", card.asleep)) if there]  # fmt: skip
    found = [Check(name, ", ".join((card.name or "unnamed", *figures, *kinds)))]
    accounting = {
        ProcessAccounting.FULL: Check(name, "tells the memory of every process"),
        ProcessAccounting.PIDS_ONLY: Check(name, "tells processes but not their memory", State.WARNING,
                                           "Usual under WSL and Windows; engines' own figures are shown instead"),
        ProcessAccounting.NONE: Check(name, "tells no processes", State.WARNING,
                                      "Engines' own figures are shown instead"),
    }  # fmt: skip
    if not card.asleep:
        found.append(accounting[card.process_accounting])
    found += [Check(name, problem.message, State.WARNING, problem.hint) for problem in card.problems]
    return [*found, *(Check(name, note, State.WARNING) for note in state.notes)]


def _engines(desk: Desk, seconds: dict[str, float | None]) -> Group:
    found = [check for engine in desk.engines for check in _engine(engine, desk, seconds)]
    return Group("engines", tuple(found) or (Check("", "none asked", State.WARNING),))


def _engine(engine: Engine, desk: Desk, seconds: dict[str, float | None]) -> list[Check]:
    name = engine.kind.value
    if not engine.reachable:
        return [Check(name, f"{engine.url}: {engine.error or 'no answer'}", State.PROBLEM, engine.hint)]
    took = seconds.get(f"{ENGINE_PREFIX}{engine.url}")
    delay = f", answered in {took * 1000:.0f} ms" if took is not None else ""
    place = "" if engine.local else ", on another computer: its models are not on these cards"
    found = [Check(name, f"{engine.version or 'unknown version'} at {engine.url}{delay}{place}")]
    era = era_of(engine.version)
    if era is not None:
        found.append(Check("sizes", _ERAS[era.value]))
    skew = engine.clock_skew_seconds
    if skew is not None and abs(skew) > SKEW_SECONDS:
        hint = "Its times are corrected here; set the clock of one of the two"
        found.append(Check("clock", f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}", State.WARNING, hint))
    models = sum(1 for model in desk.models if model.engine_url == engine.url)
    installed = sum(1 for model in desk.installed if model.engine_url == engine.url)
    found.append(Check("models", f"{models} loaded, {installed} installed"))
    return found


def _processes(desk: Desk) -> Group:
    state = desk.source("processes")
    if state is not None and state.failure is not None:
        return Group("processes", (Check("table", state.failure.message, State.PROBLEM, state.failure.hint),))
    there = [process for process in desk.processes if process.exists]
    named = sum(1 for process in there if process.name is not None)
    absent = len(desk.processes) - len(there)
    runners = sum(1 for process in desk.processes if process.runner is not None)
    found = [Check("on cards", f"{len(desk.processes)}, of them {runners} runners; {named} with a readable name")]
    if absent:
        hint = "In a container, start it with --pid=host"
        found.append(Check("not here", f"{absent} pids of the driver are unknown here", State.WARNING, hint))
    if named < len(there):
        hint = "Run as the same user as the engine, or as root, to see their names"
        found.append(Check("not readable", f"{len(there) - named} processes", State.WARNING, hint))
    return Group("processes", tuple(found))


def lines_of(groups: tuple[Group, ...], style: Style, banner: str | None) -> list[str]:
    """Write the checks as text, each group aligned."""
    lines = [banner, ""] if banner else []
    for group in groups:
        lines.append(style.heading(group.title))
        widest = max(len(check.name) for check in group.checks)
        for check in group.checks:
            line = f"  {check.state.value:<7}  {check.name:<{widest}}  {check.found}".rstrip()
            if check.state is State.PROBLEM:
                line = style.alarm(line)
            elif check.state is State.WARNING:
                line = style.caution(line)
            lines.append(line)
            if check.hint:
                lines.append(f"  {'':7}  {'':{widest}}  -> {check.hint}")
    return [style.plain(line) for line in lines]


def _document(desk: Desk, groups: tuple[Group, ...], *, usable: bool, demo: bool) -> dict[str, Value]:
    from gpudesk.output.desk_json import SCHEMA_VERSION, timestamp

    return {
        "schema_version": SCHEMA_VERSION,
        "taken_at": timestamp(desk.taken_at),
        "usable": usable,
        "demo": demo,
        "groups": [
            {
                "title": group.title,
                "checks": [
                    {"name": check.name, "state": check.state.value, "found": check.found, "hint": check.hint}
                    for check in group.checks
                ],
            }
            for group in groups
        ],
    }
