"""What a plan leaves out of its search changes no answer."""

from __future__ import annotations

import random

import pytest

from gpudesk.fit import longest_context as search
from gpudesk.fit.contexts import familiar
from gpudesk.fit.longest_context import longest_context, with_context
from gpudesk.fit.planner import Planner
from gpudesk.fit.server_policy import keeping_context
from gpudesk.fit.values import EngineProfile, Resident, Verdict, Wanted
from gpudesk.units import GIBIBYTE
from tests.fit.models import card, wanted

PROFILES = (
    EngineProfile(version="0.33.0"),
    EngineProfile(version="0.33.0", max_loaded_models=2),
    EngineProfile(version="0.33.0", spread=True),
)
NAMES = ("qwen3:14b", "qwen2.5-coder:7b", "gemma3:4b", "qwen3:0.6b", "phi4:14b", "nomic-embed-text:latest", "llava:7b")


def drawn(number: int) -> tuple[Planner, list[Wanted]]:
    """Draw cards, who is there, and what is wanted; always the same for a number."""
    dice = random.Random(number)
    profile = dice.choice(PROFILES)
    cards = [card(dice.choice((8, 12, 24)), index=index) for index in range(dice.choice((1, 1, 2)))]
    there = []
    for name in dice.sample((*NAMES[:3], "another", "one more"), dice.randrange(4)):
        size = dice.randrange(1, 5) * GIBIBYTE
        seconds = dice.choice((300.0, 60.0, None))
        there.append(Resident(name, size, (size, *(0,) * (len(cards) - 1)), seconds, context_length=4096))
    taken = sum(resident.memory_bytes for resident in there)
    cards[0] = card(
        cards[0].memory_total_bytes // GIBIBYTE, free=max(0, cards[0].memory_total_bytes - taken) / GIBIBYTE
    )
    models = [
        wanted(name, context_length=dice.choice((4096, 8192, 32768)))
        for name in dice.sample(NAMES, dice.randrange(1, 4))
    ]
    return Planner(cards, profile, residents=there, replaced=models), models


@pytest.mark.parametrize("number", range(120))
def test_leaving_off_at_an_eviction_tells_whether_there_is_one(number: int) -> None:
    planner, models = drawn(number)
    short = planner.sequence.steps(models, until_eviction=True)
    whole = drawn(number)[0].sequence.steps(models)
    evicting = [place for place, step in enumerate(whole) if step.evicted]
    assert bool(short[-1].evicted) == bool(evicting)
    assert not any(step.evicted for step in short[:-1])
    if evicting:
        assert len(short) == evicting[0] + 1
        assert short[-1].evicted == whole[evicting[0]].evicted[:1]
    # The steps that were left off are not taken for whole ones.
    assert planner.sequence.steps(models) == whole


def test_too_many_models_evict_whatever_their_context_is() -> None:
    seen = 0
    for number in range(120):
        planner, models = drawn(number)
        if not planner.sequence.is_too_many(models):
            continue
        seen += 1
        for context in familiar(32768):
            tried = [with_context(models[0], context), *models[1:]]
            assert any(step.evicted for step in planner.sequence.steps(tried))
        assert keeping_context(models, 0, planner.sequence) is None
    assert seen >= 10


@pytest.mark.parametrize("verdict", [Verdict.FITS, Verdict.TIGHT])
def test_what_is_too_large_whatever_its_context_is_has_no_longest_one(
    verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = [drawn(number) for number in range(120)]
    hopeless = [each for each in drawings if search.needs_more_than_there_is(*each)]
    assert len(hopeless) >= 10
    assert [longest_context(*each, verdict=verdict) for each in hopeless] == [None] * len(hopeless)
    monkeypatch.setattr(search, "needs_more_than_there_is", lambda _planner, _wanted: False)
    assert [longest_context(*each, verdict=verdict) for each in hopeless] == [None] * len(hopeless)
