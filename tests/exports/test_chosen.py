from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.working_set import SetModel
from gpudesk.errors import UsageError
from gpudesk.exports.chosen import Known, Pick, Together, completed, picked, picked_of, picked_suggestion
from gpudesk.exports.values import Chosen, ChosenModel, Role
from gpudesk.fit.roles import Candidate
from gpudesk.fit.suggest import RoleChoice, Suggestion
from gpudesk.fit.values import Verdict
from tests.fit.models import simulated, wanted

GIB = 1 << 30
URL = "http://127.0.0.1:11434"
CHAT, CODER, EMBED = "qwen3:14b", "qwen2.5-coder:1.5b", "nomic-embed-text:latest"
TALKS = (Role.CHAT, Role.EDIT, Role.APPLY)


def known(name: str, **changes: Any) -> Known:
    """A model of which the engine tells everything."""
    capabilities = {
        CHAT: ("completion", "tools"),
        CODER: ("completion", "insert"),
        EMBED: ("embedding",),
    }.get(name, ("completion",))
    return Known(**{"name": name, "engine_url": URL, "capabilities": capabilities, **changes})


def candidates(*names: str) -> dict[str, Candidate]:
    return {name: Candidate(wanted(name), simulated(name).capabilities) for name in names}


def complete(*picks: Pick, judge: Any = None, **changes: Known) -> Chosen:
    everyone = {pick.name: known(pick.name) for pick in picks} | {each.name: each for each in changes.values()}
    return completed(picks, everyone, judge)


class Scales:
    """Judges by a table: what each model takes, of 20 GiB."""

    def __init__(self, *, evicts: tuple[str, ...] = (), **sizes: float) -> None:
        self.sizes = {CHAT: sizes.get("chat", 10), CODER: sizes.get("coder", 2), EMBED: sizes.get("embed", 1)}
        self.evicts = evicts

    def __call__(self, models: Sequence[ChosenModel]) -> Together:
        total = sum(self.sizes[model.name] for model in models)
        verdict = "fits" if total <= 18 else "tight" if total <= 20 else "does not fit"
        return Together(
            verdict, int(total * GIB), 20 * GIB,
            tuple((model.name, int(self.sizes[model.name] * GIB)) for model in models),
            self.evicts if len(models) > 1 else (), 15.4,
        )  # fmt: skip


# --- by hand ----------------------------------------------------------------------------------------------------


def test_the_chat_model_edits_and_applies_too() -> None:
    assert picked({Role.CHAT: (CHAT, 8192), Role.EMBED: (EMBED, None)}) == (
        Pick(CHAT, TALKS, 8192),
        Pick(EMBED, (Role.EMBED,)),
    )


def test_one_model_for_two_roles_is_one_entry_with_one_context() -> None:
    (both,) = picked({Role.CHAT: (CODER, None), Role.AUTOCOMPLETE: (CODER, 4096)})
    assert both == Pick(CODER, (*TALKS, Role.AUTOCOMPLETE), 4096)


def test_one_model_with_two_contexts_is_refused() -> None:
    with pytest.raises(UsageError, match="4096 and with 8192 would be loaded again"):
        picked({Role.CHAT: (CODER, 4096), Role.AUTOCOMPLETE: (CODER, 8192)})


def test_a_suggestion_keeps_the_contexts_it_was_planned_with() -> None:
    suggestion = Suggestion(
        (RoleChoice("code", CODER, 16384, ""), RoleChoice("autocomplete", CODER, 8192, ""),
         RoleChoice("embed", EMBED, 2048, "")), (), Verdict.FITS, 1, 1, 1.0, (),
    )  # fmt: skip
    assert picked_suggestion(suggestion) == (
        Pick(CODER, (*TALKS, Role.AUTOCOMPLETE), 16384),
        Pick(EMBED, (Role.EMBED,), 2048),
    )


# --- by what they are for ---------------------------------------------------------------------------------------


def roles(*names: str, models: Sequence[SetModel] | None = None) -> dict[str, tuple[Role, ...]]:
    found = picked_of(models or [SetModel(name) for name in names], candidates(*names))
    return {pick.name: pick.roles for pick in found}


def test_each_model_gets_the_role_it_is_best_for() -> None:
    assert roles(EMBED, CODER, CHAT) == {CHAT: TALKS, CODER: (Role.AUTOCOMPLETE,), EMBED: (Role.EMBED,)}


def test_a_model_that_fills_in_the_middle_does_both_when_it_is_alone() -> None:
    assert roles(CODER) == {CODER: (*TALKS, Role.AUTOCOMPLETE)}


def test_a_large_coder_talks_and_a_small_one_completes() -> None:
    assert roles("qwen2.5-coder:32b", CODER) == {"qwen2.5-coder:32b": TALKS, CODER: (Role.AUTOCOMPLETE,)}


def test_a_model_that_only_talks_never_completes() -> None:
    assert roles(CHAT, EMBED) == {CHAT: TALKS, EMBED: (Role.EMBED,)}


def test_of_two_for_one_role_the_better_one_is_taken() -> None:
    assert set(roles("mistral-nemo:12b", "devstral:24b")) == {"devstral:24b"}


def test_what_a_set_says_of_keep_alive_and_context_is_kept() -> None:
    models = (SetModel(CHAT, 16384, KeepAliveWish(1800)), SetModel(EMBED, keep_alive=KeepAliveWish(60), pinned=True))
    chat, embed = picked_of(models, candidates(CHAT, EMBED))
    assert (chat.context_length, chat.keep_alive) == (16384, KeepAliveWish(1800))
    assert embed.keep_alive == FOREVER


