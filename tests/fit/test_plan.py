"""Combinations on cards: verdicts, longest context, and the two answers kept apart."""

from __future__ import annotations

import random

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.arrangement import Arranger
from gpudesk.fit.filling import RANK, margin_of
from gpudesk.fit.longest_context import steps
from gpudesk.fit.plan import plan
from gpudesk.fit.planner import Planner
from gpudesk.fit.values import CardBudget, EngineProfile, FreeEntry, Parts, Plan, Resident, Verdict, Wanted
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit.models import card, wanted

E3 = EngineProfile(version="0.33.0")
NAMES = (
    "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest", "qwen2.5-coder:7b", "llama3.1:8b", "gemma3:4b",
    "qwen3:0.6b", "phi4:14b", "deepseek-coder-v2:16b", "qwen3:30b-a3b", "gemma2:9b", "llava:7b",
)  # fmt: skip


def fixed(name: str, context: int = 8192, **options: object) -> Wanted:
    """Want a model with everything said, so that nothing is left to the server."""
    return wanted(name, **{"context_length": context, "parallel": 1, "batch_size": 512, **options})


def quick(models: list[Wanted], cards: list[CardBudget], profile: EngineProfile = E3, **more: object) -> Plan:
    return plan(models, cards, profile, alternatives=False, **more)  # type: ignore[arg-type]


def with_free(models: list[Wanted], free: int) -> Plan:
    """Plan on a card of 24 GiB with so many bytes free."""
    return quick(models, [CardBudget(0, "card 0", 24 * GIBIBYTE, free)])


def test_the_verdicts_change_exactly_at_their_limits() -> None:
    models = [fixed("qwen3:14b"), fixed("nomic-embed-text:latest", 2048)]
    made = with_free(models, 23 * GIBIBYTE)
    planned, high = made.total_bytes, sum(one.high_bytes for one in made.models)
    margin = margin_of(card(24))
    assert margin == 24 * GIBIBYTE * 3 // 100
    assert margin_of(card(8)) == 512 * MEBIBYTE
    assert with_free(models, high + margin).verdict is Verdict.FITS
    assert with_free(models, high + margin - 1024).verdict is Verdict.TIGHT
    assert with_free(models, planned).verdict is Verdict.TIGHT
    assert with_free(models, planned - 1).verdict in (Verdict.SPILLS, Verdict.DOES_NOT_FIT)


def test_what_spills_says_how_much() -> None:
    made = with_free([fixed("qwen3:14b")], 8 * GIBIBYTE)
    (one,) = made.models
    assert made.verdict is Verdict.SPILLS
    assert 0 < one.layers_on_gpu < one.layers_total == 41
    assert made.cards[0].planned_bytes <= 8 * GIBIBYTE
    assert any(f"{41 - one.layers_on_gpu} of 41 layers run on the CPU" in note for note in made.notes)


def test_a_model_with_no_layer_on_the_card_does_not_fit() -> None:
    assert with_free([fixed("qwen3:14b")], 900 * MEBIBYTE).verdict is Verdict.DOES_NOT_FIT


def test_the_cpu_alone_when_asked_for_is_a_spill_and_takes_nothing() -> None:
    made = quick([fixed("qwen3:14b", layers_on_gpu=0)], [card()])
    assert (made.verdict, made.total_bytes) == (Verdict.SPILLS, 0)


def test_experts_on_the_host_are_a_spill() -> None:
    made = with_free([fixed("qwen3:30b-a3b")], 14 * GIBIBYTE)
    assert made.verdict is Verdict.SPILLS
    assert made.models[0].layers_on_gpu < made.models[0].layers_total


def test_planned_bytes_add_up() -> None:
    dice = random.Random(11)
    for _case in range(40):
        models = [fixed(name, dice.choice((2048, 8192, 16384))) for name in dice.sample(NAMES, dice.randrange(1, 5))]
        cards = [card(24, index=at, free=dice.uniform(6, 24)) for at in range(dice.randrange(1, 4))]
        entries = [FreeEntry("game", GIBIBYTE, 2 * GIBIBYTE)] if dice.random() < 0.4 else []
        made = quick(models, cards, entries=entries)
        in_models = sum(one.parts.total_bytes for one in made.models) + sum(entry.peak_bytes for entry in entries)
        assert made.total_bytes == sum(one.planned_bytes for one in made.cards) == in_models
        for one in made.models:
            assert len(one.by_card) == len(cards)
            assert sum(parts.total_bytes for parts in one.by_card) == one.parts.total_bytes
            assert one.low_bytes <= one.parts.total_bytes <= one.high_bytes
        if RANK[made.verdict] <= RANK[Verdict.TIGHT]:
            assert all(one.planned_bytes <= one.budget.available_bytes for one in made.cards)


