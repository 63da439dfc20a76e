from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.watch.timers import Timer, TimerChange, first_look, next_look, rounded, span
from tests.watch.build import START, forever, timer


def follow(*looks: tuple[float, KeepAlive | None]) -> list[TimerChange]:
    """Look again and again, each time at so many seconds after the start; return what was told."""
    told: list[TimerChange] = []
    known: Timer | None = None
    earlier: float | None = None
    for at, keep_alive in looks:
        now = START + timedelta(seconds=at)
        if known is None:
            known = first_look(keep_alive, now)
        else:
            assert earlier is not None
            known, change = next_look(known, keep_alive, now, START + timedelta(seconds=earlier))
            told.extend([change] if change else [])
        earlier = at
    return told


def words(changes: list[TimerChange]) -> list[tuple[str, str]]:
    return [(change.before, change.after) for change in changes]


def test_counting_down_is_no_change() -> None:
    assert follow(*((second, timer(300, at=second)) for second in range(0, 300, 2))) == []


def test_requests_that_extend_by_the_same_duration_are_no_change() -> None:
    ends = {0: 300, 2: 300, 4: 303, 6: 305.5, 60: 359, 200: 499, 498: 797.2}
    assert follow(*((at, timer(end, at=at)) for at, end in ends.items())) == []


def test_a_model_first_seen_half_run_down_is_extended_by_its_full_duration_without_a_change() -> None:
    assert follow((0, timer(40)), (2, timer(302, at=2)), (4, timer(302, at=4)), (100, timer(400, at=100))) == []


def test_forever_lost_to_half_an_hour() -> None:
    (change,) = follow((0, forever()), (2, timer(1801, at=2)))
    assert (change.before, change.after, change.is_half_hour) == ("forever", "30m", True)


def test_forever_lost_to_five_minutes_is_not_half_an_hour() -> None:
    (change,) = follow((0, forever()), (2, timer(301.2, at=2)))
    assert (change.before, change.after, change.is_half_hour) == ("forever", "5m", False)


def test_timed_to_forever_and_back_are_both_told_once() -> None:
    looks = [
        (0, timer(300)),
        (2, timer(302, at=2)),
        (4, forever()),
        (6, forever()),
        (8, timer(307, at=8)),
        (10, timer(307, at=10)),
    ]
    assert words(follow(*looks)) == [("5m", "forever"), ("forever", "5m")]


def test_a_timer_of_unknown_length_that_becomes_forever() -> None:
    assert words(follow((0, timer(100)), (2, forever()))) == [("1m 40s or more", "forever")]


def test_another_duration_is_told_with_both_durations() -> None:
    looks = [(0, timer(300)), (10, timer(309, at=10)), (20, timer(1818, at=20)), (30, timer(1829, at=30))]
    assert words(follow(*looks)) == [("5m", "30m")]


def test_a_shortened_timer_is_told_although_its_length_was_never_seen() -> None:
    assert words(follow((0, timer(1700)), (2, timer(301.5, at=2)))) == [("28m 20s or more", "5m")]


@pytest.mark.parametrize("drift", [-1.4, 1.4])
def test_an_end_that_wanders_by_a_rounding_is_no_request(drift: float) -> None:
    assert follow((0, timer(300)), (100, timer(300 + drift, at=100)), (200, timer(500, at=200))) == []


def test_a_gap_widens_what_a_jump_may_mean() -> None:
    """After a minute without an answer an end moved by 60 s may be any request within that minute."""
    looks = [(0, timer(300)), (2, timer(301, at=2)), (62, timer(345, at=62))]
    assert follow(*looks) == []


def test_a_timer_that_runs_out_under_a_running_request_and_starts_anew_is_no_change() -> None:
    looks = [(0, timer(300)), (2, timer(302, at=2)), (310, timer(302, at=310)), (330, timer(629, at=330))]
    assert follow(*looks) == []


def test_a_model_first_seen_past_its_end_says_nothing_about_its_duration() -> None:
    assert follow((10, timer(5, at=10)), (20, timer(319, at=20))) == []


def test_forever_that_stops_was_asked_to_and_may_be_asked_back() -> None:
    looks = [(0, forever()), (2, timer(1, at=2)), (4, timer(1, at=4)), (6, forever())]
    assert words(follow(*looks)) == [("forever", "stopping"), ("stopping", "forever")]


def test_an_engine_that_does_not_tell_changes_nothing() -> None:
    assert follow((0, None), (2, forever())) == []
    assert follow((0, forever()), (2, None), (4, forever())) == []
    assert follow((0, timer(300)), (2, timer(301, at=2)), (4, None), (6, timer(305, at=6))) == []


def test_forever_lost_behind_a_look_that_told_nothing_is_still_told() -> None:
    assert words(follow((0, forever()), (2, None), (4, timer(303, at=4)))) == [("forever", "5m")]


@given(
    duration=st.sampled_from([10, 60, 300, 1800, 7200, 86_400]),
    gaps=st.lists(st.tuples(st.floats(0.5, 90), st.floats(0, 1)), min_size=1, max_size=40),
)
def test_one_duration_is_never_told_as_a_change(duration: float, gaps: list[tuple[float, float]]) -> None:
    """However requests and looks fall, as long as every request carries the same keep-alive nothing is told."""
    now, ends_at = 0.0, float(duration)
    looks: list[tuple[float, KeepAlive | None]] = [(0.0, timer(ends_at))]
    for gap, share in gaps:
        if share > 0.3:
            ends_at = now + gap * share + duration
        now += gap
        looks.append((now, timer(ends_at, at=now)))
    assert follow(*looks) == []


@given(
    old=st.sampled_from([60, 300, 1800, 7200]),
    new=st.sampled_from([60, 300, 1800, 7200]),
    delay=st.floats(0, 2),
)
def test_another_duration_is_always_told_once_the_first_was_seen(old: float, new: float, delay: float) -> None:
    looks = [(0, timer(old)), (20, timer(19 + old, at=20)), (22, timer(20 + delay + new, at=22))]
    assert len(follow(*looks)) == (0 if old == new else 1)


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (298, 300, 300),
        (299.2, 301, 300),
        (1799, 1801.5, 1800),
        (3590, 3601, 3600),
        (43, 45, 45),
        (6.4, 7.3, 7),
        (0.2, 0.4, 0),
    ],
)
def test_the_roundest_duration_within_the_bounds(least: float, most: float, expected: float) -> None:
    assert rounded(least, most) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0s"), (45, "45s"), (300, "5m"), (5400, "1h 30m"), (90061, "1d 1h"), (172800, "2d")]
)
def test_durations_in_words(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


def test_stopping_without_an_end_is_understood() -> None:
    stopping = KeepAlive(KeepAliveState.STOPPING)
    assert follow((0, stopping), (2, stopping), (4, forever())) == [TimerChange("a timer", "forever")]
