from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.ui.graph import area, resample

ratios = st.one_of(st.none(), st.floats(0, 1))


@given(st.lists(ratios, max_size=130), st.integers(0, 80), st.integers(1, 5))
def test_the_area_has_its_size(points: list[float | None], width: int, rows: int) -> None:
    lines = area(points, width, rows)
    assert [len(line) for line in lines] == [width] * rows
    assert all(char == " " or 0x2800 < ord(char) <= 0x28FF for line in lines for char in line)


def test_the_range_is_fixed() -> None:
    """A flat line at three percent is a low line, not a full or an empty picture."""
    low = area([0.03] * 20, 10, 2)
    assert low == [" " * 10, "⣀" * 10]
    assert area([1.0] * 20, 10, 2) == ["⣿" * 10, "⣿" * 10]
    assert area([0.5] * 20, 10, 2) == [" " * 10, "⣿" * 10]


def test_unknown_and_zero_are_blank_and_a_trace_shows() -> None:
    assert area([None, 0.0], 1, 1) == [" "]
    assert area([0.0001, 0.0001], 1, 1) == ["⣀"]


def test_newest_is_at_the_right() -> None:
    (line,) = area([0.0] * 19 + [1.0], 10, 1)
    assert line == " " * 9 + "⢸"


def test_out_of_range_values_stay_inside() -> None:
    assert area([7.0, -3.0], 1, 1) == ["⡇"]


@pytest.mark.parametrize(("count", "expected"), [(2, [0.9, 0.4]), (4, [0.1, 0.9, 0.2, 0.4]), (0, [])])
def test_squeezing_keeps_the_peaks(count: int, expected: list[float]) -> None:
    assert resample([0.1, 0.9, 0.2, 0.4], count) == expected


def test_stretching_repeats() -> None:
    assert resample([0.1, None], 4) == [0.1, 0.1, None, None]
