from __future__ import annotations

from datetime import timedelta

import pytest

from gpudesk.domain.desk import Desk, SourceState
from gpudesk.watch.staleness import age_seconds, stale_after_seconds, stale_sources
from tests.watch.build import START, failure


def state(name: str, value_at: float | None, interval: float = 1.0) -> SourceState:
    at = None if value_at is None else START + timedelta(seconds=value_at)
    return SourceState(name, last_value_at=at, interval_seconds=interval)


@pytest.mark.parametrize(("interval", "expected"), [(0.5, 5.0), (1.0, 5.0), (2.0, 6.0), (30.0, 90.0)])
def test_three_turns_but_at_least_five_seconds(interval: float, expected: float) -> None:
    assert stale_after_seconds(interval) == expected


def test_age_is_unknown_without_a_value_and_never_negative() -> None:
    assert age_seconds(state("a", None), START) is None
    assert age_seconds(state("a", 10), START) == 0.0
    assert age_seconds(state("a", 0), START + timedelta(seconds=7)) == 7.0


def test_stale_sources_are_those_past_the_limit_failing_or_not() -> None:
    quick, slow = state("quick", 0), state("slow", 0, interval=30)
    never = SourceState("never", failure=failure())
    desk = Desk(START, sources=(quick, slow, never))
    assert stale_sources(desk, START + timedelta(seconds=5)) == ()
    assert stale_sources(desk, START + timedelta(seconds=5.1)) == (quick,)
    assert stale_sources(desk, START + timedelta(seconds=91)) == (quick, slow)
