from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gpudesk.ui.cells import Span, action_at, clip, clip_line, fit, fit_line, line_width, spread, wrap

texts = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Cn"]), max_size=40)
lines = st.lists(texts, max_size=6).map(lambda parts: tuple(Span(part) for part in parts))
widths = st.integers(0, 60)


@given(texts, widths)
def test_clip_never_exceeds_the_width_and_keeps_what_fits(text: str, width: int) -> None:
    clipped = clip(text, width)
    assert cell_len(clipped) <= width
    if cell_len(text) <= width:
        assert clipped == text
    elif width > 0:
        assert clipped.endswith("…")


@given(texts, widths, st.booleans())
def test_fit_fills_exactly(text: str, width: int, right: bool) -> None:
    assert cell_len(fit(text, width, right=right)) == width


@given(lines, widths, st.booleans())
def test_fit_line_fills_exactly(line: tuple[Span, ...], width: int, right: bool) -> None:
    assert line_width(fit_line(line, width, right=right)) == width


@given(lines, widths)
def test_clip_line_never_exceeds(line: tuple[Span, ...], width: int) -> None:
    assert line_width(clip_line(line, width)) <= width


@given(lines, lines, st.integers(1, 80), st.integers(0, 3))
def test_spread_fills_exactly(left: tuple[Span, ...], right: tuple[Span, ...], width: int, gap: int) -> None:
    assert line_width(spread(left, right, width, gap=gap)) == width


@given(texts, st.integers(2, 30))
def test_wrap_keeps_every_word_within_the_width(text: str, width: int) -> None:
    wrapped = wrap(text, width)
    assert all(cell_len(line) <= width for line in wrapped)
    assert "".join(wrapped).replace(" ", "") == "".join(text.split())


def test_clip_marks_what_is_missing() -> None:
    assert clip("qwen2.5-coder:1.5b", 10) == "qwen2.5-c…"
    assert clip("模型模型", 5) == "模型…"


def test_a_wide_character_that_does_not_fit_leaves_a_blank() -> None:
    assert fit("模型模", 4) == "模… "


@pytest.mark.parametrize(("column", "action"), [(0, ""), (2, "open"), (5, "open"), (6, ""), (99, "")])
def test_the_action_under_a_column(column: int, action: str) -> None:
    line = (Span("ab"), Span("模型", "", "open"), Span("cd"))
    assert action_at(line, column) == action
