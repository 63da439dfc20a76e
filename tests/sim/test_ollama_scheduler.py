"""Loads, evictions and reloads: ollama server/sched.go:169-960, :1381-1700 at v0.33.0-rc2."""

from __future__ import annotations

import pytest

from gpudesk.sim.cards import GIBIBYTE, SimulatedProcess
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_keep_alive import FOREVER, SECOND
from gpudesk.sim.engine_runner import RequestState
from gpudesk.sim.engine_tensors import weights_of
from tests.sim.engines import CHAT, COMPLETE, EMBED, SMALL, Engine


def hog(engine: Engine, gibibytes: float, card: int = 0) -> None:
    """Let something that is no model hold memory."""
    engine.cards.cards[card].processes[9] = SimulatedProcess(9, int(gibibytes * GIBIBYTE), graphics=True)


# -- one load at a time ------------------------------------------------------------------------------------------------


def test_a_load_takes_its_time_and_its_bytes_arrive_little_by_little() -> None:
    engine = Engine(load_seconds=4.0)
    request = engine.ask(CHAT)
    assert not request.over
    seen = [engine.held()]
    for _ in range(4):
        engine.step(1)
        seen.append(engine.held())
    assert seen == sorted(set(seen)), "more each second"
    assert seen[0] == engine.runner(CHAT).placement.cards[0].context
    assert seen[-1] == engine.runner(CHAT).placement.card_bytes
    assert request.state is RequestState.DONE


def test_a_loading_model_is_invisible_with_llama_server_and_visible_before() -> None:
    for version, visible in (("0.33.0", False), ("0.24.0", True), ("0.5.4", True)):
        engine = Engine(version=version)
        engine.ask(COMPLETE, keep_alive=60)
        engine.step(1)
        assert bool(engine.scheduler.visible()) is visible, version
        if visible:
            assert engine.remaining(COMPLETE) == 60, "the zero time is replaced by now and the keep-alive"


def test_loads_are_serial_and_a_waiting_load_blocks_the_next() -> None:
    engine = Engine()
    first, second = engine.ask(CHAT), engine.ask(EMBED)
    assert (first.state, second.state) == (RequestState.LOADING, RequestState.QUEUED)
    engine.step(2)
    assert (first.state, second.state) == (RequestState.DONE, RequestState.LOADING)
    engine.step(2)
    assert second.state is RequestState.DONE


def test_a_loaded_model_answers_while_another_loads() -> None:
    engine = Engine()
    engine.load(EMBED)
    engine.ask(CHAT)
    assert engine.ask(EMBED).state is RequestState.DONE


def test_requests_for_the_model_being_loaded_are_served_when_it_is_there() -> None:
    for version in ("0.33.0", "0.24.0"):
        engine = Engine(version=version)
        first, second = engine.ask(CHAT, keep_alive=60), engine.ask(CHAT, keep_alive=-1)
        engine.step(2)
        assert (first.state, second.state) == (RequestState.DONE, RequestState.DONE), version
        assert engine.runner(CHAT).session_nanoseconds == FOREVER
        assert engine.happened == [f"loaded {CHAT}"]


def test_a_full_queue_refuses_with_503_and_two_spaces() -> None:
    engine = Engine(max_queue=2)
    engine.ask(CHAT)
    waiting = [engine.ask(EMBED), engine.ask(COMPLETE)]
    refused = engine.ask("llama3.2:1b")
    assert [request.state for request in waiting] == [RequestState.QUEUED] * 2
    assert refused.error is not None
    assert refused.error.status == 503
    assert refused.error.text == "server busy, please try again.  maximum pending requests exceeded"


def test_a_loaded_model_never_answers_503() -> None:
    engine = Engine(max_queue=1)
    engine.load(EMBED)
    engine.ask(CHAT)
    engine.ask(COMPLETE)
    assert engine.ask("llama3.2:1b").state is RequestState.FAILED
    assert engine.ask(EMBED).state is RequestState.DONE


