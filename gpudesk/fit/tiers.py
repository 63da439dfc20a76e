"""What fits which card: models against sizes of cards, with the longest context and the bands an article gives."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.calibration import Calibration
from gpudesk.fit.card_table import card_named
from gpudesk.fit.filling import RANK
from gpudesk.fit.longest_context import longest_context
from gpudesk.fit.planner import Planner
from gpudesk.fit.values import CardBudget, EngineProfile, Verdict, Wanted
from gpudesk.records import dataclass
from gpudesk.units import GIBIBYTE

SMALL_MODEL_GB = 4.2
"""A 7B model in Q4_K_M, in GB of 10**9, as the article's table has it."""
OVERHEAD_FACTOR = 1.18
"""The article's factor on file sizes."""

TIERS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("6 GB", ("RTX 2060",), 6),
    ("8 GB", ("RTX 4060",), 8),
    ("12 GB", ("RTX 4070",), 12),
    ("16 GB", ("RTX 4080",), 16),
    ("24 GB", ("RTX 4090",), 24),
    ("32 GB", ("RTX 5090",), 32),
    ("48 GB", ("RTX 6000 Ada",), 48),
    ("2 x 24 GB", ("RTX 4090", "RTX 4090"), 48),
    ("80 GB", ("A100 80GB PCIe",), 80),
    ("2 x 48 GB", ("RTX 6000 Ada", "RTX 6000 Ada"), 96),
    ("96 GB", ("RTX PRO 6000 Blackwell",), 96),
)
"""Label, cards that stand for it, GB on the boxes."""

ARTICLE_BANDS = {"24 GB": "2-3 x 7B Q4", "48 GB": "4-6 x 7B Q4", "2 x 48 GB": "8+ x 7B Q4"}
"""What the article's table of hardware tiers says."""


@dataclass(frozen=True, slots=True)
class TierModel:
    """One model on one tier."""

    name: str
    verdict: Verdict
    total_bytes: int
    longest_context: int | None
    """With which it fits; None when it does not with any."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A size of card."""

    label: str
    cards: tuple[CardBudget, ...]
    small_models: int
    """How many 7B Q4_K_M models go on it by the simple rule, file size times 1.18."""
    article: str | None
    models: tuple[TierModel, ...]
    """In the order given."""

    @property
    def largest(self) -> TierModel | None:
        """The largest model that fits or is tight."""
        good = [model for model in self.models if RANK[model.verdict] <= RANK[Verdict.TIGHT]]
        return max(good, key=lambda model: model.total_bytes, default=None)


def small_models(gigabytes: float) -> int:
    """Return how many 7B Q4_K_M models the simple rule allows."""
    return int(gigabytes / (SMALL_MODEL_GB * OVERHEAD_FACTOR))


def tiers(
    models: Sequence[Wanted],
    profile: EngineProfile,
    *,
    reserve_bytes: int = 0,
    calibration: Calibration | None = None,
    contexts: bool = True,
    rows: Sequence[tuple[str, tuple[str, ...], float]] = TIERS,
) -> tuple[Tier, ...]:
    """Plan each model alone on each tier.

    Args:
        models: as they would be loaded; a context that is not set is the engine's automatic one on that card.
        profile: the engine.
        reserve_bytes: to keep free on each card.
        calibration: measured points.
        contexts: also look for the longest context.
        rows: the tiers, `TIERS` or `tier_of` cards.

    Raises:
        UsageError: a card nobody knows.
    """
    return tuple(_tier(row, models, profile, reserve_bytes, calibration, contexts) for row in rows)


def tier_of(name: str) -> tuple[str, tuple[str, ...], float]:
    """Return a card of the table as a tier of its own.

    Raises:
        UsageError: a card nobody knows.
    """
    card = card_named(name)
    return card.name, (card.name,), round(card.memory_total_bytes / GIBIBYTE)


def _tier(
    row: tuple[str, tuple[str, ...], float],
    models: Sequence[Wanted],
    profile: EngineProfile,
    reserve_bytes: int,
    calibration: Calibration | None,
    contexts: bool,
) -> Tier:
    label, names, gigabytes = row
    budgets = []
    for index, name in enumerate(names):
        card = card_named(name)
        free = max(0, card.memory_total_bytes - reserve_bytes)
        budgets.append(
            CardBudget(index, card.name, card.memory_total_bytes, free, card.bandwidth_bytes_per_second, reserve_bytes)
        )
    planner = Planner(budgets, profile, calibration=calibration)
    found = []
    for one in models:
        arranged = planner.arranged([one])
        longest = longest_context(planner, [one]) if contexts else None
        found.append(TierModel(one.name, arranged.verdict, arranged.total_bytes, longest))
    return Tier(label, tuple(budgets), small_models(gigabytes), ARTICLE_BANDS.get(label), tuple(found))
