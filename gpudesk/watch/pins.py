"""Whether pins hold, and what broke those that do not.

Pure. Ollama protects nothing: every request may carry another keep-alive, a reload forgets it, and a pinned model is
evicted like any other when nothing else is idle (server/sched.go:475, 1381 and 1664 at v0.33.0-rc2). So a pin is
compared with what the engine shows at every look, and what the events say of its model names the cause.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.pin import Pin, PinCause, PinState
from gpudesk.records import dataclass, replace
from gpudesk.watch.model_events import SERVER_ENDED
from gpudesk.watch.names import PROCESSES, engine_source
from gpudesk.watch.outage_changes import DOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.pin import PinWish
    from gpudesk.watch.known_models import Left

LOSSES_KEPT = timedelta(minutes=10)
"""How long a loss is remembered: three within it are a thrash."""
TELLING = timedelta(seconds=75)
"""Events this old may still say why a model is not there; one is revised up to a minute later."""

EXAMINED_WITHIN = timedelta(seconds=3)
"""So long a loss without a cause waits for the process table: it tells a restart from an unload."""
OUTAGE_SLACK = timedelta(seconds=3)
"""Models of an engine that ends may be seen to leave this much before it is."""

_CONTINUES_CONTEXT = 8192
"""Sent with every request, and never for good, where neither the configuration nor the Modelfile says another
(continuedev/continue core/llm/llms/Ollama.ts `DEFAULT_OLLAMA_CONTEXT_LENGTH`; issues 4545, 7583)."""
_DEPARTURES = {EventKind.EVICTED: PinCause.EVICTED, EventKind.UNLOADED: PinCause.UNLOADED}
_OUTAGES = frozenset({EventKind.ENGINE_GONE, EventKind.ENGINE_BACK, EventKind.ENGINE_RESTARTED})
_ABSENT = frozenset({PinCause.EVICTED, PinCause.UNLOADED, PinCause.RESTARTED, PinCause.NOT_LOADED})
"""Causes for which a model is not there."""
_PLAIN = {
    PinCause.KEEP_ALIVE: "its keep-alive is not forever",
    PinCause.EVICTED: "it was evicted",
    PinCause.UNLOADED: "it was unloaded",
    PinCause.CONTEXT: "it was loaded with another context",
    PinCause.CRASHED: "its runner ended",
    PinCause.RESTARTED: "its engine was restarted",
    PinCause.REPLACED: "the name belongs to another model now: it was pulled or made again",
    PinCause.NOT_LOADED: "it is not loaded",
}
"""What is said when nobody saw it happen."""


def pin_states(
    known: Sequence[PinState],
    wishes: Sequence[PinWish],
    desk: Desk,
    crashed: Iterable[tuple[str, str]] = (),
    left: Left | None = None,
) -> tuple[PinState, ...]:
    """Return how every pin stands.

    Args:
        known: how they stood.
        wishes: what is stored.
        desk: the newest desk, its events included.
        crashed: engine and name of listed models whose runner is known to have ended.
        left: models that left early a moment ago, nobody knows why.
    """
    if not wishes and not known:
        return ()
    before = {state.key: state for state in known}
    broken = set(crashed)
    open_cases = _unexamined(left or {}, desk)
    return tuple(
        state
        if (state := before.get(f"{wish.engine_url} {wish.name}")) is not None
        and state.wish == wish
        and (wish.engine_url, wish.name) in open_cases
        else _next(state, wish, desk, broken)
        for wish in wishes
    )


def _unexamined(left: Left, desk: Desk) -> set[tuple[str, str]]:
    """Return engine and name of models that left although their process was there when last looked."""
    if not left:
        return set()
    read = desk.source(PROCESSES)
    if read is None or read.failure is not None or read.last_value_at is None:
        return set()
    alive = {process.pid for process in desk.processes if process.exists}
    return {
        (url, name)
        for (url, name, _), (was, event) in left.items()
        if read.last_value_at < event.at
        and desk.taken_at - event.at < EXAMINED_WITHIN
        and any(pid in alive for pid, _ in was.pids)
    }


def pin_events(before: Sequence[PinState], after: Sequence[PinState], at: datetime) -> tuple[Event, ...]:
    """Tell of pins that were lost and of those that hold again; a cause understood better is not told twice."""
    known = {state.key: state.pin for state in before}
    events: list[Event] = []
    for state in after:
        was = known.get(state.key)
        name, url = state.wish.name, state.wish.engine_url
        if state.pin is Pin.LOST and was is Pin.HELD:
            message = f"the pin of {name} is lost: {state.reason}"
            events.append(Event(EventKind.PIN_LOST, at, name, message, Severity.WARNING, engine_url=url))
        elif state.pin is Pin.HELD and was is Pin.LOST:
            events.append(Event(EventKind.PIN_BACK, at, name, f"the pin of {name} holds again", engine_url=url))
    return tuple(events)


def with_pins(models: tuple[LoadedModel, ...], states: Sequence[PinState]) -> tuple[LoadedModel, ...]:
    """Return the models with their pins; the same tuple when nothing changed."""
    pins = {state.key: state.pin for state in states}
    wanted = [pins.get(model.key, Pin.NONE) for model in models]
    if all(model.pin is pin for model, pin in zip(models, wanted, strict=True)):
        return models
    return tuple(
        model if model.pin is pin else replace(model, pin=pin) for model, pin in zip(models, wanted, strict=True)
    )


def _next(state: PinState | None, wish: PinWish, desk: Desk, crashed: set[tuple[str, str]]) -> PinState:
    """Return how one pin stands now."""
    if state is None:
        state = PinState(wish, Pin.NONE)
    elif state.wish != wish:
        state = replace(state, wish=wish)
    judged = _judged(wish, desk, crashed)
    if judged is None:
        return state
    losses = tuple(at for at in state.losses if desk.taken_at - at <= LOSSES_KEPT)
    causes = state.loss_causes[len(state.losses) - len(losses) :]
    if judged.cause is None:
        after = replace(state, pin=Pin.HELD, cause=None, reason=None, lost_at=None, losses=losses, loss_causes=causes)
    elif state.pin is Pin.LOST:
        better = judged.reason is not None or not _still_explains(state.cause, judged.cause)
        better = better and not _came_later(state, judged)
        after = replace(state, losses=losses, loss_causes=causes)
        if better:
            better_reason = judged.reason or _PLAIN[judged.cause]
            if losses and losses[-1] == state.lost_at and _is_the_same_loss(causes[-1][0], judged.cause):
                causes = (*causes[:-1], (judged.cause, better_reason))
            after = replace(after, cause=judged.cause, reason=better_reason, loss_causes=causes)
    elif state.pin is Pin.NONE:
        cause = PinCause.NOT_LOADED if judged.cause in _ABSENT else judged.cause
        reason = judged.reason if cause is judged.cause else None
        after = replace(state, pin=Pin.LOST, cause=cause, reason=reason or _PLAIN[cause], lost_at=desk.taken_at)
    else:
        words = judged.reason or _PLAIN[judged.cause]
        after = replace(state, pin=Pin.LOST, cause=judged.cause, reason=words, lost_at=desk.taken_at)
        if judged.cause is PinCause.RESTARTED:
            after = replace(after, losses=losses, loss_causes=causes)
        else:
            after = replace(after, losses=(*losses, desk.taken_at), loss_causes=(*causes, (judged.cause, words)))
    return state if after == state else after


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one look says of a pin."""

    cause: PinCause | None = None
    """None: it holds."""
    reason: str | None = None
    """In words, where somebody saw it happen."""
    since: datetime | None = None
    """When the engine was last well, if it is the cause."""


