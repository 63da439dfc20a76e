from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from gpudesk.domain.attribution import Attribution
from gpudesk.domain.attribution import attribute as real_attribute
from gpudesk.domain.card import Card, Driver
from gpudesk.domain.engine import CatalogSample, DetailsSample, EngineSample
from gpudesk.domain.host import Host
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.model import InstalledModel, ModelDetails
from gpudesk.domain.problem import Problem
from gpudesk.domain.process import ProcessSample
from gpudesk.domain.reading import Failure, Reading, Sample
from gpudesk.errors import FailureKind
from gpudesk.watch.store import initial, initial_desk, reduce
from gpudesk.watch.watched import Watched
from tests.watch.build import (
    ENGINE,
    GIB,
    START,
    URL,
    Watch,
    card,
    cards,
    engine,
    failure,
    forever,
    model,
    process,
    runner,
    timer,
)

CHAT = "qwen3:14b"


def give(
    watched: Watched, source: str, what: Sample | Failure, *, sequence: int = 1, at: float = 0, interval: float = 1.0
) -> Watched:
    failed = what if isinstance(what, Failure) else None
    value = None if isinstance(what, Failure) else what
    return reduce(watched, Reading(source, sequence, START + timedelta(seconds=at), value, failed), interval)


class Counted:
    """The real attribution, counting."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self,
        cards: Sequence[Card],
        engines: Sequence[EngineSample],
        processes: ProcessSample | None,
        details: Sequence[ModelDetails],
    ) -> Attribution:
        self.calls += 1
        return real_attribute(cards, engines, processes, details)


def test_the_first_desk_knows_nothing() -> None:
    desk = initial_desk(START)
    assert (desk.taken_at, desk.cards, desk.sources, desk.problems) == (START, (), (), ())


def test_older_and_equal_sequence_numbers_are_dropped() -> None:
    watched = give(initial(START), "host", Host(memory_total_bytes=2), sequence=2)
    assert give(watched, "host", Host(memory_total_bytes=1), sequence=1) is watched
    assert give(watched, "host", failure(), sequence=2) is watched
    assert give(watched, "host", Host(memory_total_bytes=3), sequence=3).desk.host == Host(memory_total_bytes=3)


def test_sequence_numbers_count_per_source() -> None:
    watched = give(initial(START), "host", Host(), sequence=50)
    assert give(watched, "nvml", cards(card()), sequence=1).desk.cards[0].card == card()


def test_a_failed_reading_keeps_the_last_good_values_with_their_age() -> None:
    watched = give(initial(START), "nvml", cards(card(0, (1, GIB))), at=0)
    lost = Failure(FailureKind.LOST, "GPU is lost", "restart")
    desk = give(watched, "nvml", lost, sequence=2, at=3, interval=2.0).desk
    assert desk.cards == watched.desk.cards
    state = desk.source("nvml")
    assert state is not None
    assert (state.last_value_at, state.last_taken_at) == (START, START + timedelta(seconds=3))
    assert (state.failure, state.interval_seconds, state.sequence) == (lost, 2.0, 2)
    assert desk.problems == (Problem("nvml", "GPU is lost", "restart"),)


def test_an_index_that_is_given_twice_is_one_card() -> None:
    watched = give(initial(START), "nvml", cards(card(1), card(0, (1, GIB)), card(0, (2, GIB))))
    assert [state.card for state in watched.desk.cards] == [card(0, (1, GIB)), card(1)]


def test_recovering_clears_the_problem() -> None:
    watched = give(initial(START), "nvml", failure(FailureKind.LOST))
    desk = give(watched, "nvml", cards(card()), sequence=2, at=1).desk
    state = desk.source("nvml")
    assert desk.problems == ()
    assert state is not None
    assert state.failure is None
    assert state.last_value_at == START + timedelta(seconds=1)


def test_driver_host_processes_installed_and_details_are_on_the_desk() -> None:
    watched = initial(START)
    watched = give(watched, "nvml", replace(cards(card()), driver=Driver("580.95.05")))
    watched = give(watched, "host", Host(64 * GIB))
    watched = give(watched, "processes", ProcessSample((process(1),)))
    installed = InstalledModel(CHAT, URL, "d" * 64)
    watched = give(watched, f"ollama-catalog {URL}", CatalogSample(URL, (installed,)))
    details = ModelDetails("d" * 64)
    watched = give(watched, f"ollama-details {URL}", DetailsSample(URL, (details,)))
    desk = watched.desk
    assert (desk.driver, desk.host) == (Driver("580.95.05"), Host(64 * GIB))
    assert (desk.processes, desk.installed, desk.details) == ((process(1),), (installed,), (details,))


def test_two_engines_are_listed_side_by_side_and_one_digest_is_one_model() -> None:
    other = "http://10.0.0.2:11434"
    watched = initial(START)
    for url in (other, URL):
        watched = give(watched, f"ollama-catalog {url}", CatalogSample(url, (InstalledModel(CHAT, url),)))
        watched = give(watched, f"ollama-details {url}", DetailsSample(url, (ModelDetails("d" * 64),)))
        watched = give(watched, f"ollama {url}", EngineSample(url, local=url == URL, models=()))
    assert [(each.name, each.engine_url) for each in watched.desk.installed] == [(CHAT, other), (CHAT, URL)]
    assert watched.desk.details == (ModelDetails("d" * 64),)
    assert [(each.url, each.local) for each in watched.desk.engines] == [(other, False), (URL, True)]


def test_an_engine_that_never_answered_is_on_the_desk_with_the_reason() -> None:
    (found,) = give(initial(START), ENGINE, failure()).desk.engines
    assert (found.url, found.reachable, found.error, found.hint) == (URL, False, "connection refused", "start it")
    assert found.local is True
    (remote,) = give(initial(START), "ollama https://gpu.example:443", failure()).desk.engines
    assert remote.local is False


def test_the_version_told_last_stands_until_another_is_told() -> None:
    watched = give(initial(START), ENGINE, engine(version="0.12.6"))
    watched = give(watched, ENGINE, engine(version=None), sequence=2, at=2)
    assert watched.desk.engines[0].version == "0.12.6"
    watched = give(watched, ENGINE, failure(), sequence=3, at=4)
    assert (watched.desk.engines[0].version, watched.desk.engines[0].reachable) == ("0.12.6", False)


def test_one_engine_that_is_down_is_one_problem() -> None:
    watched = initial(START)
    for name in (ENGINE, f"ollama-catalog {URL}", f"ollama-details {URL}"):
        watched = give(watched, name, failure())
    assert watched.desk.problems == (Problem(ENGINE, "connection refused", "start it"),)


def test_a_catalog_that_fails_alone_is_a_problem_of_its_own() -> None:
    watched = give(initial(START), ENGINE, engine())
    watched = give(watched, f"ollama-catalog {URL}", failure(FailureKind.FAILED, "HTTP 500"))
    assert [problem.source for problem in watched.desk.problems] == [f"ollama-catalog {URL}"]


def test_problems_of_cards_and_answers_are_each_said_once() -> None:
    wsl = Problem("nvml", "no per-process memory on WSL")
    bad = Problem(ENGINE, "1 entry left out")
    watched = give(initial(START), "nvml", cards(card(0, problems=(wsl,)), card(1, problems=(wsl,), error="lost")))
    watched = give(watched, ENGINE, replace(engine(), problems=(bad,)))
    assert watched.desk.problems == (wsl, Problem("nvml", "RTX 1: lost"), bad)


@pytest.mark.parametrize(
    ("skew", "words"),
    [(2.5, None), (-2.5, None), (None, None), (12.0, "12s ahead of ours"), (-90.0, "1m 30s behind ours")],
)
def test_clocks_that_are_apart_are_a_problem(skew: float | None, words: str | None) -> None:
    problems = give(initial(START), ENGINE, engine(clock_skew_seconds=skew)).desk.problems
    assert [problem.message for problem in problems] == ([f"the clock of {URL} is {words}"] if words else [])


def test_a_timer_that_runs_out_between_two_polls_is_stopping() -> None:
    watched = give(initial(START), ENGINE, engine(model(CHAT, timer(5))))
    watched = give(watched, "nvml", cards(card()), at=4)
    assert watched.desk.models[0].keep_alive == timer(5)
    watched = give(watched, "nvml", cards(card()), sequence=2, at=5)
    keep_alive = watched.desk.models[0].keep_alive
    assert keep_alive is not None
    assert keep_alive.state is KeepAliveState.STOPPING


def test_attribution_runs_only_when_something_it_looks_at_changed() -> None:
    counted = Counted()
    watched = initial(START)
    sequence = 0

    def take(source: str, value: Sample | Failure) -> int:
        nonlocal watched, sequence
        sequence += 1
        failed = value if isinstance(value, Failure) else None
        reading = Reading(source, sequence, START + timedelta(seconds=sequence), None if failed else value, failed)  # type: ignore[arg-type]
        before = counted.calls
        watched = reduce(watched, reading, attribute=counted)
        return counted.calls - before

    assert take("nvml", cards(card(0, (1, GIB)))) == 1
    assert take(ENGINE, engine(model(CHAT, timer(300)))) == 1
    assert take("processes", ProcessSample((process(1),))) == 1
    assert take("nvml", cards(card(0, (1, GIB), utilization_ratio=0.5, temperature_celsius=60.0))) == 0
    assert take(ENGINE, engine(model(CHAT, timer(300)), clock_skew_seconds=1.0)) == 0
    assert take("processes", ProcessSample((process(1),))) == 0
    assert take("host", Host(1)) == 0
    assert take("nvml", failure()) == 0
    assert watched.desk.cards[0].card.utilization_ratio == 0.5
    assert take("nvml", cards(card(0, (1, 2 * GIB)))) == 1
    assert take(ENGINE, engine(model(CHAT, timer(310)))) == 1
    assert take("processes", ProcessSample((process(1), process(2)))) == 1


def test_figures_that_have_nothing_to_do_with_memory_reach_the_desk() -> None:
    watched = give(initial(START), "nvml", cards(card(0, (1, GIB)), card(1)))
    newer = (card(0, (1, GIB)), card(1, utilization_ratio=0.25, power_draw_watts=99.0, fan_ratio=0.5))
    watched = give(watched, "nvml", cards(*newer), sequence=2)
    assert [state.card for state in watched.desk.cards] == list(newer)


def test_what_did_not_change_stays_the_same_object() -> None:
    watch = Watch()
    watch.cards(0, card(0, (1, GIB)))
    watch.engine(0, model(CHAT, forever()))
    watch.processes(0, process(1))
    before = watch.desk
    watch.cards(1, card(0, (1, GIB)))
    watch.engine(1, model(CHAT, forever()))
    watch.processes(1, process(1))
    after = watch.desk
    assert after.taken_at > before.taken_at
    for part in ("cards", "models", "engines", "processes", "installed", "details", "problems", "events"):
        assert getattr(after, part) is getattr(before, part), part


def test_time_goes_back_only_when_the_clock_was_set_back() -> None:
    watched = give(initial(START), "host", Host(), at=10)
    watched = give(watched, "nvml", cards(card()), at=9.5)
    assert watched.desk.taken_at == START + timedelta(seconds=10)
    watched = give(watched, "nvml", cards(card()), sequence=2, at=-3600)
    assert watched.desk.taken_at == START - timedelta(seconds=3600)


def silent() -> Watch:
    """Return a watch of one measured model whose engine has just stopped answering."""
    watch = Watch()
    watch.cards(0, card(0, (70, 9 * GIB)))
    watch.engine(0, model(CHAT, forever()))
    watch.processes(0, replace(runner(70), runner=replace(runner(70).runner, model_name=CHAT)))  # type: ignore[type-var]
    assert watch.desk.models[0].pids == (70,)
    watch.fail(ENGINE, 1)
    return watch


def test_models_of_a_silent_engine_stay_as_long_as_the_driver_shows_them() -> None:
    watch = silent()
    for second in range(2, 600, 2):
        watch.cards(second, card(0, (70, 9 * GIB)))
        watch.fail(ENGINE, second + 0.5)
    assert [each.name for each in watch.desk.models] == [CHAT]
    assert watch.desk.engines[0].reachable is False


def test_a_model_whose_process_is_gone_is_dropped_and_told() -> None:
    watch = silent()
    watch.cards(2, card(0))
    watch.processes(2.1)
    assert watch.desk.models == ()
    assert [event.message for event in watch.told][1:] == [f"qwen3:14b unloaded while {URL} did not answer"]


def test_a_model_of_an_engine_that_answers_is_never_dropped_on_suspicion() -> None:
    watch = Watch()
    watch.cards(0, card(0, (70, 9 * GIB)))
    watch.engine(0, model(CHAT, forever()))
    watch.processes(0, runner(70))
    watch.cards(1, card(0))
    watch.processes(1.1)
    assert [each.name for each in watch.desk.models] == [CHAT]


def test_a_model_that_nobody_measures_is_dropped_after_a_minute_of_silence() -> None:
    watch = Watch()
    watch.engine(0, model(CHAT, forever()))
    for second in range(1, 61):
        watch.fail(ENGINE, second)
    assert [each.name for each in watch.desk.models] == [CHAT]
    watch.fail(ENGINE, 61)
    assert watch.desk.models == ()


def test_a_silent_engine_that_answers_again_has_its_models_back() -> None:
    watch = silent()
    watch.cards(2, card(0))
    watch.processes(2.1)
    watch.engine(5, model(CHAT, forever()))
    assert [each.name for each in watch.desk.models] == [CHAT]
    assert watch.desk.problems == ()


def test_how_long_a_timer_was_set_for_is_kept_with_the_model() -> None:
    watch = Watch()
    watch.engine(0, model(CHAT, timer(200)))
    watch.engine(1, model(CHAT, timer(200, at=1)))
    (bounds,) = [each.keep_alive_bounds for each in watch.desk.models]
    assert bounds is not None
    assert (bounds.least_seconds, bounds.most_seconds) == (200, None), "it was never seen to be set"
    before = watch.desk.models
    watch.engine(2, model(CHAT, timer(200, at=2)))
    assert watch.desk.models is before
    watch.engine(10, model(CHAT, timer(310, at=10)))
    watch.engine(11, model(CHAT, timer(310, at=11)))
    (bounds,) = [each.keep_alive_bounds for each in watch.desk.models]
    assert bounds is not None
    assert (bounds.least_seconds, bounds.most_seconds) == (300, 308), "a request ended between the looks"
    watch.engine(12, model(CHAT, forever()))
    watch.engine(13, model(CHAT, forever()))
    assert [each.keep_alive_bounds for each in watch.desk.models] == [None]
