from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.desk import Desk
from gpudesk.watch import early_feed
from gpudesk.watch.early_feed import EarlyFeed
from gpudesk.watch.first_look import FirstLook
from gpudesk.watch.history import History, Span
from gpudesk.watch.once import sample_once
from gpudesk.watch.poller import Poller
from gpudesk.watch.watched import Watched
from tests.waiting import until
from tests.watch.build import ENGINE, GIB, FakeSource, card, cards, engine, forever, model


class ToldByHand(FirstLook):
    """A first look without a process: tells what the test does."""

    def __init__(self) -> None:
        self.ended = Event()
        self.stopped = False
        self._told: Watched | None = None
        self._listener: Callable[[Desk], None] = lambda _: None

    @property
    def watched(self) -> Watched | None:
        return self._told

    def tell(self, listener: Callable[[Desk], None]) -> None:
        self._listener = listener

    def stop(self) -> None:
        self.stopped = True

    def show(self, watched: Watched) -> None:
        self._told = watched
        self._listener(watched.desk)


class Bench:
    """A feed over two sources, and what was made for it."""

    def __init__(self, first: FirstLook | None) -> None:
        self.cards = FakeSource("nvml", lambda desk: cards(card(0, (7, GIB))))
        self.engine = FakeSource(ENGINE, lambda desk: engine(model(keep_alive=forever())))
        self.made: list[Poller] = []
        self.begun: list[Watched | None] = []
        self.feed = EarlyFeed(SYSTEM_CLOCK, first, self._make)

    def _make(self, begun: Watched | None, history: History) -> Poller:
        self.begun.append(begun)
        self.made.append(Poller((self.cards, self.engine), SYSTEM_CLOCK, begun=begun, history=history))
        return self.made[-1]

    def seen(self) -> Watched:
        told: list[Watched] = []
        sources = (FakeSource("nvml", self.cards.read), FakeSource(ENGINE, self.engine.read))
        sample_once(sources, SYSTEM_CLOCK, 5, told=told.append)
        self.cards.reads = self.engine.reads = 0
        return told[-1]


def test_without_a_first_look_the_watch_begins_at_once() -> None:
    bench = Bench(None)
    try:
        assert bench.feed.poller() is bench.made[0]
        assert until(lambda: len(bench.feed.desk.models) == 1)
        bench.feed.take_over()
        assert len(bench.made) == 1
    finally:
        bench.feed.stop()


def test_the_first_look_is_shown_and_then_the_watch_goes_on_from_it() -> None:
    first = ToldByHand()
    bench = Bench(first)
    calls: list[int] = []
    bench.feed.subscribe(lambda: calls.append(1))
    assert bench.feed.desk.models == ()
    watched = bench.seen()
    first.show(watched)
    assert bench.feed.desk is watched.desk
    assert calls == [1]
    assert bench.feed.history.points(0, Span.MINUTE)[-1].used_ratio is not None
    assert bench.made == [], "nothing that reads is imported before the first paint"
    first.ended.set()
    try:
        bench.feed.take_over()
        poller = bench.feed.poller()
        assert bench.begun == [watched]
        assert first.stopped
        assert until(lambda: bench.engine.reads > 0 and bench.cards.reads > 0)
        assert until(lambda: bench.feed.desk.source(ENGINE) != watched.desk.source(ENGINE)), "its readings count"
        assert bench.feed.desk is poller.desk
        assert (bench.feed.desk.events, poller.history) == ((), bench.feed.history), "nothing of it is news"
    finally:
        bench.feed.stop()


def test_a_listener_that_fails_keeps_the_desk_from_nobody() -> None:
    first = ToldByHand()
    bench = Bench(first)
    calls: list[str] = []

    def gone() -> None:
        calls.append("gone")
        raise RuntimeError("Event loop is closed")

    bench.feed.subscribe(gone)
    bench.feed.subscribe(lambda: calls.append("there"))
    watched = bench.seen()
    first.show(watched)
    first.show(watched)
    assert calls == ["gone", "there", "there"]
    assert bench.feed.desk is watched.desk


def test_listeners_of_the_early_feed_hear_of_the_watch() -> None:
    first = ToldByHand()
    bench = Bench(first)
    bench.engine = FakeSource(ENGINE, lambda desk: engine())
    heard = Event()
    bench.feed.subscribe(heard.set)
    first.ended.set()
    bench.feed.take_over()
    try:
        assert heard.wait(5), "the first value of a source is news to a screen"
    finally:
        bench.feed.stop()


def test_a_first_look_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ToldByHand()
    bench = Bench(first)
    monkeypatch.setattr(early_feed, "PATIENCE_SECONDS", 0.01)
    try:
        bench.feed.take_over()
        bench.feed.poller()
        assert (first.stopped, bench.begun) == (True, [None])
        assert until(lambda: len(bench.feed.desk.models) == 1)
    finally:
        bench.feed.stop()


def test_focus_lost_before_the_watch_begins_is_not_forgotten() -> None:
    first = ToldByHand()
    bench = Bench(first)
    bench.feed.set_focused(False)
    bench.feed.request_sample()
    first.ended.set()
    bench.feed.take_over()
    try:
        assert bench.feed.poller()._factor == 3.0
        bench.feed.set_focused(True)
        assert bench.feed.poller()._factor == 1.0
    finally:
        bench.feed.stop()


def test_a_feed_that_was_stopped_reads_nothing_any_more() -> None:
    first = ToldByHand()
    bench = Bench(first)
    bench.feed.stop()
    assert first.stopped
    waiting = Thread(target=bench.feed.poller)
    waiting.start()
    first.ended.set()
    bench.feed.take_over()
    waiting.join(5)
    assert not waiting.is_alive(), "whoever waits for the watch goes on"
    assert (bench.cards.reads, bench.engine.reads) == (0, 0)
    assert not bench.made[0]._started


def test_what_came_first_is_kept_until_a_newer_reading() -> None:
    first = ToldByHand()
    bench = Bench(first)
    first.show(bench.seen())
    bench.engine.gate.clear()
    bench.cards = FakeSource("nvml", lambda desk: cards(card(0, (7, 2 * GIB))))
    first.ended.set()
    bench.feed.take_over()
    try:
        bench.feed.poller()
        assert until(
            lambda: bench.cards.reads > 0 and bench.feed.desk.cards[0].card.processes[0].memory_bytes == 2 * GIB
        )
        assert [each.name for each in bench.feed.desk.models] == ["qwen3:14b"], "the engine has not answered again"
    finally:
        bench.engine.gate.set()
        bench.feed.stop()
