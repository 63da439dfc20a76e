from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gpudesk.domain.event import EventKind, Severity
from gpudesk.errors import FailureKind
from gpudesk.watch.changes import changes, news
from gpudesk.watch.store import EVENT_LIMIT
from gpudesk.watch.watched import dismissed
from tests.watch.build import (
    ENGINE,
    GIB,
    MIB,
    START,
    URL,
    Watch,
    card,
    engine,
    forever,
    messages,
    model,
    process,
    runner,
    timer,
)

CHAT = "qwen3:14b"
OTHER = "gemma3:12b"


def started(*models: object) -> Watch:
    """Return a watch that has just begun: one card, one engine with these models."""
    watch = Watch()
    watch.cards(0, card(0, rest=GIB))
    watch.give(ENGINE, engine(*models), 0)  # type: ignore[arg-type]
    watch.processes(0)
    assert watch.told == []
    return watch


def test_what_is_there_at_the_start_is_not_news() -> None:
    watch = Watch()
    watch.cards(0, card(0, (1, 8 * GIB)))
    watch.engine(0.1, model(CHAT, forever(), size_vram_bytes=4 * GIB))
    watch.processes(0.2, process(1))
    watch.cards(30, card(0, (1, 8 * GIB)))
    assert watch.told == []


def test_loaded_and_unloaded_when_its_time_was_up() -> None:
    watch = started()
    (loaded,) = watch.engine(2, model(CHAT, timer(302, at=2)))
    assert (loaded.kind, loaded.subject, loaded.engine_url) == (EventKind.LOADED, CHAT, URL)
    assert loaded.message == "qwen3:14b loaded (9.0 GiB, context 4096)"
    (unloaded,) = watch.engine(304)
    assert unloaded.kind is EventKind.UNLOADED
    assert unloaded.message == "qwen3:14b unloaded: its keep-alive was over"


def test_nothing_changed_nothing_told() -> None:
    watch = started(model(CHAT, timer(300)))
    for second in range(1, 60):
        watch.cards(second, card(0, rest=GIB, utilization_ratio=second / 60))
        watch.engine(second + 0.1, model(CHAT, timer(300)))
    assert watch.told == []


def test_unloaded_before_its_time_says_how_much_was_left() -> None:
    watch = started(model(CHAT, timer(300)))
    (event,) = watch.engine(50)
    assert event.kind is EventKind.UNLOADED
    assert event.message == "qwen3:14b unloaded 4m 10s before its time: asked for, or its process ended"


def test_asked_to_stop_while_forever() -> None:
    watch = started(model(CHAT, forever()))
    watch.engine(10, model(CHAT, timer(9, at=10)))
    watch.engine(12)
    assert messages(watch.told) == [
        "keep-alive of qwen3:14b changed from forever to stopping",
        "qwen3:14b unloaded: asked for",
    ]


@pytest.mark.parametrize("keep_alive", [forever(), timer(300)])
def test_evicted_for_the_model_that_came_at_the_same_look(keep_alive: object) -> None:
    watch = started(model(CHAT, keep_alive))  # type: ignore[arg-type]
    evicted, loaded = watch.engine(50, model(OTHER, timer(350, at=50)))
    assert (evicted.kind, evicted.subject, evicted.after) == (EventKind.EVICTED, CHAT, OTHER)
    assert loaded.kind is EventKind.LOADED
    if keep_alive == forever():
        assert evicted.message == "qwen3:14b evicted for gemma3:12b, although its keep-alive was forever"
        assert evicted.severity is Severity.WARNING
    else:
        assert evicted.message == "qwen3:14b evicted for gemma3:12b, 4m 10s before its time"


def test_evicted_is_understood_when_the_other_model_comes_some_seconds_later() -> None:
    watch = started(model(CHAT, forever()))
    (left,) = watch.engine(10)
    assert left.kind is EventKind.UNLOADED
    watch.engine(12, model(OTHER, timer(312, at=12)))
    assert [event.kind for event in watch.desk.events] == [EventKind.EVICTED, EventKind.LOADED]
    assert watch.desk.events[0].at == left.at
    assert watch.desk.events[0].message == "qwen3:14b evicted for gemma3:12b, although its keep-alive was forever"