def test_a_client_that_goes_away_aborts_its_load() -> None:
    engine = Engine()
    gone, next_one = engine.ask(CHAT), engine.ask(EMBED)
    engine.step(1)
    engine.scheduler.cancel(gone)
    assert next_one.state is RequestState.LOADING
    engine.step(2)
    assert engine.names == [EMBED]
    assert set(engine.cards.cards[0].processes) == {engine.runner(EMBED).pid}


def test_a_client_that_goes_away_in_the_queue_is_skipped() -> None:
    engine = Engine()
    engine.ask(CHAT)
    gone, last = engine.ask(COMPLETE), engine.ask(EMBED)
    engine.scheduler.cancel(gone)
    engine.step(4)
    assert engine.names == [EMBED, CHAT]
    assert last.state is RequestState.DONE


def test_a_client_that_goes_away_while_it_is_answered_ends_its_request() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=60)
    request = engine.ask(CHAT, tokens=500)
    engine.step(20)
    engine.scheduler.cancel(request)
    assert engine.runner(CHAT).references == 0
    assert engine.remaining(CHAT) == 60


def test_a_hanging_load_ends_after_five_minutes() -> None:
    engine = Engine()
    engine.scheduler.loads_hang = True
    request = engine.ask(CHAT)
    engine.step(299)
    assert request.state is RequestState.LOADING
    engine.step(1)
    assert request.error is not None
    assert request.error.status == 500
    assert request.error.text.startswith("timed out waiting for llama-server to start - ")
    assert engine.held() == 0


def test_a_load_that_fails_says_why_and_the_next_is_tried() -> None:
    engine = Engine()
    engine.scheduler.next_load_error = "llama-server process has terminated: exit status 1: boom"
    failed, fine = engine.ask(CHAT), engine.ask(EMBED)
    engine.step(5)
    assert failed.error is not None
    assert (failed.error.status, "boom" in failed.error.text) == (500, True)
    assert fine.state is RequestState.DONE


# -- who must go -------------------------------------------------------------------------------------------------------


def test_three_models_per_card_unless_the_environment_says_otherwise() -> None:
    assert Engine().scheduler.max_loaded == 3
    assert Engine(cards=2).scheduler.max_loaded == 6
    assert Engine(cards=0).scheduler.max_loaded == 3
    assert Engine(cards=2, max_loaded_models=1).scheduler.max_loaded == 1


def test_the_fourth_model_evicts_one_though_there_is_room() -> None:
    engine = Engine()
    for name in SMALL[:3]:
        engine.load(name, keep_alive=-1)
    engine.load(SMALL[3])
    assert len(engine.names) == 3
    assert SMALL[3] in engine.names


def test_the_shortest_keep_alive_goes_not_the_least_recently_used() -> None:
    engine = Engine(max_loaded_models=2)
    engine.load(EMBED, keep_alive=3600)
    engine.load(COMPLETE, keep_alive=60)
    engine.step(30)
    engine.ask(COMPLETE)
    engine.load("llama3.2:1b")
    assert engine.names == sorted(["llama3.2:1b", EMBED])


def test_forever_protects_nobody_who_is_idle() -> None:
    engine = Engine(max_loaded_models=1)
    engine.load(EMBED, keep_alive=-1)
    engine.load(COMPLETE, keep_alive=60)
    assert engine.names == [COMPLETE]


def test_an_idle_pinned_model_goes_before_a_busy_one_with_five_minutes() -> None:
    engine = Engine(max_loaded_models=2)
    engine.load(EMBED, keep_alive=-1)
    engine.load(COMPLETE, keep_alive=300)
    engine.ask(COMPLETE, tokens=1000)
    engine.load("llama3.2:1b")
    assert engine.names == sorted([COMPLETE, "llama3.2:1b"])


def test_equal_keep_alives_are_decided_by_the_file_s_name() -> None:
    engine = Engine(max_loaded_models=2)
    for name in (EMBED, COMPLETE):
        engine.load(name, keep_alive=-1)
    first = min((EMBED, COMPLETE), key=lambda name: engine.model(name).blob_digest)
    engine.load("llama3.2:1b")
    assert first not in engine.names


