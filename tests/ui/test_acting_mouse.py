"""Dialogs by mouse: every choice, every key that is named, and beside the box."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.fit.contexts import FAMILIAR
from gpudesk.ui.acting.ask import AskScreen
from gpudesk.ui.acting.form import FormScreen
from gpudesk.ui.acting.menu import ConfirmScreen
from gpudesk.ui.acting.sets import SetsScreen
from tests.actions.rig import CHAT, CODE, SMALL, Rig
from tests.ui.acting import Stage, acting_on

pytestmark = pytest.mark.slow


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def is_on_top(stage: Stage, kind: type[object]) -> bool:
    return isinstance(stage.app.screen, kind)


async def click(stage: Stage, words: str, *, last: bool = False) -> None:
    """Click on words that stand on the screen, wherever they are."""
    lines = [(number, line) for number, line in enumerate(stage.lines()) if words in line]
    assert lines, f"no {words!r}\n{stage.text()}"
    number, line = lines[-1 if last else 0]
    await stage.pilot.click(offset=(line.index(words) + 1, number))
    await stage.pilot.pause()


def test_the_form_of_a_load_by_mouse_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await click(stage, "l load", last=True)
                assert is_on_top(stage, FormScreen)
                await click(stage, "the engine's choice ›")
                assert f"‹ {FAMILIAR[0]} ›" in stage.text()
                await click(stage, "keep-alive")
                await click(stage, "→ more")
                assert "stays 5m" in stage.text()
                await click(stage, "enter load")
                await stage.ended()
                assert rig.loaded()[SMALL] == FAMILIAR[0]

    run(scenario())


def test_an_answer_is_chosen_by_mouse_and_no_is_one_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.until(lambda: len(stage.feed.desk.models) == 2, "both are listed")
                await stage.press("F")
                assert is_on_top(stage, AskScreen)
                await click(stage, "everything models hold")
                assert is_on_top(stage, ConfirmScreen)
                await click(stage, "esc no")
                assert len(stage.app.screen_stack) == 1
                await stage.press("F", "enter")
                await click(stage, "enter yes, do it")
                await stage.ended()
                assert rig.loaded() == {}

    run(scenario())


def test_a_click_beside_the_box_closes_it_and_does_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, (120, 40)) as stage:
                await stage.select(CHAT)
                for key in "kpls":
                    await stage.press(key)
                    assert len(stage.app.screen_stack) == 2, key
                    await stage.pilot.click(offset=(3, 38))
                    await stage.pilot.pause()
                    assert len(stage.app.screen_stack) == 1, key
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_a_set_is_looked_at_by_one_click_and_applied_by_a_second(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stage.acting.sets.write(WorkingSet("chat", (SetModel(CHAT, 8192),)))
                stage.acting.sets.write(WorkingSet("small", (SetModel(SMALL, 4096),)))
                await stage.press("w")
                await click(stage, "6 small")
                assert is_on_top(stage, SetsScreen)
                assert "▸ 6 small" in stage.text()
                await click(stage, "6 small")
                await stage.ended()
                assert rig.loaded() == {SMALL: 4096}
                await click(stage, "w sets", last=True)
                await click(stage, "d delete")
                await click(stage, "delete chat", last=True)
                assert stage.acting.sets.names() == ("small",)

    run(scenario())


def test_what_runs_is_canceled_and_what_ended_is_put_away_by_mouse(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), load_seconds=600.0) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("l", "enter")
                await stage.until(lambda: "x cancel" in stage.text(), "it is running")
                await click(stage, "x cancel")
                await stage.ended()
                assert rig.loaded() == {CHAT: 8192}
                await stage.until(lambda: "esc dismiss" in stage.text(), "it is told")
                await click(stage, "esc dismiss")
                assert "canceled" not in stage.text()

    run(scenario())
