"""What a command works on: the sources of one workstation, real or simulated, and what was found there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from gpudesk.errors import ExitCode, FailureKind, GpudeskError
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from gpudesk.clock import Clock
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk, SourceState
    from gpudesk.domain.problem import Problem
    from gpudesk.sources.base import Source

DRIVER_SOURCE = "nvml"
ENGINE_PREFIX = "ollama "
"""How the name of an engine's main source starts; the rest is its url."""


def _nothing() -> None:
    """Close nothing."""


class LateSources(Sequence["Source"]):
    """Sources that are made when they are first looked at: what they need is imported then."""

    def __init__(self, make: Callable[[], tuple[Source, ...]]) -> None:
        self._make = make
        self._made: tuple[Source, ...] | None = None

    @property
    def _sources(self) -> tuple[Source, ...]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @overload
    def __getitem__(self, place: int) -> Source: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Source]: ...
    def __getitem__(self, place: int | slice) -> Source | Sequence[Source]:
        """Return one, or some."""
        return self._sources[place]

    def __len__(self) -> int:
        """Count them."""
        return len(self._sources)


@dataclass(frozen=True, slots=True)
class Workstation:
    """The sources to read, with everything their readers need to know. Made by `build`, read by commands and screen."""

    sources: Sequence[Source]
    clock: Clock
    settings: Settings
    banner: str | None = None
    """Says that the numbers are simulated, and why; None on a real workstation."""
    problems: tuple[Problem, ...] = ()
    """Of the configuration; shown beside what the sources say."""
    close: Callable[[], None] = _nothing
    """Ends the simulation; the sources are closed by whoever reads them."""

    @property
    def demo(self) -> bool:
        """The numbers are simulated."""
        return self.banner is not None

    def with_problems(self, problems: tuple[Problem, ...]) -> Workstation:
        """Return the same workstation with more to tell."""
        return replace(self, problems=(*self.problems, *problems))


@dataclass(frozen=True, slots=True)
class Search:
    """One thing that was looked for and how that went."""

    what: str
    """`NVIDIA driver` or `Ollama at http://127.0.0.1:11434`."""
    result: str
    hint: str | None = None

    def line(self) -> str:
        """Say what was looked for and how that went, each once."""
        told = self.what.removeprefix("Ollama at ") in self.result
        return self.result if told else f"{self.what}: {self.result}"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is on this workstation."""

    driver: bool
    engines: tuple[str, ...]
    """Urls of the engines that are there, whatever they answer."""
    searched: tuple[Search, ...]

    @property
    def anything(self) -> bool:
        """There is something to show."""
        return self.driver or bool(self.engines)


class NothingFoundError(GpudeskError):
    """Neither a driver nor an engine is here; says what was looked for, where, and what to do."""

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, found: Found) -> None:
        lines = ["found neither an NVIDIA driver nor an engine. Looked for:"]
        for search in found.searched:
            lines.append(f"  {search.line()}")
            if search.hint:
                lines.append(f"    -> {search.hint}")
        hint = "`gpudesk doctor` says more; `gpudesk --demo` shows a simulated workstation"
        super().__init__("\n".join(lines), hint)


_ABSENT = {FailureKind.MISSING, FailureKind.UNREACHABLE}
"""Failures that mean that nobody is there. Anything else is somebody in trouble, who is worth a screen."""


def _is_there(state: SourceState) -> bool:
    """Tell whether somebody answers to this source; a source that has not been heard of yet is not there."""
    if state.last_value_at is not None:
        return True
    return state.failure is not None and state.failure.kind not in _ABSENT


def found_in(desk: Desk, settings: Settings) -> Found:
    """Tell from the readings of a desk what there is."""
    states = {state.source: state for state in desk.sources}
    local = {engine.url: engine.local for engine in desk.engines}
    searched = []
    driver = states.get(DRIVER_SOURCE)
    searched.append(_search("NVIDIA driver", driver))
    engines = []
    for address in settings.engines:
        state = states.get(f"{ENGINE_PREFIX}{address.url}")
        searched.append(_search(f"Ollama at {address.url}", state))
        if state is None or not _is_there(state):
            continue
        silent = state.failure is not None and state.failure.kind is FailureKind.TIMEOUT
        if state.last_value_at is None and silent and not local.get(address.url, True):
            continue  # a computer elsewhere that does not answer may not exist at all
        engines.append(address.url)
    return Found(driver is not None and _is_there(driver), tuple(engines), tuple(searched))


def _search(what: str, state: SourceState | None) -> Search:
    if state is None or (state.last_value_at is None and state.failure is None):
        return Search(what, "no answer in time")
    if state.failure is None:
        return Search(what, "found")
    return Search(what, state.failure.message, state.failure.hint)


def is_settled(desk: Desk, settings: Settings) -> bool:
    """Tell whether it is known what there is: somebody answered, or everybody was asked."""
    if found_in(desk, settings).anything:
        return True
    wanted = {DRIVER_SOURCE, *(f"{ENGINE_PREFIX}{address.url}" for address in settings.engines)}
    heard = {state.source for state in desk.sources if state.failure is not None or state.last_value_at is not None}
    return wanted <= heard


def is_readable(desk: Desk) -> bool:
    """Tell whether at least one card or one engine was read just now: the difference between exit code 0 and 3."""
    driver = desk.source(DRIVER_SOURCE)
    read = driver is not None and driver.last_value_at is not None and driver.failure is None
    return read or any(engine.reachable for engine in desk.engines)
