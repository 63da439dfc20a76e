from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from gpudesk.actions.values import Ending
from gpudesk.cancellation import Cancellation
from gpudesk.ui.acting.ask import AskScreen
from gpudesk.ui.acting.form import FormScreen
from gpudesk.ui.acting.leaving import LeaveScreen
from gpudesk.ui.acting.menu import ConfirmScreen, MenuScreen
from tests.actions.rig import BIG, CHAT, CODE, SMALL, Rig
from tests.ui.acting import acting_on

pytestmark = pytest.mark.slow


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_load_asks_how_shows_what_it_comes_to_and_loads(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("l")
                assert isinstance(stage.app.screen, FormScreen)
                assert "✓ fits" in stage.text()
                while "‹ 4096 ›" not in stage.text():
                    await stage.press("right")
                assert f"load {SMALL} with context 4096" in stage.text()
                await stage.press("enter")
                await stage.ended()
                assert rig.loaded() == {SMALL: 4096}
                assert f"load {SMALL}: done" in stage.text()
                assert [entry.who for entry in stage.acting.journal.read(9)] == ["key"]

    run(scenario())


def test_unload_waits_for_the_driver_and_asks_nothing_of_an_idle_model(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await stage.press("u")
                await stage.ended()
                assert rig.loaded() == {}
                assert "back on the card" in stage.message

    run(scenario())


def test_p_pins_with_the_choice_to_put_right_and_ends_the_pin(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await stage.press("p", "right")
                assert "yes, put it right" in stage.text()
                await stage.press("enter")
                await stage.ended()
                (wish,) = rig.pins.read()
                assert (wish.name, wish.restore, wish.context_length) == (CHAT, True, 8192)
                assert rig.session_seconds(CHAT) > 1e9
                await stage.until(lambda: stage.feed.desk.pins, "the pin is seen")
                await stage.press("escape", "p")
                await stage.until(lambda: not rig.pins.read(), "the pin has ended")
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_keep_takes_what_is_typed_and_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await stage.press("k")
                assert isinstance(stage.app.screen, AskScreen)
                await stage.type("7")
                await stage.press("enter")
                assert isinstance(stage.app.screen, AskScreen), "a bare number is refused"
                assert "✗" in stage.text()
                await stage.press("backspace")
                await stage.type("2h")
                await stage.press("enter")
                await stage.ended()
                assert rig.session_seconds(CHAT) == 7200.0
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_swap_exchanges_the_selected_model_for_the_one_that_is_typed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await stage.press("s")
                await stage.type("gpt")
                assert BIG in stage.text()
                await stage.press("at", *"4096")
                assert "with context 4096" in stage.text()
                await stage.press("enter")
                await stage.ended()
                assert rig.loaded() == {BIG: 4096}

    run(scenario())


def test_a_name_of_the_same_weights_is_not_offered_as_another_model(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            store = rig.sim.server.store
            chat = store.find(CHAT)
            assert chat is not None
            store.copy(chat, "alias:latest")
            rig.look(installed=True)
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await stage.press("s")
                await stage.type("alias")
                assert "nothing matches" in stage.text()
                await stage.press("at", *"8192")
                assert "nothing matches" in stage.text()
                await stage.press(*["backspace"] * 4, *"4096")
                assert f"same weights as {CHAT}" in stage.text()
                await stage.press("escape")
                await stage.select("alias:latest", key="installed")
                await stage.press("s")
                assert f"swap {CHAT} for" in stage.text()

    run(scenario())


def told_of(rig: Rig, *names: str) -> bool:
    """Tell whether the engine has told which files these models have."""
    digests = {model.digest for model in rig.poller.desk.installed if model.name in names}
    return len(digests) == len(names) and digests <= {each.digest for each in rig.poller.desk.details}


def test_another_form_of_the_loaded_model_says_in_its_row_that_it_has_its_weights(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            rig.control.derive("wide:latest", CHAT, 16384, Cancellation())
            async with acting_on(rig, tmp_path) as stage:
                rig.look(installed=True)
                await stage.select(CHAT)
                await stage.until(lambda: told_of(rig, CHAT, "wide:latest"), "the engine told of both")
                await stage.press("s")
                await stage.type("wide")
                assert f"same weights as {CHAT}" in stage.text()
                await stage.press("escape")
                await stage.select("wide:latest", key="installed")
                await stage.press("s")
                assert "load wide:latest instead of" in stage.text()
                assert f"same weights as {CHAT}" in stage.text()

    run(scenario())


def test_an_installed_model_is_swapped_in_for_a_loaded_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("s")
                await stage.type(CODE[:5])
                await stage.press("enter")
                await stage.ended()
                assert set(rig.loaded()) == {CHAT, SMALL}

    run(scenario())


def test_what_loses_something_is_asked_about_once_and_free_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, -1.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.until(lambda: len(stage.feed.desk.models) == 2, "both are listed")
                await stage.press("F", "enter")
                assert isinstance(stage.app.screen, ConfirmScreen)
                await stage.press("escape")
                assert set(rig.loaded()) == {CHAT, CODE}
                await stage.press("F", "enter", "y")
                await stage.ended()
                assert rig.loaded() == {}
                freed = stage.acting.freed.read()
                assert freed is not None
                assert {load.name for load in freed.loads} == {CHAT, CODE}
                await stage.until(lambda: not stage.feed.desk.models, "both are gone")
                await stage.press("F")
                assert "▸ bring back" in stage.text()
                stage.app.acts.ended = None  # type: ignore[union-attr]
                await stage.press("enter")
                await stage.ended()
                assert rig.loaded() == {CHAT: 8192, CODE: 4096}
                assert stage.acting.freed.read() is None

    run(scenario())


def test_x_cancels_and_what_was_there_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), load_seconds=600.0) as rig:
            async with acting_on(rig, tmp_path, (100, 30)) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("l", "enter")
                await stage.until(lambda: "x cancel" in stage.text(), "it is running")
                await stage.press("l")
                assert "is running; x cancels it" in stage.toasts[-1]
                await stage.press("x")
                await stage.ended()
                assert rig.loaded() == {CHAT: 8192}
                assert "canceled" in stage.text()
                await stage.press("escape")
                assert stage.app.acts is not None
                assert stage.app.acts.ended is None

    run(scenario())


def test_a_failure_stays_until_it_is_put_away_and_is_an_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path, (100, 30)) as stage:
                await stage.press("P")
                await stage.type("nosuch:1b")
                await stage.press("enter")
                await stage.ended()
                assert stage.app.acts is not None
                assert stage.app.acts.ended is not None
                assert stage.app.acts.ended[1].ending is not Ending.DONE
                assert "pull nosuch:1b: failed" in stage.text()
                assert "esc dismiss" in stage.text()
                await stage.press("3")
                assert "▸ gpudesk" in stage.text()
                await stage.press("escape")
                assert "esc dismiss" not in stage.text()
                await stage.press("J")
                assert "pull nosuch:1b" in stage.text()

    run(scenario())


def test_deleting_wants_a_letter_and_not_the_key_that_was_just_pressed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("D", "enter")
                assert isinstance(stage.app.screen, ConfirmScreen)
                await stage.press("y")
                await stage.ended()
                names = {each.name for each in rig.look(installed=True).installed}
                assert SMALL not in names

    run(scenario())


def test_a_context_is_baked_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("V")
                await stage.type("16k")
                await stage.press("enter")
                await stage.ended()
                assert "llama3.2-16k:3b" in {each.name for each in rig.look(installed=True).installed}

    run(scenario())


def test_the_present_state_is_saved_and_applied_by_one_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.until(lambda: stage.feed.desk.models, "it is listed")
                await stage.press("w", "a")
                await stage.type("not/a/name")
                await stage.press("enter")
                assert "is no name for a set" in stage.text()
                await stage.press(*["backspace"] * 10)
                await stage.type("coding")
                await stage.press("enter")
                assert "Working sets" in stage.text()
                assert stage.acting.sets.names() == ("coding",)
                await stage.press("a")
                await stage.type("coding")
                await stage.press("enter")
                assert "replace coding?" in stage.text()
                await stage.press("down", "enter", "escape")
                await stage.select(CHAT)
                await stage.press("u")
                await stage.ended()
                stage.app.acts.ended = None  # type: ignore[union-attr]
                await stage.press("w", "5")
                await stage.ended()
                assert rig.loaded() == {CHAT: 8192}
                await stage.press("w", "d", "down", "enter")
                assert stage.acting.sets.names() == ()

    run(scenario())


def test_without_a_selected_model_the_key_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.press("3", "u")
                assert "select a model first" in stage.toasts[-1]

    run(scenario())


def test_read_only_says_so_and_does_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, (100, 30), read_only=True) as stage:
                await stage.select(CHAT)
                for key in "lupkswFPDVx":
                    await stage.press(key)
                    assert len(stage.app.screen_stack) == 1, key
                    assert stage.toasts[-1].startswith("read-only"), key
                assert rig.loaded() == {CHAT: 8192}
                assert "read-only" in stage.lines()[0]
                assert "u unload" not in stage.lines()[-1]
                await stage.press("question_mark")
                assert "read-only: the keys below Acting are off" in stage.text()

    run(scenario())


def test_leaving_while_something_runs_asks_what_becomes_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), load_seconds=600.0) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(SMALL, key="installed")
                await stage.press("l", "enter")
                await stage.until(lambda: "x cancel" in stage.text(), "it is running")
                await stage.press("q")
                assert isinstance(stage.app.screen, LeaveScreen)
                await stage.press("down", "down", "enter")
                await stage.until(lambda: stage.app.return_code == 0, "it has left")
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_what_a_killed_gpudesk_left_is_offered_and_finished(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, cut_off=rig.swap(CHAT, SMALL)) as stage:
                await stage.until(lambda: isinstance(stage.app.screen, MenuScreen), "it is offered")
                assert "finish it" in stage.text()
                assert "undo it" in stage.text()
                await stage.press("enter")
                if isinstance(stage.app.screen, ConfirmScreen):
                    await stage.press("y")
                await stage.ended()
                assert set(rig.loaded()) == {SMALL}
                assert stage.acting.journal.cut_off is None

    run(scenario())