def test_when_all_are_busy_the_shortest_is_waited_for() -> None:
    engine = Engine(max_loaded_models=1)
    engine.load(COMPLETE, keep_alive=-1)
    engine.ask(COMPLETE, tokens=10)
    waiting = engine.ask(EMBED)
    engine.step(9)
    assert engine.names == [COMPLETE]
    assert waiting.state is RequestState.QUEUED
    engine.step(5)
    assert engine.names == [EMBED]


def test_a_victim_that_is_wanted_again_with_a_keep_alive_blocks_the_queue() -> None:
    """Issue 17408: the mark is overwritten, and whoever waits for the unload waits for the new timer."""
    engine = Engine(max_loaded_models=1)
    engine.load(COMPLETE, keep_alive=-1)
    engine.ask(COMPLETE, tokens=10)
    waiting = engine.ask(EMBED)
    engine.ask(COMPLETE, keep_alive=-1, tokens=1)
    engine.step(3600)
    assert engine.names == [COMPLETE]
    assert waiting.state is RequestState.QUEUED
    engine.scheduler.expire(engine.model(COMPLETE))
    engine.step(3)
    assert engine.names == [EMBED]


def test_the_next_load_waits_until_the_card_s_memory_is_seen_to_be_back() -> None:
    engine = Engine(max_loaded_models=1)
    engine.load(COMPLETE, keep_alive=-1)
    waiting = engine.ask(EMBED)
    assert engine.names == []
    engine.step(0.2)
    assert engine.held() == 0
    engine.step(0.05)
    assert engine.held() > 0
    assert waiting.state is RequestState.LOADING


def test_with_shared_memory_nobody_waits_for_it() -> None:
    engine = Engine(max_loaded_models=1, integrated=True)
    engine.load(COMPLETE, keep_alive=-1)
    waiting = engine.ask(EMBED)
    engine.step(0)
    assert waiting.state is RequestState.LOADING


