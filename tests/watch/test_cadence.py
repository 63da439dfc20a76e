from __future__ import annotations

import pytest

from gpudesk.errors import FailureKind
from gpudesk.watch.cadence import allowed_seconds, backoff, next_beat, next_overdue, overdue
from tests.watch.build import ENGINE, URL


@pytest.mark.parametrize(
    ("now", "interval", "expected"),
    [(100.0, 1.0, 101.0), (100.3, 1.0, 101.0), (100.3, 2.0, 102.0), (103.999, 2.0, 104.0), (104.0, 2.0, 106.0)],
)
def test_beats_are_multiples_of_the_interval_from_the_start(now: float, interval: float, expected: float) -> None:
    assert next_beat(now, interval, 100.0) == pytest.approx(expected)


def test_sources_of_whole_multiples_meet() -> None:
    beats = {interval: next_beat(107.4, interval, 100.0) for interval in (1.0, 2.0, 4.0)}
    assert set(beats.values()) == {108.0}


def test_a_wake_up_that_comes_a_hair_early_does_not_read_twice() -> None:
    assert next_beat(101.9999999, 1.0, 100.0) == pytest.approx(103.0)


def test_an_interval_of_nothing_does_not_spin() -> None:
    assert next_beat(5.0, 0.0, 0.0) > 5.0


def test_waits_grow_and_stay_bounded() -> None:
    assert [backoff(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 15, 15, 15]


def test_reads_may_take_three_turns_at_least_five_seconds_and_details_half_a_minute() -> None:
    assert allowed_seconds("nvml", 1.0) == 5.0
    assert allowed_seconds(ENGINE, 2.0) == 6.0
    assert allowed_seconds(f"ollama-catalog {URL}", 30.0) == 90.0
    assert allowed_seconds(f"ollama-details {URL}", 1.0) == 35.0


def test_an_overdue_read_is_told_of_more_and_more_rarely_but_every_minute() -> None:
    ages = [5.0]
    while len(ages) < 8:
        ages.append(next_overdue(ages[-1]))
    assert ages == [5, 10, 20, 40, 80, 140, 200, 260]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nvml", "no answer from the driver for 7 s"),
        (ENGINE, f"no answer from {URL} for 7 s"),
        (f"ollama-catalog {URL}", f"no answer from {URL} for 7 s"),
        ("processes", "no answer from the process table for 7 s"),
        ("host", "no answer from host for 7 s"),
    ],
)
def test_overdue_in_words(source: str, message: str) -> None:
    failure = overdue(source, 7.2)
    assert (failure.kind, failure.message) == (FailureKind.TIMEOUT, message)
