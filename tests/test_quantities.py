from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpudesk.domain.keep_alive import FOREVER, KeepAliveState, KeepAliveWish, keep_alive_from_expiry
from gpudesk.errors import UsageError
from gpudesk.quantities import (
    KEEP_ALIVE_SECONDS_MOST,
    bytes_text,
    keep_alive_text,
    parse_bytes,
    parse_keep_alive,
    parse_seconds,
)

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1GiB", 1 << 30),
        ("1 GiB", 1 << 30),
        (" 512 MiB ", 512 << 20),
        ("2 GB", 2_000_000_000),
        ("2gb", 2_000_000_000),
        ("1.5g", 3 << 29),
        (".5GiB", 1 << 29),
        ("1.GiB", 1 << 30),
        ("3 TiB", 3 << 40),
        ("700kB", 700_000),
    ],
)
def test_sizes_as_people_type_them(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "GiB",
        "-1GiB",
        "1 GiB free",
        "1e3",
        "1,5GiB",
        "one",
        "1GiB2",
        "inf",
        "nan",
        "9999999999TiB",
        "1 XB",
        "٣ GiB",
        "9" * 200,
    ],
)
def test_what_is_no_size(text: str) -> None:
    assert parse_bytes(text) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("2", 2.0), ("500ms", 0.5), ("1.5s", 1.5), ("2 m", 120.0), ("1h", 3600.0), ("0", 0.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert parse_seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1 s 2", "soon", "1e9"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_seconds(text) is None


@given(st.integers(min_value=0, max_value=(1 << 62) - 1))
def test_a_size_written_is_the_size_read(amount: int) -> None:
    assert parse_bytes(bytes_text(amount)) == amount


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    parse_bytes(text)
    parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("2h30m", 9000),
        ("90s", 90),
        ("1d", 86400),
        ("1d12h", 129600),
        ("2w", 1209600),
        ("1w1d1h1m1s", 694861),
        (" 2H 30 Min ", 9000),
        ("90 minutes", 5400),
        ("1 day 2 hours", 93600),
        ("1.5h", 5400),
        ("0.5d", 43200),
        ("500ms", 1),
        ("1.2s", 2),
        ("120m", 7200),
        ("7300d", KEEP_ALIVE_SECONDS_MOST),
        ("0", 0),
        ("00", 0),
        ("0s", 0),
        ("0h0m", 0),
        ("now", 0),
        (" Idle ", 0),
    ],
)
def test_keep_alives_as_people_type_them(text: str, seconds: int) -> None:
    wish = parse_keep_alive(text, NOON)
    assert (wish.seconds, wish.wire) == (float(seconds), seconds)


