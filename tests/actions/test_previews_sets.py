"""Working sets, what was there, a plan of the planner."""

from __future__ import annotations

from gpudesk.actions import previews
from gpudesk.actions.values import Danger, Load, Preview, StepKind
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import FOREVER as FOREVER_WISH
from gpudesk.domain.keep_alive import KeepAliveBounds, KeepAliveWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from tests.actions.preview_desks import Arithmetic, carry_out, desk, installed, loaded, names, pinned
from tests.desks import FOREVER, LOCAL, timed

CHAT, CODER, EMBED, BIG, OTHER = "chat:14b", "coder:1.5b", "embed:latest", "big:32b", "other:8b"
OTHER_URL = "http://127.0.0.1:11500"
CODING = WorkingSet(
    "coding", (SetModel(CHAT, 8192, pinned=True), SetModel(CODER, keep_alive=KeepAliveWish(1800)), SetModel(EMBED))
)


def kinds(preview: Preview) -> list[tuple[str, str]]:
    return [(step.kind.value, step.load.name) for step in preview.steps]


def test_a_set_is_applied_to_an_empty_card() -> None:
    preview = previews.apply(desk(), CODING, Arithmetic())
    assert kinds(preview) == [("load", CHAT), ("load", CODER), ("load", EMBED), ("pin", CHAT)]
    chat, coder, embed, _ = (step.load for step in preview.steps)
    assert (chat.context_length, chat.keep_alive) == (8192, FOREVER_WISH)
    assert coder.keep_alive == KeepAliveWish(1800)
    assert embed.embedding
    assert preview.danger is Danger.NONE
    assert preview.verdict == "fits"
    assert preview.expected_seconds == 9


def test_only_the_difference_is_carried_out() -> None:
    before = desk(
        loaded(CHAT, FOREVER, context_length=8192), loaded(CODER, timed(60)), loaded(OTHER), pins=[pinned(CHAT)]
    )
    preview = previews.apply(before, CODING, Arithmetic())
    # The pin of chat has no context, and the set gives it one.
    assert kinds(preview) == [("unload", OTHER), ("keep-alive", CODER), ("load", EMBED), ("pin", CHAT)]
    assert preview.steps[0].why == "is not in coding"
    assert preview.loses == (f"{OTHER} (6.0 GiB, 5m 00s left) is unloaded: is not in coding",)
    after, _ = carry_out(before, preview)
    again = previews.apply(after, CODING, Arithmetic())
    assert again.steps == ()
    assert again.refusal is None


def test_a_pinned_model_that_is_not_in_the_set_stays_and_is_counted() -> None:
    before = desk(loaded(OTHER), pins=[OTHER])
    preview = previews.apply(before, CODING, Arithmetic())
    assert names(preview, StepKind.UNLOAD) == []
    assert preview.notes[0] == f"{OTHER} stays: pinned, though not in coding"
    tight = desk(loaded(BIG), pins=[BIG])
    refusal = previews.apply(tight, CODING, Arithmetic()).refusal
    assert refusal is not None
    assert BIG in refusal.message


def test_a_set_may_leave_others_alone_while_there_is_room() -> None:
    gentle = WorkingSet("gentle", CODING.models, keeps_others=True)
    assert names(previews.apply(desk(loaded(OTHER)), gentle, Arithmetic()), StepKind.UNLOAD) == []
    # 7.2 GiB more are needed than are free: the small one alone is not enough.
    before = desk(loaded(OTHER), loaded("coder:7b"), total=24)
    assert names(previews.apply(before, gentle, Arithmetic()), StepKind.UNLOAD) == ["coder:7b"]
    assert names(previews.apply(before, CODING, Arithmetic()), StepKind.UNLOAD) == ["coder:7b", OTHER]


def test_a_set_that_cannot_fit_says_which_part_and_by_how_much_and_moves_nothing() -> None:
    working_set = WorkingSet("much", (SetModel(CHAT), SetModel(OTHER), SetModel(BIG)))
    before = desk(loaded(CODER))
    preview = previews.apply(before, working_set, Arithmetic())
    assert preview.steps == ()
    assert preview.refusal is not None
    assert preview.refusal.message == f"much does not fit: {BIG} is 13.0 GiB too much beside {CHAT} and {OTHER}"
    two = WorkingSet("two", (SetModel(CHAT), SetModel(OTHER, 65536)))
    preview = previews.apply(before, two, Arithmetic())
    assert preview.refusal is not None
    assert preview.refusal.message == f"two does not fit: {OTHER} is 2.0 GiB too much beside {CHAT}"
    assert preview.refusal.hint == "Would help: context 32768 instead of 65536"


def test_a_set_with_a_model_nobody_has_is_refused_whole() -> None:
    working_set = WorkingSet("odd", (SetModel(CHAT), SetModel("nobody:1b")))
    preview = previews.apply(desk(), working_set, Arithmetic())
    assert preview.refusal is not None
    assert preview.refusal.message == "nobody:1b is not installed"
    assert preview.steps == ()


def test_a_set_without_models_or_engine() -> None:
    refusal = previews.apply(desk(), WorkingSet("none"), Arithmetic()).refusal
    assert refusal is not None
    assert refusal.message == "none has no models"
    refusal = previews.apply(desk(engines=()), CODING, Arithmetic()).refusal
    assert refusal is not None
    assert refusal.message == "no engine is known"