@pytest.mark.parametrize("gap", [0, 1])
def test_what_gpudesk_asked_to_go_was_not_evicted(gap: float) -> None:
    watch = started(model(CHAT, forever()))
    watch.watched = dismissed(watch.watched, URL, [CHAT], START + timedelta(seconds=9))
    if gap:
        watch.engine(10)
    watch.engine(10 + gap, model(OTHER, timer(310 + gap, at=10 + gap)))
    assert [event.kind for event in watch.desk.events] == [EventKind.UNLOADED, EventKind.LOADED]
    assert watch.desk.events[0].message == "qwen3:14b unloaded: gpudesk asked for it"
    assert watch.desk.events[0].severity is Severity.INFO


def test_what_gpudesk_asked_to_go_and_loads_again_is_one_reload() -> None:
    watch = started(model(CHAT, forever()))
    watch.watched = dismissed(watch.watched, URL, [CHAT], START + timedelta(seconds=9))
    watch.engine(10)
    watch.engine(12, model(CHAT, forever(), context_length=8192))
    assert [event.kind for event in watch.desk.events] == [EventKind.RELOADED]


def test_a_wish_of_gpudesk_does_not_explain_what_happens_long_after_or_to_others() -> None:
    for names, second in (([OTHER], 10), ([CHAT], 400)):
        watch = started(model(CHAT, forever()))
        watch.watched = dismissed(watch.watched, URL, names, START + timedelta(seconds=9))
        watch.engine(second, model(OTHER, timer(second + 300, at=second)))
        assert [event.kind for event in watch.desk.events] == [EventKind.EVICTED, EventKind.LOADED]


@pytest.mark.parametrize("seconds", [3, 10])
def test_a_model_that_comes_after_a_pause_may_have_come_after_a_wish(seconds: int) -> None:
    """`ollama stop` one and `ollama run` another looks like this too."""
    watch = started(model(CHAT, forever()))
    watch.engine(10)
    watch.engine(10 + seconds, model(OTHER, timer(300, at=10 + seconds)))
    event, _ = watch.desk.events
    assert event.message == "qwen3:14b probably evicted for gemma3:12b, although its keep-alive was forever"
    assert (event.kind, event.severity) == (EventKind.EVICTED, Severity.INFO)


def test_a_model_that_comes_long_after_evicted_nobody() -> None:
    watch = started(model(CHAT, forever()))
    watch.engine(10)
    watch.engine(21, model(OTHER, timer(321, at=21)))
    assert [event.kind for event in watch.desk.events] == [EventKind.UNLOADED, EventKind.LOADED]


def test_a_slow_load_counts_from_the_start_of_its_process() -> None:
    """From Ollama 0.30 on a model is listed when its load is done, a minute after it made others leave."""
    watch = started(model(CHAT, forever()))
    watch.engine(10)
    watch.cards(12, card(0, (77, GIB)))
    watch.processes(12.1, runner(77, started=11))
    late = replace(runner(77, started=11), runner=replace(runner(77).runner, model_name=OTHER))  # type: ignore[type-var]
    watch.processes(40, late)
    watch.engine(55, model(OTHER, timer(355, at=55)))
    assert watch.desk.models[0].pids == (77,)
    assert [event.kind for event in watch.desk.events] == [EventKind.EVICTED, EventKind.LOADED]


def test_evicted_just_after_the_other_was_listed() -> None:
    watch = started(model(CHAT, forever()))
    watch.engine(10, model(CHAT, forever()), model(OTHER, timer(310, at=10)))
    (event,) = watch.engine(12, model(OTHER, timer(310, at=10)))
    assert (event.kind, event.after) == (EventKind.EVICTED, OTHER)
    assert event.message.startswith("qwen3:14b probably evicted for")


