from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.quantities import bytes_text, parse_bytes, parse_seconds


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
