from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.desk import CardState, Holder, HolderKind
from gpudesk.ui.bar import divide, draw_bar, segments_of
from gpudesk.ui.cells import line_width
from tests.ui.desks import GIB, one_card, rtx4090


@given(st.lists(st.integers(0, 1 << 40), max_size=40), st.integers(0, 250))
def test_cells_add_up_exactly_and_nobody_vanishes(weights: list[int], width: int) -> None:
    cells = divide(weights, width)
    assert len(cells) == len(weights)
    assert sum(cells) == (width if sum(weights) else 0)
    positive = [cell for cell, weight in zip(cells, weights, strict=True) if weight > 0]
    assert all(cell == 0 for cell, weight in zip(cells, weights, strict=True) if weight == 0)
    if len(positive) <= width:
        assert all(cell >= 1 for cell in positive)


def test_cells_are_in_proportion() -> None:
    assert divide([1, 2, 1], 8) == [2, 4, 2]
    assert divide([1000, 1, 1000], 21) == [10, 1, 10]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from(list(HolderKind)), st.integers(1, 1 << 36)), max_size=12),
    st.integers(0, 1 << 36),
    st.integers(0, 1 << 36),
    st.integers(0, 220),
    st.booleans(),
)
def test_the_bar_fills_its_width(
    holders: list[tuple[HolderKind, int]], free: int, reserve: int, width: int, colored: bool
) -> None:
    state = CardState(rtx4090(), tuple(Holder(kind, f"name{i}", size) for i, (kind, size) in enumerate(holders)), free)
    segments = segments_of(state, {}, reserve_bytes=reserve, colored=colored, width=max(1, width))
    assert sum(segment.memory_bytes for segment in segments) == sum(size for _, size in holders) + free
    line, _ = draw_bar(segments, width)
    assert line_width(line) == width


def text_of(width: int, **settings: object) -> tuple[str, list[str]]:
    desk = one_card()
    marks = {model.key: index for index, model in enumerate(desk.models)}
    line, legend = draw_bar(segments_of(desk.cards[0], marks, width=width, **settings), width)  # type: ignore[arg-type]
    return "".join(span.text for span in line), [segment.legend for segment in legend]


def test_labels_stand_in_the_bar_where_they_fit_and_in_the_legend_otherwise() -> None:
    text, legend = text_of(110)
    assert " A qwen3:14b 10.9 " in text
    assert " B 1.9 " in text
    assert "B qwen2.5-coder:1.5b-base 1.9" in legend
    assert not any(entry.startswith("A ") for entry in legend)


def test_the_legend_begins_with_what_no_table_names() -> None:
    _, legend = text_of(60)
    assert [entry[0] for entry in legend] == ["▒", "░", "B", "C"]


def test_small_processes_share_a_segment() -> None:
    _, legend = text_of(100)
    assert legend[0] == "▒ 2 processes 0.5"


def test_the_reserve_is_hatched_at_the_far_end() -> None:
    text, _ = text_of(100, reserve_bytes=2 * GIB)
    assert text.endswith("╱╱")
    assert "free 9.4" in text, "the same figure as in words: the reserve is part of what is free"


def test_a_reserve_larger_than_what_is_free_takes_all_of_it() -> None:
    text, _ = text_of(100, reserve_bytes=20 * GIB)
    assert "free" not in text
    assert text.endswith("╱╱")


def test_without_color_neighbors_differ_in_pattern() -> None:
    text, _ = text_of(100, colored=False)
    assert "▓" in text
    assert "▚" in text


@pytest.mark.parametrize("total", [None, 0])
def test_a_card_of_unknown_size_is_an_empty_track(total: int | None) -> None:
    state = CardState(replace(rtx4090(), memory_total_bytes=total), (), None)
    line, legend = draw_bar(segments_of(state, {}), 20)
    assert "".join(span.text for span in line) == "·" * 20
    assert legend == []
