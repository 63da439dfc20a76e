"""Something that goes on and wants attention."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gpudesk.records import dataclass


class AlarmKind(StrEnum):
    """What goes on."""

    SPILLED = "spilled"
    """A model runs on the CPU, in part or whole, though there is a card: slow, and no engine says so."""
    PING_PONG = "ping_pong"
    """A model is loaded again and again because clients ask for different contexts."""
    THRASH = "thrash"
    """Models push each other out, or a pin is lost again and again."""
    STUCK_LOAD = "stuck_load"
    """A runner has been loading for much longer than a load takes."""
    LEFT_BEHIND = "left_behind"
    """A runner lives on though its server ended or its model was unloaded, and nobody gives its memory back."""
    LOW_MEMORY = "low_memory"
    """Less memory is free on a card than the user wants to know about."""
    HOT_CARD = "hot_card"
    """A card is at the temperature where it slows itself down."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as long as it goes on."""

    kind: AlarmKind
    subject: str
    """Model or card."""
    message: str
    """What goes on, with its numbers."""
    advice: str
    """What to do about it."""
    since: datetime
    """Aware UTC."""
    engine_url: str | None = None
    card_index: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Tells one alarm from another while its figures change."""
        return self.kind.value, self.engine_url or "", self.subject


@dataclass(frozen=True, slots=True)
class AlarmLimits:
    """What the user wants to be told about."""

    free_memory_bytes: int = 2 << 30
    """Alarm when less is free on a card; 0 never."""
    enabled: bool = True
