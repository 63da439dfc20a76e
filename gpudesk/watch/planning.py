"""What the planner's screen sees of those who read headers and know the cards, and the door its plans leave by."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from gpudesk.fit.values import EngineProfile, LoadOptions
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.fit.metadata import ModelMetadata
    from gpudesk.fit.values import CardBudget, Plan, Resident, Wanted


@dataclass(frozen=True, slots=True)
class PlannableModel:
    """A model whose header is known."""

    name: str
    metadata: ModelMetadata
    options: LoadOptions = field(default_factory=LoadOptions)
    """How it is loaded when nobody says otherwise: as its modelfile and the engine are set."""
    blob_digest: str | None = None
    notes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    """As the engine tells them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything a plan stands on but the models."""

    cards: tuple[CardBudget, ...] = ()
    profile: EngineProfile = field(default_factory=EngineProfile)
    residents: tuple[Resident, ...] = ()
    engine: str = "the engine"
    """In words: `Ollama 0.33.0`."""
    described: str | None = None
    """What was typed or picked, when these are not the cards of this computer."""
    notes: tuple[str, ...] = ()
    problem: str | None = None
    """Why there is no card to plan with."""


class Planning(Protocol):
    """Plans, and what they are made of. `read` and `read_file` block; everything else answers at once."""

    def ground(self, desk: Desk) -> Ground:
        """Return the cards of this computer as they are now; without any, the ground says why."""
        ...

    def described(self, cards: str) -> Ground:
        """Return cards that need not be here: names and sizes with commas, `RTX 4090, 24GiB`.

        Raises:
            UsageError: a card nobody knows; the nearest names are told.
        """
        ...

    def read(self, models: Sequence[InstalledModel]) -> tuple[tuple[PlannableModel, ...], tuple[tuple[str, str], ...]]:
        """Return the models whose headers could be had, and the others by name with the reason."""
        ...

    def read_file(self, path: str) -> PlannableModel:
        """Read the header of a `.gguf` file, or a saved reply of `/api/show`.

        Raises:
            GpudeskError: it cannot be read.
        """
        ...

    def plan(
        self,
        wanted: Sequence[Wanted],
        ground: Ground,
        *,
        leaving: Sequence[str] = (),
        installed: Sequence[Wanted] = (),
        alternatives: bool = True,
    ) -> Plan:
        """Plan these models.

        Args:
            wanted: the models that shall be there in the end.
            ground: cards, engine and what is loaded.
            leaving: names of loaded models that shall not stay; their memory counts as free.
            installed: other quantizations that may be offered instead.
            alternatives: whether changes that would help are looked for, which takes most of the time.
        """
        ...


class Purpose(StrEnum):
    """What a plan is handed over for."""

    MAKE_IT_SO = "make it so"
    SAVE = "save as working set"


@dataclass(frozen=True, slots=True)
class Handover:
    """A plan on its way out of the planner, complete: who acts on it needs nothing else."""

    plan: Plan
    wanted: tuple[Wanted, ...]
    """The models with the options the plan was made with, in the plan's order."""
    leaving: tuple[str, ...]
    """Loaded models to be unloaded."""
    ground: Ground
    needs_restart: bool = False
    """The engine has to be started with other settings first, which unloads everything."""


class PlanDoor(Protocol):
    """The one way out of the planner. Without a door the plan is shown as text."""

    def __call__(self, purpose: Purpose, handover: Handover) -> None:
        """Take a plan; called on the screen's thread, must return at once."""
        ...
