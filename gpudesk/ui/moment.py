"""From the newest desk to a scene: marks, what the screen itself has to add, and how old samples may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.pin import Pin
from gpudesk.domain.problem import Problem
from gpudesk.records import replace
from gpudesk.ui.marks import assign_marks
from gpudesk.ui.scene import Scene
from gpudesk.watch.history import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event
    from gpudesk.watch.feed import DeskFeed

OWN_EVENTS_MOST = 100
UNFOCUSED_SLACK = 3.0
"""Samples may come this much later before they count as stale while the terminal has no focus (the poller's factor)."""


class Moments:
    """Makes scenes."""

    def __init__(
        self, feed: DeskFeed, *, problems: Sequence[Problem], reserve_bytes: int, colored: bool, pin_key: str
    ) -> None:
        """Make it.

        Args:
            feed: the running watch.
            problems: what is wrong outside the watch.
            reserve_bytes: what the user wants left free.
            colored: colors may be used.
            pin_key: the key that puts lost pins right, for the advice.
        """
        self.span = Span.MINUTE
        self.focused = True
        self._feed = feed
        self._problems = tuple(problems)
        self._reserve_bytes = reserve_bytes
        self._colored = colored
        self._pin_key = pin_key
        self._marks: dict[str, int] = {}
        self._events: tuple[Event, ...] = ()
        self._merged: tuple[tuple[object, ...], tuple[Event, ...], tuple[Problem, ...]] | None = None

    def add_event(self, event: Event) -> None:
        """Keep something the screen itself did among the events."""
        self._events = (*self._events, event)[-OWN_EVENTS_MOST:]

    def next_span(self) -> None:
        """Switch the graphs between a minute and ten."""
        self.span = Span.TEN_MINUTES if self.span is Span.MINUTE else Span.MINUTE

    def scene(self) -> Scene:
        """Return the present moment."""
        desk = self._with_own(self._feed.desk)
        largest_first = sorted(desk.models, key=lambda model: model.memory_bytes or 0, reverse=True)
        self._marks = assign_marks(self._marks, (model.key for model in largest_first))
        return Scene(
            desk=desk,
            now=self._feed.clock.now(),
            history=self._feed.history,
            marks=self._marks,
            reserve_bytes=self._reserve_bytes,
            span=self.span,
            colored=self._colored,
            pin_key=self._pin_key,
            slack=1.0 if self.focused else UNFOCUSED_SLACK,
        )

    def _with_own(self, desk: Desk) -> Desk:
        """Add the screen's own events, and alarms and lost pins as problems; merged again only when one changed."""
        if not (self._problems or self._events or desk.alarms or desk.pins):
            return desk
        basis = (desk.events, desk.problems, desk.alarms, desk.pins, self._events)
        held = self._merged
        if held is None or any(new is not old for new, old in zip(basis, held[0], strict=True)):
            events = desk.events
            if self._events:
                events = tuple(sorted((*desk.events, *self._events), key=lambda event: event.at))
            held = self._merged = (basis, events, (*self._problems, *self._wanting(desk), *desk.problems))
        return replace(desk, events=held[1], problems=held[2])

    def _wanting(self, desk: Desk) -> tuple[Problem, ...]:
        """Return alarms and lost pins as what they are to the user: something wrong, and what to do."""
        alarms = (Problem("alarm", alarm.message, alarm.advice) for alarm in desk.alarms)
        pins = (
            Problem(
                "pin",
                f"pin of {state.wish.name} lost: {state.reason or 'nobody told why'}",
                f"Select it and press {self._pin_key}: put it right, or end the pin",
            )
            for state in desk.pins
            if state.pin is Pin.LOST
        )
        return (*alarms, *pins)
