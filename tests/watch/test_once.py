from __future__ import annotations

import threading
import time

import pytest

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.domain.alarm import AlarmLimits
from gpudesk.domain.desk import Desk
from gpudesk.domain.engine import DetailsSample, EngineSample
from gpudesk.domain.host import Host
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import ProcessSample
from gpudesk.domain.reading import Sample
from gpudesk.errors import FailureKind, SourceError
from gpudesk.watch.poller import sample_once
from gpudesk.watch.watched import Watched
from tests.watch.build import ENGINE, GIB, URL, FakeSource, card, cards, engine, forever, model, process

DETAILS = f"ollama-details {URL}"


def nvml() -> FakeSource:
    return FakeSource("nvml", lambda desk: cards(card(0, (7, GIB))))


def processes() -> FakeSource:
    def give(desk: Desk) -> Sample:
        return ProcessSample(tuple(process(each.pid) for state in desk.cards for each in state.card.processes))

    return FakeSource("processes", give)


def test_everything_is_read_once_and_processes_after_the_cards() -> None:
    sources = [processes(), nvml(), FakeSource(ENGINE, lambda desk: engine(model(keep_alive=forever())))]
    desk = sample_once(sources, SYSTEM_CLOCK, 5)
    assert [state.card.index for state in desk.cards] == [0]
    assert [each.pid for each in desk.processes] == [7]
    assert [each.name for each in desk.models] == ["qwen3:14b"]
    assert (desk.problems, desk.events) == ((), ())
    assert [source.reads for source in sources] == [1, 1, 1]


def test_sources_that_need_nobody_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=5)

    def meet(value: Sample) -> Sample:
        together.wait()
        return value

    sources = [
        FakeSource("nvml", lambda desk: meet(cards())),
        FakeSource(ENGINE, lambda desk: meet(engine())),
        FakeSource("host", lambda desk: meet(Host())),
    ]
    assert sample_once(sources, SYSTEM_CLOCK, 5).problems == ()


def test_whatever_has_not_answered_in_time_is_a_problem_and_the_rest_is_there() -> None:
    stuck, table, well = nvml(), processes(), FakeSource("host", lambda desk: Host(8))
    stuck.gate.clear()
    began = time.perf_counter()
    desk = sample_once([stuck, table, well], SYSTEM_CLOCK, 0.3)
    assert time.perf_counter() - began < 1.0
    assert [problem.message for problem in desk.problems] == ["no answer from the driver for 0 s"]
    assert desk.host == Host(8)
    assert table.reads == 1
    stuck.gate.set()
    assert stuck.closed.wait(5)
    assert desk.cards == ()


def test_a_source_that_is_worth_it_is_waited_for_longer_and_the_others_are_not() -> None:
    """Nothing is there within no time at all; what is waited for longer is there all the same."""
    stuck, well = nvml(), FakeSource("host", lambda desk: Host(8))
    stuck.gate.clear()
    began = time.perf_counter()
    desk = sample_once([stuck, well], SYSTEM_CLOCK, 0.0, longer={"host": 30.0})
    assert time.perf_counter() - began < 10
    assert desk.host == Host(8)
    assert [problem.source for problem in desk.problems] == ["nvml"]
    stuck.gate.set()


def test_failures_are_problems_and_the_details_of_an_engine_that_is_down_are_not_asked() -> None:
    def refuse(desk: Desk) -> Sample:
        raise SourceError(FailureKind.UNREACHABLE, "connection refused", "start it")

    details = FakeSource(DETAILS, lambda desk: DetailsSample(URL))
    desk = sample_once([FakeSource(ENGINE, refuse), details], SYSTEM_CLOCK, 5)
    assert [(problem.source, problem.message) for problem in desk.problems] == [(ENGINE, "connection refused")]
    assert details.reads == 0


@pytest.mark.parametrize(("gives", "reads"), [(3, 3), (1, 2)])
def test_details_are_read_until_every_loaded_model_is_known_or_nothing_more_comes(gives: int, reads: int) -> None:
    models = [model(f"model-{number}", forever()) for number in range(3)]
    known: list[ModelDetails] = []

    def tell(desk: Desk) -> Sample:
        if len(known) < gives:
            known.append(ModelDetails(desk.models[len(known)].digest or ""))
        return DetailsSample(URL, tuple(known))

    details = FakeSource(DETAILS, tell)
    desk = sample_once([FakeSource(ENGINE, lambda desk: engine(*models)), details], SYSTEM_CLOCK, 5)
    assert len(desk.details) == gives
    assert details.reads == reads


def test_sources_are_closed_when_nobody_needs_any_of_them_any_more() -> None:
    order: list[str] = []
    first = FakeSource("host", lambda desk: Host())
    first.close = lambda: order.append("closed")  # type: ignore[method-assign]
    slow = FakeSource("nvml", lambda desk: order.append("read") or cards())  # type: ignore[func-returns-value]
    slow.gate.clear()
    threading.Timer(0.05, slow.gate.set).start()
    sample_once([first, slow], SYSTEM_CLOCK, 5)
    deadline = time.monotonic() + 5
    while len(order) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    assert order == ["read", "closed"]


def test_without_sources_there_is_an_empty_desk_at_once() -> None:
    assert sample_once([], SYSTEM_CLOCK, 5).sources == ()


def test_it_costs_little_besides_the_sources() -> None:
    best = min(_timed() for _ in range(10))
    assert best < 0.01


def _timed() -> float:
    sources = [nvml(), processes(), FakeSource(ENGINE, lambda desk: engine())]
    began = time.perf_counter()
    sample_once(sources, SYSTEM_CLOCK, 5)
    return time.perf_counter() - began


def test_engines_stand_in_the_order_of_their_sources() -> None:
    urls = ("http://b:11434", "http://a:11434")

    def asked(url: str) -> FakeSource:
        return FakeSource(f"ollama {url}", lambda _desk: EngineSample(url))

    desk = sample_once([asked(url) for url in urls], SYSTEM_CLOCK, 5)
    assert tuple(engine.url for engine in desk.engines) == urls


def test_what_is_known_is_told_after_each_reading() -> None:
    told: list[Watched] = []
    sources = [nvml(), processes(), FakeSource(DETAILS, lambda desk: DetailsSample(URL))]
    desk = sample_once(sources, SYSTEM_CLOCK, 5, limits=AlarmLimits(free_memory_bytes=5), told=told.append)
    assert [len(watched.desk.sources) for watched in told] == [1, 2, 3]
    assert told[-1].desk is desk
    assert told[0].limits.free_memory_bytes == 5
