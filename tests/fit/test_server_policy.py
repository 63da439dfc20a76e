"""What Ollama will do: compared with the simulated server, which implements the same rules on its own."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gpudesk.domain.engine import Era, era_of
from gpudesk.fit.contexts import FAMILIAR
from gpudesk.fit.placement import Burden
from gpudesk.fit.server_policy import context_without_eviction, forecast
from gpudesk.fit.server_rules import Served, automatic_context, predicted_bytes, served
from gpudesk.fit.server_scheduler import Step, forecast_step, victim
from gpudesk.fit.values import CardBudget, EngineProfile, Resident, Wanted
from gpudesk.sim.cards import GIBIBYTE, SimulatedProcess
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_placement import Placement
from gpudesk.sim.engine_reported import Reported
from gpudesk.sim.engine_runner import RequestState
from tests.fit.models import burden_in_simulation, card, metadata_of, simulated, wanted
from tests.sim.engines import Engine

NAMES = [model.name for model in catalog() if not model.remote and not model.draft]
SMALL_NAMES = [name for name in NAMES if not any(part in name for part in ("70b", "32b", "27b", "30b", "24b"))]


def profile_of(engine: Engine) -> EngineProfile:
    settings = engine.settings
    era = era_of(settings.version)
    assert era is not None
    return EngineProfile(
        version=settings.version,
        era=era,
        max_loaded_models=settings.max_loaded_models or None,
        parallel=settings.num_parallel,
        kv_cache_type=settings.kv_cache_type or "f16",
        flash_attention=settings.flash_attention,
        default_context=settings.context_length or None,
        spread=settings.sched_spread,
    )


def budgets_of(engine: Engine) -> tuple[CardBudget, ...]:
    cards = engine.server.cards
    return tuple(
        replace(cards.budget(index, cards.free_bytes(index)), memory_total_bytes=cards.total_bytes(index))
        for index in cards.indexes
    )


def by_card(amounts: dict[int, int], engine: Engine) -> tuple[int, ...]:
    return tuple(amounts.get(index, 0) for index in engine.server.cards.indexes)


def held(placement: Placement) -> dict[int, int]:
    return {part.card: part.total for part in placement.cards}


def claimed(claim: Reported) -> dict[int, int]:
    return dict(claim.by_card)


def residents_of(engine: Engine) -> tuple[Resident, ...]:
    """Describe who is loaded, in the order of the loads."""
    return tuple(
        Resident(
            name=runner.model.name,
            memory_bytes=runner.placement.card_bytes,
            by_card=by_card(held(runner.placement), engine),
            keep_alive_seconds=None if runner.session_nanoseconds > 10**17 else runner.session_nanoseconds / 1e9,
            blob_digest=runner.model.blob_digest,
            busy=runner.references > 0,
            claimed_by_card=by_card(claimed(runner.claim), engine),
            free_at_load=by_card(runner.free_at_load, engine),
            context_length=runner.options.num_ctx,
        )
        for runner in engine.scheduler.loaded.values()
    )


def step_of(engine: Engine, name: str, **options: object) -> Step:
    budgets, settings = budgets_of(engine), engine.settings

    def burden(one: Wanted, ask: Served) -> Burden:
        return burden_in_simulation(one, ask, budgets, version=settings.version, cache_type=settings.kv_cache_type)

    return forecast_step(
        wanted(name, **options), profile_of(engine), budgets, [one.available_bytes for one in budgets],
        residents_of(engine), burden,
    )  # fmt: skip


def random_engine(dice: random.Random, version: str) -> Engine:
    return Engine(
        version=version,
        cards=dice.choice((1, 1, 2)),
        total_gibibytes=dice.choice((8, 12, 16, 24, 24, 48)),
        host_gibibytes=512,
        load_seconds=1.0,
        max_loaded_models=dice.choice((0, 0, 0, 2, 3, 4)),
        num_parallel=dice.choice((0, 1, 2, 4)),
        context_length=dice.choice((0, 0, 4096, 8192, 16384)),
        kv_cache_type=dice.choice(("", "q8_0")),
        sched_spread=dice.random() < 0.15,
    )


def hog(engine: Engine, dice: random.Random) -> None:
    """Let something that is no model take memory that is free, which a server with models loaded does not see."""
    amount = min(engine.server.cards.free_bytes(0), int(dice.uniform(0.5, 4) * GIBIBYTE))
    engine.cards.cards[0].processes[9] = SimulatedProcess(9, amount, graphics=True)


def keep_one_busy(engine: Engine, dice: random.Random) -> None:
    """Let a loaded model answer for hours, with the options it was loaded with."""
    if engine.names:
        name = dice.choice(engine.names)
        options = engine.runner(name).options
        # What was asked for may have been more than what it was trained for, and shows only in an encoder's batch.
        asked = max(options.num_ctx, options.embedding_batch or 0)
        engine.ask(name, tokens=10_000, **({} if options.num_ctx_auto else {"num_ctx": asked}))
        assert engine.runner(name).references == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.33.0", "0.30.1", "0.12.6", "0.9.6", "0.6.8", "0.5.13"])
def test_the_forecast_equals_what_the_simulated_server_does(version: str) -> None:
    dice = random.Random(version)
    # Its listed heads are those of a converted file in one and of an older file in the other.
    names = [name for name in SMALL_NAMES if "deepseek" not in name or era_of(version) is Era.LLAMA_SERVER]
    evictions = compared = 0
    for _case in range(120):
        engine = random_engine(dice, version)
        for name in dice.sample(names, dice.choice((1, 2, 3, 4))):
            context = {"num_ctx": dice.choice((2048, 4096, 8192))} if dice.random() < 0.7 else {}
            engine.ask(name, keep_alive=dice.choice((600, 3000, 3000, 18000, -1)), **context)
            engine.step(8)
        if dice.random() < 0.3:
            hog(engine, dice)
        if dice.random() < 0.3:
            keep_one_busy(engine, dice)
        name = dice.choice(names)
        options: dict[str, int] = {}
        if dice.random() < 0.7:
            options["context_length"] = dice.choice((1, 2048, 8192, 16384, 32768, 65536))
        if simulated(name).parameter_values.get("num_ctx") or any(
            simulated(name).blob_digest == digest for digest in engine.scheduler.loaded
        ):
            continue
        told = step_of(engine, name, **options)
        engine.happened.clear()
        asked = {"num_ctx": options["context_length"]} if options else {}
        request = engine.ask(name, **asked)
        engine.step(20)
        if request.state is not RequestState.DONE:
            continue  # the simulation ran out of memory, which the server notices only then
        compared += 1
        gone = [text.removeprefix("unloaded ") for text in engine.happened if text.startswith("unloaded ")]
        expected = [resident.name for resident in told.evicted]
        assert gone == expected, (version, name, options, engine.settings)
        evictions += bool(gone)
        runner = engine.runner(name)
        assert told.served.context_length == runner.options.num_ctx
        assert told.served.parallel == runner.parallel
        if engine.settings.era is Era.LLAMA_SERVER:
            assert told.served.batch_size == runner.options.num_batch
            if len(told.cards) == 1:  # over several cards the simulation only splits, it does not fill
                assert told.spills is not runner.placement.complete
        assert {budgets_of(engine)[position].index for position in told.cards} >= {
            part.card for part in runner.placement.cards
        }
    assert compared > 60
    assert evictions > 10


# -- the rules one by one ----------------------------------------------------------------------------------------------

E3 = EngineProfile(version="0.33.0")
E1 = EngineProfile(version="0.9.6", era=Era.ESTIMATE)


def resident(name: str, gibibytes: float, seconds: float | None = 300.0, **more: object) -> Resident:
    amount = int(gibibytes * GIBIBYTE)
    return Resident(name, amount, (amount,), seconds, **more)  # type: ignore[arg-type]


def test_the_shortest_keep_alive_goes_first_and_forever_protects_nobody() -> None:
    chat, embed, code = resident("chat", 9, None), resident("embed", 1, 300), resident("code", 5, 60)
    assert victim([chat, embed, code]) is code
    assert victim([chat, embed]) is embed
    assert victim([chat]) is chat


def test_an_idle_forever_goes_before_a_busy_short_one() -> None:
    chat, code = resident("chat", 9, None), resident("code", 5, 60, busy=True)
    assert victim([chat, code]) is chat
    assert victim([resident("chat", 9, None, busy=True), code]) is code, "nobody idle: the first of the list"


def test_equal_keep_alives_are_decided_by_the_file() -> None:
    first, second = resident("zeta", 1, blob_digest="00"), resident("alpha", 1, blob_digest="ff")
    assert victim([second, first]) is first


@pytest.mark.parametrize(
    ("version", "total", "context"),
    [
        ("0.6.6", 80, 2048), ("0.6.7", 80, 4096), ("0.15.4", 80, 4096), ("0.15.5", 80, 262144), ("0.33.0", 48, 262144),
        ("0.33.0", 46.9, 32768), ("0.33.0", 23, 32768), ("0.33.0", 22.9, 4096), ("0.24.0", 8, 4096),
    ],
)  # fmt: skip
def test_the_automatic_context_by_version_and_total(version: str, total: float, context: int) -> None:
    era = era_of(version)
    assert era is not None
    assert automatic_context(EngineProfile(version=version, era=era), [card(total, free=1)]) == context


def test_the_automatic_context_counts_all_cards() -> None:
    assert automatic_context(E3, [card(24), card(24)]) == 262144
    assert (
        automatic_context(EngineProfile(version="0.33.0", gpu_overhead_bytes=GIBIBYTE), [card(24), card(24)]) == 32768
    )


def test_contexts_are_clamped() -> None:
    def context(name: str, asked: int, profile: EngineProfile = E3) -> int:
        one = wanted(name, context_length=asked)
        return served(one.metadata, one.options, profile, [card()]).context_length

    assert context("qwen3:14b", 1) == 4
    assert context("gemma3:4b", 100) == 2048, "vision needs 2048"
    assert context("qwen3:14b", 10**6) == 40960, "trained for 40960"
    assert context("qwen3:14b", 10**6, EngineProfile(version="0.9.2", era=Era.ESTIMATE)) == 10**6, "no limit yet"
    assert context("mxbai-embed-large:latest", 4096) == 512


def test_embedding_models_get_one_slot_and_their_context_as_batch() -> None:
    one = wanted("nomic-embed-text:latest")
    told = served(one.metadata, one.options, EngineProfile(version="0.33.0", parallel=4), [card()])
    assert (told.parallel, told.batch_size) == (1, 2048)


def test_it_would_fit_but_ollama_evicts_and_the_advice_is_right() -> None:
    """The file and a rough cache are over 80 %, the driver has the room."""
    cards = [card(16, free=13.2)]
    embed = resident("nomic-embed-text", 0.8)
    ask = wanted("qwen3:14b", context_length=20480)
    told = forecast([ask], E3, cards, residents=[embed])
    assert told.would_evict == ("nomic-embed-text",)
    context = context_without_eviction([ask], 0, E3, cards, [embed])
    assert context is not None
    assert any(f"set num_ctx {context} and it will not" in note for note in told.notes)
    following = FAMILIAR[FAMILIAR.index(context) + 1]
    assert following < 20480
    for length, evicts in ((context, False), (following, True)):
        again = forecast([wanted("qwen3:14b", context_length=length)], E3, cards, residents=[embed])
        assert bool(again.would_evict) is evicts


def test_no_context_helps_when_the_file_alone_is_too_large() -> None:
    told = forecast([wanted("qwen3:32b", context_length=4096)], E3, [card(24, free=20)], residents=[resident("x", 3)])
    assert told.would_evict == ("x",)
    assert not any("set num_ctx" in note for note in told.notes)


def test_the_count_limit_evicts_though_all_would_fit() -> None:
    small = [resident(name, 0.5) for name in ("a", "b", "c")]
    told = forecast([wanted("qwen3:0.6b", context_length=4096)], E3, [card()], residents=small)
    assert told.would_evict == ("a",)
    assert any("at most 3 models" in note for note in told.notes)
    twice = forecast([wanted("qwen3:0.6b", context_length=4096)], E3, [card(), card(index=1)], residents=small)
    assert twice.would_evict == (), "three per card"


def test_evictions_repeat_until_it_fits() -> None:
    there = [resident("a", 8, 60), resident("b", 8, 300), resident("c", 4, None)]
    told = forecast([wanted("qwen3:14b", context_length=8192)], E3, [card(24, free=3)], residents=there)
    assert told.would_evict == ("a", "b")


def test_count_and_memory_are_told_apart() -> None:
    there = [resident("a", 8, 60), resident("b", 8, 300), resident("c", 4, None)]
    told = forecast([wanted("qwen3:14b", context_length=8192)], E3, [card(24, free=3)], residents=there)
    note = next(note for note in told.notes if "will evict a, b" in note)
    assert "at most 3 models" in note
    assert "80 %" in note
    less = forecast([wanted("qwen3:14b", context_length=8192)], E3, [card(24, free=3)], residents=there[1:])
    assert not any("at most 3 models" in note for note in less.notes)


def test_a_pinned_victim_is_named_as_such() -> None:
    there = [resident("chat", 20, None, pinned=True)]
    told = forecast([wanted("qwen3:14b", context_length=8192)], E3, [card(24, free=3)], residents=there)
    assert told.would_evict == ("chat",)
    assert any("neither a pin" in note for note in told.notes)


def test_a_model_that_is_there_is_not_loaded_again_unless_its_context_differs() -> None:
    there = resident("qwen3:14b", 10, context_length=8192)
    same = forecast([wanted("qwen3:14b", context_length=8192)], E3, [card(24, free=12)], residents=[there])
    assert same.would_evict == ()
    assert any("loaded already" in note for note in same.notes)
    other = forecast([wanted("qwen3:14b", context_length=16384)], E3, [card(24, free=12)], residents=[there])
    assert any("reloads" in note for note in other.notes)


def test_two_wanted_models_push_each_other_out() -> None:
    both = [wanted("qwen3:32b", context_length=4096), wanted("qwen3:14b", context_length=4096)]
    cards = [card()]

    def burden(one: Wanted, ask: Served) -> Burden:
        return burden_in_simulation(one, ask, cards, version="0.33.0")

    told = forecast(both, E3, cards, burden_of=burden)
    assert told.would_evict == ("qwen3:32b",)
    assert "qwen3:32b will be missing then, though the plan wants it there" in told.notes
    later = forecast(both, E3, [card(24, free=4)], residents=[resident("qwen3:14b", 20, context_length=4096)])
    assert "qwen3:14b" in later.would_evict
    assert not any("qwen3:14b will be missing" in note for note in later.notes)


def test_an_explicit_partial_offload_skips_the_check() -> None:
    ask = wanted("qwen3:14b", context_length=8192, layers_on_gpu=20)
    assert forecast([ask], E3, [card(24, free=3)], residents=[resident("a", 20)]).would_evict == ()


def test_the_server_does_not_know_of_the_reserve() -> None:
    ask = wanted("qwen3:14b", context_length=8192)
    there = [resident("embed", 1)]
    assert forecast([ask], E3, [card(24, free=11)], residents=there).would_evict == ("embed",)
    reserved = card(24, free=11, reserve_bytes=4 * GIBIBYTE)
    assert forecast([ask], E3, [reserved], residents=there).would_evict == ()


def test_llama_server_by_itself_evicts_nobody() -> None:
    told = forecast([wanted("qwen3:14b")], EngineProfile(kind="llama-server"), [card(8)], residents=[resident("a", 7)])
    assert (told.would_evict, told.parallel) == ((), 4)


def test_the_prediction_is_the_file_and_a_rough_cache() -> None:
    """PredictServerVRAM: 2 * 40 layers * 8 heads * 5120 / 40 * 8192 * 2 bytes on top of the file."""
    one = metadata_of(simulated("qwen3:14b"))
    assert one.file_bytes is not None
    assert predicted_bytes(one, 8192) == one.file_bytes + 2 * 40 * 8 * 128 * 8192 * 2


def test_more_context_never_evicts_less() -> None:
    dice = random.Random(5)
    for _case in range(60):
        there = [
            resident(f"m{n}", dice.uniform(0.3, 4), dice.choice((60, 300, None))) for n in range(dice.randrange(4))
        ]
        free = dice.uniform(4, 16)
        name = dice.choice(SMALL_NAMES)
        counts = [
            len(forecast([wanted(name, context_length=length)], E3, [card(24, free=free)], residents=there).would_evict)
            for length in (2048, 8192, 16384, 65536)
        ]
        assert counts == sorted(counts), name


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"parallel": 4}, "OLLAMA_NUM_PARALLEL=4"),
        ({"kv_cache_type_k": "q8_0", "kv_cache_type_v": "q8_0"}, "OLLAMA_KV_CACHE_TYPE=q8_0"),
    ],
)
def test_settings_of_the_whole_server_are_named(options: dict[str, object], settings: str) -> None:
    """No request changes slots or KV type: a plan with others holds only where the server was started so."""
    there = resident("qwen3:14b", 10, context_length=8192)
    ask = [wanted("qwen3:14b", context_length=8192, **options)]
    said = f"qwen3:14b: the plan counts on an Ollama that was started with {settings}"
    assert said in forecast(ask, E3, [card(24, free=12)], residents=[there]).notes
    assert said in forecast(ask, E3, [card(24)]).notes
    set_so = EngineProfile(version="0.33.0", parallel=4, kv_cache_type="q8_0")
    other = [wanted("qwen3:14b", context_length=8192, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0")]
    assert not any("started with" in note for note in forecast(other, set_so, [card(24)]).notes)


def test_who_goes_is_told_as_unsure_where_only_the_rest_of_a_keep_alive_is_known() -> None:
    ask = wanted("qwen3:14b", context_length=8192)
    bounds = {"keep_alive_bounds": (100.0, float("inf"))}

    def unsure(*there: Resident) -> list[str]:
        notes = forecast([ask], E3, [card(24, free=9)], residents=there).notes
        return [note for note in notes if "not known" in note]

    embed, chat = resident("embed", 9, 300, **bounds), resident("chat", 3, 600)
    assert forecast([ask], E3, [card(24, free=9)], residents=[embed, chat]).would_evict == ("embed",)
    (note,) = unsure(embed, chat)
    assert note.startswith("it may be chat instead of embed")
    assert note.endswith("how long that of embed was set for is not known")
    assert unsure(resident("embed", 9, 300), chat) == [], "both are known"
    assert unsure(embed, resident("chat", 3, None)) == [], "nothing is longer than forever"
    assert unsure(resident("embed", 9, 50), resident("chat", 3, 300, **bounds)) == [], "it is longer by far already"
    assert unsure(embed, resident("chat", 3, 600, busy=True)) == []
