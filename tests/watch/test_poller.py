from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.desk import Desk
from gpudesk.domain.engine import CatalogSample, DetailsSample
from gpudesk.domain.event import EventKind
from gpudesk.domain.host import Host
from gpudesk.domain.process import ProcessSample
from gpudesk.domain.reading import Sample
from gpudesk.errors import FailureKind, SourceError
from gpudesk.watch import cadence
from gpudesk.watch.history import Span
from gpudesk.watch.poller import Poller
from tests.waiting import until
from tests.watch.build import (
    ENGINE,
    GIB,
    URL,
    FakeSource,
    SteppedClock,
    card,
    cards,
    engine,
    forever,
    model,
    process,
)

CATALOG, DETAILS = f"ollama-catalog {URL}", f"ollama-details {URL}"


@contextmanager
def running(*sources: FakeSource, clock: SteppedClock | None = None) -> Iterator[Poller]:
    """Run a poller; at the end stop it and let hanging reads go."""
    poller = Poller(sources, clock.clock if clock else SYSTEM_CLOCK)
    poller.start()
    try:
        yield poller
    finally:
        poller.stop()
        for source in sources:
            source.gate.set()
        assert until(lambda: all(source.closed.is_set() for source in sources))


def constant(name: str, value: Sample, interval: float = 1.0) -> FakeSource:
    return FakeSource(name, lambda desk: value, interval)


def nvml(value: Sample | None = None) -> FakeSource:
    return constant("nvml", value or cards(card(0, (1, GIB))))


def failing(name: str, error: Exception, interval: float = 1.0) -> FakeSource:
    def give(desk: Desk) -> Sample:
        raise error

    return FakeSource(name, give, interval)


def beat(poller: Poller, clock: SteppedClock, seconds: float) -> None:
    """Step the clock and wake the threads, which wait in real time, to look at it."""
    clock.step(seconds)
    with poller._lock:
        for turn in poller._turns.values():
            turn.condition.notify_all()


def test_every_source_is_read_at_once_and_its_value_is_on_the_desk() -> None:
    with running(nvml(), constant(ENGINE, engine(model(keep_alive=forever()))), constant("host", Host(8))) as poller:
        assert until(lambda: bool(poller.desk.cards) and bool(poller.desk.models) and poller.desk.host == Host(8))
        assert poller.history.points(0, Span.MINUTE)[-1].used_ratio == pytest.approx(1 / 24)


def test_nothing_is_read_before_the_start_and_nothing_twice_by_starting_twice() -> None:
    source = nvml()
    poller = Poller([source], SteppedClock().clock)
    assert source.reads == 0
    poller.start()
    poller.start()
    assert until(lambda: source.reads == 1)
    assert len([each for each in threading.enumerate() if each.name == "gpudesk nvml"]) == 1
    poller.stop()
    assert source.closed.wait(5)


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="nvml"):
        Poller([nvml(), nvml()])


