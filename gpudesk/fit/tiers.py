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
from gpudesk.units import GIBIBYTE, gibibytes

SMALL_MODEL_GB = 4.2
"""A 7B model in Q4_K_M, in GB of 10**9, as the article's table has it."""
OVERHEAD_FACTOR = 1.18
"""The article's factor on file sizes."""

Row = tuple[str, tuple[str | int, ...], float]
"""Label, cards that stand for it by name or by their bytes, GB on the boxes."""

TIERS: tuple[Row, ...] = (
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
"""The common sizes."""

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
    gigabytes: float
    """On the boxes."""
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
    rows: Sequence[Row] = TIERS,
) -> tuple[Tier, ...]:
    """Plan each model alone on each tier.

    Args:
        models: as they would be loaded; a context that is not set is the engine's automatic one on that card.
        profile: the engine.
        reserve_bytes: to keep free on each card.
        calibration: measured points.
        contexts: also look for the longest context.
        rows: the tiers: `TIERS`, or `tier_of` a card.

    Raises:
        UsageError: a card nobody knows.
    """
    return tuple(_tier(row, models, profile, reserve_bytes, calibration, contexts) for row in rows)


def tier_of(card: str | int) -> Row:
    """Return a card of the table, or one of so many bytes, as a tier of its own.

    Raises:
        UsageError: a card nobody knows.
    """
    if isinstance(card, int):
        return f"a card of {gibibytes(card)}", (card,), round(card / GIBIBYTE, 1)
    known = card_named(card)
    return known.name, (known.name,), round(known.memory_total_bytes / GIBIBYTE)


def _budget(index: int, card: str | int, reserve_bytes: int) -> CardBudget:
    known = card_named(card) if isinstance(card, str) else None
    name, total = (known.name, known.memory_total_bytes) if known is not None else (f"card {index}", int(card))
    bandwidth = known.bandwidth_bytes_per_second if known is not None else None
    return CardBudget(index, name, total, max(0, total - reserve_bytes), bandwidth, reserve_bytes)


def _tier(
    row: Row,
    models: Sequence[Wanted],
    profile: EngineProfile,
    reserve_bytes: int,
    calibration: Calibration | None,
    contexts: bool,
) -> Tier:
    label, cards, gigabytes = row
    budgets = [_budget(index, card, reserve_bytes) for index, card in enumerate(cards)]
    planner = Planner(budgets, profile, calibration=calibration)
    found = []
    for one in models:
        arranged = planner.arranged([one])
        longest = longest_context(planner, [one]) if contexts else None
        found.append(TierModel(one.name, arranged.verdict, arranged.total_bytes, longest))
    return Tier(label, gigabytes, tuple(budgets), small_models(gigabytes), ARTICLE_BANDS.get(label), tuple(found))
