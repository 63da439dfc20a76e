"""A day of readings at the default cadence leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from dataclasses import replace

import psutil
import pytest

from gpudesk.domain.process import ProcessSample
from gpudesk.watch.history import History
from tests.watch.build import ENGINE, GIB, MIB, Watch, card, engine, model, process, timer

DAY_SECONDS = 86_400


def live(watch: Watch, history: History, first: int, last: int) -> None:
    """Let one second after the other pass: figures move, requests come, models and games come and go."""
    for second in range(first, last):
        busy = second % 7
        pid = 1000 + second // 600 % 50
        here = card(0, (1, GIB + busy * MIB), (pid, 3 * GIB if second % 600 > 300 else 100 * MIB))
        watch.cards(second, replace(here, utilization_ratio=busy / 7, temperature_celsius=40.0 + busy))
        if second % 2 == 0:
            ends = second // 60 * 60 + 300
            names = ["chat", "autocomplete", f"guest-{second // 900 % 40}"]
            loaded = [model(name, timer(ends, at=second)) for name in names]
            watch.give(ENGINE, engine(*loaded), second + 0.1, 2.0)
        if second % 5 == 0:
            watch.give(
                "processes", ProcessSample((process(1), process(pid, f"game {pid}", started=second // 600))), second
            )
        watch.told.clear()
        history.record(watch.desk)


@pytest.mark.slow
def test_a_day_grows_memory_by_less_than_five_mebibytes() -> None:
    """Counts the interpreter's blocks, none of which is larger than 512 bytes, and what the system lends altogether.

    Tracing every allocation would say the same and take six times as long.
    """
    watch, history = Watch(), History()
    live(watch, history, 0, 3600)
    gc.collect()
    blocks, resident = sys.getallocatedblocks(), psutil.Process().memory_info().rss
    live(watch, history, 3600, DAY_SECONDS)
    gc.collect()
    assert (sys.getallocatedblocks() - blocks) * 512 < 5 * MIB
    assert psutil.Process().memory_info().rss - resident < 5 * MIB
    assert len(watch.desk.events) == 200


@pytest.mark.slow
def test_a_quarter_of_an_hour_leaves_nothing_that_was_traced() -> None:
    watch, history = Watch(), History()
    live(watch, history, 0, 3600)
    gc.collect()
    tracemalloc.start()
    try:
        live(watch, history, 3600, 3900)
        gc.collect()
        early = tracemalloc.get_traced_memory()[0]
        live(watch, history, 3900, 4800)
        gc.collect()
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert late - early < 5 * MIB / 96