def test_a_model_whose_time_was_up_made_room_for_nobody() -> None:
    watch = started(model(CHAT, timer(50)))
    left, _ = watch.engine(52, model(OTHER, timer(352, at=52)))
    assert left.kind is EventKind.UNLOADED


def test_two_models_that_push_each_other_out_are_evicted_each_time() -> None:
    watch = started(model(CHAT, timer(300)))
    for turn in range(1, 5):
        name = OTHER if turn % 2 else CHAT
        watch.engine(turn * 4, model(name, timer(turn * 4 + 300, at=turn * 4)))
    kinds = [event.kind for event in watch.desk.events]
    assert kinds == [EventKind.EVICTED, EventKind.LOADED] * 4


def test_keep_alive_lost_to_continue() -> None:
    watch = started(model(CHAT, forever()))
    (event,) = watch.engine(2, model(CHAT, timer(1801, at=2)))
    assert (event.kind, event.before, event.after) == (EventKind.KEEP_ALIVE_CHANGED, "forever", "30m")
    assert event.message == "keep-alive of qwen3:14b changed from forever to 30m (Continue sends 30m by default)"
    assert event.severity is Severity.WARNING


def test_keep_alive_from_five_minutes_to_forever() -> None:
    watch = started(model(CHAT, timer(300)))
    watch.engine(10, model(CHAT, timer(309, at=10)))
    (event,) = watch.engine(20, model(CHAT, forever()))
    assert event.message == "keep-alive of qwen3:14b changed from 5m to forever"
    assert event.severity is Severity.INFO


def test_a_busy_model_tells_nothing_about_its_keep_alive() -> None:
    watch = started(model(CHAT, timer(300)))
    for second in range(2, 120, 2):
        watch.engine(second, model(CHAT, timer(second - 0.7 + 300, at=second)))
        watch.cards(second + 0.5, card(0, rest=GIB + second * MIB))
    assert watch.told == []


def test_another_context_is_a_reload_from_what_to_what() -> None:
    watch = started(model(CHAT, timer(300)))
    (event,) = watch.engine(20, model(CHAT, timer(319, at=20), context_length=8192))
    assert (event.kind, event.before, event.after) == (EventKind.RELOADED, "context 4096", "context 8192")
    assert event.message == "qwen3:14b reloaded with context 8192 instead of context 4096"


def test_one_reload_is_one_line_although_its_process_is_found_later() -> None:
    first, second = runner(70, started=-60), runner(71, started=19, context=8192, slots=2)
    watch = Watch()
    watch.cards(0, card(0, (70, 9 * GIB)))
    watch.engine(0, model(CHAT, timer(300)))
    watch.processes(0, first)
    watch.engine(20, model(CHAT, timer(319, at=20), context_length=8192))
    watch.cards(21, card(0, (71, 10 * GIB)))
    watch.processes(21.1, second)
    watch.cards(40, card(0, (71, 10 * GIB)))
    assert [event.kind for event in watch.told] == [EventKind.RELOADED]


def test_a_model_that_is_gone_while_it_is_loaded_anew_is_one_reload() -> None:
    """From Ollama 0.30 on a model is in no list between two loads of itself."""
    watch = started(model(CHAT, forever()))
    watch.engine(10)
    watch.engine(32, model(CHAT, timer(332, at=32), context_length=32768))
    reloaded, lost = watch.desk.events
    assert reloaded.message == "qwen3:14b reloaded with context 32768 instead of context 4096"
    assert (lost.kind, lost.before) == (EventKind.KEEP_ALIVE_CHANGED, "forever")


def test_a_model_that_comes_back_much_later_is_loaded() -> None:
    watch = started(model(CHAT, forever()))
    watch.engine(10)
    watch.engine(90, model(CHAT, timer(390, at=90), context_length=32768))
    assert [event.kind for event in watch.desk.events] == [EventKind.UNLOADED, EventKind.LOADED]


