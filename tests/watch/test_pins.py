"""Pins: held or lost, and who broke them."""

from __future__ import annotations

from datetime import timedelta

from gpudesk.domain.engine import DetailsSample
from gpudesk.domain.event import EventKind, Severity
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.pin import Pin, PinCause, PinSample, PinState, PinWish
from gpudesk.errors import FailureKind
from tests.watch.build import ENGINE, GIB, START, URL, Watch, card, engine, failure, forever, model, runner, timer

NAME = "qwen3:14b"


def watch(*wishes: PinWish, context: int | None = 4096, digest: str | None = None) -> Watch:
    """Return a watch that has read its pins and then saw the pinned model resident for good."""
    seen = Watch()
    wishes = wishes or (PinWish(URL, NAME, digest, context),)
    seen.give("pins", PinSample(wishes), 0)
    seen.give(ENGINE, engine(model(NAME, forever())), 0)
    return seen


def state(seen: Watch) -> PinState:
    (only,) = seen.desk.pins
    return only


def test_a_pinned_model_that_stays_forever_holds() -> None:
    seen = watch()
    assert (state(seen).pin, state(seen).cause) == (Pin.HELD, None)
    assert [each.pin for each in seen.desk.models] == [Pin.HELD]
    assert not [event for event in seen.told if event.kind in {EventKind.PIN_LOST, EventKind.PIN_BACK}]


def test_without_a_wish_nothing_is_pinned_although_it_stays_forever() -> None:
    seen = Watch()
    seen.give("pins", PinSample(), 0)
    seen.give(ENGINE, engine(model(NAME, forever())), 0)
    assert seen.desk.pins == ()
    assert [each.pin for each in seen.desk.models] == [Pin.NONE]


def test_before_the_engine_answered_nothing_is_judged() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    assert state(seen).pin is Pin.NONE


def test_the_request_of_an_editor_is_named_in_the_next_sample() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model(NAME, timer(1800.5 + 1))), 2)
    lost = state(seen)
    assert (lost.pin, lost.cause, lost.lost_at) == (Pin.LOST, PinCause.KEEP_ALIVE, START + timedelta(seconds=2))
    assert lost.reason == "keep-alive changed from forever to 30m (Continue sends 30m by default)"
    assert seen.desk.models[0].pin is Pin.LOST
    told = seen.told[-1]
    assert (told.kind, told.severity) == (EventKind.PIN_LOST, Severity.WARNING)
    assert told.message == f"the pin of {NAME} is lost: {lost.reason}"


def test_a_loss_is_told_once_and_its_end_too() -> None:
    seen = watch()
    for second in (2, 4, 6):
        seen.give(ENGINE, engine(model(NAME, timer(1800 + second))), second)
    seen.give(ENGINE, engine(model(NAME, forever())), 8)
    kinds = [event.kind for event in seen.told if event.kind in {EventKind.PIN_LOST, EventKind.PIN_BACK}]
    assert kinds == [EventKind.PIN_LOST, EventKind.PIN_BACK]
    assert (state(seen).pin, state(seen).cause, state(seen).lost_at) == (Pin.HELD, None, None)
    assert state(seen).losses == (START + timedelta(seconds=2),)


def test_losses_are_forgotten_after_ten_minutes() -> None:
    seen = watch()
    for second in (10, 200, 400):
        seen.give(ENGINE, engine(model(NAME, timer(1800 + second))), second)
        seen.give(ENGINE, engine(model(NAME, forever())), second + 10)
    assert len(state(seen).losses) == 3
    seen.give(ENGINE, engine(model(NAME, forever())), 611)
    assert len(state(seen).losses) == 2


def test_an_eviction_names_for_whom() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model("gpt-oss:20b", timer(300))), 2)
    assert (state(seen).cause, state(seen).reason) == (
        PinCause.EVICTED,
        "evicted for gpt-oss:20b, although its keep-alive was forever",
    )


def test_an_eviction_that_is_understood_later_replaces_the_cause_without_a_second_event() -> None:
    seen = watch()
    seen.give(ENGINE, engine(), 2)
    assert state(seen).cause is PinCause.UNLOADED
    seen.give(ENGINE, engine(model("gpt-oss:20b", timer(304))), 4)
    assert state(seen).cause is PinCause.EVICTED
    assert "gpt-oss:20b" in (state(seen).reason or "")
    assert [event.kind for event in seen.told].count(EventKind.PIN_LOST) == 1


def test_the_cause_is_still_known_when_its_event_is_old() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model("gpt-oss:20b", timer(300))), 2)
    seen.give(ENGINE, engine(model("gpt-oss:20b", timer(500))), 200)
    assert state(seen).cause is PinCause.EVICTED


def test_another_context_breaks_a_pin_and_both_are_named() -> None:
    seen = watch(context=16384)
    assert (state(seen).cause, state(seen).reason) == (
        PinCause.CONTEXT,
        "it was loaded with context 4096 instead of 16384",
    )


def test_a_pin_without_a_context_takes_what_there_is() -> None:
    assert state(watch(PinWish(URL, NAME))).pin is Pin.HELD


def test_a_reload_in_place_breaks_a_pin_with_its_context() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model(NAME, forever(), context_length=8192)), 2)
    assert state(seen).reason == "it was loaded with context 8192 instead of 4096"


