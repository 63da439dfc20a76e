"""Who may have to go for a load where no card can be seen: what the engine claims, and how many models it keeps.

Nothing is known of the memory then, but Ollama's order is: it evicts the idle one with the shortest keep-alive first,
whatever gpudesk wishes (ollama server/sched.go:225 and :1664 at v0.33.0-rc2).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.actions.lookup import engine_at, loaded_as, runners
from gpudesk.actions.refusals import rough_bytes
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.fit.values import Resident


@dataclass(frozen=True, slots=True)
class Doubt:
    """Who may go, in the engine's order, and why that is not known better."""

    may_evict: tuple[str, ...] = ()
    because: str | None = None


def doubt_of(desk: Desk, loads: Sequence[Load], leaving: Sequence[str]) -> Doubt:
    """Say who may go for these loads, once those in `leaving` are gone."""
    url = loads[0].engine_url
    own = {model.key for load in loads if (model := loaded_as(desk, load)) is not None}
    fresh = sum(loaded_as(desk, load) is None for load in loads)
    here = [model for model in runners(desk.models) if model.engine_url == url]
    gone = [model for model in here if model.name in leaving or set(leaving).intersection(model.shares_runner_with)]
    there = [model for model in here if model.key not in own and model not in gone]
    if not there:
        return Doubt()
    most = _most(desk, url)
    too_many = max(0, len(there) + len(own) + fresh - most) if fresh else 0
    unknown = _is_memory_unknown(desk, loads, there, gone)
    order = _in_order(desk, there)[: max(too_many, int(unknown))]
    because = "memory unknown" if unknown else f"at most {most} models stay loaded, unless Ollama was told otherwise"
    return Doubt(tuple(order), because if order else None)


def _most(desk: Desk, url: str) -> int:
    """Return how many models the engine keeps, as far as can be told: it does not tell its own setting."""
    from gpudesk.fit.server_scheduler import max_loaded
    from gpudesk.planning.situation import profile_of

    engine = engine_at(desk, url)
    local = engine is not None and engine.local
    return max_loaded(profile_of(engine.version if engine else None, os.environ if local else {}), 1)


def _is_memory_unknown(
    desk: Desk, loads: Sequence[Load], there: Sequence[LoadedModel], gone: Sequence[LoadedModel]
) -> bool:
    """Tell whether memory may be a reason: not where nothing is on cards, nor where enough is given back."""
    claims = [model.reported_vram_bytes for model in (*there, *gone)]
    if all(claim == 0 for claim in claims):
        return not _has_host_memory(desk, loads)
    freed = sum(model.reported_vram_bytes or 0 for model in gone)
    needed = rough_bytes(desk, loads)
    return needed is None or needed > freed


def _has_host_memory(desk: Desk, loads: Sequence[Load]) -> bool:
    """Tell whether what runs on processors has room, or nobody looks: from 0.30 on Ollama does not (sched.go:527)."""
    from gpudesk.domain.engine import Era, era_of

    engine = engine_at(desk, loads[0].engine_url)
    if engine is None or not engine.local or era_of(engine.version) is Era.LLAMA_SERVER:
        return True
    available = desk.host.memory_available_bytes if desk.host is not None else None
    needed = rough_bytes(desk, loads)
    return available is None or needed is None or needed <= available


def _in_order(desk: Desk, models: Sequence[LoadedModel]) -> list[str]:
    """Return names in the order in which the engine would make them go."""
    from gpudesk.fit.server_scheduler import victim
    from gpudesk.planning.situation import resident_of

    left: list[Resident] = [resident_of(model, (), desk) for model in models]
    order = []
    while left:
        first = victim(left)
        left.remove(first)
        order.append(first.name)
    return order
