"""Which source should look early, because another one saw something new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass
from gpudesk.watch.names import PROCESSES, catalog_source, details_source, engine_source

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk

JUMP_BYTES = 64 << 20
"""More than a desktop moves between two readings; less than any language model."""


@dataclass(frozen=True, slots=True)
class Wakes:
    """Names of sources to be read early."""

    once: frozenset[str] = frozenset()
    brisk: frozenset[str] = frozenset()
    """At once, and often for a while: something is being loaded or unloaded."""


NOBODY = Wakes()


def wakes(before: Desk, after: Desk) -> Wakes:
    """Tell who should look early after one reading.

    The process table when a pid came to or left a card or a model came or went; what an engine knows about a model
    when that model is new; what is installed when a loaded model is not listed or one left (it may be deleted); local
    engines when the memory in use jumped; and what else is asked of an engine when it answers again.
    """
    once: set[str] = set()
    brisk: frozenset[str] = frozenset()
    if before.cards is not after.cards:
        if _pids(before) != _pids(after):
            once.add(PROCESSES)
        if _memory_jumped(before, after):
            brisk = frozenset(engine_source(engine.url) for engine in after.engines if engine.local)
    if before.models is not after.models:
        once.update(_for_models(before, after))
    if before.engines is not after.engines:
        away = {engine.url for engine in before.engines if not engine.reachable}
        for engine in after.engines:
            if engine.reachable and engine.url in away:
                once.update((catalog_source(engine.url), details_source(engine.url)))
    return Wakes(frozenset(once), brisk) if once or brisk else NOBODY


def _for_models(before: Desk, after: Desk) -> set[str]:
    """Return who should look because of models that came or went."""
    old = {(model.engine_url, model.name, model.digest) for model in before.models}
    new = {(model.engine_url, model.name, model.digest) for model in after.models}
    if old == new:
        return set()
    found = {PROCESSES}
    told = {detail.digest for detail in after.details}
    listed = {(model.engine_url, model.digest) for model in after.installed}
    for url, _, digest in new - old:
        if digest is not None and digest not in told:
            found.add(details_source(url))
        if (url, digest) not in listed:
            found.add(catalog_source(url))
    found.update(catalog_source(url) for url, _, _ in old - new)
    return found


def _pids(desk: Desk) -> frozenset[int]:
    """Return every pid on any card."""
    return frozenset(process.pid for state in desk.cards for process in state.card.processes)


def _memory_jumped(before: Desk, after: Desk) -> bool:
    """Tell whether the use of any card changed by as much as a model could."""
    used = {state.card.index: state.card.memory_used_bytes for state in before.cards}
    for state in after.cards:
        old, new = used.get(state.card.index), state.card.memory_used_bytes
        if old is not None and new is not None and abs(new - old) > JUMP_BYTES:
            return True
    return False