def test_sources_are_read_at_their_own_pace() -> None:
    clock = SteppedClock()
    quick, slow = nvml(), constant("host", Host(), 3.0)
    with running(quick, slow, clock=clock) as poller:
        assert until(lambda: (quick.reads, slow.reads) == (1, 1))
        for second in range(1, 7):
            beat(poller, clock, 1.0)
            assert until(lambda second=second: (quick.reads, slow.reads) == (1 + second, 1 + second // 3))  # type: ignore[misc]


def test_without_focus_everything_is_read_three_times_less_often_and_at_once_when_it_is_back() -> None:
    clock = SteppedClock()
    source = nvml()
    with running(source, clock=clock) as poller:
        assert until(lambda: source.reads == 1 and _idle(poller))
        poller.set_focused(False)
        beat(poller, clock, 1.0)
        assert until(lambda: source.reads == 2 and _idle(poller))
        assert poller.desk.sources[0].interval_seconds == 3.0
        for _ in range(2, 3):
            beat(poller, clock, 1.0)
            time.sleep(0.02)
            assert source.reads == 2
        beat(poller, clock, 1.0)
        assert until(lambda: source.reads == 3 and _idle(poller))
        poller.set_focused(False)
        time.sleep(0.02)
        assert source.reads == 3
        poller.set_focused(True)
        assert until(lambda: source.reads == 4)


def _idle(poller: Poller) -> bool:
    with poller._lock:
        return all(turn.began_at is None for turn in poller._turns.values())


def test_an_early_sample_is_taken_at_once_without_waiting_for_the_clock() -> None:
    clock = SteppedClock()
    sources = [nvml(), constant(ENGINE, engine(), 30.0)]
    with running(*sources, clock=clock) as poller:
        assert until(lambda: all(source.reads == 1 for source in sources) and _idle(poller))
        poller.request_sample()
        assert until(lambda: all(source.reads == 2 for source in sources))


def test_an_early_sample_asked_for_during_a_read_is_taken_after_it() -> None:
    clock = SteppedClock()
    source = nvml()
    source.gate.clear()
    with running(source, clock=clock) as poller:
        assert source.entered.wait(5)
        poller.request_sample()
        poller.request_sample()
        source.gate.set()
        assert until(lambda: source.reads == 2 and _idle(poller))
        time.sleep(0.02)
        assert source.reads == 2


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SourceError(FailureKind.DENIED, "no \x1b[31mpermission", "ask"), FailureKind.DENIED, "no [31mpermission"),
        (ZeroDivisionError("by\nzero"), FailureKind.FAILED, "unexpected ZeroDivisionError: by zero"),
        (RecursionError("deep"), FailureKind.FAILED, "unexpected RecursionError: deep"),
    ],
)
def test_whatever_a_source_raises_is_a_failed_reading(error: Exception, kind: FailureKind, message: str) -> None:
    healthy = constant("host", Host(8))
    with running(failing("nvml", error), healthy) as poller:
        assert until(lambda: bool(poller.desk.problems) and poller.desk.host == Host(8))
        state = poller.desk.source("nvml")
        assert state is not None
        assert state.failure is not None
        assert (state.failure.kind, state.failure.message) == (kind, message)


def test_a_value_that_nobody_can_take_is_a_failure_of_its_source() -> None:
    with running(constant("nvml", cards(None)), constant("host", Host(8))) as poller:  # type: ignore[arg-type]
        assert until(lambda: bool(poller.desk.problems) and poller.desk.host == Host(8))
        assert poller.desk.problems[0].message.startswith("unexpected AttributeError")


def test_a_failing_source_is_tried_more_and_more_rarely_until_it_answers() -> None:
    clock = SteppedClock()
    answers = [False]

    def give(desk: Desk) -> Sample:
        if not answers[0]:
            raise SourceError(FailureKind.UNREACHABLE, "refused")
        return engine()

    source = FakeSource(ENGINE, give, 2.0)
    with running(source, clock=clock) as poller:
        expected = 1
        for wait in (1, 2, 4, 8, 15, 15):
            assert until(lambda expected=expected: source.reads == expected and _idle(poller))  # type: ignore[misc]
            beat(poller, clock, wait - 0.1)
            time.sleep(0.01)
            assert source.reads == expected
            beat(poller, clock, 0.1001)
            expected += 1
        assert until(lambda: source.reads == expected and _idle(poller))
        answers[0] = True
        poller.request_sample()
        assert until(lambda: poller.desk.problems == () and _idle(poller))
        beat(poller, clock, 2.0)
        assert until(lambda: source.reads == expected + 2)


def test_asking_for_a_sample_forgets_the_waiting() -> None:
    clock = SteppedClock()
    source = failing(ENGINE, SourceError(FailureKind.UNREACHABLE, "refused"), 2.0)
    with running(source, clock=clock) as poller:
        for reads in range(1, 6):
            assert until(lambda reads=reads: source.reads == reads and _idle(poller))  # type: ignore[misc]
            poller.request_sample()
        assert until(lambda: source.reads == 6 and _idle(poller))
        beat(poller, clock, 1.001)
        assert until(lambda: source.reads == 7)


