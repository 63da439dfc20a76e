from __future__ import annotations

import io
import threading
from dataclasses import replace
from typing import cast

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.commands import watch
from gpudesk.config.settings import Settings
from gpudesk.domain.desk import Desk
from gpudesk.domain.event import Event, EventKind
from gpudesk.watch.feed import DeskFeed
from gpudesk.workstation import Workstation
from tests import desks

FIRST = desks.spilled()
EVENTS = tuple(replace(FIRST.events[0], subject=name, message=f"{name} came") for name in ("one", "two", "three"))


class Feed:
    """Shows one desk after the other, then asks to stop."""

    def __init__(self, shown: list[Desk], stopped: threading.Event) -> None:
        self._shown = shown
        self._stopped = stopped

    @property
    def desk(self) -> Desk:
        if len(self._shown) == 1:
            self._stopped.set()
        return self._shown.pop(0)


def printed(*histories: tuple[Event, ...]) -> list[str]:
    stopped = threading.Event()
    shown = [replace(FIRST, events=events) for events in histories]
    out = io.StringIO()
    workstation = Workstation((), SYSTEM_CLOCK, Settings(interval_seconds=0.001))
    watch._print_until(cast("DeskFeed", Feed(shown, stopped)), workstation, out, stopped, as_json=False)
    return [line.split(": ", 1)[1] for line in out.getvalue().splitlines() if " event" in line]


def test_each_event_is_printed_once() -> None:
    assert printed(EVENTS[:1], EVENTS[:2], EVENTS[:2], EVENTS) == ["one came", "two came", "three came"]


def test_events_are_not_printed_again_when_old_ones_are_dropped() -> None:
    assert printed(EVENTS[:2], EVENTS[1:]) == ["one came", "two came", "three came"]


def test_a_revised_event_is_printed_and_those_before_it_are_not_repeated() -> None:
    revised = replace(EVENTS[1], kind=EventKind.EVICTED, message="two was evicted")
    assert printed(EVENTS[:2], (EVENTS[0], revised)) == ["one came", "two came", "two was evicted"]