@pytest.mark.parametrize(("missing_bytes", "evicts"), [(0, False), (1, True)])
def test_beside_others_a_model_must_be_predicted_to_fit_into_80_percent(missing_bytes: int, evicts: bool) -> None:
    model = next(model for model in catalog() if model.name == CHAT)
    predicted = weights_of(model).file + 2 * 40 * 8 * 128 * 4096 * 2
    available = -(-predicted * 100 // 80)
    claim = Engine().load(COMPLETE, num_ctx=4096).claim.size_vram
    engine = Engine()
    room = engine.cards.cards[0].memory_free_bytes
    engine.cards.cards[0].processes[9] = SimulatedProcess(9, room - available - claim + missing_bytes)
    engine.load(COMPLETE, keep_alive=-1, num_ctx=4096)
    engine.load(CHAT, keep_alive=-1, num_ctx=4096)
    assert (COMPLETE not in engine.names) is evicts


def test_alone_a_model_is_loaded_however_large_it_is() -> None:
    engine = Engine()
    runner = engine.load("llama3.3:70b", num_ctx=4096)
    assert 0 < runner.placement.layers_on_cards < runner.placement.layer_count
    assert runner.placement.host_weights > 10 * GIBIBYTE
    assert engine.processes.resident_bytes(runner.pid) is not None
    assert (engine.processes.resident_bytes(runner.pid) or 0) > 10 * GIBIBYTE


def test_a_card_somebody_else_fills_makes_a_load_spill() -> None:
    engine = Engine()
    hog(engine, 18)
    runner = engine.load(CHAT, num_ctx=8192)
    assert not runner.placement.complete
    card = engine.cards.cards[0]
    assert card.memory_free_bytes >= GIBIBYTE, "llama-server leaves a margin"


def test_whoever_takes_memory_after_a_load_is_not_seen_by_the_scheduler() -> None:
    """From v0.30 the driver is not asked while a runner is there (llama_server.go:2600)."""
    newer, older = Engine(), Engine(version="0.24.0")
    for engine in (newer, older):
        engine.load(COMPLETE, keep_alive=-1)
        hog(engine, 19)
        engine.load("qwen3:8b", keep_alive=-1, num_ctx=4096)
    assert newer.names == [COMPLETE, "qwen3:8b"]
    assert not newer.runner("qwen3:8b").placement.complete, "so it spilled instead of evicting"
    assert COMPLETE not in older.names


def test_what_has_gone_since_is_not_seen_either_and_too_much_is_evicted() -> None:
    """Issue 12247: free memory at the load of the one that stayed counts, though another has gone since."""
    engine = Engine()
    engine.load(CHAT, keep_alive=60, num_ctx=16384)
    engine.load(EMBED, keep_alive=-1)
    engine.step(61)
    assert engine.names == [EMBED]
    engine.load(CHAT, num_ctx=16384)
    assert engine.names == [CHAT]


def test_an_explicit_part_of_the_layers_skips_the_preflight() -> None:
    engine = Engine(total_gibibytes=12)
    engine.load(COMPLETE, keep_alive=-1)
    engine.load(CHAT, num_ctx=4096, num_gpu=10)
    assert engine.names == [COMPLETE, CHAT]
    assert engine.runner(CHAT).placement.layers_on_cards == 10


def test_more_layers_than_the_card_takes_is_out_of_memory_and_500() -> None:
    engine = Engine(total_gibibytes=8)
    request = engine.ask(CHAT, num_gpu=99, num_ctx=4096)
    assert request.error is not None
    assert request.error.status == 500
    assert "out of memory" in request.error.text
    assert engine.held() == 0


def test_out_of_memory_evicts_everybody_once_before_it_gives_up() -> None:
    engine = Engine(total_gibibytes=8)
    engine.load(EMBED, keep_alive=-1)
    engine.load(COMPLETE, keep_alive=-1, num_ctx=4096)
    request = engine.ask(CHAT, num_gpu=40, num_ctx=4096)
    engine.step(1)
    assert engine.names == []
    assert request.state is RequestState.FAILED


def test_out_of_memory_halves_a_context_nobody_asked_for() -> None:
    engine = Engine(total_gibibytes=26, host_gibibytes=8)
    runner = engine.load("codellama:7b-code", num_gpu=33)
    assert runner.options.num_ctx == 16384, "limited by the training"
    engine = Engine(total_gibibytes=26, host_gibibytes=8)
    hog(engine, 14)
    runner = engine.load("codellama:7b-code", num_gpu=33)
    assert runner.options.num_ctx == 4096


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.33.0", "llama-server process has terminated: exit status 1: "),
        ("0.24.0", "model requires more system memory ("),
        ("0.5.4", "model requires more system memory ("),
    ],
)
def test_too_large_for_the_computer_is_500(version: str, text: str) -> None:
    engine = Engine(total_gibibytes=8, host_gibibytes=16, version=version)
    request = engine.ask("llama3.3:70b", num_ctx=4096)
    assert request.error is not None
    assert request.error.status == 500
    assert request.error.text.startswith(text)


def test_without_a_card_everything_runs_on_the_processor() -> None:
    engine = Engine(cards=0)
    runner = engine.load(COMPLETE)
    assert runner.claim.size_vram == 0
    assert runner.claim.size > GIBIBYTE


def test_num_gpu_zero_leaves_the_card_alone() -> None:
    engine = Engine()
    engine.load(COMPLETE, num_gpu=0)
    assert engine.held() == 0


