"""Commands that change something, in this process, over one simulated workstation that stays between them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gpudesk import build
from gpudesk.acting.opening import Folders
from gpudesk.arguments.acting import MODULES
from gpudesk.arguments.parser import parse
from gpudesk.commands.acting_session import ActingMeans
from gpudesk.config.settings import EngineAddress, Settings
from gpudesk.domain.pin import PinWish
from gpudesk.errors import GpudeskError
from gpudesk.output import diagnostics
from gpudesk.planning.desk_planner import DeskPlanner
from gpudesk.sim.clock import RunningClock
from gpudesk.sim.engine_settings import EngineSettings
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.scenarios_stage import Stage
from gpudesk.sim.workstation import SimulatedWorkstation
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.workstation import Workstation

CHAT, BIG, CODE, EMBED = "qwen3:14b", "gpt-oss:20b", "qwen2.5-coder:1.5b-base", "nomic-embed-text:latest"
SMALL = "llama3.2:3b"


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class TerminalIO(io.StringIO):
    """A stream with somebody in front of it."""

    def isatty(self) -> bool:
        return True


class CommandRig:
    """The workstation; `loaded` are there from the start: name, context, keep-alive in seconds (-1 is forever)."""

    def __init__(self, folder: Path, *loaded: tuple[str, int, float], scale: float = 20.0, **changes: Any) -> None:
        def script(stage: Stage) -> None:
            for name, context, keep_alive in loaded:
                stage.loaded(name, num_ctx=context, keep_alive=keep_alive)

        scenario = Scenario(
            "commands", "for tests of commands", script,
            settings=lambda: EngineSettings(**{"load_seconds": 2.0, **changes}),
        )  # fmt: skip
        self.sim = SimulatedWorkstation(scenario, RunningClock(scale=scale))
        self.folders = Folders(folder / "data", folder / "state")
        self.settings = Settings()

    def __enter__(self) -> Self:
        self.sim.__enter__()
        self.settings = replace(self.settings, engines=(EngineAddress(self.sim.url),), desktop_notifications=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sim.server.step_faults.clear()
        self.sim.__exit__(kind, error, trace)

    def means(self) -> ActingMeans:
        def open_it() -> Workstation:
            return Workstation(build._simulated_sources(self.sim, self.settings), self.sim.clock, self.settings)

        def planning(workstation: Workstation) -> DeskPlanner:
            return DeskPlanner(self.settings, lambda: build._metadata_source(self.settings, True))

        @contextmanager
        def folders() -> Iterator[Folders]:
            yield self.folders

        return ActingMeans(self.settings, open_it, folders, planning)

    def run(self, *words: str, answer: str | None = None) -> Done:
        """Run a command; `answer` is typed by somebody at a terminal."""
        options = parse(words)
        out = io.StringIO()
        err: io.StringIO = io.StringIO() if answer is None else TerminalIO()
        before, sys.stdin = sys.stdin, (io.StringIO() if answer is None else TerminalIO(answer))
        try:
            with redirect_stderr(err):
                try:
                    code = import_module(f"gpudesk.commands.{MODULES[options.verb]}").run(
                        vars(options), self.means(), out
                    )
                except GpudeskError as error:
                    diagnostics.report(error)
                    code = error.exit_code
        finally:
            sys.stdin = before
        return Done(int(code), out.getvalue(), err.getvalue())

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.sim.url

    def loaded(self) -> dict[str, int]:
        """What the engine itself has loaded, and with which context."""
        with self.sim.timeline.changed:
            return {r.model.name: r.options.num_ctx for r in self.sim.server.scheduler.loaded.values() if not r.dead}

    def session_seconds(self, name: str) -> float:
        """The keep-alive the engine itself has for a model; forever is centuries."""
        with self.sim.timeline.changed:
            runner = next(r for r in self.sim.server.scheduler.loaded.values() if r.model.name == name)
            return runner.session_nanoseconds / 1e9

    def pins(self) -> tuple[PinWish, ...]:
        return TomlPinStore(self.folders.data).read()

    def journal(self) -> list[tuple[str, str, str]]:
        return [
            (entry.action, entry.who.value, entry.ending.value) for entry in FileJournal(self.folders.state).read(99)
        ]
