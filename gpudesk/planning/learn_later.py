"""Begins to learn from what is watched, some seconds after the watching began."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.planning.learner import Learner
    from gpudesk.watch.feed import DeskFeed

LEARNING_SECONDS = 5.0
"""The arithmetic takes longer to import than a screen takes to paint."""


def learn_later(feed: DeskFeed, after_seconds: float = LEARNING_SECONDS) -> Callable[[], None]:
    """Keep what the driver measures of the loads on the desk, for the planner; return what ends it."""
    running: list[Learner] = []

    def begin() -> None:
        from gpudesk.paths import cache_directory, data_directory
        from gpudesk.planning.learner import Learner, calculated
        from gpudesk.sources.calibration_store import CalibrationStore

        store, cache = CalibrationStore(data_directory()), cache_directory()
        learner = Learner(feed, lambda load: calculated(load, cache), store.add)
        running.append(learner)
        learner.start()

    timer = threading.Timer(after_seconds, begin)
    timer.daemon = True
    timer.start()

    def stop() -> None:
        timer.cancel()
        for learner in running:
            learner.stop()

    return stop