def test_a_read_that_does_not_come_back_is_told_of_with_its_age_ever_more_rarely() -> None:
    clock = SteppedClock()
    source = nvml()
    with running(source, clock=clock) as poller:
        assert until(lambda: bool(poller.desk.cards) and _idle(poller))
        source.gate.clear()
        poller.request_sample()
        assert until(lambda: source.reads == 2)
        messages: list[str] = []
        for _ in range(45):
            clock.step(1.0)
            poller.check_overdue()
            told = [problem.message for problem in poller.desk.problems]
            messages.extend(message for message in told if message not in messages)
        assert messages == [f"no answer from the driver for {age} s" for age in (5, 10, 20, 40)]
        assert poller.desk.cards
        assert [event.kind for event in poller.desk.events] == [EventKind.DRIVER_GONE]
        source.gate.set()
        assert until(lambda: poller.desk.problems == ())
        assert [event.kind for event in poller.desk.events] == [EventKind.DRIVER_GONE, EventKind.DRIVER_BACK]


def test_a_late_value_is_the_newest_there_is() -> None:
    clock = SteppedClock()
    source = nvml(cards(card(0, (1, 2 * GIB))))
    source.gate.clear()
    with running(source, clock=clock) as poller:
        assert source.entered.wait(5)
        clock.step(7.0)
        poller.check_overdue()
        state = poller.desk.source("nvml")
        assert state is not None
        assert (state.sequence, state.last_value_at) == (1, None)
        source.gate.set()
        assert until(lambda: bool(poller.desk.cards))
        state = poller.desk.source("nvml")
        assert state is not None
        assert state.sequence == 2
        assert state.failure is None


def test_one_source_that_hangs_delays_no_other() -> None:
    stuck, well = nvml(), constant("host", Host(8), 0.02)
    stuck.gate.clear()
    with running(stuck, well):
        assert until(lambda: well.reads >= 5)
        assert stuck.reads == 1


def test_the_watchdog_works_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cadence, "allowed_seconds", lambda source, interval: 0.1)
    monkeypatch.setattr(cadence, "CHECK_SECONDS", 0.05)
    stuck = nvml()
    stuck.gate.clear()
    with running(stuck) as poller:
        assert until(lambda: bool(poller.desk.problems))
        assert poller.desk.problems[0].message.startswith("no answer from the driver")


def test_stopping_returns_at_once_while_everything_hangs() -> None:
    sources = [nvml(), constant(ENGINE, engine())]
    for source in sources:
        source.gate.clear()
    with running(*sources) as poller:
        assert all(source.entered.wait(5) for source in sources)
        began = time.perf_counter()
        poller.stop()
        assert time.perf_counter() - began < 0.1
        assert not any(source.closed.is_set() for source in sources)


def test_a_source_is_closed_once_by_its_own_thread_and_read_no_more() -> None:
    sources = [nvml(), constant(ENGINE, engine())]
    with running(*sources) as poller:
        assert until(lambda: all(source.reads for source in sources))
        poller.stop()
        poller.stop()
        assert all(source.closed.wait(5) for source in sources)
        reads = [source.reads for source in sources]
        poller.request_sample()
        time.sleep(0.02)
        assert [source.reads for source in sources] == reads
    assert [source.closed_in for source in sources] == [["gpudesk nvml"], [f"gpudesk {ENGINE}"]]


def test_what_comes_after_the_stop_is_not_on_the_desk() -> None:
    source = nvml()
    source.gate.clear()
    with running(source) as poller:
        assert source.entered.wait(5)
        poller.stop()
        source.gate.set()
        assert source.closed.wait(5)
        assert poller.desk.cards == ()


