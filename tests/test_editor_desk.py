from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpudesk.arguments.planner_values import AskedModel
from gpudesk.domain.desk import Desk
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.editor_desk import EditorChoice, choose
from gpudesk.errors import FailureKind, SourceError, UsageError
from gpudesk.exports.chosen import Pick
from gpudesk.exports.values import ChosenModel, Role
from gpudesk.fit.values import LoadOptions
from gpudesk.records import replace as replaced
from gpudesk.stores.working_sets import WorkingSetStore
from gpudesk.watch.planning import PlannableModel
from tests.ui.desks import CHAT, CODER, EMBED, driver_missing, installed_models, one_card
from tests.ui.plans import GIB, HandMade


def on(desk: Desk, folder: Path, planner: HandMade | None = None) -> EditorChoice:
    return EditorChoice(desk, planner or HandMade(), WorkingSetStore(folder))


def contexts(choice: EditorChoice, *, words: dict[Role, AskedModel] | None = None) -> dict[str, int | None]:
    return {model.name: model.context_length for model in choose(choice, words or {})[1].models}


class Baked(HandMade):
    """Knows modelfiles that set the context."""

    def __init__(self, **made: int) -> None:
        super().__init__()
        self.made_with = {name.replace("_", "."): context for name, context in made.items()}

    def read(self, models: Any) -> tuple[tuple[PlannableModel, ...], tuple[tuple[str, str], ...]]:
        known, failures = super().read(models)
        return tuple(
            replaced(each, options=LoadOptions(context_length=self.made_with.get(each.name.split(":")[0])))
            for each in known
        ), failures  # fmt: skip


def test_what_is_loaded_is_taken_as_it_is(tmp_path: Path) -> None:
    assert contexts(on(one_card(), tmp_path)) == {CHAT.name: 16384, CODER.name: 4096, EMBED.name: 2048}


def test_a_pin_says_what_its_model_shall_come_back_to(tmp_path: Path) -> None:
    pins = (PinState(PinWish(CHAT.engine_url, CHAT.name, context_length=8192)),)
    assert contexts(on(replace(one_card(), pins=pins), tmp_path))[CHAT.name] == 8192


def test_a_pinned_model_that_is_not_loaded_is_chosen_as_well(tmp_path: Path) -> None:
    pins = (PinState(PinWish(CHAT.engine_url, CHAT.name, context_length=12288)),)
    desk = replace(one_card(), models=(CODER,), pins=pins)
    assert contexts(on(desk, tmp_path)) == {CHAT.name: 12288, CODER.name: 4096}


def test_a_derived_model_brings_its_context(tmp_path: Path) -> None:
    desk = replace(one_card(), models=())
    picked = on(desk, tmp_path, Baked(qwen3=24576)).complete(
        on(desk, tmp_path).by_hand({Role.CHAT: AskedModel(CHAT.name)})
    )
    (model,) = picked.models
    assert (model.context_length, model.context_baked_in) == (24576, True)


def test_a_context_that_is_typed_counts_over_all(tmp_path: Path) -> None:
    choice = on(one_card(), tmp_path, Baked(qwen3=24576))
    words = {Role.CHAT: AskedModel(CHAT.name, 4096)}
    assert contexts(choice, words=words) == {CHAT.name: 4096}
    assert any("loads it again with 4096" in text for text in choose(choice, words)[1].warnings)


def test_a_missing_tag_is_latest_as_in_ollama(tmp_path: Path) -> None:
    picked = on(one_card(), tmp_path).by_hand({Role.EMBED: AskedModel("nomic-embed-text")})
    assert picked.picks == (Pick(EMBED.name, (Role.EMBED,)),)


def test_when_nothing_is_loaded_the_best_that_fits_is_suggested(tmp_path: Path) -> None:
    picked, chosen = choose(on(replace(one_card(), models=()), tmp_path), {})
    assert picked.origin == "suggested"
    assert chosen.of(Role.CHAT) is not None
    assert not [text for text in chosen.warnings if "stay loaded" in text]


def test_when_nothing_can_talk_nothing_is_suggested(tmp_path: Path) -> None:
    only = tuple(model for model in installed_models() if model.name == EMBED.name)
    with pytest.raises(UsageError, match="nothing can be suggested: none of the 1 installed models"):
        choose(on(replace(one_card(), models=(), installed=only), tmp_path), {})


