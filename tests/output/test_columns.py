from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpudesk.output.columns import Column, cells, cut, padded, table, wrapped

COLUMNS = (Column("NAME"), Column("SIZE", right=True), Column("LESS", rank=1), Column("LEAST", rank=2))
ROWS = [("qwen3:14b", "9.8", "x", "long least"), ("nomic", "0.5", "", "l")]


def test_columns_are_aligned_and_lines_end_without_spaces() -> None:
    assert table(COLUMNS, ROWS, 80) == [
        "NAME       SIZE  LESS  LEAST",
        "qwen3:14b   9.8  x     long least",
        "nomic       0.5        l",
    ]


def test_the_least_important_column_goes_first() -> None:
    assert table(COLUMNS, ROWS, 26)[0] == "NAME       SIZE  LESS"
    assert table(COLUMNS, ROWS, 20)[0] == "NAME       SIZE"


def test_then_the_first_column_is_cut() -> None:
    assert table(COLUMNS, ROWS, 14) == ["NAME      SIZE", "qwen3:1…   9.8", "nomic      0.5"]


def test_a_long_first_column_is_cut_before_another_column_is_left_out() -> None:
    lines = table(COLUMNS, [("n" * 90, "1.0", "x", "least")], 70)
    assert "LEAST" in lines[0]
    assert lines[1].startswith("n" * 40)
    assert "…" in lines[1]
    assert all(cells(line) <= 70 for line in lines)


def test_a_column_without_any_value_is_left_out() -> None:
    assert table(COLUMNS, [("a", "1", "", "")], 80)[0] == "NAME  SIZE"


def test_no_rows_no_table() -> None:
    assert table(COLUMNS, [], 80) == []


def test_wide_and_combining_characters_count_as_the_terminal_counts() -> None:
    assert cells("模型") == 4
    assert cells("e\u0301") == 1
    assert padded("模", 4) == "模  "
    assert padded("x", 3, right=True) == "  x"


@given(st.text(max_size=40), st.integers(min_value=1, max_value=40))
def test_cut_never_exceeds_the_width(text: str, width: int) -> None:
    result = cut(text, width)
    assert cells(result) <= width
    assert result == text or result.endswith("…")


def test_wrapping_keeps_parts_whole() -> None:
    lines = wrapped(["alpha", "beta gamma", "delta"], 16, first="in ", rest="   ")
    assert lines == ["in alpha,", "   beta gamma,", "   delta"]
    assert wrapped([], 20) == []
    assert wrapped(["a" * 30], 10) == ["a" * 30]