def test_a_stuck_driver_does_not_delay_the_end_of_the_interpreter() -> None:
    program = """
import sys, threading, time
from gpudesk.watch.poller import Poller
class Stuck:
    name, interval_seconds = sys.argv[1], 1.0
    def read(self, desk):
        entered.set()
        threading.Event().wait()
    def close(self):
        pass
entered = threading.Event()
poller = Poller([Stuck()])
poller.start()
entered.wait()
began = time.perf_counter()
poller.stop()
print(began, flush=True)
"""
    child = subprocess.run(
        [sys.executable, "-c", program, "nvml"], capture_output=True, text=True, timeout=20, check=True
    )
    assert child.stderr == ""
    assert time.perf_counter() - float(child.stdout) < 0.5


def test_a_new_pid_on_a_card_wakes_the_process_table() -> None:
    clock = SteppedClock()
    on_card = [cards(card(0, (1, GIB)))]
    nvidia = FakeSource("nvml", lambda desk: on_card[0])
    seen: list[tuple[int, ...]] = []

    def give(desk: Desk) -> Sample:
        from gpudesk.domain.process import ProcessSample

        pids = tuple(each.pid for state in desk.cards for each in state.card.processes)
        seen.append(pids)
        return ProcessSample(tuple(process(pid) for pid in pids))

    table = FakeSource("processes", give, 60.0)
    with running(nvidia, table, clock=clock) as poller:
        assert until(lambda: seen == [(1,)] and _idle(poller))
        on_card[0] = cards(card(0, (1, GIB), (2, GIB)))
        beat(poller, clock, 1.0)
        assert until(lambda: seen == [(1,), (1, 2)] and _idle(poller))
        beat(poller, clock, 1.0)
        assert until(lambda: nvidia.reads == 3 and _idle(poller))
        assert seen == [(1,), (1, 2)]


def test_the_process_table_is_read_soon_even_if_nobody_wakes_it() -> None:
    clock = SteppedClock()
    table = FakeSource("processes", lambda desk: Host(), 60.0)
    with running(table, clock=clock) as poller:
        time.sleep(0.02)
        assert table.reads == 0
        beat(poller, clock, 0.31)
        assert until(lambda: table.reads == 1)


def test_a_jump_of_memory_asks_the_engine_at_once_and_often_for_a_while() -> None:
    clock = SteppedClock()
    on_card = [cards(card(0, (1, GIB)))]
    nvidia = FakeSource("nvml", lambda desk: on_card[0])
    ollama = constant(ENGINE, engine(), 60.0)
    with running(nvidia, ollama, clock=clock) as poller:
        assert until(lambda: (nvidia.reads, ollama.reads) == (1, 1) and _idle(poller))
        on_card[0] = cards(card(0, (1, 5 * GIB)))
        beat(poller, clock, 1.0)
        assert until(lambda: ollama.reads == 2 and _idle(poller))
        for reads in range(3, 13):
            beat(poller, clock, 0.5)
            assert until(lambda reads=reads: ollama.reads == reads and _idle(poller))  # type: ignore[misc]
        for _ in range(10):
            beat(poller, clock, 0.5)
            time.sleep(0.005)
        assert ollama.reads == 12


def test_an_unknown_model_asks_what_it_is() -> None:
    clock = SteppedClock()
    loaded = [engine()]
    ollama = FakeSource(ENGINE, lambda desk: loaded[0])
    catalog, details = constant(CATALOG, CatalogSample(URL), 600.0), constant(DETAILS, DetailsSample(URL), 600.0)
    with running(ollama, catalog, details, clock=clock) as poller:
        beat(poller, clock, 0.5)
        assert until(lambda: (ollama.reads, catalog.reads, details.reads) == (1, 1, 1) and _idle(poller))
        loaded[0] = engine(model(keep_alive=forever()))
        beat(poller, clock, 0.5)
        assert until(lambda: (ollama.reads, catalog.reads, details.reads) == (2, 2, 2) and _idle(poller))
        beat(poller, clock, 1.0)
        assert until(lambda: ollama.reads == 3 and _idle(poller))
        assert (catalog.reads, details.reads) == (2, 2)


