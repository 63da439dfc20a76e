"""Working sets by one key each, in their list and on the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.keymap import BINDINGS, Scope, keys_of
from gpudesk.keys import OVERLAPS, SET_KEYS_MOST
from gpudesk.ui.acting.sets import set_keys
from gpudesk.ui.planner.choices import chosen
from gpudesk.watch.planning import Handover, Purpose
from tests.actions.rig import CHAT, SMALL, Rig
from tests.ui.acting import Stage, acting_on
from tests.ui.test_planner_rules import everyday, planned

pytestmark = pytest.mark.slow


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def stored(stage: Stage, *sets: WorkingSet) -> None:
    for each in sets:
        stage.acting.sets.write(each)


def keys(stage: Stage, **keymap: str) -> Sequence[str]:
    return set_keys(stage.acting.sets.list(), keymap)


def test_a_set_is_applied_from_the_desk_by_the_key_that_its_list_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stored(
                    stage, WorkingSet("chat", (SetModel(CHAT, 8192),)), WorkingSet("small", (SetModel(SMALL, 4096),))
                )
                await stage.press("w")
                assert "5 chat" in stage.text()
                assert "6 small" in stage.text()
                await stage.press("escape", "6")
                await stage.ended()
                assert rig.loaded() == {SMALL: 4096}
                assert "apply small: done" in stage.text()

    run(scenario())


def test_a_key_of_the_desk_asks_like_the_list_when_something_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                stored(stage, WorkingSet("small", (SetModel(SMALL, 4096),)))
                await stage.until(lambda: stage.feed.desk.models, "it is listed")
                await stage.press("5")
                assert "apply small?" in stage.text()
                await stage.press("escape")
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_a_sets_own_key_works_on_the_desk_where_it_is_free_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stored(
                    stage, WorkingSet("chat", (SetModel(CHAT, 8192),), key="t"),
                    WorkingSet("small", (SetModel(SMALL, 4096),), key="b"),
                )  # fmt: skip
                await stage.until(lambda: stage.app._acting is not None, "acting is open")
                dark = stage.app.current_theme.dark
                await stage.press("t")
                assert stage.app.current_theme.dark is not dark, "the desk's own keys stay what they are"
                assert rig.loaded() == {}
                await stage.press("b")
                await stage.ended()
                assert rig.loaded() == {SMALL: 4096}

    run(scenario())


def test_a_key_without_a_set_says_so_and_a_broken_set_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.press("5")
                assert stage.toasts[-1] == "no working set has this key; w lists them"
                stored(stage, WorkingSet("chat", (SetModel(CHAT),)))
                stage.acting.sets.path("chat").write_text("[[model]]\ncontext = 1\n")
                await stage.press("5")
                assert stage.toasts[-1].startswith("chat cannot be used. ")
                assert rig.loaded() == {}

    run(scenario())


def test_what_reads_only_applies_no_set(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path, read_only=True) as stage:
                stored(stage, WorkingSet("chat", (SetModel(CHAT, 8192),), key="b"))
                await stage.until(lambda: stage.app._acting is not None, "acting is open")
                await stage.press("5")
                assert stage.toasts[-1].startswith("read-only")
                await stage.press("b")
                assert stage.app.acts is None
                assert rig.loaded() == {}

    run(scenario())


def test_every_set_has_one_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stored(stage, *(WorkingSet(f"s{number}", (SetModel(CHAT),)) for number in range(1, 9)))
                assert keys(stage) == ("5", "6", "7", "8", "9", "0", "", "")
                assert keys(stage, apply_set_1="f5")[0] == "f5"
                stored(
                    stage, WorkingSet("s2", (SetModel(CHAT),), key="5"), WorkingSet("s7", (SetModel(CHAT),), key="!")
                )
                assert keys(stage) == ("", "5", "7", "8", "9", "0", "exclamation_mark", "")

    run(scenario())


def test_the_keys_of_sets_mean_nothing_else_on_the_desk() -> None:
    given = [action for action in BINDINGS if action.id.startswith("apply_set_")]
    assert len(given) == SET_KEYS_MOST
    others = {
        key for action in BINDINGS if action.scope in OVERLAPS[Scope.DESK] and action not in given
        for key in keys_of(action, {})
    }  # fmt: skip
    assert not others & {key for action in given for key in keys_of(action, {})}


def plan_of(*, restart: bool) -> Handover:
    """Make a plan in which one model has two slots and a KV cache of q8_0."""
    choices, _, planner, ground = everyday()
    wanted = tuple(each.wanted for each in chosen(choices))
    return Handover(planned(choices, planner, ground), wanted, (), ground, restart)


@pytest.mark.parametrize("restart", [True, False])
def test_saving_a_plan_says_what_a_set_does_not_keep(tmp_path: Path, restart: bool) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stage.app.hand_over(Purpose.SAVE, plan_of(restart=restart))
                await stage.press("p", "l", "a", "n")
                await stage.until(lambda: ", context 16384" in stage.text(), "what it will hold")
                assert ("slots and KV type are not kept: they belong to Ollama 0.33.0" in stage.text()) is restart
                await stage.press("enter")
                assert stage.acting.sets.names() == ("plan",)

    run(scenario())
