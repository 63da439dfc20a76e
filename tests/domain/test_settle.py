"""Contradictions of a driver, one at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.domain.settle import SettledCard, apportion, settle
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.domain.builders import RESERVE, TOTAL, card


def figures(settled: SettledCard) -> tuple[int | None, int, int, int]:
    return settled.occupied_bytes, settled.measured_bytes, settled.reserved_bytes, settled.rest_bytes


def test_agreeing_figures_need_no_note() -> None:
    settled = settle(card((1, 5 * GIBIBYTE), used=8 * GIBIBYTE))
    assert figures(settled) == (8 * GIBIBYTE + RESERVE, 5 * GIBIBYTE, RESERVE, 3 * GIBIBYTE)
    assert settled.notes == ()
    assert settled.complete


def test_used_lags_behind_its_processes() -> None:
    settled = settle(card((1, 5 * GIBIBYTE), (2, 2 * GIBIBYTE), used=6 * GIBIBYTE))
    assert figures(settled) == (7 * GIBIBYTE + RESERVE, 7 * GIBIBYTE, RESERVE, 0)


def test_processes_may_reach_into_the_reserve_but_not_beyond_the_card() -> None:
    settled = settle(card((1, TOTAL), used=20 * GIBIBYTE))
    assert figures(settled) == (TOTAL, TOTAL, 0, 0)
    assert settled.notes == ()


def test_processes_that_exceed_the_card_together_are_not_believed() -> None:
    settled = settle(card((1, TOTAL), (2, 1), used=20 * GIBIBYTE))
    assert settled.shares == {1: None, 2: None}
    assert figures(settled) == (20 * GIBIBYTE + RESERVE, 0, RESERVE, 20 * GIBIBYTE)
    assert not settled.complete
    assert settled.notes == (
        "the driver's figures for single processes add up to more than the card has and are not used",
    )


@pytest.mark.parametrize("nonsense", [-1, TOTAL + 1, 2**64 - 1, None])
def test_one_impossible_figure_is_unknown_and_the_others_stand(nonsense: int | None) -> None:
    settled = settle(card((1, nonsense), (2, GIBIBYTE)))
    assert settled.shares == {1: None, 2: GIBIBYTE}
    assert settled.complete


def test_used_follows_from_free_where_only_that_is_told() -> None:
    settled = settle(replace(card(used=8 * GIBIBYTE), memory_used_bytes=None))
    assert figures(settled) == (8 * GIBIBYTE + RESERVE, 0, RESERVE, 8 * GIBIBYTE)
    assert settled.notes == ()


@pytest.mark.parametrize("nonsense", [-1, TOTAL + 1])
def test_an_impossible_used_counts_as_not_told(nonsense: int) -> None:
    settled = settle(replace(card(used=8 * GIBIBYTE), memory_used_bytes=nonsense))
    assert settled.occupied_bytes == 8 * GIBIBYTE + RESERVE


def test_without_used_and_free_everything_counts_as_in_use() -> None:
    settled = settle(replace(card((1, GIBIBYTE)), memory_used_bytes=None, memory_free_bytes=None))
    assert settled.occupied_bytes == TOTAL
    assert "does not say how much is in use" in settled.notes[0]


def test_a_sleeping_card_that_tells_only_its_total_is_empty() -> None:
    settled = settle(Card(0, memory_total_bytes=TOTAL, asleep=True))
    assert figures(settled) == (0, 0, 0, 0)
    assert settled.notes == ()


def test_used_and_free_that_miss_the_total_are_noted_and_free_gives_way() -> None:
    base = card(used=8 * GIBIBYTE)
    assert base.memory_free_bytes is not None
    within = replace(base, memory_free_bytes=base.memory_free_bytes - MEBIBYTE)
    beyond = replace(base, memory_free_bytes=base.memory_free_bytes - MEBIBYTE - 1)
    assert settle(within).notes == ()
    assert settle(beyond).notes == ("used, reserved and free miss the total by 1 MiB; free is what remains",)
    assert settle(beyond).occupied_bytes == settle(base).occupied_bytes


def test_used_that_already_contains_the_reserve_cannot_exceed_the_card() -> None:
    settled = settle(replace(card(used=None), memory_used_bytes=TOTAL, memory_free_bytes=0))
    assert settled.occupied_bytes == TOTAL
    assert settled.reserved_bytes == RESERVE


@pytest.mark.parametrize("total", [None, 0, -1])
def test_without_a_total_only_what_is_used_is_known(total: int | None) -> None:
    settled = settle(replace(card((1, GIBIBYTE), used=2 * GIBIBYTE), memory_total_bytes=total))
    assert settled.total_bytes is None
    assert settled.occupied_bytes == 2 * GIBIBYTE + RESERVE
    assert settle(replace(settled.card, memory_used_bytes=None)).occupied_bytes is None


def test_entries_of_one_process_in_both_lists_count_once() -> None:
    processes = (CardProcess(1, GIBIBYTE), CardProcess(1, 2 * GIBIBYTE), CardProcess(1, None), CardProcess(1, -4))
    assert settle(replace(card(), processes=processes)).shares == {1: 2 * GIBIBYTE}
    assert settle(replace(card(), processes=processes[::-1])).shares == {1: 2 * GIBIBYTE}


def test_an_unknown_slice_makes_the_process_unknown() -> None:
    processes = (CardProcess(1, GIBIBYTE, slice_index=0), CardProcess(1, None, slice_index=1))
    assert settle(replace(card(), processes=processes)).shares == {1: None}


@pytest.mark.parametrize("accounting", list(ProcessAccounting))
def test_only_full_accounting_is_complete(accounting: ProcessAccounting) -> None:
    assert settle(card(accounting=accounting)).complete is (accounting is ProcessAccounting.FULL)


@pytest.mark.parametrize(
    ("wishes", "limit", "granted"),
    [
        ([], 5, ()),
        ([3, 4], 7, (3, 4)),
        ([3, 4], 100, (3, 4)),
        ([3, 4], 0, (0, 0)),
        ([3, 4], -1, (0, 0)),
        ([1, 1, 1], 2, (1, 1, 0)),
        ([10, 20], 9, (3, 6)),
        ([10, 20], 10, (3, 7)),
        ([-5, 10], 4, (0, 4)),
        ([0, 0], 4, (0, 0)),
        ([2**63, 2**63], 3, (2, 1)),
    ],
)
def test_apportion(wishes: list[int], limit: int, granted: tuple[int, ...]) -> None:
    assert apportion(wishes, limit) == granted