def test_spilled_and_back() -> None:
    watch = started(model(CHAT, forever()))
    (spilled,) = watch.engine(2, model(CHAT, forever(), size_bytes=10 * GIB, size_vram_bytes=5 * GIB))
    assert (spilled.kind, spilled.severity) == (EventKind.SPILLED, Severity.WARNING)
    assert spilled.message == "qwen3:14b runs 50 % on the CPU"
    (back,) = watch.engine(4, model(CHAT, forever()))
    assert (back.kind, back.message) == (EventKind.BACK_ON_CARD, "qwen3:14b is all on the card again")


def test_a_model_that_comes_spilled_is_told_of_loudly() -> None:
    watch = started()
    events = watch.engine(2, model(CHAT, forever(), size_vram_bytes=0))
    assert [event.kind for event in events] == [EventKind.LOADED, EventKind.SPILLED]


def test_a_rounding_is_no_spill() -> None:
    watch = started(model(CHAT, forever()))
    assert watch.engine(2, model(CHAT, forever(), size_bytes=1000, size_vram_bytes=991)) == []


def test_without_a_card_there_is_nothing_to_spill_from() -> None:
    watch = Watch()
    watch.engine(0)
    assert [event.kind for event in watch.engine(2, model(CHAT, forever(), size_vram_bytes=0))] == [EventKind.LOADED]


def test_an_engine_that_is_gone_and_back_is_told_once_each() -> None:
    watch = started(model(CHAT, forever()))
    for second in range(2, 12, 2):
        watch.fail(ENGINE, second)
    watch.engine(12, model(CHAT, forever()))
    assert [event.kind for event in watch.told] == [EventKind.ENGINE_GONE, EventKind.ENGINE_BACK]
    assert watch.told[0].message == f"{URL} is gone: connection refused"
    assert watch.told[0].severity is Severity.ERROR


def test_an_engine_that_stalls_for_a_moment_is_not_gone() -> None:
    watch = started(model(CHAT, forever()))
    watch.fail(ENGINE, 5, FailureKind.TIMEOUT)
    watch.fail(ENGINE, 9.9, FailureKind.TIMEOUT)
    watch.engine(11, model(CHAT, forever()))
    assert watch.told == []


def test_an_engine_that_stalls_for_long_is_gone() -> None:
    watch = started()
    watch.fail(ENGINE, 5, FailureKind.TIMEOUT)
    assert [event.kind for event in watch.fail(ENGINE, 10, FailureKind.TIMEOUT)] == [EventKind.ENGINE_GONE]


def test_an_engine_that_was_never_there_comes_as_news_but_its_models_do_not() -> None:
    watch = Watch()
    watch.fail(ENGINE, 0)
    assert watch.told == []
    assert [event.kind for event in watch.engine(2, model(CHAT, forever()))] == [EventKind.ENGINE_BACK]


def test_models_that_left_while_the_engine_was_away_left_for_no_known_reason() -> None:
    watch = started(model(CHAT, forever()))
    watch.fail(ENGINE, 2)
    watch.engine(20, model(OTHER, timer(320, at=20)))
    assert messages(watch.told)[2:] == [
        f"qwen3:14b unloaded while {URL} did not answer",
        "gemma3:12b loaded (9.0 GiB, context 4096)",
    ]


def test_an_eviction_behind_a_stall_is_still_an_eviction() -> None:
    watch = started(model(CHAT, forever()))
    watch.fail(ENGINE, 5, FailureKind.TIMEOUT)
    events = watch.engine(8, model(OTHER, timer(308, at=8)))
    assert [event.kind for event in events] == [EventKind.EVICTED, EventKind.LOADED]


def test_a_model_forgotten_in_a_long_outage_is_no_news_when_it_is_still_there() -> None:
    watch = started(model(CHAT, forever()))
    for second in range(2, 100, 2):
        watch.fail(ENGINE, second)
    assert watch.desk.models == ()
    watch.engine(100, model(CHAT, forever()))
    assert [event.kind for event in watch.told] == [EventKind.ENGINE_GONE, EventKind.ENGINE_BACK]