def test_a_role_no_installed_model_can_do_is_said(tmp_path: Path) -> None:
    some = tuple(model for model in installed_models() if model.name == CHAT.name)
    _, chosen = choose(on(replace(one_card(), models=(), installed=some), tmp_path), {})
    assert "no installed model fills in the middle" in chosen.warnings
    assert "no installed model embeds" in chosen.warnings


def test_a_model_of_a_set_that_is_not_installed_is_named(tmp_path: Path) -> None:
    WorkingSetStore(tmp_path).write(WorkingSet("old", (SetModel("qwen1:7b"),)))
    with pytest.raises(UsageError, match="qwen1:7b is not installed"):
        choose(on(one_card(), tmp_path), {}, "old")


def test_a_model_without_a_header_is_left_out_with_the_reason(tmp_path: Path) -> None:
    planner = HandMade()
    planner.broken[EMBED.name] = f"{EMBED.name}: its header is damaged"
    _, chosen = choose(on(one_card(), tmp_path, planner), {})
    assert EMBED.name not in {model.name for model in chosen.models}
    assert f"{EMBED.name}: its header is damaged" in chosen.warnings


def test_by_hand_a_model_without_a_header_is_taken_and_its_fit_is_not_known(tmp_path: Path) -> None:
    planner = HandMade()
    planner.broken[CHAT.name] = f"{CHAT.name}: its header is damaged"
    _, chosen = choose(on(one_card(), tmp_path, planner), {Role.CHAT: AskedModel(CHAT.name)})
    assert chosen.models[0].context_length == 16384
    assert chosen.warnings == (f"whether they fit together cannot be told: {CHAT.name}: its header is damaged",)


def test_an_engine_that_tells_no_headers_does_not_stop_a_choice_by_hand(tmp_path: Path) -> None:
    class Silent(HandMade):
        def read(self, models: Any) -> Any:
            raise SourceError(FailureKind.TIMEOUT, "the engine does not answer")

    _, chosen = choose(on(one_card(), tmp_path, Silent()), {Role.CHAT: AskedModel(CHAT.name)})
    assert chosen.warnings == ("whether they fit together cannot be told: the engine does not answer",)


def test_without_a_card_the_fit_is_not_known(tmp_path: Path) -> None:
    desk = replace(driver_missing(), installed=installed_models())
    _, chosen = choose(on(desk, tmp_path), {Role.CHAT: AskedModel(CHAT.name)})
    assert "cannot be told: no card is known" in chosen.warnings[-1]


def test_what_does_not_fit_is_told_with_what_it_would_need(tmp_path: Path) -> None:
    big = InstalledModel("big:70b", CHAT.engine_url, "f" * 64, 40 * GIB, "70B", "Q4_K_M", "llama", ("completion",))
    choice = on(replace(one_card(), installed=(*installed_models(), big)), tmp_path)
    chosen = choice.complete(choice.by_hand({Role.CHAT: AskedModel("big:70b")}))
    together = choice.judge(chosen.models)
    assert together.stays is False
    assert together.needs_bytes is not None
    assert together.room_bytes is not None
    assert together.needs_bytes > 40 * GIB > together.room_bytes


def test_what_other_models_hold_counts_as_free(tmp_path: Path) -> None:
    planner = HandMade()
    choice = on(one_card(), tmp_path, planner)
    choice.judge((ChosenModel(EMBED.name, (Role.EMBED,), EMBED.engine_url),))
    choice.complete(choice.by_hand({Role.EMBED: AskedModel(EMBED.name)}))
    assert set(planner.left[-1]) == {CHAT.name, CODER.name, EMBED.name}


def test_headers_that_are_known_are_not_read_again(tmp_path: Path) -> None:
    planner = HandMade()
    choice = on(one_card(), tmp_path, planner)
    choose(choice, {})
    before = len(planner.reads)
    choose(choice.moved(one_card()), {})
    assert len(planner.reads) == before


def test_options_for_a_role_are_those_that_can_do_it(tmp_path: Path) -> None:
    choice = on(one_card(), tmp_path)
    assert [option.name for option in choice.options(Role.EMBED)] == [EMBED.name]
    assert CODER.name in {option.name for option in choice.options(Role.AUTOCOMPLETE)}
    assert EMBED.name not in {option.name for option in choice.options(Role.CHAT)}
