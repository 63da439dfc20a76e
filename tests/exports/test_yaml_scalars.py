"""Plain scalars are what npm `yaml` makes of them, by both versions of YAML."""

from __future__ import annotations

import math

import pytest

from gpudesk.exports.yaml_scalars import Moment, plain_value

SAME = {"": None, "~": None, "Null": None, "true": True, "False": False, "nULL": "nULL", "1": 1, "-1": -1, "+7": 7,
        "1.5": 1.5, "1e3": 1000.0, ".5": 0.5, "1.": 1.0, "0x1F": 31, ".inf": math.inf, "-.Inf": -math.inf,
        "1.0.0": "1.0.0", "a": "a", "-": "-", "30m": "30m", "http://x:1": "http://x:1", "1e": "1e"}  # fmt: skip
NEW = {"yes": "yes", "off": "off", "y": "y", "1_000": "1_000", "0o17": 15, "010": 10, "0b11": "0b11",
       "1:30": "1:30", "2024-01-01": "2024-01-01", ".": ".", "._": "._"}  # fmt: skip
OLD = {"yes": True, "Off": False, "y": True, "NO": False, "yEs": "yEs", "1_000": 1000, "0o17": "0o17", "010": 8,
       "-0b11": -3, "0x_ff": 255, "-0xf": -15, "1_0.2_5": 10.25, "1:30": 90.0, "-1:00:01": -3601.0, "1:30.5": 90.5,
       "1:60": "1:60", "2024-01-01": Moment("2024-01-01"), "2024-1-1 01:02:03.5 +2": Moment("2024-1-1 01:02:03.5 +2"),
       "2024-01-01T01:02:03Z": Moment("2024-01-01T01:02:03Z"), "2024-01": "2024-01", "20240-01-01": "20240-01-01",
       "09": 9, "1__": 1}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [*SAME.items(), *NEW.items()])
def test_the_core_schema_of_1_2(text: str, value: object) -> None:
    found = plain_value(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "value"), [*SAME.items(), *OLD.items()])
def test_yaml_1_1(text: str, value: object) -> None:
    found = plain_value(text, old=True)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "old"), [(".nan", False), (".NaN", True), (".", True), ("0b_", True), ("0x_", True)])
def test_what_is_a_number_and_none(text: str, old: bool) -> None:
    found = plain_value(text, old=old)
    assert isinstance(found, float)
    assert math.isnan(found)


def test_a_moment_is_shown_as_it_is_written() -> None:
    assert str(Moment("2024-01-01")) == "2024-01-01"
