"""What a plan is made against: cards, loaded models, the engine's settings; of a desk or as the user describes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era, era_of
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.errors import FailureKind, SourceError
from gpudesk.fit.values import CardBudget, EngineProfile, Resident
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.domain.desk import CardState, Desk, LoadedModel
    from gpudesk.domain.engine import Engine
    from gpudesk.fit.card_table import KnownCard

NO_CARD_HINT = 'Say which card is meant: --card "RTX 4090" or --vram 24GiB'


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a plan depends on but the models."""

    cards: tuple[CardBudget, ...]
    profile: EngineProfile
    residents: tuple[Resident, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def engine(self) -> str:
        """The engine in words: `Ollama 0.33.0`."""
        name = {"ollama": "Ollama"}.get(self.profile.kind, self.profile.kind)
        return f"{name} {self.profile.version}" if self.profile.version else name


def described(
    names: Sequence[str],
    memory: Sequence[int],
    *,
    others: Sequence[int] = (),
    reserve_bytes: int = 0,
    version: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Situation:
    """Return the situation of cards that need not be here.

    Args:
        names: of cards (`--card`); looked up in the table of common cards.
        memory: of cards without a name (`--vram`).
        others: what other programs hold on each card; one figure is meant for the first card.
        reserve_bytes: to keep free on each card.
        version: of Ollama.
        environment: where settings of Ollama are looked for.

    Raises:
        UsageError: a name that the table does not have.
    """
    from gpudesk.fit.card_table import card_named

    known: list[tuple[str, int, KnownCard | None]] = []
    for name in names:
        found = card_named(name)
        known.append((found.name, found.memory_total_bytes, found))
    known += [(f"a card of {gibibytes(size)}", size, None) for size in memory]
    held = per_card(others, len(known))
    cards, notes = [], []
    for index, (name, total, card) in enumerate(known):
        bandwidth = card.bandwidth_bytes_per_second if card is not None else None
        budget, note = _budget(index, name, total, total - held[index], reserve_bytes, bandwidth)
        cards.append(budget)
        notes += note
    backends = {card.backend for _, _, card in known if card is not None}
    profile = profile_of(version, environment or {}, backend=backends.pop() if len(backends) == 1 else "cuda")
    return Situation(tuple(cards), profile, notes=tuple(notes))


def of_desk(
    desk: Desk,
    *,
    others: Sequence[int] = (),
    reserve_bytes: int = 0,
    version: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Situation:
    """Return the situation of this computer as it is now.

    Raises:
        SourceError: no card can be planned with.
    """
    from gpudesk.fit.card_table import find_card

    usable = [state for state in desk.cards if state.card.error is None and state.card.memory_total_bytes]
    if not usable:
        raise SourceError(FailureKind.MISSING, _why_no_card(desk), NO_CARD_HINT)
    loaded = [model for model in desk.models if model.local and model.cards]
    held = per_card(others, len(usable))
    cards, notes = [], []
    for position, state in enumerate(usable):
        card = state.card
        name = card.name or f"card {card.index}"
        known = find_card(name)
        free = _free(state)
        if others:
            free = (card.memory_total_bytes or 0) - held[position] - _models_on(card.index, loaded)
        budget, note = _budget(
            card.index, name, card.memory_total_bytes or 0, free, reserve_bytes,
            known.bandwidth_bytes_per_second if known is not None else None,
        )  # fmt: skip
        cards.append(budget)
        notes += note
    engine = _engine(desk)
    told = version or (engine.version if engine is not None else None)
    profile = profile_of(told, environment or {})
    indices = [state.card.index for state in usable]
    residents = tuple(resident_of(model, indices, desk) for model in loaded)
    return Situation(tuple(cards), profile, residents, tuple(notes))


def profile_of(version: str | None, environment: Mapping[str, str], *, backend: str = "cuda") -> EngineProfile:
    """Return how Ollama is set: by its version, and by its variables where this shell has them too."""
    from gpudesk.fit.server_rules import default_parallel

    kv_type = environment.get("OLLAMA_KV_CACHE_TYPE", "").strip().lower() or "f16"
    flash = _flag(environment, "OLLAMA_FLASH_ATTENTION")
    era = era_of(version) or Era.LLAMA_SERVER
    return EngineProfile(
        version=version,
        era=era,
        backend=backend,
        max_loaded_models=_count(environment, "OLLAMA_MAX_LOADED_MODELS"),
        parallel=_count(environment, "OLLAMA_NUM_PARALLEL") or default_parallel(version, era),
        kv_cache_type=kv_type,
        flash_attention=flash,
        default_context=_count(environment, "OLLAMA_CONTEXT_LENGTH"),
        gpu_overhead_bytes=_count(environment, "OLLAMA_GPU_OVERHEAD") or 0,
        spread=bool(_flag(environment, "OLLAMA_SCHED_SPREAD")),
    )


def per_card(sizes: Sequence[int], cards: int) -> list[int]:
    """Spread what was typed over the cards: one figure is the first card's, where the desktop is."""
    return [sizes[position] if position < len(sizes) else 0 for position in range(cards)]


def _budget(
    index: int, name: str, total: int, free: int, reserve_bytes: int, bandwidth: float | None
) -> tuple[CardBudget, list[str]]:
    notes = []
    if reserve_bytes >= total:
        notes.append(f"the reserve of {gibibytes(reserve_bytes)} leaves nothing of {name}")
    elif free <= 0:
        notes.append(f"other programs leave nothing of {name}")
    available = max(0, min(free, total) - reserve_bytes)
    return CardBudget(index, name, total, available, bandwidth, reserve_bytes), notes


def _free(state: CardState) -> int:
    for free in (state.free_bytes, state.card.memory_free_bytes, state.card.memory_total_bytes):
        if free is not None:
            return free
    return 0


def _models_on(index: int, loaded: Sequence[LoadedModel]) -> int:
    return sum(share.memory_bytes for model in loaded for share in model.cards if share.index == index)


def _engine(desk: Desk) -> Engine | None:
    """Return the engine that would load on these cards: a local one that answers, else any."""
    ordered = sorted(desk.engines, key=lambda engine: (not engine.local, not engine.reachable))
    return ordered[0] if ordered else None


def resident_of(model: LoadedModel, indices: Sequence[int], desk: Desk) -> Resident:
    """Return a loaded model as the formulas take it, with what it holds on each of these cards."""
    by_card = tuple(sum(share.memory_bytes for share in model.cards if share.index == index) for index in indices)
    seconds, bounds = _keep_alive(model, desk)
    return Resident(
        name=model.name,
        memory_bytes=sum(by_card),
        by_card=by_card,
        keep_alive_seconds=seconds,
        keep_alive_bounds=bounds,
        blob_digest=model.runner.blob_digest if model.runner is not None else None,
        # A timer that has run out while the model is still there: a request is running.
        busy=model.keep_alive is not None and model.keep_alive.state is KeepAliveState.STOPPING,
        pinned=model.pin.value != "none",
        claimed_by_card=_claimed(by_card, model.reported_vram_bytes),
        context_length=model.context_length,
    )


def _keep_alive(model: LoadedModel, desk: Desk) -> tuple[float | None, tuple[float, float] | None]:
    """Return how long a timer was set for, None for forever, and its bounds where that is only likely.

    What is left says that it was at least that; most people leave it at Ollama's default.
    """
    from gpudesk.fit.server_scheduler import KEEP_ALIVE_SECONDS
    from gpudesk.watch.timers import rounded

    timer, known = model.keep_alive, model.keep_alive_bounds
    if timer is not None and timer.state is KeepAliveState.FOREVER:
        return None, None
    least = (timer.remaining_seconds(desk.taken_at) if timer is not None else None) or 0.0
    if known is not None:
        least = max(least, known.least_seconds)
        if known.most_seconds is not None and known.most_seconds >= least:
            return rounded(least, known.most_seconds), None
    return max(KEEP_ALIVE_SECONDS, least), (least, math.inf)


def _claimed(by_card: tuple[int, ...], claim: int | None) -> tuple[int, ...] | None:
    """Spread the engine's claim as the driver's figures are spread; None when there is nothing to tell it by."""
    held = sum(by_card)
    if claim is None or held <= 0:
        return None
    return tuple(claim * size // held for size in by_card)


def _why_no_card(desk: Desk) -> str:
    errors = [f"card {state.card.index}: {state.card.error}" for state in desk.cards if state.card.error is not None]
    if errors:
        return f"no card can be read: {'; '.join(errors)}"
    driver = desk.source("nvml")
    if driver is not None and driver.failure is not None:
        return f"no card is known: {driver.failure.message}"
    return "no card was found"


def _count(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip().strip("'\"")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 and int(text) > 0 else None


def _flag(environment: Mapping[str, str], name: str) -> bool | None:
    """Read a switch as Ollama does: whatever is no word for a boolean is true (envconfig/config.go)."""
    text = environment.get(name, "").strip().strip("'\"").lower()
    return None if not text else text not in ("0", "f", "false")