def test_two_contexts_for_one_model_are_refused_and_one_said_twice_is_once() -> None:
    double = WorkingSet("double", (SetModel(CHAT, 8192), SetModel(CHAT, 4096)))
    refusal = previews.apply(desk(), double, Arithmetic()).refusal
    assert refusal is not None
    assert "one runner cannot have contexts 8192 and 4096" in refusal.message
    twice = WorkingSet("twice", (SetModel(CHAT, 8192), SetModel(CHAT, 8192)))
    assert kinds(previews.apply(desk(), twice, Arithmetic())) == [("load", CHAT)]


def test_a_set_names_its_engine_or_means_the_first() -> None:
    engines = (Engine(LOCAL, reachable=True), Engine(OTHER_URL, reachable=True))
    both = (installed(CHAT), installed(CHAT, engine_url=OTHER_URL))
    there = loaded(OTHER, engine_url=OTHER_URL)
    before = desk(there, engines=engines, installed=both)
    (first,) = previews.apply(before, WorkingSet("a", (SetModel(CHAT),)), Arithmetic()).steps
    assert first.load.engine_url == LOCAL
    preview = previews.apply(before, WorkingSet("b", (SetModel(CHAT, engine_url=OTHER_URL),)), Arithmetic())
    assert [(step.kind, step.load.engine_url) for step in preview.steps] == [
        (StepKind.UNLOAD, OTHER_URL), (StepKind.LOAD, OTHER_URL),
    ]  # fmt: skip


def test_the_present_state_is_a_set_that_is_applied_already() -> None:
    before = desk(loaded(CHAT, FOREVER, context_length=8192), loaded(CODER, timed(1560)), loaded(OTHER), pins=[OTHER])
    working_set = previews.present_set(before, "now")
    assert working_set.models == (
        SetModel(CHAT, 8192, FOREVER_WISH),
        SetModel(CODER, 4096, KeepAliveWish(1800)),
        SetModel(OTHER, 4096, FOREVER_WISH, pinned=True),
    )
    before = desk(loaded(CHAT, FOREVER, context_length=8192), loaded(CODER, timed(1560)))
    assert previews.apply(before, previews.present_set(before, "now"), Arithmetic()).steps == ()
    watched = desk(loaded(CODER, timed(100), keep_alive_bounds=KeepAliveBounds(1795, 1805)))
    assert previews.present_set(watched, "now").models[0].keep_alive == KeepAliveWish(1800)


def test_what_was_there_comes_back() -> None:
    first = desk(
        loaded(CHAT, FOREVER, context_length=8192), loaded(CODER, timed(30)), pins=[pinned(CHAT, 8192, restore=True)]
    )
    freed = previews.free(first)
    after, _ = carry_out(first, freed)
    assert after.models == ()
    assert after.pins == ()
    preview = previews.restore(after, freed.before, Arithmetic())
    assert kinds(preview) == [("load", CHAT), ("load", CODER), ("pin", CHAT)]
    assert preview.steps[0].load.context_length == 8192
    assert preview.steps[0].load.keep_alive == FOREVER_WISH
    # 30 seconds left were no wish; the engine's default is.
    assert preview.steps[1].load.keep_alive is None
    assert preview.steps[2].restore_pin
    back, _ = carry_out(after, preview)
    assert previews.restore(back, freed.before, Arithmetic()).steps == ()


def test_what_came_meanwhile_stays_where_there_is_room() -> None:
    snapshot = (Load(LOCAL, CHAT, 4096),)
    assert kinds(previews.restore(desk(loaded(OTHER)), snapshot, Arithmetic())) == [("load", CHAT)]
    preview = previews.restore(desk(loaded(BIG)), snapshot, Arithmetic())
    assert kinds(preview) == [("unload", BIG), ("load", CHAT)]
    assert preview.danger is Danger.REVERSIBLE
    assert previews.restore(desk(loaded(BIG), pins=[BIG]), snapshot, Arithmetic()).refusal is not None
    assert previews.restore(desk(), (), Arithmetic()).steps == ()


def test_a_plan_is_made_so() -> None:
    before = desk(loaded(CHAT), loaded(OTHER), loaded(CODER))
    preview = previews.arrange(before, [Load(LOCAL, BIG), Load(LOCAL, CODER)], before.models[:2], Arithmetic())
    assert kinds(preview) == [("unload", OTHER), ("unload", CHAT), ("load", BIG)]
    assert preview.danger is Danger.NONE


def test_a_plan_whose_own_models_the_engine_would_unload_is_refused_with_the_shortfall() -> None:
    before = desk(loaded(CHAT), loaded(CODER))
    everything = [Load(LOCAL, CHAT), Load(LOCAL, CODER), Load(LOCAL, BIG)]
    preview = previews.arrange(before, everything, (), Arithmetic())
    assert preview.steps == ()
    assert preview.refusal is not None
    assert preview.refusal.message == f"{BIG} is 8.5 GiB too much beside {CHAT} and {CODER}"


def test_two_names_of_one_file_are_one_load() -> None:
    twins = Arithmetic(same={OTHER: CHAT})
    preview = previews.apply(desk(), WorkingSet("twins", (SetModel(CHAT, 4096), SetModel(OTHER, 4096))), twins)
    assert names(preview, StepKind.LOAD) == [CHAT]
    refusal = previews.apply(desk(), WorkingSet("twins", (SetModel(CHAT, 8192), SetModel(OTHER, 4096))), twins).refusal
    assert refusal is not None
    assert refusal.message == f"{CHAT} and {OTHER}: one runner cannot have contexts 8192 and 4096"
