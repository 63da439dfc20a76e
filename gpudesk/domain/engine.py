"""A server that keeps models resident."""

from __future__ import annotations

from enum import StrEnum

from gpudesk.domain.model import EngineModel, InstalledModel, ModelDetails
from gpudesk.domain.problem import Problem
from gpudesk.records import dataclass


class EngineKind(StrEnum):
    """Which engine; Ollama first, others follow."""

    OLLAMA = "ollama"


class Era(StrEnum):
    """How this Ollama version arrives at the sizes in `/api/ps`."""

    ESTIMATE = "estimate"
    """Up to 0.12.10: computed before the load, not measured."""
    LAYOUT = "layout"
    """0.12.11 to 0.24: the runner's allocations, or an estimate in the same struct."""
    LLAMA_SERVER = "llama_server"
    """From 0.30: added up from llama-server's log lines; misses what is not logged."""


def era_of(version: str | None) -> Era | None:
    """Tell the era of an Ollama version string such as `0.12.6` or `0.33.0-rc2`; None when it cannot be told.

    Boundaries: v0.12.11 deleted llm/memory.go (ollama f560bd077), v0.30.0 introduced llama-server (9db4bdbad).
    """
    key = _numbers(version)
    if key is None:
        return None
    if key >= (0, 30, 0):
        return Era.LLAMA_SERVER
    return Era.LAYOUT if key >= (0, 12, 11) else Era.ESTIMATE


def limits_context(version: str | None) -> bool | None:
    """Tell whether this Ollama version cuts a context to what the model was trained for: from 0.9.3 on.

    Source: ollama server/sched.go (`effectiveContext` at v0.33.0-rc2); None when the version tells nothing.
    """
    key = _numbers(version)
    return None if key is None else key >= (0, 9, 3)


def _numbers(version: str | None) -> tuple[int, ...] | None:
    """Return a version as three numbers; None when it is none, or `0.0.0`: a build from source tells nothing."""
    if not version:
        return None
    numbers: list[int] = []
    for part in version.strip().lstrip("v").split("-")[0].split("+")[0].split(".")[:3]:
        if not part.isdecimal() or not part.isascii():
            return None
        numbers.append(int(part))
    if len(numbers) < 2 or not any(numbers):
        return None
    return tuple(numbers + [0] * (3 - len(numbers)))


@dataclass(frozen=True, slots=True)
class EngineSample:
    """What one poll of an engine gave: `/api/ps` every time, `/api/version` now and then."""

    url: str
    """Normalized base URL without a trailing slash, credentials removed: `http://127.0.0.1:11434`."""
    kind: EngineKind = EngineKind.OLLAMA
    version: str | None = None
    local: bool = True
    """Runs on this computer, so its models are looked for on this computer's cards."""
    models: tuple[EngineModel, ...] = ()
    clock_skew_seconds: float | None = None
    """The engine's clock minus ours, from its Date header; already taken out of every time in `models`."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with parts of the answer: entries that had to be left out."""


@dataclass(frozen=True, slots=True)
class CatalogSample:
    """What one poll of `/api/tags` gave."""

    url: str
    installed: tuple[InstalledModel, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class DetailsSample:
    """Everything `/api/show` has told so far, cached by digest."""

    url: str
    details: tuple[ModelDetails, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as the desk shows it."""

    url: str
    kind: EngineKind = EngineKind.OLLAMA
    version: str | None = None
    local: bool = True
    reachable: bool = False
    """The last poll answered."""
    error: str | None = None
    hint: str | None = None
    clock_skew_seconds: float | None = None
