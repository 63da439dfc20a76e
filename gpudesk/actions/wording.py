"""Sentences of previews."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import is_busy, is_pinned
from gpudesk.actions.values import ActionId, Load, Preview, Refusal
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.units import duration, gibibytes


def enumerated(words: Sequence[str], most: int | None = None) -> str:
    """Write words one after the other: `a`, `a and b`, `a, b and c`; each once.

    Args:
        words: what to write.
        most: how many at most; the rest is counted: `a, b and 7 more`.
    """
    once = list(dict.fromkeys(words))
    if most is not None and len(once) > most + 1:
        once = [*once[:most], f"{len(once) - most} more"]
    return f"{', '.join(once[:-1])} and {once[-1]}" if len(once) > 1 else "".join(once)


def described(desk: Desk, model: LoadedModel) -> str:
    """Say what goes: `qwen3:14b (9.8 GiB, pinned, 4m 32s left)`."""
    facts = [] if model.memory_bytes is None else [gibibytes(model.memory_bytes)]
    if is_pinned(desk, model):
        facts.append("pinned")
    timer = model.keep_alive
    if is_busy(model, desk.taken_at):
        facts.append("answering now")
    elif timer is not None and timer.state is KeepAliveState.FOREVER:
        facts.append("kept forever")
    elif timer is not None:
        facts.append(f"{duration(timer.remaining_seconds(desk.taken_at))} left")
    return f"{model.name} ({', '.join(facts)})" if facts else model.name


def waiting(desk: Desk, models: Sequence[LoadedModel]) -> tuple[str, ...]:
    """Say which of those that go are waited for."""
    busy = [model.name for model in models if is_busy(model, desk.taken_at)]
    return (f"{enumerated(busy)}: unloaded when the request that is running has ended",) if busy else ()


def shared(models: Sequence[LoadedModel]) -> tuple[str, ...]:
    """Say which names go with others, because one runner serves them."""
    return tuple(
        f"{model.name} shares its runner with {enumerated(model.shares_runner_with)}: they go together"
        for model in models
        if model.shares_runner_with
    )


def refused(
    action: ActionId, subject: str, message: str, hint: str | None = None, *, before: tuple[Load, ...] = ()
) -> Preview:
    """Return a preview of what is not done."""
    return Preview(action, subject, before=before, refusal=Refusal(message, hint))
