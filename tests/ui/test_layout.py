from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.ui.layout import LOWER_TABS, SMALLEST_HEIGHT, SMALLEST_WIDTH, Contents, Place, is_wide, plan_desk

contents = st.builds(
    Contents,
    cards=st.integers(0, 12),
    loaded=st.integers(0, 40),
    processes=st.integers(0, 300),
    problems=st.integers(0, 9),
    tab=st.sampled_from(LOWER_TABS),
    banner=st.booleans(),
    filtering=st.booleans(),
)


def cells(place: Place) -> set[tuple[int, int]]:
    return set(itertools.product(range(place.x, place.x + place.width), range(place.y, place.y + place.height)))


@given(st.integers(1, 260), st.integers(1, 75), contents)
def test_the_screen_is_covered_once_and_left_nowhere(width: int, height: int, what: Contents) -> None:
    places = plan_desk(width, height, what)
    everywhere: set[tuple[int, int]] = set()
    for place in places.values():
        own = cells(place)
        assert not own & everywhere
        everywhere |= own
    assert everywhere == cells(Place(0, 0, width, height))


@given(st.integers(SMALLEST_WIDTH, 260), st.integers(SMALLEST_HEIGHT, 75), contents)
def test_every_panel_has_room_for_something(width: int, height: int, what: Contents) -> None:
    places = plan_desk(width, height, what)
    for name in ("title", "footer", "cards", "loaded", what.tab if not is_wide(width, height) else "installed"):
        assert name in places
    for name, place in places.items():
        least = 1 if name in ("title", "footer", "banner", "filter", "cards") else 2
        assert place.height >= least + (place.frame.lines if name != "cards" else 0), name


@pytest.mark.parametrize(("width", "height"), [(20, 5), (39, 24), (80, 11)])
def test_too_small_is_said_and_nothing_else(width: int, height: int) -> None:
    assert list(plan_desk(width, height, Contents())) == ["small"]


def test_the_everyday_terminal_shows_everything_needed() -> None:
    places = plan_desk(80, 24, Contents(cards=1, loaded=3))
    assert places["loaded"].height == 4
    assert places["cards"].height >= 5
    assert places["installed"].height >= 9


def test_a_wide_terminal_shows_all_lower_lists() -> None:
    places = plan_desk(200, 60, Contents(cards=1, loaded=3, processes=5, problems=1))
    assert set(LOWER_TABS) <= set(places)


def test_many_cards_leave_room_for_the_lists() -> None:
    places = plan_desk(120, 40, Contents(cards=8, loaded=20))
    assert places["cards"].height <= 14
    assert places["installed"].height >= 8
