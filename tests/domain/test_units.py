from __future__ import annotations

import pytest

from gpudesk.units import GIBIBYTE, KIBIBYTE, MEBIBYTE, UNKNOWN, age, celsius, duration, gibibytes, percent, watts


@pytest.mark.parametrize(
    ("memory_bytes", "text"),
    [
        (None, UNKNOWN),
        (0, "0.0 GiB"),
        (1, "0 MiB"),
        (38 * MEBIBYTE, "38 MiB"),
        (GIBIBYTE // 20, "51 MiB"),
        (GIBIBYTE // 20 + 1, "0.1 GiB"),
        (GIBIBYTE, "1.0 GiB"),
        (24564 * MEBIBYTE, "24.0 GiB"),
        (-GIBIBYTE, "-1.0 GiB"),
        (-38 * MEBIBYTE, "-38 MiB"),
        (1000**3, "0.9 GiB"),
        (80 * GIBIBYTE, "80.0 GiB"),
    ],
)
def test_gibibytes_count_in_binary_units(memory_bytes: int | None, text: str) -> None:
    assert gibibytes(memory_bytes) == text


def test_gibibytes_without_unit_for_narrow_columns() -> None:
    assert gibibytes(9 * GIBIBYTE + GIBIBYTE // 2, unit=False) == "9.5"
    assert gibibytes(38 * MEBIBYTE, unit=False) == "38M"
    assert gibibytes(None, unit=False) == UNKNOWN


def test_unit_sizes() -> None:
    assert (KIBIBYTE, MEBIBYTE, GIBIBYTE) == (1024, 1024**2, 1024**3)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, UNKNOWN), (0.0, "0 %"), (0.48, "48 %"), (1.0, "100 %"), (0.004, "0 %"), (0.996, "100 %")],
)
def test_percent(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, UNKNOWN),
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (272, "4m 32s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (7500, "2h 05m"),
        (86399, "23h 59m"),
        (86400, "1d 0h"),
        (86400 * 3 + 3600 * 4, "3d 4h"),
    ],
)
def test_duration_keeps_the_two_largest_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "just now"),
        (1.99, "just now"),
        (2, "2s ago"),
        (59, "59s ago"),
        (60, "1m ago"),
        (3599, "59m ago"),
        (3600, "1h ago"),
        (86399, "23h ago"),
        (86400, "1d ago"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_watts_and_celsius_show_unknown_as_a_dash() -> None:
    assert (watts(None), watts(209.6), watts(0)) == (UNKNOWN, "210 W", "0 W")
    assert (celsius(None), celsius(60.6), celsius(0)) == (UNKNOWN, "61 °C", "0 °C")
