"""The lower lists as rows: installed models, other processes, events, problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.desk import Desk, HolderKind
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.problem import Problem
from gpudesk.records import dataclass
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.tables import Column, Table
from gpudesk.ui.view_models import elsewhere
from gpudesk.units import UNKNOWN, age, gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.process import Process
    from gpudesk.ui.scene import Scene

_DASH = (Span(UNKNOWN, "faint"),)


def _text(value: str | None, role: str = "") -> Line:
    return _DASH if value is None or not value else (Span(value, role),)


# --- installed models ---------------------------------------------------------------------------------------------

_CAPABILITY_WORDS = {"completion": "", "embedding": "embed", "thinking": "think"}


def installed_key(model: InstalledModel) -> str:
    """Return the same key a loaded model of that name has."""
    return f"{model.engine_url} {model.name}"


def _loaded_cell(model: InstalledModel, scene: Scene) -> Line:
    mark = scene.marks.get(installed_key(model))
    return (Span(letter(mark), f"mark-{shade(mark)}"),) if mark is not None else (Span(" "),)


def _installed_name(model: InstalledModel, scene: Scene) -> Line:
    name = Span(model.name, "strong" if installed_key(model) in scene.marks else "")
    where = elsewhere(model.engine_url, scene)
    return (name, Span(where, "dim")) if where else (name,)


def _size_cell(model: InstalledModel, _scene: Scene) -> Line:
    if model.remote_host is not None:
        return (Span("cloud", "accent"),)
    return _text(gibibytes(model.size_bytes, unit=False) if model.size_bytes is not None else None)


def _capabilities(model: InstalledModel, _scene: Scene) -> Line:
    if model.capabilities is None:
        return _DASH
    words = [_CAPABILITY_WORDS.get(word, word) for word in sorted(model.capabilities)]
    return (Span(" ".join(word for word in words if word), "dim"),)


def _modified(model: InstalledModel, scene: Scene) -> Line:
    if model.modified_at is None:
        return _DASH
    return (Span(age((scene.now - model.modified_at).total_seconds()), "dim"),)


AGE_STEP_SECONDS = 10
"""How often the ages of installed models are told anew: they are days, and forty rows cost more than the rest."""


def _installed_basis(scene: Scene) -> object:
    return tuple(scene.marks.items()), scene.desk.engines, int(scene.now.timestamp()) // AGE_STEP_SECONDS


def _nothing_else(_scene: Scene) -> object:
    return None


INSTALLED: Table[InstalledModel] = Table(
    id="installed",
    basis=_installed_basis,
    key=installed_key,
    haystack=lambda model: " ".join(
        (model.name, model.family or "", model.quantization or "", *(model.capabilities or ()))
    ),
    columns=(
        Column("mark", " ", 1, _loaded_cell, help="The letter of a model that is loaded"),
        Column("name", "INSTALLED MODEL", 20, _installed_name, grow=3, order=lambda model, _: model.name.lower()),
        Column("size", "GiB", 6, _size_cell, right=True, largest_first=True, order=lambda model, _: model.size_bytes,
               help="Size on disk"),
        Column("parameters", "PARAMS", 7, lambda model, _: _text(model.parameter_size), right=True, rank=2,
               help="Number of weights"),
        Column("quantization", "QUANT", 7, lambda model, _: _text(model.quantization, "dim"), rank=3,
               order=lambda model, _: model.quantization, help="Number format of the weights"),
        Column("capabilities", "CAN", 12, _capabilities, grow=1, rank=4,
               help="Besides completion: tools, vision, think, embed, insert"),
        Column("modified", "MODIFIED", 8, _modified, right=True, rank=1, largest_first=True,
               order=lambda model, _: model.modified_at, help="When the engine last changed it"),
    ),
)  # fmt: skip


# --- other processes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """One process that is no engine's runner, on one card."""

    pid: int
    card_index: int
    name: str
    memory_bytes: int | None
    user: str | None
    kind: str
    """`compute`, `graphics`, or both."""


def other_processes(desk: Desk) -> tuple[OtherProcess, ...]:
    """List every process on a card that belongs to no model, largest first, those without a figure last."""
    models = {
        (state.card.index, pid)
        for state in desk.cards
        for holder in state.holders
        if holder.kind is HolderKind.MODEL
        for pid in holder.pids
    }
    models |= {(state.card.index, pid) for state in desk.cards for model in desk.models for pid in model.pids}
    known: dict[int, Process] = {process.pid: process for process in desk.processes}
    rows = []
    for state in desk.cards:
        for entry in state.card.processes:
            if (state.card.index, entry.pid) in models:
                continue
            process = known.get(entry.pid)
            name = process.name if process is not None and process.name else f"pid {entry.pid}"
            kind = "+".join(word for word, on in (("compute", entry.compute), ("graphics", entry.graphics)) if on)
            user = process.user if process is not None else None
            rows.append(OtherProcess(entry.pid, state.card.index, name, entry.memory_bytes, user, kind))
    rows.sort(key=lambda process: -1 if process.memory_bytes is None else process.memory_bytes, reverse=True)
    return tuple(rows)