def _still_explains(known: PinCause | None, cause: PinCause) -> bool:
    """Tell whether what was known of a loss says more than that the model is still not there."""
    return known is cause or (cause is PinCause.UNLOADED and known in _ABSENT)


def _is_the_same_loss(known: PinCause, cause: PinCause) -> bool:
    """Tell whether a cause says more of how a pin was lost: what befalls a model later did not break its pin."""
    return known is cause or {known, cause} <= _ABSENT


def _came_later(state: PinState, judged: _Judged) -> bool:
    """Tell whether an engine ended long after the model had left for another reason."""
    if state.cause not in _ABSENT - {PinCause.RESTARTED} or None in (judged.since, state.lost_at):
        return False
    return state.lost_at + OUTAGE_SLACK < judged.since  # type: ignore[operator]


def _judged(wish: PinWish, desk: Desk, crashed: set[tuple[str, str]]) -> _Judged | None:
    """Tell whether a pin holds and what is wrong with it; None when that cannot be told now."""
    source = desk.source(engine_source(wish.engine_url))
    if source is None or (source.last_value_at is None and source.failure is None):
        return None
    if source.failure is not None:
        down = source.failure.kind in DOWN
        reason = f"{wish.engine_url} does not run"
        return _Judged(PinCause.RESTARTED, reason, source.last_value_at) if down else None
    model = _model_of(wish, desk)
    if model is None:
        return _gone(wish, desk)
    if wish.digest and model.digest and wish.digest != model.digest:
        return _Judged(PinCause.REPLACED, _PLAIN[PinCause.REPLACED])
    if (wish.engine_url, wish.name) in crashed:
        return _Judged(PinCause.CRASHED, _PLAIN[PinCause.CRASHED])
    if None not in (wish.context_length, model.context_length) and wish.context_length != model.context_length:
        timed = model.keep_alive is not None and model.keep_alive.state is not KeepAliveState.FOREVER
        by_continue = timed and model.context_length == _CONTINUES_CONTEXT
        hint = " (Continue asks for 8192 by default)" if by_continue else ""
        reason = f"it was loaded with context {model.context_length} instead of {wish.context_length}{hint}"
        return _Judged(PinCause.CONTEXT, reason)
    if model.keep_alive is None:
        return None
    if model.keep_alive.state is KeepAliveState.FOREVER:
        return _Judged()
    return _Judged(PinCause.KEEP_ALIVE, _other_keep_alive(wish, desk))


