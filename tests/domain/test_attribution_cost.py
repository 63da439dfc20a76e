"""Attribution runs at every sample; the largest workstation must not be felt."""

from __future__ import annotations

import time

from gpudesk.domain.attribution import attribute
from gpudesk.domain.process import Process
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.domain.builders import assert_adds_up, card, engine, model, runner, seen, told

CARDS, PROCESSES, MODELS, INSTALLED = 8, 200, 20, 500


def test_eight_cards_two_hundred_processes_and_twenty_models_take_under_three_milliseconds() -> None:
    numbers = range(1, MODELS + 1)
    others = range(1000, 1000 + PROCESSES - MODELS)
    entries = [(100 + number, 3 * GIBIBYTE) for number in numbers] + [(pid, 20 * MEBIBYTE) for pid in others]
    cards = [card(*entries[index::CARDS], index=index) for index in range(CARDS)]
    engines = [engine(*(model(f"m{number}:1b", number) for number in numbers))]
    processes = seen(
        *(runner(100 + number, number) for number in numbers),
        *(Process(pid, f"python job{pid}.py", parent_pid=1) for pid in others),
    )
    details = [told(number) for number in range(1, INSTALLED + 1)]
    best = float("inf")
    for _run in range(20):
        started = time.perf_counter()
        result = attribute(cards, engines, processes, details)
        best = min(best, time.perf_counter() - started)
    assert_adds_up(result)
    assert sum(len(state.holders) for state in result.cards) == PROCESSES + CARDS
    assert all(found.pids for found in result.models)
    assert best < 0.003