def test_listeners_hear_of_first_values_failures_and_recoveries_but_not_of_figures() -> None:
    clock = SteppedClock()
    fail = [False]
    heard = threading.Event()
    calls: list[float] = []

    def give(desk: Desk) -> Sample:
        if fail[0]:
            raise SourceError(FailureKind.FAILED, "sick")
        return cards(card(0, (1, GIB + desk.taken_at.second)))

    def listener() -> None:
        calls.append(time.monotonic())
        heard.set()

    source = FakeSource("nvml", give)
    source.gate.clear()
    with running(source, clock=clock) as poller:
        poller.subscribe(listener)
        source.gate.set()
        assert heard.wait(5)
        time.sleep(0.15)
        told = len(calls)
        for _ in range(3):
            beat(poller, clock, 1.0)
            assert until(lambda: _idle(poller))
        time.sleep(0.15)
        assert (told, len(calls)) == (1, 1)
        for state in (True, False):
            fail[0] = state
            heard.clear()
            poller.request_sample()
            assert heard.wait(5)


def test_listeners_are_called_at_most_ten_times_a_second() -> None:
    answers = [0]

    def give(desk: Desk) -> Sample:
        answers[0] += 1
        if answers[0] % 2:
            raise SourceError(FailureKind.FAILED, "sick")
        return cards(card(0))

    calls: list[float] = []
    source = FakeSource("nvml", give, 0.01)
    poller = Poller([source])
    poller.subscribe(lambda: calls.append(time.monotonic()))
    poller.start()
    deadline = time.monotonic() + 0.65
    while time.monotonic() < deadline:
        poller.request_sample()
        time.sleep(0.005)
    poller.stop()
    assert source.closed.wait(5)
    assert answers[0] > 40
    assert 3 <= len(calls) <= 7
    assert all(later - earlier >= 0.095 for earlier, later in pairwise(calls))


def test_a_listener_that_fails_is_not_called_again_and_hurts_nobody() -> None:
    clock = SteppedClock()
    heard: list[str] = []

    def broken() -> None:
        heard.append("broken")
        raise RuntimeError("the screen is gone")

    source = nvml()
    source.gate.clear()
    late = FakeSource("host", lambda desk: Host())
    late.gate.clear()
    with running(source, late, clock=clock) as poller:
        poller.subscribe(broken)
        poller.subscribe(lambda: heard.append("well"))
        source.gate.set()
        assert until(lambda: heard == ["broken", "well"])
        late.gate.set()
        assert until(lambda: heard == ["broken", "well", "well"])


def test_desks_are_only_ever_replaced_by_newer_ones() -> None:
    clock = SteppedClock()
    sources = [constant(f"host{number}", Host(number), 0.001) for number in range(4)]
    with running(*sources, clock=clock) as poller:
        before: dict[str, int] = {}
        for _ in range(300):
            beat(poller, clock, 0.001)
            for state in poller.desk.sources:
                assert state.sequence >= before.get(state.source, 0)
                before[state.source] = state.sequence


def processes(*pids: int) -> FakeSource:
    return constant("processes", ProcessSample(tuple(process(pid) for pid in pids)))


def test_a_fresh_desk_has_every_card_process_and_engine_read_again() -> None:
    clock = SteppedClock()
    catalog, host = constant(CATALOG, CatalogSample(URL), 60.0), constant("host", Host(), 60.0)
    asked = [nvml(), constant(ENGINE, engine(), 60.0), processes(1)]
    with running(*asked, catalog, host, clock=clock) as poller:
        assert until(lambda: all(source.reads >= 1 for source in (*asked[:2], catalog, host)) and _idle(poller))
        before = [source.reads for source in asked]
        desk = poller.fresh(5.0)
        assert [source.reads for source in asked] == [count + 1 for count in before]
        assert all(desk.source(source.name) is not None for source in asked)
        assert (catalog.reads, host.reads) == (1, 1)
        poller.fresh(5.0, installed=True)
        assert catalog.reads == 2


