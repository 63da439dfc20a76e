"""Learning while the desk is watched: what `watch.learning` finds is completed with what was calculated, and kept.

Idle it costs nothing: it sleeps until something on the desk changed, then looks once in two seconds until every
load holds still, and sleeps again.
"""

from __future__ import annotations

from datetime import UTC
from threading import Event, Thread
from typing import TYPE_CHECKING

from gpudesk.fit.points import MeasuredPoint
from gpudesk.watch.learning import LearnedLoad, Learning, learn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpudesk.fit.values import Parts
    from gpudesk.watch.feed import DeskFeed

LOOK_SECONDS = 2.0
LOOKS_MOST = 60
"""Looks after one change: a load that still grows after two minutes is none that could be learned from."""
SETTLED_LOOKS = 5
"""Looks after the last load held still: the first request makes workspaces that count."""

TRIES_MOST = 10
"""Looks for which a load waits for its header, which the engine is asked for while the load settles."""


class Learner:
    """One thread beside the poller. Nothing it does can disturb the screen."""

    def __init__(
        self, feed: DeskFeed, calculate: Callable[[LearnedLoad], Parts | None], keep: Callable[[MeasuredPoint], object]
    ) -> None:
        self._feed = feed
        self._calculate = calculate
        self._keep = keep
        self._learning = Learning()
        self._unfinished: dict[str, tuple[LearnedLoad, int]] = {}
        self._changed = Event()
        self._stopped = Event()
        feed.subscribe(self._changed.set)

    def start(self) -> None:
        """Begin."""
        Thread(target=self._run, name="gpudesk learner", daemon=True).start()

    def stop(self) -> None:
        """Leave word to end; nobody waits."""
        self._stopped.set()
        self._changed.set()

    def look(self) -> bool:
        """Learn from the desk as it is; tell whether another look may teach more."""
        self._learning, learned = learn(self._learning, self._feed.desk)
        self._unfinished |= {load.load: (load, TRIES_MOST) for load in learned}
        for name, (load, tries) in list(self._unfinished.items()):
            parts = self._calculate(load)
            if parts is not None:
                self._keep(point_of(load, parts))
            if parts is not None or tries <= 1:
                del self._unfinished[name]
            else:
                self._unfinished[name] = (load, tries - 1)
        return self._learning.waiting or bool(self._unfinished)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._changed.wait()
            self._changed.clear()
            settled = 0
            for _ in range(LOOKS_MOST):
                if self._stopped.is_set():
                    return
                try:
                    settled = 0 if self.look() else settled + 1
                except Exception:  # noqa: BLE001 - what cannot be learned from is nobody's problem
                    break
                if settled > SETTLED_LOOKS or self._stopped.wait(LOOK_SECONDS):
                    break


def point_of(load: LearnedLoad, parts: Parts) -> MeasuredPoint:
    """Put what was measured beside what was calculated."""
    return MeasuredPoint(
        load=load.load,
        taken_at=load.taken_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        conditions=load.conditions,
        measured_bytes=load.measured_bytes,
        weights_bytes=parts.weights_bytes,
        kv_cache_bytes=parts.kv_cache_bytes,
        compute_bytes=parts.compute_bytes,
        projector_bytes=parts.projector_bytes,
        overhead_bytes=parts.overhead_bytes,
        engine_buffers_bytes=load.engine_buffers_bytes,
    )


def calculated(load: LearnedLoad, cache_directory: Path | None) -> Parts | None:
    """Return what would have been said of this very load without any correction; None when its header is not kept."""
    from gpudesk.errors import GpudeskError
    from gpudesk.fit.estimate import estimate
    from gpudesk.fit.from_show import metadata_from_show
    from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Wanted
    from gpudesk.sources.ollama_cache import DetailsCache

    if load.model_digest is None:
        return None
    reduced = DetailsCache(cache_directory).metadata(load.model_digest)
    if reduced is None:
        return None
    told = load.conditions
    flash = {"on": True, "off": False}.get(told.flash_attention or "")
    options = LoadOptions(
        context_length=told.context_length, parallel=told.parallel, kv_cache_type_k=told.kv_cache_type_k,
        kv_cache_type_v=told.kv_cache_type_v, flash_attention=flash, batch_size=told.batch_size,
    )  # fmt: skip
    spread = told.card_count > 1  # else one card with room enough for everything takes it all
    profile = EngineProfile(told.engine_kind, told.engine_version, told.era, told.backend, spread=spread)
    room = 1 << 46
    cards = [CardBudget(index, told.card_name, room, room) for index in range(told.card_count)]
    try:
        metadata = metadata_from_show(reduced)
        found = estimate(Wanted("", metadata, options, told.digest), profile, cards)
    except GpudeskError:
        return None
    complete = found.layers_on_gpu == found.layers_total and found.context_length == told.context_length
    return found.parts if complete else None
