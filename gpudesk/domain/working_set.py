"""Models that belong together: `coding` is chat, autocomplete and embed."""

from __future__ import annotations

from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class SetModel:
    """One model of a working set."""

    name: str
    context_length: int | None = None
    """Per slot; None lets the engine decide."""
    keep_alive: KeepAliveWish | None = None
    pinned: bool = False
    engine_url: str | None = None
    """None: the first engine. Left out of a set that is shared."""


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """A named list of models. Applying it loads what is missing and unloads what is not in it."""

    name: str
    models: tuple[SetModel, ...] = ()
    """Its own and, after reading, those of the sets it includes."""
    description: str | None = None
    includes: tuple[str, ...] = ()
    """Other sets whose models belong to it too."""
    keeps_others: bool = False
    """What is loaded and not in the set stays, as long as there is room."""
    key: str | None = None
    """One key that applies it: in the list of working sets, and on the desk unless that uses the key itself."""
