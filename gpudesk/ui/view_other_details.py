"""Details of the smaller things: a process, an event, a problem. Lists cut long sentences; here they are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import Detail, Target, fact, paragraphs
from gpudesk.ui.view_lower import EVENT_WORDS, EVENTS, PROBLEMS, PROCESSES, other_processes
from gpudesk.units import age, gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.event import Event
    from gpudesk.domain.problem import Problem
    from gpudesk.ui.scene import Scene
    from gpudesk.ui.view_lower import OtherProcess


def other_detail(target: Target, scene: Scene, width: int) -> Detail | None:
    """Return the detail of a process, an event or a problem; None when it is gone."""
    desk = scene.desk
    if target.kind == "process":
        found = next((one for one in other_processes(desk) if PROCESSES.key(one) == target.key), None)
        return None if found is None else _process(found, scene, width)
    if target.kind == "event":
        event = next((event for event in desk.events if EVENTS.key(event) == target.key), None)
        return None if event is None else _event(event, scene, width)
    problem = next((problem for problem in desk.problems if PROBLEMS.key(problem) == target.key), None)
    return None if problem is None else _problem(problem, width)


def _process(shown: OtherProcess, scene: Scene, width: int) -> Detail:
    process = next((process for process in scene.desk.processes if process.pid == shown.pid), None)
    lines: list[Line] = [
        *fact("memory on card", gibibytes(shown.memory_bytes), width, role="strong"),
        *fact("card", f"{shown.card_index}", width),
        *fact("pid", f"{shown.pid}", width),
        *fact("uses", shown.kind, width),
        *fact("user", shown.user, width),
    ]
    if process is not None:
        lines += fact("parent", None if process.parent_pid is None else f"pid {process.parent_pid}", width)
        started = process.started_at
        if started is not None:
            ago = age((scene.now - started).total_seconds())
            lines += fact("started", f"{started.astimezone():%Y-%m-%d %H:%M:%S} ({ago})", width)
        if not process.exists:
            lines += paragraphs(["not visible here: it runs in another pid namespace, or has just ended"], width)
    return Detail((Span(shown.name, "title-focus"),), tuple(lines))


def _event(event: Event, scene: Scene, width: int) -> Detail:
    glyph, word = EVENT_WORDS.get(event.kind, ("·", event.kind.value))
    ago = age((scene.now - event.at).total_seconds())
    lines: list[Line] = [
        *paragraphs([event.message], width, mark=glyph),
        (),
        *fact("when", f"{event.at.astimezone():%Y-%m-%d %H:%M:%S} ({ago})", width),
        *fact("severity", event.severity.value, width),
        *fact("subject", event.subject, width),
    ]
    if event.before is not None or event.after is not None:
        lines += [*fact("before", event.before, width), *fact("after", event.after, width)]
    if event.engine_url is not None:
        lines += fact("engine", event.engine_url, width)
    if event.card_index is not None:
        lines += fact("card", f"{event.card_index}", width)
    return Detail((Span(word, "title-focus"),), tuple(lines))


def _problem(problem: Problem, width: int) -> Detail:
    lines: list[Line] = [*paragraphs([problem.message], width, mark="!", role="warn"), ()]
    if problem.hint:
        lines += [(Span("What to do", "title-focus"),), *paragraphs([problem.hint], width, mark="→"), ()]
    lines += fact("told by", problem.source, width)
    return Detail((Span("Problem", "title-focus"),), tuple(lines))
