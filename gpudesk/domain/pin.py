"""gpudesk's wish that a model stays resident."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gpudesk.records import dataclass


class Pin(StrEnum):
    """Not the same as keep-alive "forever": Ollama evicts those too."""

    NONE = "none"
    HELD = "held"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PinWish:
    """What was wished, as it is stored."""

    engine_url: str
    name: str
    """As the engine names it, tag included."""
    digest: str | None = None
    """The manifest's, when it was pinned; another one under the same name is another model."""
    context_length: int | None = None
    """What it should be loaded with; None: whatever it has."""
    restore: bool = False
    """Put it right when it is lost."""
    since: datetime | None = None
    """Aware UTC."""


@dataclass(frozen=True, slots=True)
class PinSample:
    """The pins as they are stored now."""

    wishes: tuple[PinWish, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with the store, a sentence each."""


class PinCause(StrEnum):
    """Who broke a pin, or what."""

    KEEP_ALIVE = "keep_alive"
    """Another keep-alive was asked for."""
    EVICTED = "evicted"
    UNLOADED = "unloaded"
    CONTEXT = "context"
    """Loaded anew with another context."""
    CRASHED = "crashed"
    """Its runner ended while the engine went on."""
    RESTARTED = "restarted"
    """The engine was restarted or stopped."""
    REPLACED = "replaced"
    """The name belongs to other weights now."""
    NOT_LOADED = "not_loaded"
    """It was not there when gpudesk first looked."""


@dataclass(frozen=True, slots=True)
class PinState:
    """A pin as it stands."""

    wish: PinWish
    pin: Pin = Pin.HELD
    cause: PinCause | None = None
    """Set when lost."""
    reason: str | None = None
    """The whole sentence: `keep-alive changed from forever to 30m: what Continue sends unless told otherwise`."""
    lost_at: datetime | None = None
    """Aware UTC: when it was noticed."""
    losses: tuple[datetime, ...] = ()
    """When it was lost lately, oldest first, less those by a restart, which nobody fights for; three in ten minutes
    are a thrash."""
    loss_causes: tuple[tuple[PinCause, str], ...] = ()
    """What broke it each time, as cause and sentence, one per loss."""

    @property
    def key(self) -> str:
        """Identifies the model, like `LoadedModel.key`."""
        return f"{self.wish.engine_url} {self.wish.name}"
