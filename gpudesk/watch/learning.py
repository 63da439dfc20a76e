"""From watched desks to measured loads: which model, loaded how, took how much, as the driver says.

Pure: a desk in, what was learned out. Only what cannot mislead is taken: a local model, all of it on the cards, its
processes measured by the driver over several samples without a change, and its options told by its runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from gpudesk.domain.desk import MemorySource
from gpudesk.domain.engine import Era, era_of
from gpudesk.fit.points import Conditions
from gpudesk.records import dataclass, replace
from gpudesk.watch.names import CARDS

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.model import ModelDetails
    from gpudesk.domain.process import Runner

STABLE_SAMPLES = 3
"""Driver samples in a row with the same figure: a load grows for seconds."""
STABLE_BYTES = 1 << 20
GROWTH_BYTES = 8 << 20
"""A figure that later grows by this much (workspaces of the first request) replaces the first."""


@dataclass(frozen=True, slots=True)
class LearnedLoad:
    """A load as it was measured; what it had been calculated to take is somebody else's to add."""

    load: str
    taken_at: datetime
    conditions: Conditions
    measured_bytes: int
    model_digest: str | None
    """The manifest's, by which the model's details are cached."""
    engine_buffers_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Watched:
    """One load's figure so far."""

    measured_bytes: int
    samples: int
    seen_at: datetime
    told_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Learning:
    """What is known of the loads on the desk between two looks."""

    loads: Mapping[str, _Watched] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Some load has not held still for long enough: it is worth looking again."""
        return any(load.samples < STABLE_SAMPLES for load in self.loads.values())


def learn(before: Learning, desk: Desk) -> tuple[Learning, tuple[LearnedLoad, ...]]:
    """Look at one more desk; return what to remember and every load that has just become certain."""
    driver = desk.source(CARDS)
    if driver is None or driver.failure is not None or driver.last_value_at is None:
        return before, ()
    loads: dict[str, _Watched] = {}
    learned = []
    for model in desk.models:
        found = _measured_load(model, desk, driver.last_value_at)
        if found is None:
            continue
        seen = _seen(before.loads.get(found.load), found.measured_bytes, driver.last_value_at)
        if seen.samples >= STABLE_SAMPLES and _is_news(seen):
            seen = replace(seen, told_bytes=seen.measured_bytes)
            learned.append(found)
        loads[found.load] = seen
    return Learning(loads), tuple(learned)


def _seen(before: _Watched | None, measured_bytes: int, at: datetime) -> _Watched:
    if before is None:
        return _Watched(measured_bytes, 1, at)
    if before.seen_at == at:
        return before
    if abs(before.measured_bytes - measured_bytes) > STABLE_BYTES:
        return _Watched(measured_bytes, 1, at, before.told_bytes)
    return replace(before, measured_bytes=measured_bytes, samples=min(before.samples + 1, STABLE_SAMPLES), seen_at=at)


def _is_news(seen: _Watched) -> bool:
    return seen.told_bytes is None or seen.measured_bytes - seen.told_bytes >= GROWTH_BYTES


def _measured_load(model: LoadedModel, desk: Desk, at: datetime) -> LearnedLoad | None:
    runner, measured = model.runner, model.memory_bytes
    if runner is None or measured is None or measured <= 0 or model.memory_source is not MemorySource.DRIVER:
        return None
    if not model.local or not model.pids or model.cpu_ratio is None or model.cpu_ratio > 0:
        return None
    conditions = _conditions(model, runner, desk)
    if conditions is None:
        return None
    details = next((known for known in desk.details if known.digest == model.digest), None)
    return LearnedLoad(
        load=_load_name(model, desk),
        taken_at=at,
        conditions=conditions,
        measured_bytes=measured,
        model_digest=model.digest,
        engine_buffers_bytes=_engine_buffers(model, details, conditions.era),
    )


def _load_name(model: LoadedModel, desk: Desk) -> str:
    """Name this very load: its process and when that began; pids alone come again."""
    pid = model.pids[0]
    started = next((process.started_at for process in desk.processes if process.pid == pid), None)
    return f"{pid}@{'unknown' if started is None else started.isoformat(timespec='seconds')}"


def _conditions(model: LoadedModel, runner: Runner, desk: Desk) -> Conditions | None:
    """Return how it was loaded; None when a part of that is not told, or is more than one model."""
    if runner.blob_digest is None or runner.lora_count or runner.draft_model or runner.parallel is None:
        return None
    if model.context_length is None or model.kv_cache_type is None:
        return None
    indices = {share.index for share in model.cards if share.memory_bytes > 0}
    cards = [state.card for state in desk.cards if state.card.index in indices]
    names = {card.name for card in cards}
    name = next(iter(names)) if len(names) == 1 else None
    if name is None or len(cards) != len(indices) or any(card.unified_memory or card.slices for card in cards):
        return None
    engine = next((known for known in desk.engines if known.url == model.engine_url), None)
    era = era_of(engine.version) if engine is not None else None
    if engine is None or era is None:
        return None
    keys, _, values = model.kv_cache_type.partition("/")
    return Conditions(
        card_name=name, digest=runner.blob_digest, context_length=model.context_length, parallel=runner.parallel,
        kv_cache_type_k=keys, kv_cache_type_v=values or keys, card_count=len(cards), engine_kind=engine.kind.value,
        engine_version=engine.version, era=era, batch_size=runner.batch_size, flash_attention=runner.flash_attention,
    )  # fmt: skip


def _engine_buffers(model: LoadedModel, details: ModelDetails | None, era: Era) -> int | None:
    """Return the engine's own sum where it is complete.

    From 0.30 it is added up from llama-server's log lines; lines of the same name replace each other, so that models
    with a sliding window or a second cache lose one, and a projector's weights are not among them (ollama
    llm/llama_server.go:2638-2870 at v0.33.0-rc2).
    """
    if era is not Era.LLAMA_SERVER or details is None or details.sliding_window is not None:
        return None
    if details.has_projector or details.has_draft or model.reported_vram_bytes is None:
        return None
    measured = model.memory_bytes or 0
    return model.reported_vram_bytes if 0 < model.reported_vram_bytes <= measured else None
