from __future__ import annotations

from dataclasses import replace

from gpudesk.commands.watch import new_events
from tests import desks

EVENTS = tuple(replace(desks.spilled().events[0], subject=f"model {number}") for number in range(5))


def test_events_are_printed_once() -> None:
    assert new_events(EVENTS, None) == EVENTS
    assert new_events(EVENTS, EVENTS[2]) == EVENTS[3:]
    assert new_events(EVENTS, EVENTS[-1]) == ()
    assert new_events((), EVENTS[0]) == ()


def test_events_whose_predecessor_was_dropped_are_all_new() -> None:
    assert new_events(EVENTS[3:], EVENTS[0]) == EVENTS[3:]