def test_leaving_it_as_it_is_forgets_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, cut_off=rig.swap(CHAT, SMALL)) as stage:
                await stage.until(lambda: isinstance(stage.app.screen, MenuScreen), "it is offered")
                await stage.press("up", "enter")
                assert stage.acting.journal.cut_off is None
                assert rig.loaded() == {CHAT: 8192}

    run(scenario())


def test_what_changes_while_it_is_asked_about_is_shown_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.until(lambda: len(stage.feed.desk.models) == 2, "both are listed")
                await stage.press("F", "enter")
                assert isinstance(stage.app.screen, ConfirmScreen)
                rig.run(rig.unload(CODE))
                stage.app.show_desk()
                await stage.press("y")
                assert isinstance(stage.app.screen, ConfirmScreen)
                assert "something has changed meanwhile" in stage.text()
                assert set(rig.loaded()) == {CHAT}
                await stage.press("y")
                await stage.ended()
                assert rig.loaded() == {}

    run(scenario())


def test_nothing_of_acting_is_loaded_before_the_first_paint() -> None:
    script = (
        "import sys, gpudesk.build, gpudesk.ui.app, gpudesk.ui.run, gpudesk.screen_wiring, gpudesk.watch.poller\n"
        "import asyncio\n"
        "from gpudesk.config.settings import Settings\n"
        "from tests.ui.desks import seeded, one_card\n"
        "from gpudesk.ui.app import GpudeskApp\n"
        "async def paint():\n"
        "    app = GpudeskApp(seeded(one_card()), Settings(), acting=lambda say: None)\n"
        "    async with app.run_test(size=(80, 24)) as pilot:\n"
        "        await pilot.pause()\n"
        "        early = ('gpudesk.actions', 'gpudesk.stores', 'gpudesk.fit', 'gpudesk.acting',\n"
        "                 'gpudesk.ui.acting', 'gpudesk.ui.planner')\n"
        "        print(sorted(m for m in sys.modules if m in early or m.startswith(tuple(e + '.' for e in early))))\n"
        "asyncio.run(paint())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
