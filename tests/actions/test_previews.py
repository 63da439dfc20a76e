"""Loading and swapping: who makes room, what is refused, what is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gpudesk.actions import previews
from gpudesk.actions.ports import Forecast
from gpudesk.actions.values import Danger, Load, Preview, StepKind
from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardState, Desk
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import FOREVER as FOREVER_WISH
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.model import ModelDetails
from gpudesk.records import replace
from tests.actions.preview_desks import (
    GIB,
    STOPPING,
    Arithmetic,
    desk,
    digest_of,
    installed,
    loaded,
    names,
    pinned,
    size_of,
)
from tests.desks import FOREVER, LOCAL, REMOTE, timed

CHAT, CODER, EMBED, BIG, OTHER = "chat:14b", "coder:1.5b", "embed:latest", "big:32b", "other:8b"


def wish(name: str, context: int | None = None, **changes: object) -> Load:
    return Load(LOCAL, name, context, **changes)  # type: ignore[arg-type]


def kinds(preview: Preview) -> list[tuple[str, str]]:
    return [(step.kind.value, step.load.name) for step in preview.steps]


def test_what_has_room_is_loaded_and_nothing_is_asked() -> None:
    preview = previews.load(desk(loaded(CODER)), wish(CHAT), Arithmetic())
    assert kinds(preview) == [("load", CHAT)]
    assert preview.danger is Danger.NONE
    assert preview.loses == ()
    assert preview.verdict == "fits"
    assert preview.needs_bytes == size_of(CHAT)
    assert preview.free_after_bytes == 23 * GIB - size_of(CODER) - size_of(CHAT)
    assert preview.expected_seconds == 3
    assert [load.name for load in preview.before] == [CODER]


def test_a_load_carries_what_the_engine_has_to_be_told() -> None:
    (step,) = previews.load(desk(), wish("EMBED", 2048, keep_alive=KeepAliveWish(60)), Arithmetic()).steps
    assert step.load == Load(
        LOCAL,
        EMBED,
        2048,
        KeepAliveWish(60),
        embedding=True,
        digest=digest_of(EMBED),
        memory_bytes=size_of(EMBED, 2048),
    )


def test_the_cheapest_idle_model_makes_room_and_that_is_asked() -> None:
    before = desk(loaded(CHAT), loaded(OTHER), loaded(CODER, FOREVER), total=24)
    preview = previews.load(before, wish("coder:7b", 8192), Arithmetic())
    assert size_of("coder:7b", 8192) > 5.5 * GIB - 1
    # 5.5 GiB are free: it is just enough.
    assert kinds(preview) == [("load", "coder:7b")]
    preview = previews.load(before, wish("coder:7b", 12288), Arithmetic())
    # 6 GiB are needed: the small one is enough, even though it is kept forever.
    assert kinds(preview) == [("unload", CODER), ("load", "coder:7b")]
    assert preview.danger is Danger.REVERSIBLE
    assert preview.loses == (f"{CODER} (1.5 GiB, kept forever) is unloaded: makes room for coder:7b",)
    assert preview.steps[0].why == "makes room for coder:7b"
    assert preview.frees_bytes == size_of(CODER)


def test_of_two_alike_the_one_that_is_not_kept_forever_goes() -> None:
    first, second = loaded("coder:7b", FOREVER), loaded(OTHER)
    preview = previews.load(desk(first, second, total=16), wish("coder:1.5b", 40960), Arithmetic(most=2))
    assert names(preview, StepKind.UNLOAD) == [OTHER]


def test_one_large_model_goes_instead_of_two_small_ones_where_that_is_cheaper() -> None:
    # 5.5 GiB are missing: the small ones free 1.5 and 5, the large one 6, and it comes back sooner than both.
    before = desk(loaded(CODER), loaded("coder:7b"), loaded(OTHER), total=18.5)
    assert names(previews.load(before, wish(CHAT, 6144), Arithmetic()), StepKind.UNLOAD) == [OTHER]


def test_none_goes_that_is_not_needed() -> None:
    # In the order of cost it would be the small one and the other; the other alone is enough.
    before = desk(loaded(CODER), loaded(OTHER), total=14)
    assert names(previews.load(before, wish(CHAT), Arithmetic()), StepKind.UNLOAD) == [OTHER]


def test_pins_are_never_made_to_go() -> None:
    before = desk(loaded(CHAT), loaded(OTHER), pins=[OTHER])
    preview = previews.load(before, wish("coder:7b", 24576), Arithmetic())
    assert names(preview, StepKind.UNLOAD) == [CHAT]


def test_where_only_pins_could_make_room_it_is_refused_with_what_would_help() -> None:
    preview = previews.load(desk(loaded(CHAT), loaded(CODER), pins=[CHAT]), wish(BIG), Arithmetic())
    assert preview.steps == ()
    assert preview.refusal is not None
    assert preview.refusal.message == f"{BIG} has room only if {CHAT} (10.0 GiB, pinned, 5m 00s left) goes"
    assert preview.refusal.hint == f"Would help: unpin {CHAT}, or swap {CHAT} for {BIG}"


def test_a_shorter_context_is_offered_where_it_spares_the_pin() -> None:
    preview = previews.load(
        desk(loaded(CHAT), pins=[CHAT]), wish(CHAT.replace("chat", "other").replace("14b", "8b"), 65536), Arithmetic()
    )
    assert preview.refusal is not None
    assert (
        preview.refusal.hint
        == f"Would help: context 32768 instead of 65536, or unpin {CHAT}, or swap {CHAT} for {OTHER}"
    )


def test_a_pin_the_engine_would_evict_for_something_hopeless_refuses_it() -> None:
    preview = previews.load(desk(loaded(CODER), pins=[CODER]), wish("huge:70b"), Arithmetic())
    assert preview.refusal is not None
    assert CODER in preview.refusal.message


def test_what_spills_in_any_case_may_be_loaded_and_is_said() -> None:
    preview = previews.load(desk(loaded(CODER)), wish("huge:70b"), Arithmetic())
    assert preview.verdict == "spills"
    assert kinds(preview) == [("unload", CODER), ("load", "huge:70b")]
    assert preview.free_after_bytes is None


def test_the_number_of_models_counts() -> None:
    before = desk(loaded(CODER), loaded(EMBED, FOREVER))
    assert names(previews.load(before, wish(OTHER), Arithmetic(most=2)), StepKind.UNLOAD) == [CODER]
    assert previews.load(before, wish(OTHER), Arithmetic(most=3)).danger is Danger.NONE
    held = desk(loaded(CODER), loaded(EMBED), pins=[CODER, EMBED])
    assert previews.load(held, wish(OTHER), Arithmetic(most=2)).refusal is not None


def test_idle_models_go_before_busy_ones() -> None:
    preview = previews.load(desk(loaded(CODER, STOPPING), loaded(OTHER), total=12), wish("coder:7b"), Arithmetic())
    assert names(preview, StepKind.UNLOAD) == [OTHER]
    preview = previews.load(desk(loaded(CODER, STOPPING), total=7), wish("coder:7b"), Arithmetic())
    assert names(preview, StepKind.UNLOAD) == [CODER]
    assert f"{CODER}: unloaded when the request that is running has ended" in preview.notes


def test_what_is_so_already_takes_no_step() -> None:
    before = desk(loaded(CHAT, FOREVER, context_length=8192))
    for same in (wish(CHAT), wish(CHAT, 8192), wish("Chat:14B"), wish(CHAT, 8192, keep_alive=FOREVER_WISH)):
        preview = previews.load(before, same, Arithmetic())
        assert preview.steps == ()
        assert preview.refusal is None
        assert not preview.runs


def test_another_keep_alive_alone_does_not_load_again() -> None:
    before = desk(loaded(CHAT, context_length=8192))
    preview = previews.load(before, wish(CHAT, keep_alive=FOREVER_WISH), Arithmetic())
    assert kinds(preview) == [("keep-alive", CHAT)]
    assert preview.steps[0].load.context_length == 8192
    # 26 of 30 minutes are left: that is the timer wished for, running down.
    before = desk(loaded(CHAT, timed(1560)))
    assert previews.load(before, wish(CHAT, keep_alive=KeepAliveWish(1800)), Arithmetic()).steps == ()
    assert previews.load(before, wish(CHAT, keep_alive=KeepAliveWish(3600)), Arithmetic()).steps != ()


def test_another_context_is_a_reload_and_keeps_the_timer() -> None:
    before = desk(loaded(CHAT, FOREVER))
    preview = previews.load(before, wish(CHAT, 16384), Arithmetic())
    assert kinds(preview) == [("load", CHAT)]
    assert preview.steps[0].load.keep_alive == FOREVER_WISH
    assert preview.steps[0].why == "is loaded with context 4096"
    assert f"{CHAT} is loaded again with context 16384 instead of 4096" in preview.notes
    assert preview.danger is Danger.NONE
    assert preview.free_after_bytes == 23 * GIB - size_of(CHAT, 16384)


def test_a_reload_of_a_pinned_model_is_a_loss_and_renews_the_pin() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[pinned(CHAT, 4096, restore=True)])
    preview = previews.load(before, wish(CHAT, 16384), Arithmetic())
    assert kinds(preview) == [("load", CHAT), ("pin", CHAT)]
    assert preview.steps[1].load.context_length == 16384
    assert preview.steps[1].restore_pin
    assert preview.danger is Danger.REVERSIBLE
    assert "pinned" in preview.loses[0]


def test_a_context_beyond_the_training_is_what_it_was_trained_for() -> None:
    details = (ModelDetails(digest_of(CHAT), context_length_trained=8192),)
    before = desk(loaded(CHAT, context_length=8192), details=details)
    preview = previews.load(before, wish(CHAT, 131072), Arithmetic())
    assert preview.steps == ()
    assert preview.notes == (f"{CHAT} was trained for 8192 tokens: that is the context it gets",)


@pytest.mark.parametrize("version", ["0.5.4", "0.9.2"])
def test_an_engine_before_0_9_3_gives_more_than_a_model_was_trained_for(version: str) -> None:
    details = (ModelDetails(digest_of(EMBED), context_length_trained=512),)
    engines = (Engine(LOCAL, reachable=True, version=version),)
    before = desk(loaded(EMBED, context_length=2048), details=details, engines=engines)
    as_is = previews.load(before, wish(EMBED, 2048), Arithmetic())
    assert as_is.steps == ()
    assert as_is.notes == (f"{EMBED} was trained for 512 tokens: this Ollama lets it have more, but it may not cope",)
    (step,) = previews.load(before, wish(EMBED, 512), Arithmetic()).steps
    assert (step.kind, step.load.context_length) == (StepKind.LOAD, 512)
    assert previews.apply(before, previews.present_set(before, "now"), Arithmetic()).steps == ()


@pytest.mark.parametrize(("version", "loads"), [("0.9.3", True), ("0.33.0-rc2", True), (None, False), ("0.0.0", False)])
def test_what_is_loaded_with_more_than_the_training_stays_where_the_version_is_not_known(
    version: str | None, loads: bool
) -> None:
    details = (ModelDetails(digest_of(EMBED), context_length_trained=512),)
    engines = (Engine(LOCAL, reachable=True, version=version),)
    before = desk(loaded(EMBED, context_length=2048), details=details, engines=engines)
    assert bool(previews.load(before, wish(EMBED, 2048), Arithmetic()).steps) is loads
    # Nothing shows that this one would get more than others do.
    cut = desk(loaded(EMBED, context_length=512), details=details, engines=engines)
    assert previews.load(cut, wish(EMBED, 2048), Arithmetic()).steps == ()


def test_a_model_on_the_cpu_is_named_where_a_card_could_take_it_and_it_stays() -> None:
    there = loaded(CHAT, cpu_ratio=0.3)
    said = f"{CHAT} is 30 % on the CPU; unload it first to have it loaded anew"
    assert said in previews.load(desk(there), wish(CHAT), Arithmetic()).notes
    assert said not in previews.load(desk(there), wish(CHAT, 8192), Arithmetic()).notes, "it is loaded anew"
    assert previews.load(desk(there, cards=()), wish(CHAT), Arithmetic()).notes == ()


def test_an_unknown_context_is_told() -> None:
    preview = previews.load(desk(loaded(CHAT, context_length=None)), wish(CHAT, 8192), Arithmetic())
    assert kinds(preview) == [("load", CHAT)]
    assert any("does not tell the context" in note for note in preview.notes)


def test_another_name_of_what_is_loaded_uses_its_runner() -> None:
    twin = installed("twin:latest", digest="f" * 64)
    blob = "b" * 64
    details = (ModelDetails(digest_of(CHAT), (blob,)), ModelDetails("f" * 64, (blob,)))
    before = desk(loaded(CHAT), installed=(installed(CHAT), twin), details=details)
    preview = previews.load(before, wish("twin", 4096), Arithmetic())
    assert preview.steps == ()
    assert f"twin:latest has the same weights as {CHAT}, which is loaded: one runner serves both" in preview.notes


def test_a_header_tells_that_a_pinned_runner_would_be_taken_over() -> None:
    before = desk(loaded(CHAT), pins=[CHAT])
    preview = previews.load(before, wish(OTHER, 8192), Arithmetic(same={OTHER: CHAT}))
    assert any(CHAT in text and "pinned" in text for text in preview.loses)


@pytest.mark.parametrize(
    ("change", "load", "message"),
    [
        ({"engines": (Engine(LOCAL, reachable=False, error="connection refused", hint="Start it"),)}, wish(CHAT),
         f"{LOCAL} does not answer: connection refused"),
        ({"engines": ()}, wish(CHAT), f"no engine at {LOCAL} is known"),
        ({}, wish("chad:14b"), "chad:14b is not installed"),
        ({}, wish(CHAT, keep_alive=KeepAliveWish(0)), f"keep-alive 0 would unload {CHAT} as soon as it is loaded"),
        ({"installed": (installed(CHAT, remote_host="ollama.com"),)}, wish(CHAT),
         f"{CHAT} is a cloud model: it runs at ollama.com; there is nothing to load here"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(change: dict[str, object], load: Load, message: str) -> None:
    preview = previews.load(desk(**change), load, Arithmetic())  # type: ignore[arg-type]
    assert preview.refusal is not None
    assert preview.refusal.message == message
    assert preview.steps == ()


def test_a_name_that_is_nearly_right_is_offered() -> None:
    refusal = previews.load(desk(), wish("chad:14b"), Arithmetic()).refusal
    assert refusal is not None
    assert refusal.hint is not None
    assert refusal.hint.startswith("Did you mean chat:14b")


def test_before_a_header_is_known_a_pin_is_not_put_at_risk() -> None:
    unknown = Arithmetic(unknown=[BIG, CODER])
    preview = previews.load(desk(loaded(CHAT), pins=[CHAT]), wish(BIG), unknown)
    assert preview.refusal is not None
    assert "not known yet" in preview.refusal.message
    # The file is small enough whatever the rest may come to.
    assert previews.load(desk(loaded(CHAT), pins=[CHAT]), wish(CODER), unknown).runs
    preview = previews.load(desk(loaded(CHAT)), wish(BIG), unknown)
    assert preview.runs
    assert preview.verdict is None
    assert "its header is being read" in preview.notes


def test_an_engine_on_another_computer_is_not_judged_by_this_card() -> None:
    far = loaded(CHAT, engine_url=REMOTE, local=False, cards=())
    before = desk(far, pins=[pinned(CHAT, url=REMOTE)], engines=(Engine(REMOTE, local=False, reachable=True),),
                  installed=(installed(BIG, engine_url=REMOTE),))  # fmt: skip
    preview = previews.load(before, Load(REMOTE, BIG), Arithmetic(unknown=[BIG]))
    assert preview.runs
    assert any(CHAT in note and "knows no pins" in note for note in preview.notes)


# -- swap ----------------------------------------------------------------------------------------------------------


def test_a_swap_unloads_what_was_named_and_asks_nothing() -> None:
    before = desk(loaded(CHAT), loaded(CODER))
    preview = previews.swap(before, [before.models[0]], wish(BIG), Arithmetic())
    assert kinds(preview) == [("unload", CHAT), ("load", BIG)]
    assert preview.subject == f"{CHAT} to {BIG}"
    assert preview.danger is Danger.NONE
    assert [load.name for load in preview.before] == [CHAT, CODER]


def test_a_swap_of_several_starts_with_what_comes_back_soonest() -> None:
    before = desk(loaded(CHAT), loaded(CODER), loaded(EMBED))
    preview = previews.swap(before, before.models, wish(BIG), Arithmetic())
    assert names(preview, StepKind.UNLOAD) == [EMBED, CODER, CHAT]


def test_swapping_out_a_pinned_model_ends_its_pin_and_asks() -> None:
    before = desk(loaded(CHAT, FOREVER), pins=[pinned(CHAT, 4096, restore=True)])
    preview = previews.swap(before, before.models, wish(BIG), Arithmetic())
    assert kinds(preview) == [("unpin", CHAT), ("unload", CHAT), ("load", BIG)]
    assert preview.danger is Danger.REVERSIBLE
    assert preview.before[0].pinned
    assert preview.before[0].restore_pin


def test_a_swap_takes_more_where_the_named_is_not_enough_but_no_pin() -> None:
    before = desk(loaded(EMBED), loaded(OTHER))
    preview = previews.swap(before, [before.models[0]], wish(BIG), Arithmetic())
    assert names(preview, StepKind.UNLOAD) == [EMBED, OTHER]
    assert len(preview.loses) == 1
    held = desk(loaded(EMBED), loaded(OTHER), pins=[OTHER])
    assert previews.swap(held, [held.models[0]], wish(BIG), Arithmetic()).refusal is not None


def test_a_swap_that_would_not_end_on_the_card_is_refused() -> None:
    before = desk(loaded(CHAT))
    preview = previews.swap(before, before.models, wish("huge:70b"), Arithmetic())
    assert preview.refusal is not None
    assert preview.refusal.message == f"{CHAT} to huge:70b does not fit: huge:70b is 17.0 GiB too much"
    assert preview.steps == ()


def test_a_swap_to_what_is_there_only_unloads() -> None:
    before = desk(loaded(CHAT), loaded(CODER))
    preview = previews.swap(before, before.models, wish(CODER), Arithmetic())
    assert kinds(preview) == [("unload", CHAT)]


def test_a_swap_out_of_an_engine_that_does_not_answer_is_refused() -> None:
    there = loaded(CHAT, engine_url=REMOTE)
    engines = (Engine(LOCAL, reachable=True), Engine(REMOTE, reachable=False, error="timed out"))
    preview = previews.swap(desk(there, engines=engines), [there], wish(CODER), Arithmetic())
    assert preview.refusal is not None
    assert preview.refusal.message == f"{REMOTE} does not answer: timed out"


def test_a_swap_without_cards_is_not_refused_for_them() -> None:
    before = replace(desk(loaded(CHAT)), cards=(CardState(Card(0, error="lost")),))
    assert previews.swap(before, before.models, wish(BIG), Arithmetic(unknown=[BIG])).runs


def test_what_is_tight_says_who_may_have_to_go() -> None:
    class Tight(Arithmetic):
        def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
            return replace(super().forecast(desk, loads, leaving), verdict="tight")

    preview = previews.load(desk(loaded(CODER)), wish(CHAT), Tight())
    assert preview.notes == (f"it is tight: if the engine counts more than this, it unloads {CODER} for it",)
    assert previews.load(desk(), wish(CHAT), Tight()).notes == ()


def test_a_context_the_engine_would_limit_is_so_already() -> None:
    class Limiting(Arithmetic):
        def forecast(self, desk: Desk, loads: Sequence[Load], leaving: Sequence[str] = ()) -> Forecast:
            return replace(super().forecast(desk, loads, leaving), context_length=2048)

    before = desk(loaded(EMBED, context_length=2048))
    assert previews.load(before, wish(EMBED, 8192), Limiting()).steps == ()
    (step,) = previews.load(desk(), wish(EMBED, 8192), Limiting()).steps
    assert step.load.context_length == 2048


def test_what_is_pinned_and_gone_is_loaded_as_its_pin_has_it() -> None:
    before = desk(pins=[pinned(CHAT, 8192)])
    (step,) = previews.load(before, wish(CHAT), Arithmetic()).steps
    assert (step.load.context_length, step.load.keep_alive) == (8192, FOREVER_WISH)
    asked = replace(wish(CHAT), context_length=4096, keep_alive=KeepAliveWish(60.0))
    (step,) = previews.load(before, asked, Arithmetic()).steps
    assert (step.load.context_length, step.load.keep_alive) == (4096, KeepAliveWish(60.0))
