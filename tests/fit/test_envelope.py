"""A size that never falls when the context grows, whatever the sizes at single contexts do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpudesk.fit.envelope import envelope

LARGEST = 11
"""256 times two to this power is 524,288."""


def falling_in_between(context: int) -> int:
    return {8192: 300, 16384: 200, 32768: 500}.get(context, context)


def test_at_a_power_of_two_it_is_what_is_there_or_was_before() -> None:
    known: dict[int, int] = {}
    assert [envelope(context, known, falling_in_between) for context in (8192, 16384, 32768)] == [300, 300, 500]


def test_between_two_it_is_drawn_straight() -> None:
    assert envelope(24576, {}, falling_in_between) == 400
    assert envelope(18432, {}, falling_in_between) == 325


def test_a_short_context_takes_no_more_than_a_usual_one() -> None:
    assert envelope(4096, {}, lambda context: 900 if context == 4096 else 500) == 500
    assert envelope(1024, {}, lambda context: 900 if context < 8192 else 500) == 500


def test_a_usual_context_does_not_need_the_short_ones() -> None:
    asked: list[int] = []

    def at(context: int) -> int:
        asked.append(context)
        return context

    known: dict[int, int] = {}
    assert envelope(16384, known, at) == 16384
    assert sorted(asked) == [8192, 16384]
    assert envelope(16384, known, at) == 16384
    assert len(asked) == 2


@given(
    st.lists(st.integers(0, 1000), min_size=LARGEST + 2, max_size=LARGEST + 2),
    st.lists(st.integers(1, 2048), min_size=2, max_size=8),
)
def test_it_never_falls(sizes: list[int], contexts: list[int]) -> None:
    known: dict[int, int] = {}
    found = [
        envelope(256 * context, known, lambda at: sizes[(at // 256).bit_length() - 1]) for context in sorted(contexts)
    ]
    assert found == sorted(found)
