"""What the store folds into: the raw samples beside the desk that was made of them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from gpudesk.domain.alarm import AlarmLimits
from gpudesk.records import dataclass, replace
from gpudesk.watch.alarms import AlarmMemory
from gpudesk.watch.changes import Memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from gpudesk.domain.card import Card
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.engine import CatalogSample, DetailsSample, EngineSample
    from gpudesk.domain.pin import PinSample
    from gpudesk.domain.process import ProcessSample


@dataclass(frozen=True, slots=True)
class Watched:
    """A desk together with the samples it was made of; equal samples stay the same objects."""

    desk: Desk
    cards: tuple[Card, ...] = ()
    processes: ProcessSample | None = None
    engines: tuple[EngineSample, ...] = ()
    """One per engine, without the models that went away while the engine did not answer."""
    catalogs: tuple[CatalogSample, ...] = ()
    details: tuple[DetailsSample, ...] = ()
    pins: PinSample | None = None
    """None until they were read."""
    engine_order: tuple[str, ...] = ()
    """The engines' addresses as the user ordered them."""
    limits: AlarmLimits = field(default_factory=AlarmLimits)
    """What the user wants to be told about."""
    alarm_memory: AlarmMemory = field(default_factory=AlarmMemory)
    memory: Memory = field(default_factory=Memory)
    """What the comparison of desks has to remember."""


def dismissed(watched: Watched, engine_url: str, names: Sequence[str], at: datetime) -> Watched:
    """Return what is watched, with a note of when gpudesk asked a model to go."""
    models = {
        key: replace(model, dismissed_at=at) if key[0] == engine_url and key[1] in names else model
        for key, model in watched.memory.models.items()
    }
    return replace(watched, memory=replace(watched.memory, models=models))
