"""What fits which card."""

from __future__ import annotations

from gpudesk.fit.filling import RANK
from gpudesk.fit.tiers import TIERS, small_models, tiers
from gpudesk.fit.values import EngineProfile, Verdict
from gpudesk.units import GIBIBYTE
from tests.fit.models import wanted

E3 = EngineProfile(version="0.33.0")


def test_the_articles_counts() -> None:
    """By the article's own rule, 4.2 GB times 1.18 each; its bands are lower."""
    assert [small_models(size) for size in (24, 48, 96)] == [4, 9, 19]
    by_label = {tier.label: tier for tier in tiers([], E3)}
    assert by_label["24 GB"].article == "2-3 x 7B Q4"
    assert by_label["48 GB"].article == "4-6 x 7B Q4"
    assert by_label["2 x 48 GB"].article == "8+ x 7B Q4"


def test_larger_cards_never_fit_less() -> None:
    models = [wanted(name, context_length=8192, batch_size=512) for name in ("qwen3:0.6b", "llama3.1:8b", "qwen3:32b")]
    made = [tier for tier in tiers(models, E3) if len(tier.cards) == 1]
    assert len(made) < len(TIERS)
    for at in range(len(models)):
        ranks = [RANK[tier.models[at].verdict] for tier in made]
        assert ranks == sorted(ranks, reverse=True)
        longest = [tier.models[at].longest_context or 0 for tier in made]
        assert longest == sorted(longest)


def test_figures_of_one_tier() -> None:
    models = [wanted("llama3.1:8b", context_length=8192), wanted("llama3.3:70b", context_length=8192)]
    by_label = {tier.label: tier for tier in tiers(models, E3)}
    small, large = by_label["8 GB"].models
    assert RANK[small.verdict] <= RANK[Verdict.TIGHT]
    assert large.verdict is Verdict.SPILLS
    assert large.longest_context is None
    largest = by_label["2 x 24 GB"].largest
    assert largest is not None
    assert largest.name == "llama3.3:70b"
    nothing = tiers(models, E3, reserve_bytes=200 * GIBIBYTE)
    assert all(tier.largest is None for tier in nothing), "a reserve larger than the card"
