"""Something that changed between two desks and is worth a line."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gpudesk.records import dataclass


class EventKind(StrEnum):
    """What happened. The screen pairs each kind with a word and a glyph, never with color alone."""

    LOADED = "loaded"
    UNLOADED = "unloaded"
    """Gone because its time was up or somebody asked for it, as far as can be told."""
    EVICTED = "evicted"
    """Gone although its keep-alive had not run out, while another model came."""
    KEEP_ALIVE_CHANGED = "keep_alive_changed"
    RELOADED = "reloaded"
    """Same model, another context or slot count: the engine loaded it anew."""
    SPILLED = "spilled"
    """Part of it now runs on the CPU."""
    BACK_ON_CARD = "back_on_card"
    """All of it is on the card again."""
    ENGINE_GONE = "engine_gone"
    ENGINE_BACK = "engine_back"
    ENGINE_RESTARTED = "engine_restarted"
    """Its server was ended and started again, too fast for anybody to miss its answers."""
    ENGINE_UPDATED = "engine_updated"
    """It answers with another version than before."""
    DRIVER_GONE = "driver_gone"
    DRIVER_BACK = "driver_back"
    CARD_GONE = "card_gone"
    """One card cannot be read any more; the driver and the other cards answer."""
    CARD_BACK = "card_back"
    MEMORY_TAKEN = "memory_taken"
    """Another process took memory on a card."""
    MEMORY_RELEASED = "memory_released"
    RUNNER_ENDED = "runner_ended"
    """Its process is gone while the engine still lists it."""
    PIN_LOST = "pin_lost"
    PIN_BACK = "pin_back"
    """A lost pin holds again."""
    ALARM = "alarm"
    """Something that goes on and wants attention: thrash, a stuck load, a hot card, little free memory."""

    ACTED = "acted"
    """gpudesk carried something out, or tried to; only the screen that did it has this."""


class Severity(StrEnum):
    """How loud."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event list."""

    kind: EventKind
    at: datetime
    """Aware UTC: when it was noticed."""
    subject: str
    """Model name, process name, engine URL or card name."""
    message: str
    """The whole sentence: `keep-alive of qwen3:14b changed from forever to 30m`."""
    severity: Severity = Severity.INFO
    before: str | None = None
    after: str | None = None
    engine_url: str | None = None
    card_index: int | None = None