# --- how it is resident -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "now", "made", "expected", "baked"),
    [
        (None, 8192, None, 8192, False),
        (None, None, 16384, 16384, True),
        (None, 16384, 16384, 16384, True),
        (None, 8192, 16384, 8192, False),
        (4096, 8192, 16384, 4096, False),
        (None, None, None, 16384, False),
    ],
)
def test_the_context_is_the_one_it_has(
    asked: int | None, now: int | None, made: int | None, expected: int, *, baked: bool
) -> None:
    one = known(CHAT, context_now=now, context_made=made, context_trained=40960)
    (model,) = complete(Pick(CHAT, TALKS, asked), chat=one).models
    assert (model.context_length, model.context_baked_in) == (expected, baked)


def test_no_default_is_longer_than_what_it_was_trained_for() -> None:
    (model,) = complete(Pick(CHAT, TALKS), chat=known(CHAT, context_trained=4096)).models
    assert model.context_length == 4096


def test_what_the_engine_tells_goes_along() -> None:
    (model,) = complete(Pick(CODER, (Role.AUTOCOMPLETE,)), coder=known(CODER, family="qwen2")).models
    assert model.capabilities == ("completion", "insert")
    assert (model.family, model.template_has_suffix, model.engine_url) == ("qwen2", True, URL)
    assert model.keep_alive == FOREVER


# --- what is said -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.CHAT, Role.AUTOCOMPLETE])
def test_a_model_that_only_embeds_neither_talks_nor_completes(role: Role) -> None:
    with pytest.raises(UsageError, match="only embeds"):
        complete(Pick(EMBED, (role,)))


def test_an_old_engine_that_says_embedding_and_completion_is_believed() -> None:
    both = known(EMBED, capabilities=("completion", "embedding"))
    assert complete(Pick(EMBED, TALKS), embed=both).models


@pytest.mark.parametrize(
    ("pick", "what", "warning"),
    [
        (Pick(CHAT, (Role.EMBED,)), known(CHAT), "no embedding model"),
        (Pick("q:1.5b-base", TALKS), known("q:1.5b-base"), "base model"),
        (Pick(CHAT, (Role.AUTOCOMPLETE,)), known(CHAT), "not known to fill in the middle"),
        (Pick(CHAT, TALKS, 4096), known(CHAT, context_now=8192), "loaded with context 8192.*again with 4096"),
        (Pick(CHAT, TALKS, 99999), known(CHAT, context_trained=40960), "trained for 40960.*cuts 99999"),
        (Pick(CHAT, TALKS), known(CHAT, remote=True), "leaves this computer"),
    ],
)
def test_what_a_model_is_not_made_for_is_said(pick: Pick, what: Known, warning: str) -> None:
    chosen = complete(pick, one=what)
    assert len(chosen.warnings) == 1
    assert re.search(warning, chosen.warnings[0])


def test_three_that_fit_say_nothing() -> None:
    picks = (Pick(CHAT, TALKS), Pick(CODER, (Role.AUTOCOMPLETE,)), Pick(EMBED, (Role.EMBED,)))
    assert complete(*picks, judge=Scales()).warnings == ()


def test_a_pair_that_does_not_fit_swaps_at_every_key_press() -> None:
    picks = (Pick(CHAT, TALKS), Pick(CODER, (Role.AUTOCOMPLETE,)), Pick(EMBED, (Role.EMBED,)))
    (warning,) = complete(*picks, judge=Scales(chat=14, coder=8)).warnings
    assert "qwen3:14b (14.0 GiB) and qwen2.5-coder:1.5b (8.0 GiB)" in warning
    assert "22.0 GiB of 20.0 GiB" in warning
    assert "Every key press would swap qwen3:14b for qwen2.5-coder:1.5b, about 15s each time" in warning


def test_room_that_the_engine_does_not_use_is_a_swap_as_well() -> None:
    picks = (Pick(CHAT, TALKS), Pick(CODER, (Role.AUTOCOMPLETE,)))
    (warning,) = complete(*picks, judge=Scales(evicts=(CHAT,))).warnings
    assert "there would be room" in warning
    assert "unloads qwen3:14b first" in warning


def test_a_third_that_does_not_fit_is_said_without_blaming_the_pair() -> None:
    picks = (Pick(CHAT, TALKS), Pick(CODER, (Role.AUTOCOMPLETE,)), Pick(EMBED, (Role.EMBED,)))
    (warning,) = complete(*picks, judge=Scales(chat=14, coder=4, embed=5)).warnings
    assert "key press" not in warning
    assert "23.0 GiB of 20.0 GiB" in warning


def test_one_that_does_not_fit_alone_is_named() -> None:
    (warning,) = complete(Pick(CHAT, TALKS), Pick(EMBED, (Role.EMBED,)), judge=Scales(chat=30)).warnings
    assert warning.startswith("qwen3:14b does not fit on the cards by itself: 30.0 GiB of 20.0 GiB")


def test_little_to_spare_is_said() -> None:
    (warning,) = complete(Pick(CHAT, TALKS), judge=Scales(chat=19)).warnings
    assert warning == "they fit with little to spare: 19.0 GiB of 20.0 GiB"


def test_what_cannot_be_told_is_said_with_the_reason() -> None:
    (warning,) = complete(Pick(CHAT, TALKS), judge=lambda _: Together(note="no card is known")).warnings
    assert warning == "whether they fit together cannot be told: no card is known"


def test_a_model_of_the_cloud_takes_no_room() -> None:
    asked: list[tuple[str, ...]] = []

    def judge(models: Sequence[ChosenModel]) -> Together:
        asked.append(tuple(model.name for model in models))
        return Together("fits", 1, 2)

    complete(Pick(CHAT, TALKS), Pick(EMBED, (Role.EMBED,)), judge=judge, chat=known(CHAT, remote=True))
    assert asked == [(EMBED,)]
