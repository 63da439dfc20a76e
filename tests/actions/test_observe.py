"""What the desk has to show before memory counts as back and a model as loaded."""

from __future__ import annotations

import pytest

from gpudesk.actions import observe
from gpudesk.actions.values import Load
from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.domain.desk import CardShare, CardState, Desk, LoadedModel
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.model import ModelDetails
from gpudesk.records import replace
from gpudesk.watch.names import engine_source
from tests import desks

GIB = 1 << 30
PID = 4100
MODEL = desks.model("a:1b", 10.0, pids=(PID,), cards=(CardShare(0, 10 * GIB),))


def card(used: float, *held: tuple[int, float | None], accounting: ProcessAccounting = ProcessAccounting.FULL) -> Card:
    processes = tuple(CardProcess(pid, None if size is None else int(size * GIB)) for pid, size in held)
    return desks.card(memory_used_bytes=int(used * GIB), processes=processes, process_accounting=accounting)


def desk(*cards: Card, models: tuple[LoadedModel, ...] = (), **changes: object) -> Desk:
    return Desk(desks.NOW, cards=tuple(CardState(each) for each in cards), models=models, **changes)  # type: ignore[arg-type]


FULL, PIDS_ONLY, NONE = ProcessAccounting.FULL, ProcessAccounting.PIDS_ONLY, ProcessAccounting.NONE


@pytest.mark.parametrize(
    ("before", "after", "still"),
    [
        # The driver tells every process.
        (card(11, (PID, 10)), card(11, (PID, 10)), 10),
        (card(11, (PID, 10)), card(4, (PID, 3)), 3),
        (card(11, (PID, 10)), card(1), 0),
        (card(11, (PID, 10)), card(11), 10),
        (card(11, (PID, 10)), card(12, (9, 11)), 0),
        (card(11, (PID, 10)), card(3), 0),
        (card(11, (PID, 10)), card(4), 3),
        # It only tells who is there.
        (card(11, (PID, None), accounting=PIDS_ONLY), card(11, (PID, None), accounting=PIDS_ONLY), 10),
        (card(11, (PID, None), accounting=PIDS_ONLY), card(1, accounting=PIDS_ONLY), 0),
        (card(11, (PID, None), accounting=PIDS_ONLY), card(11, accounting=PIDS_ONLY), 10),
        # It tells nothing but the sum.
        (card(11, accounting=NONE), card(11, accounting=NONE), 10),
        (card(11, accounting=NONE), card(6, accounting=NONE), 5),
        (card(11, accounting=NONE), card(3, accounting=NONE), 0),
    ],
)
def test_memory_is_back_by_process_and_by_what_nobody_accounts_for(before: Card, after: Card, still: int) -> None:
    held = observe.held_memory(desk(before, models=(MODEL,)), MODEL)
    assert held.total_bytes == 10 * GIB
    assert observe.still_held(desk(after), held) == still * GIB


def test_a_card_that_cannot_be_read_any_more_is_not_waited_for() -> None:
    held = observe.held_memory(desk(card(11, (PID, 10))), MODEL)
    assert observe.still_held(desk(replace(card(11, (PID, 10)), error="GPU is lost")), held) == 0
    assert observe.still_held(desk(), held) == 0


def test_what_is_only_claimed_has_to_fall_by_half() -> None:
    unknown = replace(MODEL, cards=(), pids=(), reported_vram_bytes=10 * GIB)
    assert not observe.is_matched(desk(card(11)), unknown)
    held = observe.held_memory(desk(card(11)), unknown)
    assert held.total_bytes == 10 * GIB
    assert observe.still_held(desk(card(11)), held) == 10 * GIB
    assert observe.still_held(desk(card(7)), held) == 6 * GIB
    assert observe.still_held(desk(card(5)), held) == 0


def test_a_model_elsewhere_or_on_the_cpu_holds_nothing_here() -> None:
    for model in (
        replace(MODEL, cards=(), pids=(), local=False),
        replace(MODEL, cards=(), pids=(), reported_vram_bytes=0),
    ):
        assert observe.is_matched(desk(card(11)), model)
        assert observe.held_memory(desk(card(11)), model).total_bytes == 0


@pytest.mark.parametrize(
    ("wanted", "seen", "trained", "expected"),
    [
        (8192, 8192, None, True),
        (None, 8192, None, True),
        (8192, None, None, True),
        (65536, 32768, 32768, True),
        (65536, 32768, 40960, False),
        (65536, 32768, None, None),
        (1024, 2048, 8192, True),
        (1024, 4096, 8192, False),
    ],
)
def test_a_context_is_the_one_wished_for_or_the_one_the_engine_limits_it_to(
    wanted: int | None, seen: int | None, trained: int | None, expected: bool | None
) -> None:
    model = replace(MODEL, context_length=seen)
    assert model.digest is not None
    told = ModelDetails(model.digest, context_length_trained=trained)
    wish = Load(desks.LOCAL, "a:1b", wanted)
    assert observe.context_seen(desk(models=(model,), details=(told,)), wish, model) is expected


@pytest.mark.parametrize(
    ("wished", "left", "elapsed", "expected"),
    [
        (600.0, 600, 0, True),
        (600.0, 590, 8, True),
        (600.0, 300, 8, False),
        (600.0, 900, 8, False),
        (None, 600, 0, False),
    ],
)
def test_a_timer_is_the_one_wished_for_less_what_has_passed(
    wished: float | None, left: float, elapsed: float, expected: bool
) -> None:
    model = replace(MODEL, keep_alive=desks.timed(left))
    assert observe.timer_seen(desk(), KeepAliveWish(wished), model, elapsed) is expected
    assert observe.timer_seen(desk(), KeepAliveWish(wished), replace(MODEL, keep_alive=desks.FOREVER), 0) is (
        wished is None
    )


def test_the_driver_sees_a_model_where_it_can_tell() -> None:
    assert observe.on_cards(desk(card(11, (PID, 10))), MODEL) is True
    assert observe.on_cards(desk(card(1)), MODEL) is False
    assert observe.on_cards(desk(card(1, accounting=NONE)), MODEL) is None
    assert observe.on_cards(desk(), MODEL) is None
    assert observe.on_cards(desk(card(1)), replace(MODEL, pids=())) is None


def test_strangers_are_what_nobody_knew() -> None:
    other = replace(desks.model("b:1b", 1.0), digest="b" * 64)
    shared = replace(desks.model("c:1b", 0.0), digest="c" * 64, shares_runner_with=("a:1b",))
    known = Load(desks.LOCAL, "a:1b")
    there = desk(models=(replace(MODEL, shares_runner_with=("c:1b",)), shared, other))
    assert [each.name for each in observe.strangers(there, (desks.LOCAL,), (known,))] == ["b:1b"]
    assert observe.strangers(there, ("http://elsewhere",), (known,)) == ()


def test_the_source_of_an_engine_is_called_what_the_watch_calls_it() -> None:
    assert observe.source_name(desks.LOCAL) == engine_source(desks.LOCAL)