def _model_of(wish: PinWish, desk: Desk) -> LoadedModel | None:
    """Return the pinned model; two names of the same weights are one runner, listed under the first."""
    of_engine = [model for model in desk.models if model.engine_url == wish.engine_url]
    named = next((model for model in of_engine if model.name == wish.name), None)
    return named or next((model for model in of_engine if wish.name in model.shares_runner_with), None)


def _gone(wish: PinWish, desk: Desk) -> _Judged:
    """Say why a model is not there; one that left while its engine was away left with it."""
    left: Event | None = None
    outage: Event | None = None
    for event in _lately(desk, wish.engine_url):
        if left is not None and event.at < left.at:
            break
        if event.kind in _OUTAGES and (outage is None or outage.kind is EventKind.ENGINE_BACK):
            outage = event
        if left is None and event.subject == wish.name and event.kind in _DEPARTURES:
            left = event
    restarted = f"{wish.engine_url} was restarted"
    if left is None:
        return _Judged(PinCause.UNLOADED) if outage is None else _Judged(PinCause.RESTARTED, restarted, outage.at)
    if left.after == SERVER_ENDED:
        reason = restarted if outage is not None else left.message.removeprefix(f"{wish.name} unloaded: ")
        return _Judged(PinCause.RESTARTED, reason, left.at)
    # Back without having gone since: it was away when the model left.
    away = outage is not None and (outage.kind is EventKind.ENGINE_BACK or outage.at <= left.at + OUTAGE_SLACK)
    if outage is not None and away and outage.kind is not EventKind.ENGINE_RESTARTED:
        return _Judged(PinCause.RESTARTED, restarted, outage.at)
    return _Judged(_DEPARTURES[left.kind], left.message.removeprefix(wish.name).strip())


def _other_keep_alive(wish: PinWish, desk: Desk) -> str | None:
    """Say what became of "forever", and who is known for it."""
    changed: Event | None = None
    loaded: Event | None = None
    for event in _lately(desk, wish.engine_url):
        left = event.subject == wish.name and event.kind in _DEPARTURES
        if loaded is not None and (event.kind in _OUTAGES or (left and event.after == SERVER_ENDED)):
            return f"{wish.engine_url} was restarted, and it was loaded again without forever"
        if left:
            break
        if event.subject != wish.name:
            continue
        if event.kind is EventKind.KEEP_ALIVE_CHANGED and event.before == "forever" and loaded is None:
            changed = changed or event
        if event.kind in {EventKind.LOADED, EventKind.RELOADED} and (changed is None or changed.at <= event.at):
            loaded = loaded or event
    if changed is not None:
        return changed.message.replace(f" of {wish.name}", "", 1)
    return "it was loaded again without it: keep-alive is not forever any more" if loaded is not None else None


def _lately(desk: Desk, url: str) -> Iterable[Event]:
    """Return the events of an engine that may explain what is seen now, newest first."""
    for event in reversed(desk.events):
        if desk.taken_at - event.at > TELLING:
            return
        if event.engine_url == url:
            yield event