def test_a_model_forgotten_in_a_long_outage_and_gone_is_told_when_the_engine_is_back() -> None:
    watch = started(model(CHAT, forever()))
    for second in range(2, 100, 2):
        watch.fail(ENGINE, second)
    assert watch.desk.models == ()
    watch.engine(100)
    watch.engine(110, model(CHAT, forever()))
    assert messages(watch.told)[2:] == [
        f"qwen3:14b unloaded while {URL} did not answer",
        "qwen3:14b loaded (9.0 GiB, context 4096)",
    ]


def test_an_engine_of_another_version() -> None:
    watch = started()
    assert watch.engine(2, version=None) == []
    (event,) = watch.engine(4, version="0.33.0")
    assert (event.kind, event.before, event.after) == (EventKind.ENGINE_UPDATED, "0.12.6", "0.33.0")


@pytest.mark.parametrize("kind", [FailureKind.LOST, FailureKind.TIMEOUT, FailureKind.MISSING])
def test_the_driver_is_gone_and_back_once(kind: FailureKind) -> None:
    watch = started()
    for second in range(1, 5):
        watch.fail("nvml", second, kind)
    watch.cards(6, card(0, rest=GIB))
    assert [event.kind for event in watch.told] == [EventKind.DRIVER_GONE, EventKind.DRIVER_BACK]


def test_a_driver_that_stumbles_once_is_not_gone() -> None:
    watch = started()
    watch.fail("nvml", 1, FailureKind.FAILED)
    watch.cards(2, card(0, rest=GIB))
    assert watch.told == []


def test_a_single_card_lost_and_back() -> None:
    watch = Watch()
    watch.cards(0, card(0), card(1))
    (lost,) = watch.cards(1, card(0), card(1, error="GPU is lost"))
    assert (lost.kind, lost.card_index, lost.message) == (EventKind.CARD_GONE, 1, "RTX 1 is gone: GPU is lost")
    assert watch.cards(2, card(0), card(1, error="GPU is lost")) == []
    (back,) = watch.cards(3, card(0), card(1))
    assert (back.kind, back.card_index) == (EventKind.CARD_BACK, 1)
    (gone,) = watch.cards(4, card(0))
    assert (gone.kind, gone.message) == (EventKind.CARD_GONE, "RTX 1 is gone")


def test_two_desks_alone_tell_what_they_can() -> None:
    watch = started(model(CHAT, forever()))
    before = watch.desk
    watch.engine(2, model(CHAT, timer(302, at=2)), model(OTHER, timer(302, at=2)))
    assert [event.kind for event in changes(before, watch.desk)] == [EventKind.LOADED, EventKind.KEEP_ALIVE_CHANGED]
    assert changes(before, before) == ()
    assert changes(watch.desk, replace(watch.desk, taken_at=START)) == ()


@pytest.mark.slow
def test_events_are_bounded_and_the_newest_stay() -> None:
    watch = started()
    for turn in range(EVENT_LIMIT + 20):
        at = turn * 400 + 2
        watch.engine(at, model(f"m{turn}", timer(at + 300, at=at)))
    assert len(watch.desk.events) == EVENT_LIMIT
    assert watch.desk.events[-1].subject == f"m{EVENT_LIMIT + 19}"


def test_news_are_new_and_revised_events_and_never_old_ones() -> None:
    watch = started(model(CHAT, forever()), model("third", forever()))
    watch.engine(5, model("third", forever(), context_length=8192), model(CHAT, forever()))
    watch.engine(30, model("third", forever(), context_length=8192))
    told = watch.desk.events
    assert news((), told) == told
    assert news(told, told) == ()
    watch.engine(35, model("third", forever(), context_length=8192), model(OTHER, forever()))
    assert [event.kind for event in news(told, watch.desk.events)] == [EventKind.EVICTED, EventKind.LOADED]


def test_the_same_name_twice_is_one_model() -> None:
    watch = started()
    assert len(watch.engine(2, model(CHAT, forever()), model(CHAT, forever()))) == 1
