"""What the desk has to show before a step counts as done. Pure questions to a desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.lookup import loaded_as, runners
from gpudesk.domain.card import ProcessAccounting
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.actions.values import Load
    from gpudesk.domain.card import Card
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.keep_alive import KeepAliveWish

BACK_RATIO = 0.75
"""Share of a model's memory that has to be back: Ollama itself goes on at three quarters, because others allocate at
the same time (server/sched.go:1441 `waitForVRAMRecovery` at v0.33.0-rc2)."""
CLAIM_RATIO = 0.5
"""The same of what is only claimed: older engines claim too much."""
NOISE_BYTES = 64 * MEBIBYTE
"""What the rest of a desktop moves meanwhile."""
SMALLEST_CONTEXTS = (4, 2048)
"""Ollama raises smaller wishes to this, the second one for models that see (server/sched.go:170)."""
TIMER_SECONDS, TIMER_RATIO = 2.0, 0.01
"""How far a timer may be from the one wished for: clocks drift, and whole seconds are told."""


def source_name(url: str) -> str:
    """Return what the watch calls the source that asks an engine what is loaded."""
    return f"ollama {url}"


@dataclass(frozen=True, slots=True)
class HeldMemory:
    """What a model held on the cards, and what the cards were like with it: enough to see that it is back."""

    pids: tuple[int, ...]
    shares: tuple[tuple[int, int], ...]
    """Card and bytes."""
    used: tuple[tuple[int, int], ...]
    """Card and bytes in use by anybody."""
    unexplained: tuple[tuple[int, int], ...]
    """Card and bytes in use that no process accounts for; only cards whose driver tells every process."""
    claimed_bytes: int = 0
    """What the engine says it has on cards, where nobody knows on which; then all cards are in `used`."""

    @property
    def total_bytes(self) -> int:
        """On all cards."""
        return sum(share for _, share in self.shares) or self.claimed_bytes


def held_memory(desk: Desk, model: LoadedModel) -> HeldMemory:
    """Note what a model holds before it goes."""
    if not model.cards:
        return _claimed_memory(desk, model)
    cards = [state.card for state in desk.cards if any(share.index == state.card.index for share in model.cards)]
    return HeldMemory(
        pids=model.pids,
        shares=tuple((share.index, share.memory_bytes) for share in model.cards),
        used=tuple((card.index, card.memory_used_bytes) for card in cards if card.memory_used_bytes is not None),
        unexplained=tuple((card.index, rest) for card in cards if (rest := _unexplained(card)) is not None),
    )


def _claimed_memory(desk: Desk, model: LoadedModel) -> HeldMemory:
    """Note what a model is said to hold while its processes are not known."""
    cards = [state.card for state in desk.cards]
    used = tuple((card.index, card.memory_used_bytes) for card in cards if card.memory_used_bytes is not None)
    known = model.local and cards and not any(card.unified_memory for card in cards)
    return HeldMemory(model.pids, (), used, (), (model.reported_vram_bytes or 0) if known else 0)


def is_matched(desk: Desk, model: LoadedModel) -> bool:
    """Tell whether it is known where a model is; how one is found needs what the engine tells about it."""
    return bool(model.cards or not model.local or not desk.cards or not model.reported_vram_bytes)


def still_held(desk: Desk, held: HeldMemory) -> int:
    """Return how much of a model's memory the driver has not taken back.

    By process while the driver still lists it. After that its memory may be held by nobody, as a driver in trouble
    leaves it: then the part of the card that no process accounts for has grown. Where the driver gives no figures per
    process, the memory in use has to have fallen.
    """
    still = 0
    cards = {state.card.index: state.card for state in desk.cards}
    used, unexplained = dict(held.used), dict(held.unexplained)
    for index, share in held.shares:
        card = cards.get(index)
        if card is None or card.error is not None:
            continue
        listed = [process for process in card.processes if process.pid in held.pids]
        if listed:
            still += sum(share if process.memory_bytes is None else process.memory_bytes for process in listed)
        elif not card.unified_memory:
            still += _missing(card, share, used.get(index), unexplained.get(index))
    if not held.shares and held.claimed_bytes:
        now = [cards[index].memory_used_bytes for index, _ in held.used if index in cards]
        fallen = sum(used.values()) - sum(each or 0 for each in now)
        still = held.claimed_bytes - fallen if fallen < CLAIM_RATIO * held.claimed_bytes else 0
    return still


def _missing(card: Card, share: int, used: int | None, unexplained: int | None) -> int:
    """Return how much of a share is not back on a card that lists the process no more."""
    rest = _unexplained(card)
    if rest is not None and unexplained is not None:
        kept = rest - unexplained
    elif card.memory_used_bytes is not None and used is not None:
        kept = share - (used - card.memory_used_bytes)
    else:
        return 0
    return min(kept, share) if kept > max(NOISE_BYTES, (1 - BACK_RATIO) * share) else 0


def _unexplained(card: Card) -> int | None:
    """Return the memory in use that no process accounts for; None where the driver does not tell it all."""
    if card.process_accounting is not ProcessAccounting.FULL or card.memory_used_bytes is None:
        return None
    if any(process.memory_bytes is None for process in card.processes):
        return None
    return max(0, card.memory_used_bytes - sum(process.memory_bytes or 0 for process in card.processes))


def on_cards(desk: Desk, model: LoadedModel) -> bool | None:
    """Tell whether the driver sees a model on a card; None where it cannot tell."""
    if not model.local or not model.pids or not desk.cards:
        return None
    if any(state.card.process_accounting is ProcessAccounting.NONE for state in desk.cards):
        return None
    return any(process.pid in model.pids for state in desk.cards for process in state.card.processes)


def context_seen(desk: Desk, wish: Load, model: LoadedModel) -> bool | None:
    """Tell whether a model has the context that was wished for, as far as the engine tells.

    Ollama cuts a wish to what a model was trained for, and raises a very small one. None while it has a shorter one
    and nobody has told yet what it was trained for.
    """
    wanted, seen = wish.context_length, model.context_length
    if wanted is None or seen is None or wanted == seen:
        return True
    if seen > wanted:
        return seen in SMALLEST_CONTEXTS
    details = next((each for each in desk.details if each.digest == model.digest), None)
    if details is None or details.context_length_trained is None:
        return None
    return seen == details.context_length_trained


def timer_seen(desk: Desk, wish: KeepAliveWish, model: LoadedModel, elapsed_seconds: float) -> bool:
    """Tell whether a model's timer is the one that was asked for so many seconds ago."""
    timer = model.keep_alive
    if timer is None:
        return False
    remaining = timer.remaining_seconds(desk.taken_at)
    if wish.seconds is None:
        return timer.state is KeepAliveState.FOREVER
    if remaining is None:
        return False
    slack = max(TIMER_SECONDS, TIMER_RATIO * wish.seconds)
    return wish.seconds - elapsed_seconds - slack <= remaining <= wish.seconds + slack


def same_runner(before: LoadedModel, now: LoadedModel) -> bool:
    """Tell whether a model was not loaded anew; by its processes, where both are known."""
    return not before.pids or not now.pids or bool(set(before.pids) & set(now.pids))


def missing(desk: Desk, loads: Iterable[Load]) -> tuple[Load, ...]:
    """Return what is not loaded."""
    return tuple(load for load in loads if loaded_as(desk, load) is None)


def strangers(desk: Desk, urls: Iterable[str], known: Sequence[Load]) -> tuple[LoadedModel, ...]:
    """Return what is loaded on these engines beside what is known: somebody else loaded it."""
    chosen = set(urls)
    expected = {model.key for load in known if (model := loaded_as(desk, load)) is not None}
    shared = {f"{model.engine_url} {name}" for model in desk.models if model.key in expected
              for name in model.shares_runner_with}  # fmt: skip
    return tuple(
        model for model in runners(desk.models) if model.engine_url in chosen and model.key not in expected | shared
    )
