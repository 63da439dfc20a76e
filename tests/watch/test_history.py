from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest

from gpudesk.domain.desk import CardState, Desk, SourceState
from gpudesk.watch.history import NOTHING, History, HistoryPoint, Span
from tests.watch.build import GIB, START, card, failure


def desk(at: float, *ratios: float, value_at: float | None = None, interval: float = 1.0, failed: bool = False) -> Desk:
    """Return a desk with one 16 GiB card per ratio, read at `value_at`."""
    states = tuple(
        CardState(card(index, (1, int(ratio * 16 * GIB)), total=16 * GIB), free_bytes=int((1 - ratio) * 16 * GIB))
        for index, ratio in enumerate(ratios)
    )
    source = SourceState(
        "nvml",
        last_value_at=START + timedelta(seconds=at if value_at is None else value_at),
        failure=failure() if failed else None,
        interval_seconds=interval,
    )
    return Desk(START + timedelta(seconds=at), cards=states, sources=(source,))


def used(history: History, index: int = 0, span: Span = Span.MINUTE) -> list[float | None]:
    return [point.used_ratio for point in history.points(index, span)]


def test_nothing_recorded_is_a_full_row_of_nothing() -> None:
    for span in Span:
        assert list(History().points(0, span)) == [NOTHING] * span.length


def test_one_point_a_second_oldest_first() -> None:
    history = History()
    for second in range(3):
        history.record(desk(second, second / 4))
    assert used(history) == [None] * 57 + [0.0, 0.25, 0.5]


def test_a_bucket_keeps_the_newest() -> None:
    history = History()
    history.record(desk(0.0, 0.25))
    history.record(desk(0.9, 0.75))
    assert used(history)[-2:] == [None, 0.75]


def test_five_seconds_are_one_point_of_the_long_span() -> None:
    history = History()
    for second in range(11):
        history.record(desk(second, second / 16))
    assert used(history, span=Span.TEN_MINUTES) == [None] * 117 + [4 / 16, 9 / 16, 10 / 16]


def test_rows_are_bounded_and_the_oldest_goes_first() -> None:
    history = History()
    for second in range(200):
        history.record(desk(second, second / 256))
    assert used(history) == [second / 256 for second in range(140, 200)]


@pytest.mark.parametrize(("gap", "interval", "expected"), [(2, 1.0, 0.5), (6, 1.0, 0.5), (7, 1.0, None), (9, 3.0, 0.5)])
def test_a_second_between_two_readings_is_no_hole_but_silence_is(
    gap: int, interval: float, expected: float | None
) -> None:
    history = History()
    history.record(desk(0, 0.5, interval=interval))
    history.record(desk(gap, 0.75, interval=interval))
    assert used(history)[-gap - 1 :] == [0.5] + [expected] * (gap - 1) + [0.75]


def test_an_old_value_is_repeated_until_it_is_stale() -> None:
    history = History()
    for second in range(8):
        history.record(desk(second, 0.5, value_at=0))
    assert used(history)[-8:] == [0.5] * 6 + [None, None]


def test_while_the_driver_fails_nothing_is_known() -> None:
    history = History()
    history.record(desk(0, 0.5))
    history.record(desk(1, 0.5, value_at=0, failed=True))
    history.record(desk(2, 0.5))
    assert used(history)[-3:] == [0.5, None, 0.5]


def test_a_card_that_cannot_be_read_has_a_hole_and_the_others_none() -> None:
    history = History()
    both = desk(0, 0.5, 0.25)
    broken = replace(both.cards[0], card=replace(both.cards[0].card, error="lost"))
    history.record(replace(both, cards=(broken, both.cards[1])))
    assert used(history, 0)[-1] is None
    assert used(history, 1)[-1] == 0.25


def test_a_clock_set_back_goes_on_where_the_row_stands() -> None:
    history = History()
    for second in range(10):
        history.record(desk(second, 0.25))
    for second in range(3):
        history.record(desk(second - 3600, 0.75))
    assert used(history)[-14:] == [None] + [0.25] * 10 + [0.75] * 3


def test_readings_that_arrive_late_by_a_moment_are_no_jump() -> None:
    history = History()
    history.record(desk(10.0, 0.25))
    history.record(desk(9.9, 0.5))
    history.record(desk(11.0, 0.75))
    assert used(history)[-3:] == [None, 0.5, 0.75]


def test_a_clock_set_forward_leaves_a_gap() -> None:
    history = History()
    history.record(desk(0, 0.25))
    history.record(desk(30, 0.75))
    history.record(desk(31 + 86_400 * 365, 0.5))
    assert used(history)[-2:] == [None, 0.5]
    assert used(history).count(None) == 59


def test_cards_come_and_go() -> None:
    history = History()
    history.record(desk(0, 0.5, 0.25))
    history.record(desk(1, 0.5))
    history.record(desk(2, 0.5, 0.75))
    assert used(history, 1)[-3:] == [0.25, None, 0.75]


def test_a_card_that_is_gone_for_good_costs_nothing() -> None:
    history = History()
    history.record(desk(0, *([0.5] * 8)))
    for second in range(1, 700):
        history.record(desk(second, 0.5))
    assert [len(track.rows) for track in history._tracks.values()] == [1, 1]


def test_ratios_stay_within_the_range_of_the_graph() -> None:
    history = History()
    state = CardState(card(0, (1, 30 * GIB), total=16 * GIB, utilization_ratio=1.5), free_bytes=-1)
    history.record(Desk(START, cards=(state,)))
    assert history.points(0, Span.MINUTE)[-1] == HistoryPoint(1.0, 1.0)


def test_unknown_totals_and_utilization_are_unknown_points() -> None:
    history = History()
    history.record(Desk(START, cards=(CardState(card(0, memory_total_bytes=None, utilization_ratio=0.5)),)))
    assert history.points(0, Span.MINUTE)[-1] == HistoryPoint(None, 0.5)
    history.record(Desk(START, cards=(CardState(card(0, memory_total_bytes=0)),)))
    assert history.points(0, Span.MINUTE)[-1] == NOTHING


def test_reading_while_it_is_written_never_sees_half_a_row() -> None:
    history = History()
    wrong: list[int] = []

    def read() -> None:
        for _ in range(3000):
            row = used(history)
            if len(row) != 60 or row != sorted(row, key=lambda ratio: -1.0 if ratio is None else ratio):
                wrong.append(len(row))

    reader = Thread(target=read)
    reader.start()
    for second in range(1500):
        history.record(desk(second, second / 2048))
    reader.join()
    assert wrong == []
