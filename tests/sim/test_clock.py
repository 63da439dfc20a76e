from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from gpudesk.sim.clock import RunningClock, SteppedClock


def test_a_stepped_clock_stands_still_until_it_is_stepped() -> None:
    clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    clock.step(2.5)
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=2.5)
    assert clock.monotonic() == 2.5


def test_timers_run_in_order_at_their_own_moment() -> None:
    clock = SteppedClock()
    seen: list[tuple[str, float]] = []
    clock.call_later(3, lambda: seen.append(("late", clock.elapsed())))
    clock.call_later(1, lambda: seen.append(("early", clock.elapsed())))
    clock.call_later(1, lambda: seen.append(("early too", clock.elapsed())))
    clock.step(0.999)
    assert seen == []
    clock.step(10)
    assert seen == [("early", 1.0), ("early too", 1.0), ("late", 3.0)]
    assert clock.elapsed() == pytest.approx(10.999)


def test_a_timer_made_by_a_timer_runs_in_the_same_step_when_it_is_due_there() -> None:
    clock = SteppedClock()
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.elapsed())
        clock.call_later(2, again)

    clock.call_later(1, again)
    clock.step(6)
    assert seen == [1.0, 3.0, 5.0]


def test_a_cancelled_timer_never_runs() -> None:
    clock = SteppedClock()
    seen: list[str] = []
    timer = clock.call_later(1, lambda: seen.append("ran"))
    timer.cancel()
    clock.step(5)
    assert seen == []


def test_a_delay_of_nothing_is_not_run_at_once() -> None:
    clock = SteppedClock()
    seen: list[str] = []
    clock.call_later(0, lambda: seen.append("ran"))
    assert seen == []
    clock.step(0)
    assert seen == ["ran"]


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="back"):
        SteppedClock().step(-1)


def test_a_stopped_clock_forgets_its_timers() -> None:
    clock = SteppedClock()
    seen: list[str] = []
    clock.call_later(1, lambda: seen.append("ran"))
    clock.stop()
    clock.step(5)
    assert seen == []


def test_the_clock_for_the_program_tells_the_same_time() -> None:
    clock = SteppedClock()
    program = clock.clock
    clock.step(7)
    assert program.now() == clock.now()
    assert program.monotonic() == 7


def test_a_running_clock_runs_timers_by_itself_and_scaled() -> None:
    clock = RunningClock(scale=1000)
    done = threading.Event()
    moments: list[float] = []

    def ring() -> None:
        moments.append(clock.elapsed())
        done.set()

    clock.call_later(100, ring)
    clock.start()
    assert done.wait(5), "a hundred simulated seconds are a tenth of a real one"
    clock.stop()
    assert moments[0] >= 100


def test_a_timer_earlier_than_the_one_waited_for_is_not_late() -> None:
    clock = RunningClock(scale=100)
    clock.start()
    done = threading.Event()
    clock.call_later(10_000, lambda: None)
    clock.call_later(1, done.set)
    assert done.wait(5)
    clock.stop()


def test_stopping_a_running_clock_ends_its_thread() -> None:
    others = set(threading.enumerate())
    clock = RunningClock()
    clock.start()
    (thread,) = set(threading.enumerate()) - others
    clock.stop()
    assert not thread.is_alive()
