from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gpudesk.domain.desk import Desk
from gpudesk.fit.points import MeasuredPoint
from gpudesk.fit.values import Parts
from gpudesk.planning.learner import TRIES_MOST, Learner, calculated, point_of
from gpudesk.watch.learning import LearnedLoad
from tests.watch.test_learning import SIZE, desk, learned

PARTS = Parts(8000 << 20, 700 << 20, 200 << 20, 0, 400 << 20)


class Feed:
    """A desk that a test moves on."""

    def __init__(self) -> None:
        self.desk: Desk = desk(0)
        self.listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        self.listeners.append(listener)

    def notify(self) -> None:
        for listener in self.listeners:
            listener()


def one_load() -> LearnedLoad:
    (load,) = learned(desk(second) for second in range(3))
    return load


def test_what_holds_still_is_kept_beside_what_was_calculated() -> None:
    feed: Any = Feed()
    kept: list[MeasuredPoint] = []
    learner = Learner(feed, lambda load: PARTS, kept.append)
    for second in range(10):
        feed.desk = desk(second)
        assert learner.look() is (second < 2)
    (point,) = kept
    assert point == point_of(one_load(), PARTS)
    assert (point.measured_bytes, point.residual_bytes) == (SIZE, SIZE - PARTS.total_bytes)
    assert point.taken_at == "2026-03-02T09:30:02Z"


def test_what_cannot_be_calculated_is_not_kept_and_given_up() -> None:
    feed: Any = Feed()
    tried: list[LearnedLoad] = []
    learner = Learner(feed, tried.append, lambda point: pytest.fail("it was kept"))
    for second in range(40):
        feed.desk = desk(second)
        learner.look()
    assert len(tried) == TRIES_MOST


def test_a_load_waits_for_its_header() -> None:
    feed: Any = Feed()
    kept: list[MeasuredPoint] = []
    answers = [None, None, PARTS]
    learner = Learner(feed, lambda load: answers.pop(0), kept.append)
    for second in range(8):
        feed.desk = desk(second)
        learner.look()
    assert len(kept) == 1


def test_its_thread_sleeps_until_something_changed_and_survives_what_fails() -> None:
    feed: Any = Feed()
    looked = Event()

    class Watched(Learner):
        def look(self) -> bool:
            looked.set()
            raise ValueError("a sick desk")

    learner = Watched(feed, lambda load: PARTS, lambda point: None)
    learner.start()
    try:
        assert not looked.wait(0.1)
        for _ in range(3):
            feed.notify()
            assert looked.wait(5)
            looked.clear()
    finally:
        learner.stop()


def test_a_model_whose_header_is_not_kept_cannot_be_calculated(tmp_path: Path) -> None:
    assert calculated(one_load(), tmp_path) is None
    assert calculated(one_load(), None) is None
