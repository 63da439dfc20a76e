"""What would help, with numbers that come true when it is done."""

from __future__ import annotations

import pytest

from gpudesk.fit.contexts import FAMILIAR
from gpudesk.fit.filling import RANK
from gpudesk.fit.plan import plan
from gpudesk.fit.values import Alternative, EngineProfile, Plan, Resident, Verdict
from gpudesk.units import GIBIBYTE
from tests.fit.models import card, wanted

E3 = EngineProfile(version="0.33.0")


def by_key(made: Plan) -> dict[str, Alternative]:
    keys = [alternative.key for alternative in made.alternatives]
    assert len(set(keys)) == len(keys)
    return {alternative.key.partition(":")[0]: alternative for alternative in reversed(made.alternatives)}


def test_nothing_is_offered_where_everything_fits() -> None:
    assert plan([wanted("qwen3:8b", context_length=8192)], [card()], E3).alternatives == ()


def test_a_single_model_that_is_too_large() -> None:
    installed = [wanted(name) for name in ("qwen3:8b", "qwen3:4b", "llama3.1:8b", "qwen3:14b")]
    made = plan([wanted("qwen3:14b", context_length=32768, parallel=2)], [card(16, free=14)], E3, installed=installed)
    assert RANK[made.verdict] > RANK[Verdict.FITS]
    found = by_key(made)
    assert set(found) >= {"context", "kv", "parallel", "model", "offload"}
    assert {one.key for one in made.alternatives if one.key.startswith("model:")} >= {"model:qwen3:8b"}
    assert "model:llama3.1:8b" not in {one.key for one in made.alternatives}, "another family"
    assert "model:qwen3:14b" not in {one.key for one in made.alternatives}, "itself"


def test_the_numbers_come_true() -> None:
    installed = [wanted("qwen3:8b")]
    cards = [card(16, free=14)]
    made = plan([wanted("qwen3:14b", context_length=32768, parallel=2)], cards, E3, installed=installed)
    assert len(made.alternatives) > 3
    for alternative in made.alternatives:
        done = plan(alternative.wanted, cards, E3, alternatives=False)
        assert (done.verdict, done.total_bytes) == (alternative.verdict, alternative.total_bytes), alternative.key
        assert min(one.budget.available_bytes - one.planned_bytes for one in done.cards) == alternative.free_bytes


def test_better_verdicts_come_first() -> None:
    made = plan(
        [wanted("qwen3:32b", context_length=32768), wanted("qwen2.5-coder:7b", context_length=8192)],
        [card(24, free=22)], E3, installed=[wanted(name) for name in ("qwen3:14b", "qwen3:8b")],
    )  # fmt: skip
    ranks = [RANK[one.verdict] for one in made.alternatives]
    assert ranks == sorted(ranks)
    assert ranks[0] < RANK[made.verdict]


def test_the_context_offered_is_the_longest_familiar_one_that_fits() -> None:
    cards = [card(16, free=14)]
    made = plan([wanted("qwen3:14b", context_length=40960, batch_size=512)], cards, E3)
    offered = by_key(made)["context"]
    context = int(offered.key.partition(":")[2])
    assert offered.model == "qwen3:14b"
    assert offered.verdict is Verdict.FITS
    assert context in FAMILIAR
    following = FAMILIAR[FAMILIAR.index(context) + 1]
    longer = plan([wanted("qwen3:14b", context_length=following, batch_size=512)], cards, E3, alternatives=False)
    assert longer.verdict is not Verdict.FITS


def test_an_offload_says_how_many_layers_and_how_much_slower() -> None:
    made = plan([wanted("llama3.3:70b", context_length=8192)], [card(24)], E3)
    offload = by_key(made)["offload"]
    layers = int(offload.key.partition(":")[2])
    assert 20 < layers < 60
    assert offload.verdict is Verdict.SPILLS
    assert offload.slowdown is not None
    assert offload.slowdown > 3
    assert f"{layers} of 81 layers" in offload.description
    (one,) = offload.wanted
    assert one.options.layers_on_gpu == layers


