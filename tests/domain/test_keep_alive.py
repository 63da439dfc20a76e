from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from gpudesk.domain.keep_alive import FOREVER_THRESHOLD, KeepAlive, KeepAliveState, keep_alive_from_expiry

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def test_a_future_expiry_is_timed() -> None:
    timer = keep_alive_from_expiry(NOW + timedelta(minutes=5), NOW)
    assert timer == KeepAlive(KeepAliveState.TIMED, NOW + timedelta(minutes=5))
    assert timer is not None
    assert timer.remaining_seconds(NOW) == 300.0


def test_the_engines_offset_does_not_matter() -> None:
    there = timezone(timedelta(hours=9))
    timer = keep_alive_from_expiry((NOW + timedelta(seconds=30)).astimezone(there), NOW)
    assert timer is not None
    assert timer.remaining_seconds(NOW) == 30.0


def test_twenty_years_is_the_border_to_forever() -> None:
    at_border = keep_alive_from_expiry(NOW + FOREVER_THRESHOLD, NOW)
    beyond = keep_alive_from_expiry(NOW + FOREVER_THRESHOLD + timedelta(microseconds=1), NOW)
    assert at_border is not None
    assert at_border.state is KeepAliveState.TIMED
    assert beyond == KeepAlive(KeepAliveState.FOREVER)


def test_the_year_2318_is_forever() -> None:
    assert keep_alive_from_expiry(datetime(2318, 5, 1, tzinfo=UTC), NOW) == KeepAlive(KeepAliveState.FOREVER)


def test_now_and_the_past_are_stopping() -> None:
    for expires_at in (NOW, NOW - timedelta(seconds=1)):
        timer = keep_alive_from_expiry(expires_at, NOW)
        assert timer == KeepAlive(KeepAliveState.STOPPING, expires_at)
        assert timer is not None
        assert timer.remaining_seconds(NOW) is None


def test_zero_time_and_absence_tell_nothing() -> None:
    assert keep_alive_from_expiry(None, NOW) is None
    assert keep_alive_from_expiry(datetime(1, 1, 1, tzinfo=UTC), NOW) is None


def test_a_timer_runs_down_and_becomes_stopping_without_a_new_sample() -> None:
    timer = KeepAlive(KeepAliveState.TIMED, NOW + timedelta(seconds=2))
    assert timer.at(NOW + timedelta(seconds=1)) is timer
    assert timer.at(NOW + timedelta(seconds=2)).state is KeepAliveState.STOPPING
    assert timer.remaining_seconds(NOW + timedelta(seconds=9)) == 0.0


def test_forever_has_no_remaining_time_and_never_stops() -> None:
    timer = KeepAlive(KeepAliveState.FOREVER)
    assert timer.remaining_seconds(NOW) is None
    assert timer.at(datetime(2400, 1, 1, tzinfo=UTC)) is timer
