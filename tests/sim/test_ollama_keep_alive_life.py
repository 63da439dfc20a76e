"""How a loaded model's timer lives: ollama server/sched.go:367-512, :1664-1785 at v0.33.0-rc2."""

from __future__ import annotations

import pytest

from gpudesk.sim.engine_keep_alive import FOREVER, SECOND
from gpudesk.sim.engine_runner import RequestState
from tests.sim.engines import CHAT, COMPLETE, EMBED, Engine


def test_a_fresh_load_gets_five_minutes_and_goes_when_they_are_over() -> None:
    engine = Engine()
    engine.load(COMPLETE)
    assert engine.remaining(COMPLETE) == 300
    engine.step(299.75)
    assert engine.names == [COMPLETE]
    engine.step(0.25)
    assert engine.names == []
    assert engine.held() == 0
    assert engine.happened == [f"loaded {COMPLETE}", f"unloaded {COMPLETE}"]


def test_a_fresh_load_gets_what_the_environment_says() -> None:
    engine = Engine(keep_alive="90s")
    engine.load(COMPLETE)
    assert engine.remaining(COMPLETE) == 90


def test_the_environment_is_read_anew_at_every_load() -> None:
    engine = Engine(keep_alive="90s")
    engine.settings.keep_alive = "-1"
    engine.load(COMPLETE)
    assert engine.runner(COMPLETE).session_nanoseconds == FOREVER


def test_the_loading_request_may_say_otherwise() -> None:
    engine = Engine(keep_alive="90s")
    engine.load(COMPLETE, keep_alive=1800)
    assert engine.remaining(COMPLETE) == 1800


def test_a_request_without_keep_alive_keeps_a_pin() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.ask(CHAT)
    assert engine.runner(CHAT).session_nanoseconds == FOREVER
    assert engine.remaining(CHAT) > 20 * 365 * 86400


def test_forever_is_292_years_from_the_end_of_the_last_request() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    (_runner, expires_at) = engine.scheduler.visible()[0]
    assert expires_at.year == 2318
    engine.step(86_400)
    engine.ask(CHAT)
    assert (engine.scheduler.visible()[0][1] - expires_at).total_seconds() == 86_400


def test_an_editor_with_its_own_keep_alive_takes_the_pin_away() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.ask(CHAT, keep_alive=1800)
    assert engine.remaining(CHAT) == 1800


def test_the_expiry_moves_only_when_a_request_ends() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=60)
    engine.step(30)
    request = engine.ask(CHAT, keep_alive=600, tokens=100)
    assert engine.remaining(CHAT) == 30, "the old value while the request runs"
    engine.step(50)
    assert engine.remaining(CHAT) == -20, "even when it is in the past"
    assert engine.names == [CHAT]
    engine.step(50)
    assert request.state is RequestState.DONE
    assert engine.remaining(CHAT) == 600


def test_during_its_first_request_a_model_shows_now_plus_its_keep_alive() -> None:
    engine = Engine()
    engine.ask(CHAT, keep_alive=600, tokens=100)
    engine.step(10)
    assert engine.runner(CHAT).expires_at is None
    assert engine.remaining(CHAT) == 600
    engine.step(10)
    assert engine.remaining(CHAT) == 600


def test_with_two_requests_the_last_one_to_end_writes_the_expiry() -> None:
    engine = Engine(num_parallel=2)
    engine.load(CHAT, keep_alive=60)
    engine.ask(CHAT, tokens=10)
    engine.ask(CHAT, tokens=100)
    before = engine.runner(CHAT).expires_at
    engine.step(50)
    assert engine.runner(CHAT).references == 1
    assert engine.runner(CHAT).expires_at == before
    engine.step(60)
    assert engine.runner(CHAT).expires_at != before


def test_zero_with_work_to_do_unloads_when_it_is_done() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.ask(CHAT, keep_alive=0, tokens=10)
    engine.step(9)
    assert engine.names == [CHAT]
    engine.step(2)
    assert engine.names == []


def test_unloading_an_idle_model_frees_its_card_at_once() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.scheduler.expire(engine.model(CHAT))
    assert engine.names == []
    assert engine.held() == 0


