"""Engines as the desk shows them, and what becomes of the models of one that does not answer.

They stay on the screen with their age: an engine that stalls for some seconds still holds its models. But a model
whose processes are gone is gone, whatever the engine last said; and where nothing measures a model it is dropped
after a minute of silence, because the memory it is said to hold may long belong to somebody else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Engine, EngineSample
from gpudesk.watch.names import CARDS, PROCESSES, engine_source, engine_url

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk, LoadedModel, SourceState
    from gpudesk.watch.watched import Watched

FORGET_SECONDS = 60.0
"""How long an engine may be silent before its unmeasured models are dropped."""

_LOCAL_HOSTS = ("127.", "localhost", "[::1]")


def engines_of(watched: Watched, desk: Desk) -> tuple[Engine, ...]:
    """Return every engine that is watched, answering or not: where none is named, the first one is meant."""
    samples = {sample.url: sample for sample in watched.engines}
    known = {engine.url: engine for engine in desk.engines}
    engines: list[Engine] = []
    for state in desk.sources:
        url = engine_url(state.source)
        if url is not None:
            engines.append(_engine(url, state, samples.get(url), known.get(url)))
    order = {url: place for place, url in enumerate(watched.engine_order)}
    return tuple(sorted(engines, key=lambda engine: order.get(engine.url, len(order))))


def _engine(url: str, state: SourceState, sample: EngineSample | None, known: Engine | None) -> Engine:
    """Return one engine; the version is asked only now and then, so the last one told stands."""
    failure = state.failure
    if sample is None:
        engine = Engine(url=url, local=url.partition("://")[2].startswith(_LOCAL_HOSTS))
    else:
        engine = Engine(
            url=url,
            kind=sample.kind,
            version=sample.version or (known.version if known else None),
            local=sample.local,
            clock_skew_seconds=sample.clock_skew_seconds,
        )
    engine = replace(
        engine,
        reachable=failure is None,
        error=failure.message if failure else None,
        hint=failure.hint if failure else None,
    )
    return known if known == engine else engine


def forget_gone(watched: Watched, desk: Desk) -> tuple[EngineSample, ...]:
    """Return the engines' samples without the models that are gone although their engine cannot say so.

    Those of an engine whose server is known to have ended are.

    Args:
        watched: the samples, the newest included.
        desk: sources as of now, models as of the last desk.
    """
    kept: list[EngineSample] = []
    for sample in watched.engines:
        state = desk.source(engine_source(sample.url))
        if state is None or state.failure is None or not sample.models:
            kept.append(sample)
            continue
        life = watched.memory.lives.get(sample.url)
        if life is not None and life.is_over:
            kept.append(replace(sample, models=()))
            continue
        silent = 0.0 if state.last_value_at is None else (desk.taken_at - state.last_value_at).total_seconds()
        models = {model.name: model for model in desk.models if model.engine_url == sample.url}
        left = tuple(claim for claim in sample.models if _stays(models.get(claim.name), watched, desk, silent))
        kept.append(sample if len(left) == len(sample.models) else replace(sample, models=left))
    return tuple(kept)


def _stays(model: LoadedModel | None, watched: Watched, desk: Desk, silent_seconds: float) -> bool:
    """Tell whether a model of a silent engine is still believed to be loaded."""
    if model is not None and model.local and model.pids:
        seen = _seen(model, watched, desk)
        if seen is not None:
            return seen
    return silent_seconds <= FORGET_SECONDS


def _seen(model: LoadedModel, watched: Watched, desk: Desk) -> bool | None:
    """Tell whether any process of a model is still there; None when nobody who could know can be asked.

    On the cards by the driver; by the process table as well, for what runs on the CPU alone. A runner whose server
    ended is still there and nobody's.
    """
    on_cards = _works(desk.source(CARDS))
    in_table = _works(desk.source(PROCESSES)) and watched.processes is not None
    orphans = [process.pid for process in desk.processes if process.orphaned]
    if in_table and any(pid in orphans for pid in model.pids):
        return False
    if on_cards and any(process.pid in model.pids for card in watched.cards for process in card.processes):
        return True
    if in_table and watched.processes is not None:
        return any(process.pid in model.pids and process.exists for process in watched.processes.processes)
    return False if on_cards and model.cards else None


def _works(state: SourceState | None) -> bool:
    return state is not None and state.failure is None and state.last_value_at is not None
