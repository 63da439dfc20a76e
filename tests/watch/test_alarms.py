"""Alarms: when they begin, when they end, and what they say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpudesk.domain.alarm import Alarm, AlarmKind, AlarmLimits
from gpudesk.domain.event import EventKind
from gpudesk.domain.pin import PinSample, PinWish
from gpudesk.watch.store import initial
from tests.watch.build import ENGINE, GIB, START, URL, Watch, card, engine, forever, model, process, runner, timer

NAME = "qwen3:14b"


def alarms(seen: Watch, kind: AlarmKind) -> list[Alarm]:
    return [alarm for alarm in seen.desk.alarms if alarm.kind is kind]


def held(free_gib: float) -> int:
    return round((24 - free_gib) * GIB)


def test_little_free_memory_is_told_after_five_seconds_and_once() -> None:
    seen = Watch()
    for second in range(12):
        seen.cards(second, card(0, rest=held(1.5)))
        assert bool(alarms(seen, AlarmKind.LOW_MEMORY)) is (second >= 5)
    (alarm,) = alarms(seen, AlarmKind.LOW_MEMORY)
    assert alarm.message == "1.5 GiB free on RTX 0, less than 2.0 GiB"
    assert alarm.since == START
    assert [event.kind for event in seen.told].count(EventKind.ALARM) == 1


def test_a_moment_of_little_free_memory_is_no_alarm() -> None:
    seen = Watch()
    for second, free in enumerate([1.5, 1.5, 1.5, 6.0, 1.5, 1.5, 1.5, 1.5]):
        seen.cards(second, card(0, rest=held(free)))
    assert not seen.desk.alarms


def test_an_alarm_about_memory_ends_only_when_it_is_clearly_over() -> None:
    seen = Watch()
    for second in range(6):
        seen.cards(second, card(0, rest=held(1.5)))
    seen.cards(7, card(0, rest=held(2.1)))
    assert alarms(seen, AlarmKind.LOW_MEMORY)
    seen.cards(8, card(0, rest=held(2.3)))
    assert not seen.desk.alarms


@pytest.mark.parametrize(
    "limits", [AlarmLimits(free_memory_bytes=0), AlarmLimits(enabled=False), AlarmLimits(free_memory_bytes=GIB)]
)
def test_the_limit_is_the_user_s(limits: AlarmLimits) -> None:
    seen = Watch()
    seen.watched = initial(START, limits)
    for second in range(8):
        seen.cards(second, card(0, rest=held(1.5)))
    assert not seen.desk.alarms


def test_a_card_that_is_smaller_than_twice_the_limit_is_left_alone() -> None:
    seen = Watch()
    for second in range(8):
        seen.cards(second, card(0, total=4 * GIB, rest=3 * GIB))
    assert not seen.desk.alarms


def test_a_hot_card_is_told_after_ten_seconds_and_ends_three_degrees_below() -> None:
    seen = Watch()
    for second in range(11):
        seen.cards(second, card(0, temperature_celsius=90.0, temperature_limit_celsius=90.0))
    (alarm,) = alarms(seen, AlarmKind.HOT_CARD)
    assert "90 °C" in alarm.message
    seen.cards(12, card(0, temperature_celsius=88.0, temperature_limit_celsius=90.0))
    assert alarms(seen, AlarmKind.HOT_CARD)
    seen.cards(13, card(0, temperature_celsius=86.0, temperature_limit_celsius=90.0))
    assert not seen.desk.alarms


def test_a_model_on_the_cpu_is_an_alarm_without_a_second_event() -> None:
    seen = Watch()
    for second in range(5):
        seen.cards(second, card(0))
        seen.engine(second, model(NAME, forever(), size_vram_bytes=3 * GIB))
    (alarm,) = alarms(seen, AlarmKind.SPILLED)
    assert alarm.message == f"{NAME} runs 67 % on the CPU"
    assert EventKind.ALARM not in [event.kind for event in seen.told]


def test_a_context_ping_pong_names_both_values() -> None:
    seen = Watch()
    for turn in range(5):
        context = 4096 if turn % 2 == 0 else 16384
        seen.engine(20.0 * turn, model(NAME, timer(300 + 20 * turn, at=20 * turn), context_length=context))
        assert bool(alarms(seen, AlarmKind.PING_PONG)) is (turn >= 3)
    (alarm,) = alarms(seen, AlarmKind.PING_PONG)
    assert alarm.message == f"{NAME} was loaded again 4 times in 5m: clients ask for contexts 4096 and 16384"
    assert f"gpudesk derive {NAME} --ctx 16384" in alarm.advice
    seen.engine(500, model(NAME, timer(800, at=500), context_length=4096))
    assert not seen.desk.alarms


def test_a_pin_lost_three_times_is_a_thrash() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    for turn in range(3):
        assert not alarms(seen, AlarmKind.THRASH)
        seen.engine(20.0 * turn, model(NAME, forever()))
        seen.engine(20.0 * turn + 10, model(NAME, timer(1800 + 20 * turn + 10, at=20 * turn + 10)))
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    assert alarm.message.startswith(f"the pin of {NAME} was lost 3 times in ten minutes: keep-alive changed")


def test_a_pin_lost_for_several_causes_names_each_once() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME, context_length=4096),)), 0)
    seen.engine(0, model(NAME, forever(), context_length=4096))
    seen.engine(10, model(NAME, timer(1810, at=10), context_length=4096))
    seen.engine(20, model(NAME, forever(), context_length=4096))
    seen.engine(30, model(NAME, forever(), context_length=16384))
    seen.engine(40, model(NAME, forever(), context_length=4096))
    seen.engine(50, model(NAME, timer(1850, at=50), context_length=4096))
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    began = f"the pin of {NAME} was lost 3 times in ten minutes: "
    assert alarm.message.removeprefix(began).split("; ") == [
        "keep-alive changed from forever to 30m (Continue sends 30m by default)",
        "it was loaded with context 16384 instead of 4096",
    ]


def test_a_thrash_tells_the_cause_that_was_found_out_later() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME),)), 0)
    for turn in range(3):
        at = 120.0 * turn
        seen.engine(at, model(NAME, forever()))
        seen.engine(at + 10)
        assert seen.desk.pins[0].loss_causes[-1][1] == seen.desk.pins[0].reason
        seen.engine(at + 11, model("gpt-oss:20b", timer(at + 311, at=at + 11)))
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    assert "gpt-oss:20b" in alarm.message


def test_what_befalls_a_model_whose_pin_is_lost_is_no_cause_of_the_loss() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME, context_length=4096),)), 0)
    for turn in range(3):
        at = 100.0 * turn
        seen.engine(at, model(NAME, forever(), context_length=4096))
        seen.engine(at + 10, model(NAME, forever(), context_length=2048))
        seen.engine(at + 30)
        seen.engine(at + 31)
        assert (seen.desk.pins[0].reason or "").startswith("unloaded")
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    assert alarm.message.endswith("ten minutes: it was loaded with context 2048 instead of 4096")


def test_an_old_loss_takes_its_cause_along() -> None:
    seen = Watch()
    seen.give("pins", PinSample((PinWish(URL, NAME, context_length=4096),)), 0)
    seen.engine(0, model(NAME, forever(), context_length=16384))
    seen.engine(1, model(NAME, forever(), context_length=4096))
    for at in (10.0, 300.0, 500.0):
        seen.engine(at, model(NAME, forever(), context_length=8192 if at == 10 else 16384))
        seen.engine(at + 1, model(NAME, forever(), context_length=4096))
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    assert "8192" in alarm.message
    seen.engine(620, model(NAME, forever(), context_length=16384))
    (alarm,) = alarms(seen, AlarmKind.THRASH)
    assert "3 times" in alarm.message
    assert "8192" not in alarm.message


def test_two_models_that_push_each_other_out_are_a_thrash() -> None:
    seen = Watch()
    names = (NAME, "gpt-oss:20b")
    for turn in range(8):
        at = 10.0 * turn
        seen.engine(at, model(names[turn % 2], timer(300 + at, at=at)))
    found = {alarm.subject for alarm in alarms(seen, AlarmKind.THRASH)}
    assert found == set(names)


def test_a_model_that_is_unloaded_after_hours_was_not_stuck() -> None:
    seen = Watch()
    seen.give(ENGINE, engine(model(NAME, forever())), 0)
    seen.processes(1, runner(77))
    assert seen.desk.models[0].pids == (77,)
    seen.give(ENGINE, engine(), 9000)
    seen.processes(9001, runner(77))
    assert not seen.desk.alarms
    seen.processes(9059, runner(77))
    seen.processes(9060, runner(77))
    seen.processes(9069, runner(77))
    assert not seen.desk.alarms
    seen.processes(9070, runner(77))
    (alarm,) = seen.desk.alarms
    assert alarm.kind is AlarmKind.LEFT_BEHIND
    assert alarm.message == "process 77 was unloaded 1m 10s ago, and its runner is still there"
    assert alarm.advice == "end it: kill 77"


def test_a_runner_whose_model_is_never_listed_is_stuck() -> None:
    seen = Watch()
    seen.give(ENGINE, engine(), 0)
    seen.cards(0, card(0, (77, 3 * GIB)))
    seen.processes(1, runner(77), process(5))
    seen.processes(299, runner(77), process(5))
    assert not seen.desk.alarms
    seen.processes(301, runner(77), process(5))
    (alarm,) = alarms(seen, AlarmKind.STUCK_LOAD)
    assert "loading for 5m" in alarm.message
    assert alarm.since == START + timedelta(seconds=301)
