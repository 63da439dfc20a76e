"""keep_alive, value by value, as ollama api/types.go:1243 and envconfig/config.go:122 read it (v0.33.0-rc2)."""

from __future__ import annotations

import pytest

from gpudesk.sim.engine_keep_alive import (
    DEFAULT,
    FOREVER,
    LOWEST,
    SECOND,
    KeepAliveError,
    keep_alive_from_environment,
    parse_duration,
    parse_keep_alive,
)


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        (None, None),
        (-1, FOREVER),
        (-0.5, FOREVER),
        (0, 0),
        (0.0, 0),
        (300, 300 * SECOND),
        (0.25, SECOND // 4),
        (9_223_372_036, 9_223_372_036 * SECOND),
        (9.3e9, LOWEST),
        ("5m", 300 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("90s", 90 * SECOND),
        ("300ms", 300 * 1_000_000),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("7ns", 7),
        ("+5m", 300 * SECOND),
        ("-1m", FOREVER),
        ("-1s", FOREVER),
        ("0", 0),
        ("0s", 0),
        ("-0", 0),
        ("2562047h47m16.854775807s", FOREVER),
    ],
)
def test_values(value: object, nanoseconds: int | None) -> None:
    assert parse_keep_alive(value) == nanoseconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("300", 'time: missing unit in duration "300"'),
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("forever", 'time: invalid duration "forever"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("5 m", 'time: unknown unit " m" in duration "5 m"'),
        ("2562048h", 'time: invalid duration "2562048h"'),
        ('5"', 'time: unknown unit "\\"" in duration "5\\""'),
        (True, "Unsupported type: 'bool'"),
        ({}, "Unsupported type: 'map[string]interface {}'"),
        ([], "Unsupported type: '[]interface {}'"),
    ],
)
def test_refused_values_carry_the_text_of_go(value: object, text: str) -> None:
    with pytest.raises(KeepAliveError) as caught:
        parse_keep_alive(value)
    assert str(caught.value) == text


def test_the_longest_negative_duration_is_one_more_than_the_longest_positive() -> None:
    assert parse_duration("-2562047h47m16.854775808s") == -(1 << 63)
    with pytest.raises(KeepAliveError):
        parse_duration("2562047h47m16.854775808s")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", DEFAULT),
        ("10m", 600 * SECOND),
        ("45", 45 * SECOND),
        ("-1", FOREVER),
        ("-5m", FOREVER),
        ("0", 0),
        ("abc", DEFAULT),
        ("1.5", DEFAULT),
        (' "24h" ', 86400 * SECOND),
    ],
)
def test_the_environment_is_read_with_more_patience(text: str, nanoseconds: int) -> None:
    assert keep_alive_from_environment(text) == nanoseconds