@pytest.mark.parametrize("count", [1, 2])
def test_more_is_never_better(count: int) -> None:
    """More context, more slots and more models never improve a verdict."""
    dice = random.Random(count)
    for _case in range(30):
        names = dice.sample(NAMES, 4)
        cards = [card(24, index=at, free=dice.uniform(5, 22)) for at in range(count)]
        generative = [name for name in names if "embed" not in name]
        for changes in (
            [[fixed(generative[0], context)] for context in (1024, 4096, 8192, 16384, 32768)],
            [[fixed(generative[0], parallel=slots)] for slots in (1, 2, 4, 8)],
            [[fixed(name) for name in names[:size]] for size in (1, 2, 3, 4)],
        ):
            ranks = [RANK[quick(models, cards).verdict] for models in changes]
            assert ranks == sorted(ranks), names


def test_a_free_entry_counts_at_its_peak() -> None:
    free = 14 * GIBIBYTE
    assert with_free([fixed("qwen3:14b")], free).verdict is Verdict.FITS
    game = FreeEntry("game", 0, 6 * GIBIBYTE)
    beside = quick([fixed("qwen3:14b")], [CardBudget(0, "card 0", 24 * GIBIBYTE, free)], entries=[game])
    assert RANK[beside.verdict] >= RANK[Verdict.SPILLS]
    only = quick([], [card(8)], entries=[game])
    assert (only.verdict, only.total_bytes) == (Verdict.FITS, 6 * GIBIBYTE)


def test_one_card_is_chosen_before_a_split() -> None:
    made = quick([fixed("qwen3:14b")], [card(24, free=14), card(24, index=1, free=20)])
    first, second = made.models[0].by_card
    assert first == Parts()
    assert second == made.models[0].parts


def test_a_model_too_large_for_one_card_is_split_and_each_card_pays() -> None:
    made = quick([fixed("llama3.3:70b")], [card(24), card(24, index=1)])
    assert made.models[0].layers_on_gpu == 81
    assert all(parts.overhead_bytes and parts.compute_bytes for parts in made.models[0].by_card)
    alone = quick([fixed("llama3.3:70b")], [card(80)]).models[0].parts
    split = made.models[0].parts
    assert split.weights_bytes == alone.weights_bytes
    assert split.kv_cache_bytes == alone.kv_cache_bytes
    # each card has the whole buffer, and copies of the inputs so that batches overlap
    assert split.compute_bytes > 2 * alone.compute_bytes


def test_another_arrangement_is_found_where_the_engines_order_fails() -> None:
    """Small ones first fill the larger card; the large one still goes there when they make room."""
    cards = [card(16, free=15.5), card(8, index=1, free=7.5)]
    models = [fixed("llama3.1:8b", 4096), fixed("phi4:14b", 8192)]
    made = quick(models, cards)
    assert RANK[made.verdict] <= RANK[Verdict.TIGHT]
    assert made.models[0].by_card[1].total_bytes > 0
    assert made.models[1].by_card[0].total_bytes > 0


def test_llama_server_by_itself_uses_all_cards() -> None:
    made = quick([fixed("qwen3:14b")], [card(24), card(24, index=1)], EngineProfile(kind="llama-server"))
    assert all(parts.total_bytes for parts in made.models[0].by_card)


def test_residents_stay_but_a_wanted_one_is_counted_once() -> None:
    held = 11 * GIBIBYTE
    there = Resident("qwen3:14b", held, (held,), 300.0, context_length=4096)
    cards = [card(24, free=12)]
    ask = [fixed("qwen3:14b", 16384)]
    assert quick(ask, cards, residents=[there]).cards[0].budget.available_bytes == 23 * GIBIBYTE
    other = Resident("llama3.1:8b", held, (held,), 300.0)
    made = quick(ask, cards, residents=[other])
    assert made.cards[0].budget.available_bytes == 12 * GIBIBYTE


def test_it_would_fit_but_ollama_evicts() -> None:
    """Two answers: the driver has the room, the server's own rule does not see it."""
    embed = Resident("nomic-embed-text", 800 * MEBIBYTE, (800 * MEBIBYTE,), 300.0)
    made = plan([wanted("qwen3:14b", context_length=20480)], [card(16, free=13.2)], E3, residents=[embed])
    assert made.verdict is Verdict.FITS
    assert made.server.would_evict == ("nomic-embed-text",)
    note = next(note for note in made.notes if note.startswith("it would fit"))
    assert note.startswith("it would fit, but Ollama will evict nomic-embed-text first; set num_ctx ")
    assert note.endswith("and it will not")


