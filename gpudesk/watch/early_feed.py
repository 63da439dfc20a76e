"""The feed of a screen that has just been started: a first look, until the watch takes over."""

from __future__ import annotations

from threading import Condition, Thread
from typing import TYPE_CHECKING

from gpudesk.domain.desk import Desk
from gpudesk.watch.history import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.clock import Clock
    from gpudesk.watch.first_look import FirstLook
    from gpudesk.watch.poller import Poller
    from gpudesk.watch.watched import Watched

PATIENCE_SECONDS = 1.0
"""How long the watch waits for the end of a first look that somebody is slow to answer."""


class EarlyFeed:
    """Implements `watch.feed.DeskFeed`: shows what the first look tells, then what the watch does."""

    def __init__(
        self, clock: Clock, first: FirstLook | None, make_poller: Callable[[Watched | None, History], Poller]
    ) -> None:
        """Begin to show.

        Args:
            clock: what everything is timed with.
            first: the look in progress; without one the watch begins at once.
            make_poller: makes the watch, which goes on from what is known.
        """
        self._clock = clock
        self._first = first
        self._make_poller = make_poller
        self._changed = Condition()
        self._desk = Desk(taken_at=clock.now())
        self._history = History()
        self._listeners: list[Callable[[], None]] = []
        self._poller: Poller | None = None
        self._focused = True
        self._stopped = False
        if first is None:
            self._take_over()
        else:
            first.tell(self._took)

    @property
    def desk(self) -> Desk:
        """The newest desk."""
        return self._desk if self._poller is None else self._poller.desk

    @property
    def history(self) -> History:
        """The histories behind the graphs."""
        return self._history

    @property
    def clock(self) -> Clock:
        """The clock every age and countdown is measured with."""
        return self._clock

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` from a watching thread when something other than plain figures changed."""
        with self._changed:
            self._listeners.append(listener)
            if self._poller is not None:
                self._poller.subscribe(listener)

    def request_sample(self) -> None:
        """Read every source now; what has not begun yet reads first of all anyway."""
        if self._poller is not None:
            self._poller.request_sample()

    def set_focused(self, focused: bool) -> None:
        """Tell whether anybody looks."""
        with self._changed:
            self._focused = focused
            if self._poller is not None:
                self._poller.set_focused(focused)

    def stop(self) -> None:
        """Stop reading. Returns at once even while a driver call hangs."""
        with self._changed:
            self._stopped = True
            if self._poller is not None:
                self._poller.stop()
        if self._first is not None:
            self._first.stop()

    def take_over(self) -> None:
        """Let the watch begin, on a thread of its own, as soon as the first look is over or takes too long.

        Without a first look it has begun.
        """
        if self._first is None:
            return
        Thread(target=self._take_over, name="gpudesk take over", daemon=True).start()

    def poller(self) -> Poller:
        """Return the watch; waits until it has taken over."""
        with self._changed:
            self._changed.wait_for(lambda: self._poller is not None)
            assert self._poller is not None
            return self._poller

    def _took(self, desk: Desk) -> None:
        """Show what the first look told."""
        with self._changed:
            self._desk = desk
            self._history.record(desk)
            listeners = list(self._listeners)
        for listener in listeners:
            self._call(listener)

    def _call(self, listener: Callable[[], None]) -> None:
        """Call one listener; one that fails, such as a screen that is gone, is not called again."""
        try:
            listener()
        except Exception:  # noqa: BLE001 - a reader that fails must not end the look
            with self._changed:
                self._listeners.remove(listener)

    def _take_over(self) -> None:
        watched = None
        if self._first is not None:
            self._first.ended.wait(PATIENCE_SECONDS)
            self._first.stop()
            watched = self._first.watched
        poller = self._make_poller(watched, self._history)
        with self._changed:
            self._poller = poller
            poller.set_focused(self._focused)
            for listener in self._listeners:
                poller.subscribe(listener)
            if not self._stopped:
                poller.start()
            self._changed.notify_all()
