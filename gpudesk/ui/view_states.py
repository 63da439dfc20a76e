"""What a list says when it has nothing to show, or shows something old: the cause, in its place, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import FailureKind
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.staleness import stale_seconds
from gpudesk.ui.view_models import host_of
from gpudesk.units import duration

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.engine import Engine
    from gpudesk.ui.scene import Scene

_SOURCES = {"loaded": "{kind} {url}", "installed": "{kind}-catalog {url}"}
"""Where a list's rows come from, per engine."""
_UNREACHABLE = "unreachable"
_DOWN_WORDS = {
    FailureKind.DENIED: "refused",
    FailureKind.FAILED: "error",
    FailureKind.TIMEOUT: "no answer",
    FailureKind.INVALID: "not understood",
    FailureKind.LOST: "broke off",
}
"""Failures of an engine at whose address somebody is."""


def _asked(engine: Engine, scene: Scene) -> bool:
    """Tell whether an engine has answered or failed at least once."""
    state = scene.desk.source(f"{engine.kind.value} {engine.url}")
    return state is not None and state.last_taken_at is not None


def down_word(engine: Engine, desk: Desk) -> str:
    """Say in a word what is wrong with an engine that gives no answer: who refuses or errs can be reached."""
    state = desk.source(f"{engine.kind.value} {engine.url}")
    failure = state.failure if state is not None else None
    if failure is None:
        return _UNREACHABLE
    if failure.kind is not FailureKind.DENIED and failure.http_status is not None:
        return f"error {failure.http_status}"
    return _DOWN_WORDS.get(failure.kind, _UNREACHABLE)


def _engine_lines(engine: Engine, desk: Desk) -> list[Line]:
    """Say why an engine does not answer and what to do."""
    word = down_word(engine, desk)
    words = f"✗ {engine.kind.value} at {host_of(engine.url)}{' is' if word == _UNREACHABLE else ':'} {word}"
    lines: list[Line] = [(Span(f"{words}: {engine.error}" if engine.error else words, "error"),)]
    if engine.hint:
        lines.append((Span(f"→ {engine.hint}", "text"),))
    return lines


def empty_lines(name: str, scene: Scene) -> list[Line]:
    """Return what an empty list says: nothing there, nobody asked yet, or nobody answers."""
    desk = scene.desk
    if name in ("loaded", "installed"):
        down = [engine for engine in desk.engines if _asked(engine, scene) and not engine.reachable]
        if down:
            return [line for engine in down for line in _engine_lines(engine, desk)]
        if not any(_asked(engine, scene) for engine in desk.engines):
            return [(Span("… asking the engine", "dim"),)]
        return [(Span(f"no model is {name}", "dim"),)]
    words = {
        "processes": "no other process is on the cards" if desk.cards else "no card is known",
        "events": "nothing has happened since gpudesk started",
        "problems": "✓ nothing is wrong",
    }
    return [(Span(words[name], "dim"),)]


def list_note(name: str, scene: Scene) -> Line:
    """Return how old a list's rows are once that is worth telling, with whose they are when there are several."""
    template = _SOURCES.get(name)
    if name == "processes":
        ages = [("", stale_seconds(scene.desk.source("nvml"), scene.now, slack=scene.slack))]
    elif template is not None:
        several = len(scene.desk.engines) > 1
        ages = [
            (
                f"{host_of(engine.url)} " if several else "",
                stale_seconds(
                    scene.desk.source(template.format(kind=engine.kind.value, url=engine.url)),
                    scene.now,
                    slack=scene.slack,
                ),
            )
            for engine in scene.desk.engines
        ]
    else:
        return ()
    texts = [f"{whose}{duration(age)} old" for whose, age in ages if age is not None]
    return (Span(f"◷ {', '.join(texts)}", "warn"),) if texts else ()