def test_the_default_context_of_an_editor_is_named() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model(NAME, timer(1801), context_length=8192)), 2)
    assert (state(seen).cause, state(seen).reason) == (
        PinCause.CONTEXT,
        "it was loaded with context 8192 instead of 4096 (Continue asks for 8192 by default)",
    )


def test_an_engine_that_refuses_is_down_and_one_that_is_slow_says_nothing() -> None:
    slow = watch()
    slow.give(ENGINE, failure(FailureKind.TIMEOUT, "no answer"), 2)
    assert state(slow).pin is Pin.HELD
    down = watch()
    down.give(ENGINE, failure(), 2)
    assert (state(down).cause, state(down).reason) == (PinCause.RESTARTED, f"{URL} does not run")
    down.give(ENGINE, engine(), 6)
    assert (state(down).cause, state(down).reason) == (PinCause.RESTARTED, f"{URL} was restarted")


def test_a_model_that_was_never_there_is_lost_but_not_counted() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    seen.give(ENGINE, engine(), 1)
    assert (state(seen).pin, state(seen).cause, state(seen).losses) == (Pin.LOST, PinCause.NOT_LOADED, ())


def test_the_same_name_with_other_weights_is_another_model() -> None:
    seen = watch(PinWish(URL, NAME, "f" * 64))
    assert state(seen).cause is PinCause.REPLACED


def test_a_timer_that_runs_out_is_an_unload() -> None:
    seen = watch()
    seen.give(ENGINE, engine(model(NAME, timer(12))), 2)
    seen.give(ENGINE, engine(), 13)
    lost = state(seen)
    assert (lost.cause, lost.reason) == (PinCause.UNLOADED, "unloaded: its keep-alive was over")
    assert len(lost.losses) == 1


def test_unpinning_forgets_without_a_word() -> None:
    seen = watch()
    told = len(seen.told)
    seen.give("pins", PinSample(), 1)
    assert (seen.desk.pins, seen.desk.models[0].pin, len(seen.told)) == ((), Pin.NONE, told)


BLOB = "b" * 64


def with_runner(seen: Watch, second: float, *pids: int) -> None:
    """Show the cards and processes: runners of the pinned model with these pids, or none."""
    seen.cards(second, card(0, *((pid, 9 * GIB) for pid in pids)))
    seen.processes(second, *(runner(pid, BLOB) for pid in pids))


def crashing() -> Watch:
    """Return a watch that saw the pinned model's runner at work until second 3, when it ended."""
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME, context_length=4096),)), 0)
    details = ModelDetails(model(NAME).digest or "", (BLOB,))
    seen.give(f"ollama-details {URL}", DetailsSample(URL, (details,)), 0)
    seen.give(ENGINE, engine(model(NAME, forever())), 0)
    with_runner(seen, 1, 4711)
    assert seen.desk.models[0].pids == (4711,)
    with_runner(seen, 3)
    return seen


def test_a_runner_that_ends_while_its_engine_lists_it_breaks_the_pin() -> None:
    seen = crashing()
    assert state(seen).pin is Pin.HELD  # it may be on its way out
    seen.give(ENGINE, engine(model(NAME, forever())), 5)
    assert (state(seen).pin, state(seen).cause, state(seen).reason) == (Pin.LOST, PinCause.CRASHED, "its runner ended")
    kinds = [event.kind for event in seen.told]
    assert (kinds.count(EventKind.RUNNER_ENDED), kinds.count(EventKind.PIN_LOST)) == (1, 1)
    seen.give(ENGINE, engine(model(NAME, forever())), 7)
    assert [event.kind for event in seen.told].count(EventKind.RUNNER_ENDED) == 1


def test_a_runner_that_ends_because_its_model_is_unloaded_did_not_crash() -> None:
    seen = crashing()
    seen.give(ENGINE, engine(), 5)
    assert EventKind.RUNNER_ENDED not in [event.kind for event in seen.told]
    assert state(seen).cause is PinCause.UNLOADED


def test_a_runner_that_ends_is_noticed_where_there_is_no_driver() -> None:
    seen = Watch()
    seen.fail("nvml", 0)
    seen.give("pins", PinSample((PinWish(URL, NAME, context_length=4096),)), 0)
    seen.give(f"ollama-details {URL}", DetailsSample(URL, (ModelDetails(model(NAME).digest or "", (BLOB,)),)), 0)
    seen.give(ENGINE, engine(model(NAME, forever())), 0)
    seen.processes(1, runner(4711, BLOB))
    assert seen.desk.models[0].pids == (4711,)
    seen.processes(3)
    seen.give(ENGINE, engine(model(NAME, forever())), 5)
    assert state(seen).cause is PinCause.CRASHED


def test_a_runner_that_is_there_again_mends_the_pin() -> None:
    seen = crashing()
    seen.give(ENGINE, engine(model(NAME, forever())), 5)
    with_runner(seen, 8, 4712)
    seen.give(ENGINE, engine(model(NAME, forever())), 9)
    assert state(seen).pin is Pin.HELD


def test_while_processes_cannot_be_read_nothing_is_called_ended() -> None:
    seen = crashing()
    seen.fail("processes", 4)
    seen.give(ENGINE, engine(model(NAME, forever())), 9)
    assert EventKind.RUNNER_ENDED not in [event.kind for event in seen.told]
