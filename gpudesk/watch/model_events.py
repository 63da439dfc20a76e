"""The words for what became of a model."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.units import gibibytes, percent
from gpudesk.watch.known_models import differences

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import LoadedModel
    from gpudesk.watch.known_models import Known
    from gpudesk.watch.timers import TimerChange

SERVER_ENDED = "server ended"
"""In place of what came after, in the event of a model that was unloaded."""


def arrived(model: LoadedModel, at: datetime) -> Event:
    """Return the event of a model that was loaded."""
    size = model.memory_bytes if model.memory_bytes else model.reported_vram_bytes
    parts = [gibibytes(size)] if size else []
    if model.context_length is not None:
        parts.append(f"context {model.context_length}")
    made_of = f" ({', '.join(parts)})" if parts else ""
    return Event(EventKind.LOADED, at, model.name, f"{model.name} loaded{made_of}", engine_url=model.engine_url)


DISMISSED_WITHIN = timedelta(minutes=5)
"""A model that gpudesk asked to go may answer for so long before it does (actions/unload_step.py, BUSY_SECONDS)."""


def is_dismissed(left: Known, at: datetime) -> bool:
    """Tell whether gpudesk itself asked it to go: then nobody evicted it."""
    return left.dismissed_at is not None and at - left.dismissed_at <= DISMISSED_WITHIN


def departed(left: Known, url: str, at: datetime, *, for_whom: str | None, away: bool, sure: bool = True) -> Event:
    """Return the event of a model that is gone.

    Args:
        left: what was known of it.
        url: its engine.
        at: when that was noticed.
        for_whom: the model that came in its place, if one did.
        away: the engine did not answer in between, so nobody saw why.
        sure: the other one came at that very moment.
    """
    early = None if away else left.left_text(at)
    if is_dismissed(left, at) and not away:
        message = f"{left.name} unloaded: gpudesk asked for it"
        return Event(EventKind.UNLOADED, at, left.name, message, before=early, engine_url=url)
    if early is None:
        why = f" while {url} did not answer" if away else ""
        if not away and left.timer.state is not None:
            why = ": asked for" if left.timer.asked else ": its keep-alive was over"
        return Event(EventKind.UNLOADED, at, left.name, f"{left.name} unloaded{why}", engine_url=url)
    if for_whom is not None:
        return evicted(left.name, url, at, early, for_whom, sure=sure)
    when = "although its keep-alive was forever" if early == "forever" else f"{early} before its time"
    message = f"{left.name} unloaded {when}: asked for, or its process ended"
    return Event(EventKind.UNLOADED, at, left.name, message, before=early, engine_url=url)


def departed_with_server(left: Known, url: str, at: datetime, why: str) -> Event:
    """Return the event of a model that is gone because its engine's server ended."""
    message = f"{left.name} unloaded: {why}"
    return Event(EventKind.UNLOADED, at, left.name, message, after=SERVER_ENDED, engine_url=url)


def evicted(name: str, url: str, at: datetime, early: str, for_whom: str, *, sure: bool) -> Event:
    """Return the event of a model that had to make room, or probably had to.

    An engine does not tell why a model left. Somebody may have asked for that and loaded another one next.
    """
    forever = early == "forever"
    when = "although its keep-alive was forever" if forever else f"{early} before its time"
    severity = Severity.WARNING if forever and sure else Severity.INFO
    message = f"{name} {'evicted' if sure else 'probably evicted'} for {for_whom}, {when}"
    return Event(EventKind.EVICTED, at, name, message, severity, before=early, after=for_whom, engine_url=url)


def reloaded(was: Known, now: Known, url: str, at: datetime, why: str | None = None) -> Event:
    """Return the event of a model that was loaded anew, and why if that was seen."""
    pairs = differences(was, now)
    if not pairs:
        reason = why or "its process ended, or it was asked for"
        message = f"{was.name} reloaded with the same settings: {reason}"
        return Event(EventKind.RELOADED, at, was.name, message, engine_url=url)
    before, after = (", ".join(side) for side in zip(*pairs, strict=True))
    message = f"{was.name} reloaded with {after} instead of {before}{f': {why}' if why else ''}"
    return Event(EventKind.RELOADED, at, was.name, message, Severity.WARNING, before, after, engine_url=url)


def keep_alive_changed(model: LoadedModel, change: TimerChange, at: datetime, why: str | None = None) -> Event:
    """Return the event of another keep-alive, and why if that was seen, or who is known for sending it.

    Continue sends half an hour with every request unless told otherwise (continuedev/continue core/llm/llms/Ollama.ts:
    `keep_alive: options.keepAlive ?? 60 * 30`; issues 3033, 5721).
    """
    lost = change.before == "forever"
    hint = " (Continue sends 30m by default)" if lost and change.is_half_hour else ""
    hint = hint if why is None else f": {why}"
    message = f"keep-alive of {model.name} changed from {change.before} to {change.after}{hint}"
    severity = Severity.WARNING if lost else Severity.INFO
    return Event(
        EventKind.KEEP_ALIVE_CHANGED,
        at,
        model.name,
        message,
        severity,
        change.before,
        change.after,
        engine_url=model.engine_url,
    )


def spilled(model: LoadedModel, at: datetime) -> Event:
    """Return the event of a model that runs on the CPU, in part or whole."""
    share = percent(model.cpu_ratio)
    message = f"{model.name} runs {share} on the CPU"
    kind = EventKind.SPILLED
    return Event(kind, at, model.name, message, Severity.WARNING, after=share, engine_url=model.engine_url)


def back_on_card(model: LoadedModel, at: datetime) -> Event:
    """Return the event of a model that is all on the card again."""
    return Event(
        EventKind.BACK_ON_CARD, at, model.name, f"{model.name} is all on the card again", engine_url=model.engine_url
    )