PROCESSES: Table[OtherProcess] = Table(
    id="processes",
    basis=_nothing_else,
    key=lambda process: f"{process.card_index}/{process.pid}",
    haystack=lambda process: f"{process.name} {process.pid} {process.user or ''}",
    columns=(
        Column("name", "OTHER PROCESS", 18, lambda process, _: _text(process.name), grow=1,
               order=lambda process, _: process.name.lower()),
        Column("memory", "GiB", 6, lambda process, _: _text(
                   None if process.memory_bytes is None else gibibytes(process.memory_bytes, unit=False), "strong"),
               right=True, largest_first=True, order=lambda process, _: process.memory_bytes,
               help="Memory on the card, as the driver measures it"),
        Column("card", "CARD", 4, lambda process, _: (Span(f"{process.card_index}"),), right=True, rank=1,
               order=lambda process, _: process.card_index),
        Column("pid", "PID", 8, lambda process, _: (Span(f"{process.pid}", "dim"),), right=True, rank=2,
               order=lambda process, _: process.pid),
        Column("kind", "USES", 16, lambda process, _: _text(process.kind, "dim"), rank=4,
               order=lambda process, _: process.kind, help="Compute (CUDA), graphics, or both"),
        Column("user", "USER", 10, lambda process, _: _text(process.user, "dim"), rank=3,
               order=lambda process, _: process.user),
    ),
)  # fmt: skip


# --- events -------------------------------------------------------------------------------------------------------

EVENT_WORDS: dict[EventKind, tuple[str, str]] = {
    EventKind.LOADED: ("▲", "loaded"),
    EventKind.UNLOADED: ("▽", "unloaded"),
    EventKind.EVICTED: ("✗", "evicted"),
    EventKind.KEEP_ALIVE_CHANGED: ("◷", "keep-alive"),
    EventKind.RELOADED: ("↻", "reloaded"),
    EventKind.SPILLED: ("!", "spilled"),
    EventKind.ENGINE_GONE: ("✗", "engine gone"),
    EventKind.ENGINE_BACK: ("✓", "engine back"),
    EventKind.DRIVER_GONE: ("✗", "driver gone"),
    EventKind.DRIVER_BACK: ("✓", "driver back"),
    EventKind.BACK_ON_CARD: ("✓", "on card"),
    EventKind.CARD_GONE: ("✗", "card gone"),
    EventKind.CARD_BACK: ("✓", "card back"),
    EventKind.ENGINE_RESTARTED: ("↻", "restarted"),
    EventKind.ENGINE_UPDATED: ("↑", "updated"),
    EventKind.MEMORY_TAKEN: ("+", "taken"),
    EventKind.MEMORY_RELEASED: ("−", "released"),
    EventKind.RUNNER_ENDED: ("✗", "runner ended"),
    EventKind.PIN_LOST: ("!", "pin lost"),
    EventKind.PIN_BACK: ("✓", "pin back"),
    EventKind.ALARM: ("!", "alarm"),
    EventKind.ACTED: ("▸", "gpudesk"),
}
"""Glyph and word of each kind, so that no meaning hangs on color."""

_SEVERITY_ROLES = {Severity.INFO: "dim", Severity.WARNING: "warn", Severity.ERROR: "error"}
_SEVERITY_RANKS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def _event_word(event: Event, _scene: Scene) -> Line:
    glyph, word = EVENT_WORDS.get(event.kind, ("·", event.kind.value))
    return (Span(f"{glyph} {word}", _SEVERITY_ROLES[event.severity]),)


def _event_message(event: Event, _scene: Scene) -> Line:
    return (Span(event.message, "text" if event.severity is Severity.INFO else _SEVERITY_ROLES[event.severity]),)


EVENTS: Table[Event] = Table(
    id="events",
    key=lambda event: f"{event.at.timestamp():.6f} {event.kind.value} {event.subject}",
    haystack=lambda event: f"{EVENT_WORDS.get(event.kind, ('', ''))[1]} {event.message}",
    columns=(
        Column("at", "TIME", 8, lambda event, _: (Span(f"{event.at.astimezone():%H:%M:%S}", "dim"),),
               order=lambda event, _: event.at, largest_first=True),
        Column("kind", "WHAT", 13, _event_word, order=lambda event, _: _SEVERITY_RANKS[event.severity],
               largest_first=True, help="Glyph and word of what happened; ordered by severity"),
        Column("message", "EVENT", 20, _event_message, grow=1, order=lambda event, _: event.message),
        Column("age", "AGE", 8, lambda event, scene: (
                   Span(age((scene.now - event.at).total_seconds()), "dim"),), right=True, rank=1),
    ),
)  # fmt: skip


# --- problems -----------------------------------------------------------------------------------------------------

PROBLEMS: Table[Problem] = Table(
    id="problems",
    basis=_nothing_else,
    key=lambda problem: f"{problem.source} {problem.message}",
    haystack=lambda problem: f"{problem.source} {problem.message} {problem.hint or ''}",
    columns=(
        Column("source", "WHERE", 10, lambda problem, _: (Span("! ", "warn"), Span(problem.source, "dim")), grow=1,
               order=lambda problem, _: problem.source),
        Column("message", "PROBLEM", 20, lambda problem, _: (Span(problem.message, "warn"),), grow=2,
               order=lambda problem, _: problem.message),
        Column("hint", "WHAT TO DO", 20, lambda problem, _: _text(problem.hint), grow=2, rank=1),
    ),
)  # fmt: skip
