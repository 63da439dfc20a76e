from __future__ import annotations

import pytest

from gpudesk.domain.event import EventKind
from tests.watch.build import GIB, MIB, Watch, card, engine, messages, model, process, runner, timer

HALF = 12 * GIB


def started(*held: tuple[int, int | None]) -> Watch:
    """Return a watch that has just begun, with these processes on its card, whose names are known."""
    watch = Watch()
    watch.cards(0, card(0, *held))
    watch.processes(0.1, *(process(pid, f"program {pid}") for pid, _ in held))
    assert watch.told == []
    return watch


def test_a_game_that_fills_memory_step_by_step_is_one_line_when_it_settles() -> None:
    watch = started()
    for second in range(1, 7):
        watch.cards(second, card(0, (7, second * GIB)))
        watch.processes(second + 0.1, process(7, "game"))
    for second in range(7, 12):
        watch.cards(second, card(0, (7, 6 * GIB)))
    (event,) = watch.told
    assert (event.kind, event.subject, event.card_index) == (EventKind.MEMORY_TAKEN, "game", 0)
    assert event.message == "game took 6.0 GiB on card 0"


def test_a_process_that_ends_releases_all_it_was_told_to_hold() -> None:
    watch = started((7, 6 * GIB))
    (event,) = watch.cards(1, card(0))
    assert (event.kind, event.message) == (EventKind.MEMORY_RELEASED, "program 7 released 6.0 GiB on card 0")
    assert watch.cards(2, card(0)) == []


def test_a_process_that_shrinks_says_what_it_still_holds() -> None:
    watch = started((7, 6 * GIB))
    for second in range(1, 8):
        watch.cards(second, card(0, (7, 2 * GIB)))
    assert messages(watch.told) == ["program 7 released 4.0 GiB on card 0, now holds 2.0 GiB"]


@pytest.mark.parametrize(
    ("total", "held", "told"),
    [(24 * GIB, 255 * MIB, 0), (24 * GIB, 256 * MIB, 1), (80 * GIB, 800 * MIB, 0), (80 * GIB, 820 * MIB, 1)],
)
def test_the_threshold_is_a_quarter_gib_or_a_hundredth_of_the_card(total: int, held: int, told: int) -> None:
    watch = Watch()
    watch.cards(0, card(0, total=total))
    for second in range(1, 20):
        watch.cards(second, card(0, (7, held), total=total))
        watch.processes(second + 0.1, process(7))
    assert len(watch.told) == told


@pytest.mark.slow
def test_a_process_that_grows_all_day_gives_few_lines() -> None:
    watch = started((7, GIB))
    for second in range(1, 15_000):
        watch.cards(second, card(0, (7, GIB + second * MIB)))
    assert 4 <= len(watch.told) <= 8
    assert {event.kind for event in watch.told} == {EventKind.MEMORY_TAKEN}


def test_a_figure_that_never_settles_is_told_after_a_while() -> None:
    watch = started()
    for second in range(1, 14):
        watch.cards(second, card(0, (7, (4 if second % 2 else 5) * GIB)))
        watch.processes(second + 0.1, process(7, "trainer"))
    assert len(watch.told) == 1


def test_a_runner_is_never_another_process_not_even_while_it_loads() -> None:
    watch = started()
    watch.give("ollama http://127.0.0.1:11434", engine(), 0.5)
    for second in range(1, 20):
        watch.cards(second, card(0, (70, second * GIB // 2)))
        watch.processes(second + 0.1, runner(70))
    watch.engine(20, model("qwen3:14b", timer(320, at=20)))
    watch.cards(21, card(0))
    assert [event.kind for event in watch.told] == [EventKind.LOADED]


def test_a_process_nobody_knows_yet_waits_for_the_process_table() -> None:
    watch = started()
    for second in range(1, 30):
        assert watch.cards(second, card(0, (7, 6 * GIB))) == []
    assert messages(watch.processes(30, process(7, "game"))) == ["game took 6.0 GiB on card 0"]


def test_processes_of_another_pid_namespace_are_not_told_of() -> None:
    watch = started()
    from dataclasses import replace

    for second in range(1, 30):
        watch.cards(second, card(0, (7, 6 * GIB)))
        watch.processes(second + 0.1, replace(process(7), exists=False))
    watch.cards(31, card(0))
    assert watch.told == []


def test_a_pid_used_again_is_another_process() -> None:
    watch = started((7, 6 * GIB))
    watch.cards(1, card(0, (7, 3 * GIB)))
    watch.processes(1.1, process(7, "second", started=1))
    for second in range(2, 8):
        watch.cards(second, card(0, (7, 3 * GIB)))
    assert messages(watch.told) == ["program 7 released 6.0 GiB on card 0", "second took 3.0 GiB on card 0"]


def test_where_the_driver_tells_no_bytes_nothing_is_told() -> None:
    watch = started()
    for second in range(1, 20):
        watch.cards(second, card(0, (7, None), rest=HALF))
        watch.processes(second + 0.1, process(7))
    assert watch.told == []


def test_a_card_that_cannot_be_read_releases_nothing() -> None:
    watch = started((7, 6 * GIB))
    watch.cards(1, card(0, error="lost"))
    watch.cards(2, card(0, (7, 6 * GIB)))
    assert [event.kind for event in watch.told] == [EventKind.CARD_GONE, EventKind.CARD_BACK]


def test_what_is_on_a_card_that_comes_later_is_not_news() -> None:
    watch = started((7, GIB))
    for second in range(1, 20):
        watch.cards(second, card(0, (7, GIB)), card(1, (8, 6 * GIB)))
        watch.processes(second + 0.1, process(7), process(8))
    assert [event.kind for event in watch.told] == [EventKind.CARD_BACK]


def test_a_card_that_is_gone_takes_its_processes_along_in_one_line() -> None:
    watch = started((7, 6 * GIB), (8, 6 * GIB))
    assert [event.kind for event in watch.cards(1)] == [EventKind.CARD_GONE]
    assert watch.cards(2, card(0, (7, 6 * GIB), (8, 6 * GIB)))[0].kind is EventKind.CARD_BACK
    assert len(watch.told) == 2


def test_one_process_on_two_cards_is_told_per_card() -> None:
    watch = Watch()
    watch.cards(0, card(0), card(1))
    for second in range(1, 6):
        watch.cards(second, card(0, (7, 2 * GIB)), card(1, (7, 3 * GIB)))
        watch.processes(second + 0.1, process(7, "trainer"))
    assert messages(watch.told) == ["trainer took 2.0 GiB on card 0", "trainer took 3.0 GiB on card 1"]
