"""Unloading, freeing the card, keep-alive, pins."""

from __future__ import annotations

import pytest

from gpudesk.actions import previews
from gpudesk.actions.values import ActionId, Danger, Preview, StepKind
from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardShare, CardState, LoadedModel
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import FOREVER as FOREVER_WISH
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveWish
from gpudesk.domain.pin import PinWish
from tests.actions.preview_desks import GIB, STOPPING, Arithmetic, desk, installed, loaded, names, pinned, size_of
from tests.desks import FOREVER, LOCAL, timed

CHAT, CODER, EMBED, BIG, OTHER = "chat:14b", "coder:1.5b", "embed:latest", "big:32b", "other:8b"


def kinds(preview: Preview) -> list[tuple[str, str]]:
    return [(step.kind.value, step.load.name) for step in preview.steps]


# -- unload --------------------------------------------------------------------------------------------------------


def test_an_idle_model_goes_without_being_asked_about() -> None:
    before = desk(loaded(CHAT))
    preview = previews.unload(before, before.models)
    assert kinds(preview) == [("unload", CHAT)]
    assert preview.danger is Danger.NONE
    assert preview.loses == ()
    assert preview.frees_bytes == size_of(CHAT)
    assert preview.free_after_bytes == 23 * GIB
    assert preview.before[0].context_length == 4096
    assert preview.before[0].keep_alive == KeepAliveWish(300)


def test_a_pinned_model_is_asked_about_and_its_pin_ends_first() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[CHAT])
    preview = previews.unload(before, before.models)
    assert kinds(preview) == [("unpin", CHAT), ("unload", CHAT)]
    assert preview.danger is Danger.REVERSIBLE
    assert preview.loses == (f"{CHAT} (10.0 GiB, pinned, kept forever): its pin ends",)


def test_a_busy_model_is_waited_for() -> None:
    before = desk(loaded(CHAT, STOPPING))
    preview = previews.unload(before, before.models)
    assert preview.runs
    assert preview.notes == (f"{CHAT}: unloaded when the request that is running has ended",)


def test_two_names_of_one_runner_are_one() -> None:
    first = loaded(CHAT, shares_runner_with=("twin:latest",))
    twin = LoadedModel("twin:latest", LOCAL, memory_bytes=0, shares_runner_with=(CHAT,))
    before = desk(first, twin, pins=["twin:latest"])
    for chosen in ([twin], [first], [first, twin]):
        preview = previews.unload(before, chosen)
        assert kinds(preview) == [("unpin", "twin:latest"), ("unload", CHAT)]
        assert preview.frees_bytes == size_of(CHAT)
        assert [load.name for load in preview.before] == [CHAT]
        assert len(preview.loses) == 1


def test_what_is_gone_already_is_said() -> None:
    preview = previews.unload(desk(), [loaded(CHAT)])
    assert preview.steps == ()
    assert preview.notes == (f"{CHAT} is not loaded",)


def test_a_pin_on_what_is_gone_already_is_named() -> None:
    preview = previews.unload(desk(pins=[CHAT]), [loaded(CHAT), loaded(CODER)])
    assert preview.steps == ()
    assert preview.notes[1:] == (f"{CHAT} is still pinned; to end that: gpudesk unpin {CHAT}",)


def test_an_engine_that_does_not_answer_is_not_asked() -> None:
    before = desk(loaded(CHAT), engines=(Engine(LOCAL, reachable=False, error="timed out"),))
    for preview in (previews.unload(before, before.models), previews.free(before),
                    previews.keep(before, before.models[0], FOREVER_WISH)):  # fmt: skip
        assert preview.refusal is not None
        assert preview.refusal.message == f"{LOCAL} does not answer: timed out"
        assert preview.steps == ()


# -- free ----------------------------------------------------------------------------------------------------------


def test_freeing_takes_the_smallest_model_that_is_enough() -> None:
    before = desk(loaded(CHAT), loaded(OTHER), loaded(CODER))
    preview = previews.free(before, 10 * GIB)
    assert names(preview, StepKind.UNLOAD) == [OTHER]
    assert preview.danger is Danger.REVERSIBLE
    assert len(preview.loses) == 1
    assert [load.name for load in preview.before] == [CHAT, OTHER, CODER]