@pytest.mark.parametrize("text", ["forever", "Forever", " always ", "-1", "-1s", "-1m", "-1h"])
def test_forever_has_names(text: str) -> None:
    assert parse_keep_alive(text, NOON) == FOREVER
    assert FOREVER.wire == -1


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "nothing is no keep-alive", "Write 5m, 2h30m, 1d, forever, until 18:00, or 0 to leave when idle"),
        (" ", "nothing is no keep-alive", "Write 5m"),
        ("soon", "soon is no keep-alive", "Write 5m"),
        ("30", "30 has no unit", "Write 30s, 30m or 30h"),
        ("1800", "1800 has no unit", "Write 1800s, 1800m or 1800h"),
        ("1.5", "1.5 has no unit", "Write 1.5s"),
        ("9" * 99, "9" * 39 + "… has no unit", "Write 99999999999…s"),
        ("0.0", "0.0 is no keep-alive", "Write 5m"),
        ("-5", "-5 is a time below zero", "Write 5m"),
        ("-5m", "-5m is a time below zero", "Write 5m, 2h30m, 1d, forever"),
        ("-.5h", "-.5h is a time below zero", "Write 5m"),
        ("-m", "-m is no keep-alive", "Write 5m"),
        ("5x", "5x is no keep-alive", "Write 5m"),
        ("5mo", "5mo is no keep-alive", "Write 5m"),
        ("1y", "1y is no keep-alive", "Write 5m"),
        ("m5", "m5 is no keep-alive", "Write 5m"),
        ("5m5m", "5m5m is no keep-alive", "Write 5m"),
        ("30m2h", "30m2h is no keep-alive", "Write 5m"),
        ("5m, 3s", "5m, 3s is no keep-alive", "Write 5m"),
        ("1e3s", "1e3s is no keep-alive", "Write 5m"),
        ("infs", "infs is no keep-alive", "Write 5m"),
        ("nan", "nan is no keep-alive", "Write 5m"),
        (".5h", ".5h is no keep-alive", "Write 5m"),
        ("٣m", "٣m is no keep-alive", "Write 5m"),
        ("5m\x1b[2J", "5m[2J is no keep-alive", "Write 5m"),
        ("1h" * 60, "1h" * 19 + "1… is no keep-alive", "Write 5m"),
        ("7301d", "7301d is longer than 20 years", "Write forever"),
        ("7300d1s", "7300d1s is longer than 20 years", "Write forever"),
        ("999999999999w", "999999999999w is longer than 20 years", "Write forever"),
        ("until", "until names no time", "Write until 18:00"),
        ("until 18", "until 18 names no time", "Write until 18:00"),
        ("until 6pm", "until 6pm names no time", "Write until 18:00"),
        ("until 18:0", "until 18:0 names no time", "Write until 18:00"),
        ("until tomorrow", "until tomorrow names no time", "Write until 18:00"),
        ("until 2026-11-22", "until 2026-11-22 names no time", "Write until 18:00"),
        ("until 24:00", "until 24:00 names no time there is", "Write until 18:00"),
        ("until 18:60", "until 18:60 names no time there is", "Write until 18:00"),
        ("until 2026-02-30 10:00", "until 2026-02-30 10:00 names no time there is", "Write until 18:00"),
        ("until 0000-01-01 10:00", "until 0000-01-01 10:00 names no time there is", "Write until 18:00"),
        ("until 2026-11-21 10:00", "until 2026-11-21 10:00 has passed", "Write a time to come"),
        ("until 2066-11-21 10:00", "until 2066-11-21 10:00 is longer than 20 years", "Write forever"),
    ],
)
def test_what_is_no_keep_alive_is_told_with_what_is(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_keep_alive(text, NOON)
    assert caught.value.message == message
    assert (caught.value.hint or "").startswith(hint)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local clock to one hour ahead of UTC, two in summer."""
    if sys.platform == "win32":
        pytest.skip("Windows has no tzset")
    else:
        monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
        monkeypatch.undo()
        time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "text", "seconds"),
    [
        ("2026-11-21T12:00:00+00:00", "until 18:00", 5 * 3600),
        ("2026-11-21T12:00:00+00:00", "Until  18:00:30", 5 * 3600 + 30),
        ("2026-11-21T12:00:00.500+00:00", "until 13:00:01", 1),
        ("2026-11-21T12:00:00+00:00", "until 13:01", 60),
        ("2026-11-21T12:00:00+00:00", "until 13:00", 86400),
        ("2026-11-21T12:00:00+00:00", "until 9:30", 20 * 3600 + 1800),
        ("2026-11-21T12:00:00+00:00", "until 2026-11-22 18:00", 29 * 3600),
        ("2026-11-21T12:00:00+00:00", "until 2026-11-22T18:00:05", 29 * 3600 + 5),
        ("2026-11-21T12:00:00+05:00", "until 18:00", 10 * 3600),
        ("2026-12-31T22:30:00+00:00", "until 00:30", 3600),
        ("2026-03-28T20:00:00+00:00", "until 9:00", 11 * 3600),
        ("2026-10-24T20:00:00+00:00", "until 9:00", 12 * 3600),
        ("2026-10-25T00:00:00+00:00", "until 2:30", 1800),
        ("2026-10-25T00:45:00+00:00", "until 2:30", 2700),
        ("2026-10-25T01:45:00+00:00", "until 2:30", 85500),
    ],
)
def test_until_is_by_the_local_clock(now: str, text: str, seconds: int) -> None:
    """Summer ends on 25 October 2026 at 3:00: 2:30 comes twice; it begins on 29 March at 2:00."""
    assert parse_keep_alive(text, datetime.fromisoformat(now)).seconds == seconds


@given(st.none() | st.integers(0, KEEP_ALIVE_SECONDS_MOST).map(float))
@example(0.0)
@example(float(KEEP_ALIVE_SECONDS_MOST))
def test_a_keep_alive_that_is_written_is_read_back(seconds: float | None) -> None:
    wish = KeepAliveWish(seconds)
    assert parse_keep_alive(keep_alive_text(wish), NOON) == wish


@given(st.floats(0, KEEP_ALIVE_SECONDS_MOST))
def test_fractions_are_written_as_they_are_sent(seconds: float) -> None:
    wish = KeepAliveWish(seconds)
    assert parse_keep_alive(keep_alive_text(wish), NOON).wire == wish.wire


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "forever"), (-1, "forever"), (0, "0"), (300, "5m"), (9000, "2h30m"), (86401, "1d1s"), (0.2, "1s")],
)
def test_keep_alives_are_written_by_their_units(seconds: float | None, text: str) -> None:
    assert keep_alive_text(KeepAliveWish(seconds)) == text


@given(st.text(alphabet="0123456789.-: dhmswtuntilforever\n٣"))
def test_whatever_is_typed_is_sendable_or_refused(text: str) -> None:
    try:
        wish = parse_keep_alive(text, NOON)
    except UsageError:
        return
    assert wish.wire == -1 or 0 <= wish.wire <= KEEP_ALIVE_SECONDS_MOST
    assert wish.seconds is None or wish.seconds == math.floor(wish.seconds)


def test_the_longest_keep_alive_is_not_seen_as_forever() -> None:
    wish = parse_keep_alive("7300d", NOON)
    seen = keep_alive_from_expiry(NOON + timedelta(seconds=wish.wire), NOON)
    assert seen is not None
    assert seen.state is KeepAliveState.TIMED