def test_a_swap_instead_of_both_costs_seconds() -> None:
    models = [wanted("qwen3:14b", context_length=8192), wanted("phi4:14b", context_length=8192)]
    made = plan(models, [card(16)], E3)
    swap = by_key(made)["swap"]
    assert swap.verdict is Verdict.FITS
    assert swap.seconds is not None
    assert 5 < swap.seconds < 30
    assert "qwen3:14b and phi4:14b one at a time" in swap.description
    assert len(swap.wanted) == 1


def test_unloading_what_is_not_wanted() -> None:
    held = 12 * GIBIBYTE
    there = Resident("gemma3:12b", held, (held,), 300.0)
    made = plan([wanted("qwen3:14b", context_length=8192)], [card(24, free=10)], E3, residents=[there])
    unload = by_key(made)["unload"]
    assert unload.verdict is Verdict.FITS
    assert "gemma3:12b" in unload.description


def test_an_eviction_that_need_not_be_is_met_with_a_shorter_context() -> None:
    there = Resident("nomic-embed-text", GIBIBYTE, (GIBIBYTE,), 300.0)
    made = plan([wanted("qwen3:14b", context_length=20480)], [card(16, free=13.2)], E3, residents=[there])
    assert made.server.would_evict
    first = made.alternatives[0]
    assert first.key.startswith("context:")
    again = plan(first.wanted, [card(16, free=13.2)], E3, residents=[there], alternatives=False)
    assert again.server.would_evict == ()


@pytest.mark.parametrize(
    "options", [{"kv_cache_type_k": "q8_0", "kv_cache_type_v": "q8_0"}, {"flash_attention": False}]
)
def test_no_short_cache_where_it_is_short_already_or_refused(options: dict[str, object]) -> None:
    made = plan([wanted("qwen3:14b", context_length=40960, **options)], [card(16, free=12)], E3)
    assert "kv" not in by_key(made)


def test_one_slot_is_offered_only_where_there_are_several() -> None:
    one = plan([wanted("qwen3:14b", context_length=32768)], [card(16, free=12)], E3)
    assert "parallel" not in by_key(one)
    several = plan([wanted("qwen3:14b", context_length=8192, parallel=4)], [card(16, free=12)], E3)
    assert by_key(several)["parallel"].key == "parallel:1"


def test_a_short_cache_and_a_shorter_context_together_allow_more_than_either() -> None:
    cards = [card(24, free=22.5)]
    made = plan([wanted("qwen3:32b", context_length=32768)], cards, E3)
    offered = {one.key: one for one in made.alternatives}
    plain = next(int(key.partition(":")[2]) for key in offered if key.startswith("context:"))
    (both,) = [one for one in made.alternatives if one.key.startswith("kv:q8_0+context:")]
    options = both.wanted[0].options
    assert (options.kv_cache_type_k, options.kv_cache_type_v) == ("q8_0", "q8_0")
    assert options.context_length == int(both.key.rpartition(":")[2])
    assert plain < options.context_length < 32768
    assert (both.verdict, offered["kv:q8_0"].verdict) == (Verdict.FITS, Verdict.SPILLS)
    done = plan(both.wanted, cards, E3, alternatives=False)
    assert (done.verdict, done.total_bytes) == (both.verdict, both.total_bytes)


def test_both_are_not_offered_where_the_short_cache_is_enough() -> None:
    made = plan([wanted("qwen3:32b", context_length=32768)], [card(24)], E3)
    assert "kv:q8_0" in {one.key for one in made.alternatives}
    assert not any("+" in one.key for one in made.alternatives)


def test_it_is_said_why_no_context_helps() -> None:
    def reasons(free: float, **options: object) -> list[str]:
        made = plan([wanted("qwen3:32b", context_length=8192, **options)], [card(24, free=free)], E3)
        return [note for note in made.notes if "no shorter context" in note]

    (reason,) = reasons(12)
    assert reason.endswith("of 12.0 GiB: no shorter context makes room for them")
    assert reasons(19.5) == [], "a shorter context helps"
    assert reasons(12, layers_on_gpu=10) == [], "somebody wants it so"