def test_processes_of_a_fresh_desk_are_read_when_its_cards_are_known() -> None:
    clock, seen = SteppedClock(), [100]

    def table(desk: Desk) -> Sample:
        return ProcessSample(tuple(process(each.pid) for state in desk.cards for each in state.card.processes))

    driver = FakeSource("nvml", lambda desk: cards(card(0, (seen[0], GIB))), 60.0)
    with running(driver, FakeSource("processes", table, 60.0), clock=clock) as poller:
        poller.fresh(5.0)
        seen[0] = 200
        assert [each.pid for each in poller.fresh(5.0).processes] == [200]


def test_a_read_that_had_begun_before_does_not_count_as_fresh() -> None:
    answers = [engine(), engine(model("new:1b"))]
    source = FakeSource(ENGINE, lambda desk: answers[min(source.reads, 2) - 1], 60.0)
    source.gate.clear()
    with running(source) as poller:
        assert source.entered.wait(5)
        found: list[Desk] = []
        asking = threading.Thread(target=lambda: found.append(poller.fresh(5.0)))
        asking.start()
        assert until(lambda: poller._turns[ENGINE].again)
        source.gate.set()
        asking.join(5)
        assert source.reads == 2
        assert [each.name for each in found[0].models] == ["new:1b"]


def test_a_source_that_hangs_or_fails_does_not_hold_up_a_fresh_desk() -> None:
    stuck, failed = nvml(), failing(ENGINE, SourceError(FailureKind.UNREACHABLE, "refused"), 60.0)
    stuck.gate.clear()
    with running(stuck, failed, processes(1)) as poller:
        assert stuck.entered.wait(5)
        began = time.monotonic()
        desk = poller.fresh(0.05)
        assert time.monotonic() - began < 2.0
        state = desk.source(ENGINE)
        assert state is not None
        assert state.failure is not None
        assert desk.source("nvml") is None
        stuck.gate.set()
        assert poller.fresh(5.0).source("nvml") is not None


def test_stopping_lets_whoever_waits_for_a_fresh_desk_go() -> None:
    stuck = nvml()
    stuck.gate.clear()
    with running(stuck) as poller:
        assert stuck.entered.wait(5)
        asking = threading.Thread(target=lambda: poller.fresh(60.0))
        asking.start()
        assert until(lambda: poller._turns["nvml"].again)
        poller.stop()
        asking.join(5)
        assert not asking.is_alive()


def test_what_another_gpudesk_asked_to_go_was_not_evicted() -> None:
    listed = [model("qwen3:14b", keep_alive=forever()), model("nomic-embed-text", keep_alive=forever())]
    asked: list[datetime] = []

    def dismissed_elsewhere(since: datetime) -> list[tuple[str, str, datetime]]:
        asked.append(since)
        return [(URL, "qwen3:14b", SYSTEM_CLOCK.now())]

    source = FakeSource(ENGINE, lambda desk: engine(*listed), 0.01)
    poller = Poller([source], SYSTEM_CLOCK, dismissed_elsewhere=dismissed_elsewhere)
    poller.start()
    try:
        until(lambda: source.reads > 2)
        assert asked == [], "nothing has left"
        listed[:] = [model("gemma3:12b", keep_alive=forever())]
        until(lambda: len(poller.desk.events) >= 3)
        told = {event.subject: event.message for event in poller.desk.events}
        assert told["qwen3:14b"] == "qwen3:14b unloaded: gpudesk asked for it"
        assert told["nomic-embed-text"].startswith("nomic-embed-text evicted for gemma3:12b")
        assert 290 < (SYSTEM_CLOCK.now() - asked[0]).total_seconds() < 310
        reads, count = source.reads, len(asked)
        until(lambda: source.reads > reads + 3)
        assert len(asked) == count, "the files are read only when a model leaves"
    finally:
        poller.stop()