# -- reloads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loaded", "wanted", "reloads"),
    [
        ({"num_ctx": 8192}, {"num_ctx": 8192}, False),
        ({"num_ctx": 8192}, {"num_ctx": 4096}, True),
        ({"num_ctx": 8192}, {}, True),
        ({}, {}, False),
        ({}, {"num_ctx": 32768}, False),
        ({}, {"num_ctx": 8192}, True),
        ({"num_ctx": 999999}, {"num_ctx": 40960}, False),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "temperature": 0.1, "num_predict": 5}, False),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "num_gpu": -1}, False),
        ({"num_ctx": 8192, "num_gpu": 20}, {"num_ctx": 8192}, False),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "num_gpu": 20}, True),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "num_thread": 4}, True),
        ({"num_ctx": 8192}, {"num_ctx": 8192, "num_batch": 64}, True),
        ({"num_ctx": 8192, "use_mmap": False}, {"num_ctx": 8192}, False),
        ({"num_ctx": 8192, "main_gpu": 0}, {"num_ctx": 8192}, True),
    ],
)
def test_which_differences_reload(loaded: dict[str, object], wanted: dict[str, object], reloads: bool) -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1, **loaded)
    first = engine.runner(CHAT)
    engine.load(CHAT, keep_alive=-1, **wanted)
    assert (engine.runner(CHAT) is not first) is reloads


def test_asking_with_the_context_that_is_shown_never_reloads() -> None:
    for options in ({}, {"num_ctx": 5000}):
        engine = Engine()
        first = engine.load(CHAT, **options)
        engine.ask(CHAT, keep_alive=-1, num_ctx=first.run.context_length)
        assert engine.runner(CHAT) is first
        assert first.session_nanoseconds == FOREVER


def test_a_busy_model_is_reloaded_after_its_requests() -> None:
    engine = Engine()
    engine.load(CHAT, num_ctx=8192)
    running = engine.ask(CHAT, num_ctx=8192, tokens=10)
    other = engine.ask(CHAT, num_ctx=4096)
    engine.step(9)
    assert other.state is RequestState.QUEUED
    engine.step(5)
    assert (running.state, other.state) == (RequestState.DONE, RequestState.DONE)
    assert engine.runner(CHAT).options.num_ctx == 4096


# -- defaults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "gibibytes", "context"),
    [
        ("0.33.0", 8, 4096),
        ("0.33.0", 24, 32768),
        ("0.33.0", 48, 40960),
        ("0.15.5", 24, 32768),
        ("0.15.4", 24, 4096),
        ("0.6.7", 24, 4096),
        ("0.6.6", 24, 2048),
        ("0.5.4", 48, 2048),
    ],
)
def test_the_context_nobody_asked_for(version: str, gibibytes: int, context: int) -> None:
    engine = Engine(version=version, total_gibibytes=gibibytes)
    assert engine.request(CHAT).options.num_ctx == context


def test_the_environment_s_context_is_weaker_than_the_modelfile_and_that_than_the_request() -> None:
    engine = Engine(context_length=10_000)
    assert engine.request(CHAT).options.num_ctx == 10_000
    assert not engine.request(CHAT).options.num_ctx_auto
    assert engine.request("qwen3-desk:14b").options.num_ctx == 16384
    assert engine.request("qwen3-desk:14b", num_ctx=512).options.num_ctx == 512


def test_the_smallest_context_is_4_and_2048_for_models_that_see() -> None:
    engine = Engine()
    assert engine.request(CHAT, num_ctx=1).options.num_ctx == 4
    assert engine.request("gemma3:12b", num_ctx=1).options.num_ctx == 2048


@pytest.mark.parametrize(("version", "slots"), [("0.5.4", 4), ("0.6.8", 2), ("0.9.6", 2), ("0.9.7", 1), ("0.33.0", 1)])
def test_how_many_slots_a_model_gets(version: str, slots: int) -> None:
    engine = Engine(version=version)
    assert engine.load(COMPLETE, num_ctx=4096).parallel == slots
    assert engine.load(EMBED).parallel == 1, "embedding models always get one"


def test_old_servers_fall_back_to_one_slot_when_several_do_not_fit() -> None:
    engine = Engine(version="0.5.4", total_gibibytes=12)
    assert engine.load("llama3.1:8b", num_ctx=16384).parallel == 1


