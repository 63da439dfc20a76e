"""Sets of installed models for roles."""

from __future__ import annotations

import time

import pytest

from gpudesk.fit.filling import RANK
from gpudesk.fit.plan import plan
from gpudesk.fit.roles import Candidate, billions, suitability
from gpudesk.fit.suggest import Suggestion, missing_roles, suggest
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Resident, Verdict, Wanted
from gpudesk.sim.engine_catalog import synthetic
from gpudesk.units import GIBIBYTE
from tests.fit.models import card, metadata_of

E3 = EngineProfile(version="0.33.0")
ROLES = ("chat", "autocomplete", "embed")
INSTALLED = tuple(
    Candidate(Wanted(model.name, metadata_of(model), LoadOptions(), model.blob_digest), model.capabilities)
    for model in synthetic(63)
    if not model.remote
)


def names(suggestion: Suggestion) -> dict[str, str]:
    return {choice.role: choice.name for choice in suggestion.choices}


def capabilities(name: str) -> tuple[str, ...]:
    return next(candidate.capabilities or () for candidate in INSTALLED if candidate.name == name)


@pytest.mark.parametrize("free", [7, 11, 15, 22, 46])
def test_sets_fit_with_room_and_every_model_can_do_its_role(free: float) -> None:
    found = suggest(INSTALLED, ROLES, [card(48, free=free)], E3)
    assert len(found) > 2
    assert found[0].verdict is Verdict.FITS
    for suggestion in found:
        chosen = names(suggestion)
        assert tuple(chosen) == ROLES
        assert "completion" in capabilities(chosen["chat"])
        assert "insert" in capabilities(chosen["autocomplete"]) or "base" in chosen["autocomplete"]
        assert "embedding" in capabilities(chosen["embed"])
        assert suggestion.reasons
        assert all(choice.reason and choice.context_length > 0 for choice in suggestion.choices)


def test_a_suggestion_is_what_a_plan_of_it_says() -> None:
    cards = [card(24, free=22)]
    for suggestion in suggest(INSTALLED, ROLES, cards, E3):
        made = plan(suggestion.wanted, cards, E3, alternatives=False)
        assert (made.verdict, made.total_bytes) == (suggestion.verdict, suggestion.total_bytes)
        assert made.server.would_evict == () or any("evict" in reason for reason in suggestion.reasons)


def test_the_best_come_first() -> None:
    found = suggest(INSTALLED, ROLES, [card(16, free=12)], E3, count=20)
    ranks = [(RANK[suggestion.verdict], -suggestion.score) for suggestion in found]
    assert ranks == sorted(ranks)
    assert len({tuple(names(suggestion).items()) for suggestion in found}) == len(found)


def test_a_larger_card_gets_a_larger_chat_model_and_autocomplete_stays_small() -> None:
    def chosen(free: float, role: str) -> float:
        best = names(suggest(INSTALLED, ROLES, [card(80, free=free)], E3)[0])[role]
        return billions(next(one.wanted.metadata for one in INSTALLED if one.name == best))

    sizes = [chosen(free, "chat") for free in (8, 16, 24, 70)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]
    assert chosen(70, "autocomplete") < 4


def test_one_model_may_do_two_roles_and_counts_once() -> None:
    found = suggest(INSTALLED, ("chat", "tools"), [card(24)], E3)
    shared = [one for one in found if len(one.wanted) == 1]
    assert shared
    assert any("does chat and tools" in reason for reason in shared[0].reasons)


def test_what_residents_hold_counts_as_free() -> None:
    held = 20 * GIBIBYTE
    candidate = next(one for one in INSTALLED if one.name == "qwen3:32b")
    there = Resident("qwen3:32b", held, (held,), 300.0, blob_digest=candidate.wanted.blob_digest)
    full = CardBudget(0, "card", 24 * GIBIBYTE, 3 * GIBIBYTE)
    assert suggest(INSTALLED, ROLES, [full], E3, residents=[there])[0].verdict is Verdict.FITS
    assert suggest(INSTALLED, ROLES, [full], E3)[0].total_bytes < 3 * GIBIBYTE


def test_a_role_nobody_can_do() -> None:
    chat_only = [one for one in INSTALLED if one.name == "llama3.1:8b"]
    assert missing_roles(chat_only, ROLES) == ("autocomplete", "embed")
    assert suggest(chat_only, ROLES, [card()], E3) == ()
    assert missing_roles(INSTALLED, ("rerank",)) == ("rerank",)
    assert missing_roles(INSTALLED, ROLES) == ()


def test_where_nothing_fits_the_smallest_set_is_shown() -> None:
    (smallest,) = suggest(INSTALLED, ROLES, [card(2, free=1)], E3)
    assert RANK[smallest.verdict] >= RANK[Verdict.SPILLS]
    assert any("does not go on the cards" in reason for reason in smallest.reasons)


def test_without_capabilities_name_and_header_decide() -> None:
    def silent(name: str) -> Candidate:
        candidate = next(one for one in INSTALLED if one.name == name)
        return Candidate(candidate.wanted)

    assert suitability(silent("nomic-embed-text:latest"), "embed", 0.1)
    assert not suitability(silent("nomic-embed-text:latest"), "chat", 0.1)
    assert suitability(silent("qwen2.5-coder:1.5b"), "autocomplete", 1.5)
    assert not suitability(silent("llama3.1:8b"), "autocomplete", 8)
    assert suitability(silent("gemma3:4b"), "vision", 4)
    assert not suitability(silent("qwen3:4b"), "vision", 4)


def test_a_context_that_was_asked_for_is_kept() -> None:
    asked = [
        Candidate(Wanted(one.name, one.wanted.metadata, LoadOptions(context_length=4096)), one.capabilities, True)
        for one in INSTALLED
    ]
    best = suggest(asked, ("chat",), [card(24)], E3)[0]
    assert best.choices[0].context_length == 4096


def test_sixty_models_and_three_roles_take_no_more_than_300_ms() -> None:
    assert len(INSTALLED) > 60
    best = min(_seconds() for _ in range(3))
    assert best < 0.3


def _seconds() -> float:
    started = time.process_time()
    suggest(INSTALLED, ROLES, [card(24, free=22)], E3)
    return time.process_time() - started


def test_a_mixture_is_not_called_small() -> None:
    """Its speed is that of the experts used, its size that of the file."""
    mixture = next(candidate for candidate in INSTALLED if candidate.name == "deepseek-coder-v2:16b")
    found = suitability(mixture, "autocomplete", billions(mixture.wanted.metadata))
    assert found is not None
    assert "small" not in found.reason
    assert "B of 15.7B per token" in found.reason