def test_the_engines_margin_makes_a_tight_plan_spill() -> None:
    made = with_free([fixed("qwen3:14b")], 0)
    need = with_free([fixed("qwen3:14b")], 23 * GIBIBYTE).total_bytes
    made = with_free([fixed("qwen3:14b")], need + 300 * MEBIBYTE)
    assert made.verdict is Verdict.TIGHT
    assert made.server.spills


def test_the_longest_context_fits_and_the_next_step_does_not() -> None:
    models = [wanted("qwen3:14b", context_length=8192, batch_size=512), fixed("qwen2.5-coder:1.5b")]
    cards = [card(16, free=15)]
    longest = plan(models, cards, E3).longest_context
    assert longest is not None
    assert longest < 40960
    following = next(context for context in steps(40960) if context > longest)
    for context, verdict in ((longest, Verdict.FITS), (following, Verdict.TIGHT)):
        changed = [wanted("qwen3:14b", context_length=context, batch_size=512), models[1]]
        assert quick(changed, cards).verdict is verdict


def test_the_longest_context_is_never_above_the_trained_one() -> None:
    assert plan([fixed("qwen3:0.6b")], [card(80)], E3).longest_context == 40960
    assert plan([fixed("mxbai-embed-large:latest", 512)], [card(80)], E3).longest_context == 512


def test_no_card_and_no_model() -> None:
    nothing = plan([], [card()], E3)
    assert (nothing.verdict, nothing.models, nothing.total_bytes) == (Verdict.FITS, (), 0)
    assert plan([fixed("qwen3:14b")], [], E3).verdict is Verdict.DOES_NOT_FIT


def test_estimates_are_made_once_per_kind_of_card() -> None:
    planner = Planner([card(24), card(24, index=1)], E3)
    assert isinstance(planner.arranger, Arranger)
    one = fixed("qwen3:14b")
    assert planner.arranger.alone(one, 0) is planner.arranger.alone(one, 0)


def test_a_card_that_stays_empty_though_a_model_was_meant_for_it_does_not_fit() -> None:
    made = quick([fixed("qwen3:14b")], [card(24, free=0.5)])
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert [each.verdict for each in made.cards] == [Verdict.DOES_NOT_FIT]
    asked_for = quick([fixed("qwen3:14b", layers_on_gpu=0)], [card(24)])
    assert [each.verdict for each in asked_for.cards] == [Verdict.FITS]


def test_a_reserve_above_the_card_leaves_nothing_and_not_less() -> None:
    held = 11 * GIBIBYTE
    there = Resident("qwen3:14b", held, (held,), 300.0, context_length=8192)
    cards = [card(24, free=0, reserve_bytes=30 * GIBIBYTE)]
    made = quick([fixed("qwen3:14b")], cards, residents=[there])
    assert made.cards[0].budget.available_bytes == 0


def test_what_residents_hold_is_said_in_the_number_it_has() -> None:
    there = [Resident(name, GIBIBYTE, (GIBIBYTE,), 300.0) for name in ("qwen3:14b", "qwen2.5-coder:1.5b")]
    models = [fixed(resident.name) for resident in there]
    for listed in (there, there[::-1]):
        both = quick(models, [card(24)], residents=listed).notes
        assert "what qwen3:14b and qwen2.5-coder:1.5b hold now counts as free: the plan contains them" in both
    one = quick(models[:1], [card(24)], residents=there).notes
    assert "what qwen3:14b holds now counts as free: the plan contains it" in one


@pytest.mark.parametrize(("parallel", "slots"), [(None, 4), (1, 1), (2, 2)])
def test_forecast_and_estimate_of_llama_server_agree_on_slots(parallel: int | None, slots: int) -> None:
    engine = EngineProfile(kind="llama-server")
    made = quick([wanted("qwen3:14b", context_length=8192, parallel=parallel)], [card(24)], engine)
    assert (made.server.parallel, made.models[0].parallel) == (slots, slots)
    single = quick(
        [wanted("qwen3:14b", context_length=8192, parallel=1)], [card(24)], EngineProfile(kind="llama-server")
    )
    shared = parallel is None
    assert any("-np" in note for note in made.server.notes) is shared
    each = 1 if shared else slots
    assert made.models[0].parts.kv_cache_bytes == each * single.models[0].parts.kv_cache_bytes


@pytest.mark.parametrize(("version", "free", "slots"), [("0.6.7", 23, 4), ("0.9.6", 23, 2), ("0.9.6", 11.5, 1)])
def test_an_old_server_chooses_several_slots_or_one_when_they_do_not_fit(version: str, free: float, slots: int) -> None:
    engine = EngineProfile(version=version, era=Era.ESTIMATE)
    made = quick([wanted("qwen3:14b", context_length=8192)], [card(24, free=free)], engine)
    assert (made.server.parallel, made.models[0].parallel) == (slots, slots)
    assert not any("OLLAMA_NUM_PARALLEL" in note for note in made.server.notes)