def test_more_requests_than_slots_wait_for_a_slot() -> None:
    engine = Engine(num_parallel=2)
    engine.load(CHAT, keep_alive=-1)
    requests = [engine.ask(CHAT, tokens=10) for _ in range(3)]
    engine.step(11)
    assert [request.state is RequestState.DONE for request in requests] == [True, True, False]
    engine.step(10)
    assert requests[2].state is RequestState.DONE


@pytest.mark.parametrize(("context", "batch"), [(4096, 512), (4097, 1024), (32768, 1024), (32769, 2048)])
def test_the_batch_nobody_asked_for_follows_the_context(context: int, batch: int) -> None:
    engine = Engine(total_gibibytes=80)
    assert engine.load("qwen3:4b", num_ctx=context).options.num_batch == batch


def test_the_batch_is_smaller_where_memory_is_short() -> None:
    engine = Engine(total_gibibytes=24)
    assert engine.load(CHAT, num_ctx=40960).options.num_batch == 1024
    assert Engine(total_gibibytes=24).load("qwen3:32b", num_ctx=8192).options.num_batch == 512


def test_embedding_models_take_their_whole_context_in_one_batch() -> None:
    assert Engine().load(EMBED).options.num_batch == 2048
    assert Engine().load(EMBED, num_ctx=512).options.num_batch == 512


# -- several cards -----------------------------------------------------------------------------------------------------


def test_a_model_goes_to_the_card_with_most_room_where_it_is_predicted_to_fit() -> None:
    engine = Engine(cards=3)
    hog(engine, 5, card=0)
    hog(engine, 3, card=2)
    runner = engine.load(CHAT, num_ctx=4096)
    assert [part.card for part in runner.placement.cards] == [1]
    assert "--main-gpu" in runner.argv


def test_a_model_too_large_for_one_card_is_spread_over_all() -> None:
    engine = Engine(cards=2)
    runner = engine.load("llama3.3:70b", num_ctx=4096)
    assert [part.card for part in runner.placement.cards] == [0, 1]
    assert engine.held(0) > 15 * GIBIBYTE
    assert engine.held(1) > 15 * GIBIBYTE
    assert "--main-gpu" not in runner.argv


def test_spreading_can_be_asked_for() -> None:
    engine = Engine(cards=2, sched_spread=True)
    assert len(engine.load(COMPLETE).placement.cards) == 2


def test_an_explicit_card_is_taken_whatever_is_free() -> None:
    engine = Engine(cards=2)
    hog(engine, 10, card=1)
    runner = engine.load(COMPLETE, main_gpu=1)
    assert [part.card for part in runner.placement.cards] == [1]


def test_old_servers_take_the_fewest_cards_that_hold_everything() -> None:
    engine = Engine(cards=2, version="0.24.0")
    assert len(engine.load(CHAT, num_ctx=4096).placement.cards) == 1
    assert len(engine.load("gemma3:27b", num_ctx=65536).placement.cards) == 2


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_ends_every_runner_and_every_request() -> None:
    engine = Engine()
    engine.load(EMBED, keep_alive=-1)
    running = engine.ask(EMBED, tokens=100)
    loading, queued = engine.ask(CHAT), engine.ask(COMPLETE)
    engine.scheduler.close()
    assert [request.state for request in (running, loading, queued)] == [RequestState.FAILED] * 3
    assert engine.held() == 0
    engine.step(3600)
    assert engine.names == []


def test_a_stall_of_the_list_lasts_as_long_as_it_is_set() -> None:
    engine = Engine(ps_stall_seconds=1.5)
    engine.ask(EMBED)
    assert engine.scheduler.residents.ps_blocked_until == 1.5
    engine.step(10)
    engine.scheduler.expire(engine.model(EMBED))
    assert engine.scheduler.residents.ps_blocked_until == 11.5


def test_durations_are_nanoseconds() -> None:
    engine = Engine()
    assert engine.load(EMBED, keep_alive=2.5).session_nanoseconds == 5 * SECOND // 2