def test_freeing_takes_the_largest_first_where_several_are_needed_and_pins_last() -> None:
    before = desk(loaded(CHAT), loaded(OTHER), loaded(CODER), pins=[CHAT])
    assert names(previews.free(before, int(12.5 * GIB)), StepKind.UNLOAD) == [OTHER, CODER]
    preview = previews.free(before, 20 * GIB)
    assert names(preview, StepKind.UNLOAD) == [OTHER, CODER, CHAT]
    assert names(preview, StepKind.UNPIN) == [CHAT]
    assert any(CHAT in text and "pinned" in text for text in preview.loses)


def test_freeing_what_is_free_takes_no_step() -> None:
    preview = previews.free(desk(loaded(CHAT)), 13 * GIB)
    assert preview.steps == ()
    assert preview.refusal is None
    assert previews.free(desk(loaded(CHAT)), 13 * GIB + 1).steps != ()


def test_more_than_there_is_cannot_be_freed() -> None:
    refusal = previews.free(desk(loaded(CHAT)), 24 * GIB).refusal
    assert refusal is not None
    assert refusal.message == "without any model 23.0 GiB would be free, not 24.0 GiB; Xorg holds 1.0 GiB"


def test_freeing_without_a_size_takes_every_model_of_this_computer() -> None:
    far = loaded(BIG, engine_url="https://far", local=False, cards=())
    before = desk(loaded(CODER), loaded(CHAT), far, pins=[CODER])
    preview = previews.free(before)
    assert names(preview, StepKind.UNLOAD) == [CHAT, CODER]
    assert preview.subject == "the card"


def test_freeing_says_that_what_is_loaded_holds_nothing_of_a_card() -> None:
    preview = previews.free(desk(loaded(CHAT, memory_bytes=0, cards=(), cpu_ratio=1.0)))
    assert preview.steps == ()
    assert preview.refusal is None
    assert preview.notes == (f"{CHAT} runs on the CPU alone and holds nothing of a card",)
    assert previews.free(desk()).notes == ()


def test_of_two_cards_the_one_is_freed_where_least_goes() -> None:
    first = loaded(CHAT)
    second = loaded(OTHER, cards=(CardShare(1, size_of(OTHER)),))
    cards = tuple(CardState(Card(index, memory_total_bytes=24 * GIB), (), 10 * GIB) for index in (0, 1))
    before = desk(first, second, cards=cards)
    assert names(previews.free(before, 12 * GIB), StepKind.UNLOAD) == [OTHER]
    assert names(previews.free(before, 12 * GIB, 0), StepKind.UNLOAD) == [CHAT]
    assert names(previews.free(before, None, 1), StepKind.UNLOAD) == [OTHER]
    asked = ((None, None), (None, 1), (12 * GIB, None), (12 * GIB, 0))
    said = ["the card", "card 1", "12.0 GiB", "12.0 GiB on card 0"]
    assert [previews.free(before, need, card).subject for need, card in asked] == said
    refusal = previews.free(before, None, 2).refusal
    assert refusal is not None
    assert (refusal.message, refusal.hint) == ("there is no card 2", "There is card 0 and card 1")


# -- keep ----------------------------------------------------------------------------------------------------------


def test_keep_sends_the_loaded_context() -> None:
    before = desk(loaded(CHAT, context_length=16384))
    preview = previews.keep(before, before.models[0], FOREVER_WISH)
    (step,) = preview.steps
    assert step.kind is StepKind.KEEP_ALIVE
    assert step.load.context_length == 16384
    assert step.load.keep_alive == FOREVER_WISH
    assert preview.danger is Danger.NONE
    assert preview.notes == ()


@pytest.mark.parametrize(
    ("timer", "wish", "steps"),
    [(FOREVER, None, 0), (timed(300), None, 1), (timed(300), 300, 0), (timed(299), 300, 0), (timed(280), 300, 1),
     (FOREVER, 300, 1), (STOPPING, 300, 1), (None, None, 1)],
)  # fmt: skip
def test_keep_takes_a_step_only_where_the_timer_is_another(
    timer: KeepAlive | None, wish: float | None, steps: int
) -> None:
    before = desk(LoadedModel(CHAT, LOCAL, keep_alive=timer, context_length=4096))
    assert len(previews.keep(before, before.models[0], KeepAliveWish(wish)).steps) == steps