def test_unloading_a_busy_model_waits_for_its_requests_and_shows_it_as_stopping() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.ask(CHAT, tokens=10)
    engine.scheduler.expire(engine.model(CHAT))
    assert engine.names == [CHAT]
    engine.step(5)
    assert engine.remaining(CHAT) == -5
    engine.step(6)
    assert engine.names == []


def test_unloading_what_is_not_loaded_does_nothing() -> None:
    engine = Engine()
    engine.scheduler.expire(engine.model(CHAT))
    assert engine.happened == []


def test_a_number_too_large_for_int64_unloads_when_idle() -> None:
    engine = Engine()
    request = engine.request(CHAT)
    request.keep_alive = -(1 << 63)
    engine.scheduler.submit(request)
    engine.step(5)
    assert request.state is RequestState.DONE
    assert engine.names == []


def test_a_reload_without_keep_alive_loses_the_pin() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1, num_ctx=8192)
    engine.load(CHAT, num_ctx=16384)
    assert engine.runner(CHAT).session_nanoseconds == 300 * SECOND


def test_a_crash_is_noticed_by_the_next_request_and_costs_the_pin() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    engine.scheduler.crash(engine.runner(CHAT))
    assert engine.held() == 0, "the driver knows at once"
    assert engine.names == [CHAT], "the engine does not"
    engine.step(60)
    assert engine.names == [CHAT]
    first = engine.runner(CHAT)
    engine.load(CHAT)
    assert engine.runner(CHAT) is not first
    assert engine.runner(CHAT).session_nanoseconds == 300 * SECOND


def test_a_crash_ends_running_requests_with_an_error() -> None:
    engine = Engine()
    engine.load(CHAT, keep_alive=-1)
    request = engine.ask(CHAT, tokens=50)
    engine.step(5)
    engine.scheduler.crash(engine.runner(CHAT))
    assert request.state is RequestState.FAILED
    assert request.error is not None
    assert request.error.status == 500


def test_out_of_memory_while_running_costs_everybody_everything() -> None:
    engine = Engine()
    engine.load(EMBED, keep_alive=-1)
    engine.load(COMPLETE, keep_alive=-1)
    engine.load(CHAT, keep_alive=-1)
    busy, failed = engine.ask(COMPLETE, tokens=10), engine.ask(CHAT, tokens=50)
    engine.step(5)
    engine.scheduler.run_out_of_memory(engine.runner(CHAT))
    assert failed.error is not None
    assert "out of memory" in failed.error.text
    assert engine.names == [COMPLETE], "who is busy goes after its request"
    engine.step(6)
    assert busy.state is RequestState.DONE
    assert engine.names == []


def test_a_second_name_of_the_same_file_shares_runner_and_timer_under_the_first_name() -> None:
    engine = Engine(context_length=8192)
    engine.load(CHAT, keep_alive=-1)
    with engine.clock.changed:
        engine.server.store.copy(engine.model(CHAT), "my-chat:latest")
    engine.ask("my-chat:latest", keep_alive=120)
    assert engine.names == [CHAT]
    assert engine.remaining(CHAT) == 120


def test_a_name_with_other_parameters_on_the_same_file_reloads_each_time() -> None:
    engine = Engine()
    engine.load("qwen3-desk:14b", keep_alive=-1)
    assert engine.runner(CHAT).options.num_ctx == 16384, "the parameter of the Modelfile"
    engine.load(CHAT, num_ctx=8192)
    assert engine.happened == [f"loaded {'qwen3-desk:14b'}", "unloaded qwen3-desk:14b", f"loaded {CHAT}"]


def test_the_latest_expiry_is_listed_first() -> None:
    engine = Engine()
    engine.load(COMPLETE, keep_alive=60)
    engine.load(EMBED, keep_alive=-1)
    engine.load(CHAT, keep_alive=600)
    assert [runner.model.name for runner, _at in engine.scheduler.visible()] == [EMBED, CHAT, COMPLETE]


@pytest.mark.parametrize("skew", [-90.0, 3600.0])
def test_the_expiry_is_on_the_server_s_clock(skew: float) -> None:
    engine = Engine(clock_skew_seconds=skew)
    engine.load(CHAT, keep_alive=60)
    assert engine.remaining(CHAT) == 60 + skew
    engine.step(59)
    assert engine.names == [CHAT], "but the timer is right"
    engine.step(1)
    assert engine.names == []
