from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.text import MAX_LENGTH, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("qwen3:14b", "qwen3:14b"),
        ("", ""),
        ("  padded  ", "padded"),
        ("two  spaces", "two spaces"),
        ("line\none\ttab\r\nend", "line one tab end"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07name", "]0;titlename"),
        ("c1\x9b2Jclear", "c12Jclear"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("para\u2029graph", "para graph"),
        ("lone\ud800surrogate", "lonesurrogate"),
        ("[bold]markup stays text[/bold]", "[bold]markup stays text[/bold]"),
        ("naïve Größe 模型", "naïve Größe 模型"),
        ("nul\0byte", "nulbyte"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_length_is_limited_with_an_ellipsis() -> None:
    assert clean("x" * MAX_LENGTH) == "x" * MAX_LENGTH
    assert clean("x" * (MAX_LENGTH + 1)) == "x" * (MAX_LENGTH - 1) + "…"
    assert clean("abcdef", 4) == "abc…"
    assert clean("ab cdef", 4) == "ab…"


def test_kilobytes_of_noise_do_not_hide_the_limit() -> None:
    assert clean("\x1b" * 4096 + "name", 16) == ""
    assert len(clean("模" * 100_000)) == MAX_LENGTH


@given(st.text(), st.integers(min_value=2, max_value=40))
def test_result_is_one_safe_line_and_cleaning_again_changes_nothing(text: str, limit: int) -> None:
    result = clean(text, limit)
    assert len(result) <= limit
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for character in result)
    assert clean(result, limit) == result