def test_keep_says_what_an_unknown_context_may_do() -> None:
    before = desk(loaded(CHAT, context_length=None))
    preview = previews.keep(before, before.models[0], FOREVER_WISH)
    assert preview.runs
    assert "this loads it again" in preview.notes[0]


def test_keep_nothing_is_to_unload() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[CHAT])
    preview = previews.keep(before, before.models[0], KeepAliveWish(0))
    assert preview.action is ActionId.KEEP
    assert kinds(preview) == [("unpin", CHAT), ("unload", CHAT)]
    assert preview.danger is Danger.REVERSIBLE


def test_a_timer_ends_a_pin_and_that_is_asked() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[CHAT])
    preview = previews.keep(before, before.models[0], KeepAliveWish(1800))
    assert kinds(preview) == [("unpin", CHAT), ("keep-alive", CHAT)]
    assert preview.danger is Danger.REVERSIBLE


def test_what_is_not_loaded_is_not_kept() -> None:
    refusal = previews.keep(desk(), loaded(CHAT), FOREVER_WISH).refusal
    assert refusal is not None
    assert refusal.message == f"{CHAT} is not loaded"


# -- pin -----------------------------------------------------------------------------------------------------------


def test_a_pin_of_a_loaded_model_sets_its_timer_and_remembers_its_context() -> None:
    before = desk(loaded(CHAT, context_length=8192))
    preview = previews.pin(before, before.models[0], Arithmetic(), restore=True)
    assert kinds(preview) == [("keep-alive", CHAT), ("pin", CHAT)]
    assert preview.steps[0].load.keep_alive == FOREVER_WISH
    assert preview.steps[1].load.context_length == 8192
    assert preview.steps[1].restore_pin
    assert preview.danger is Danger.NONE
    kept = desk(loaded(CHAT, FOREVER))
    assert kinds(previews.pin(kept, kept.models[0], Arithmetic())) == [("pin", CHAT)]


def test_a_pin_of_an_installed_model_loads_it_but_never_over_another_pin() -> None:
    preview = previews.pin(desk(), installed(EMBED), Arithmetic())
    assert kinds(preview) == [("load", EMBED), ("pin", EMBED)]
    assert preview.steps[0].load.keep_alive == FOREVER_WISH
    assert preview.steps[0].load.embedding
    before = desk(loaded(CHAT, FOREVER), pins=[CHAT])
    assert previews.pin(before, installed(BIG), Arithmetic()).refusal is not None


def test_a_pin_with_another_context_loads_again() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[pinned(CHAT, 4096)])
    preview = previews.pin(before, before.models[0], Arithmetic(), context_length=16384)
    assert kinds(preview) == [("load", CHAT), ("pin", CHAT)]
    assert preview.danger is Danger.REVERSIBLE


def test_a_pin_that_holds_is_only_changed_in_what_is_new() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[pinned(CHAT, 4096, restore=True)])
    preview = previews.pin(before, before.models[0], Arithmetic(), restore=True)
    assert preview.steps == ()
    assert preview.notes == (f"{CHAT} is pinned already",)
    (step,) = previews.pin(before, before.models[0], Arithmetic(), restore=False).steps
    assert step.kind is StepKind.PIN
    assert not step.restore_pin


def test_unpin_leaves_the_model_loaded() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[CHAT])
    preview = previews.unpin(before, before.models[0])
    assert kinds(preview) == [("unpin", CHAT)]
    assert preview.danger is Danger.NONE
    assert previews.unpin(desk(loaded(CHAT)), loaded(CHAT)).steps == ()


def test_the_pin_of_what_is_not_even_installed_can_end() -> None:
    before = desk(pins=[pinned("gone:latest", 8192)])
    preview = previews.unpin(before, before.pins[0].wish)
    assert kinds(preview) == [("unpin", "gone:latest")]
    assert previews.unpin(desk(), PinWish(LOCAL, CHAT)).steps == ()
