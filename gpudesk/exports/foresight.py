"""What somebody who plans tells of the models in an editor's files: whether they fit, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Planned:
    """A model as a configuration asks for it."""

    name: str
    """As the engine names it, tag included."""
    engine_url: str
    context_length: int | None
    """`num_ctx` that will be asked for; None: the engine's own."""


if TYPE_CHECKING:
    Fits = Callable[[tuple[Planned, ...]], str | None]
    """Says why models do not fit together, with numbers; None when they do, or nobody knows."""
