from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from rich.cells import cell_len
from textual import events
from textual.command import CommandPalette

from gpudesk.config.settings import Settings
from gpudesk.domain.card import ProcessAccounting
from gpudesk.domain.problem import Problem
from gpudesk.keymap import BINDINGS, Scope
from gpudesk.ui.layout import LOWER_TABS, SMALLEST_HEIGHT, SMALLEST_WIDTH
from gpudesk.ui.screens.sheet import DetailScreen, HelpScreen
from tests.ui.desks import ALL_DESKS, GIB, NOW, empty, engine_down, many, one_card, stale, two_cards
from tests.ui.screens import COMFORTABLE, EVERYDAY, Shown, showing

SIZES = ((20, 5), (40, 12), (60, 20), (79, 29), (80, 24), (100, 30), (120, 40), (160, 30), (200, 60), (250, 70))


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def assert_filled(shown: Shown, width: int, height: int) -> None:
    lines = shown.lines()
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_DESKS)
def test_every_desk_at_every_size_fills_the_screen_exactly(name: str) -> None:
    async def scenario() -> None:
        async with showing(ALL_DESKS[name](), EVERYDAY) as shown:
            for width, height in SIZES:
                await shown.pilot.resize_terminal(width, height)
                await shown.pilot.pause()
                assert_filled(shown, width, height)

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (200, 60)])
@pytest.mark.parametrize("name", ["hostile", "many", "empty"])
def test_every_view_fills_the_screen_exactly(name: str, size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with showing(ALL_DESKS[name](), size) as shown:
            for keys in (("enter",), ("escape", "question_mark"), ("escape", "3"), ("4", "enter"), ("escape", "tab")):
                await shown.press(*keys)
                assert_filled(shown, *size)

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("size", [EVERYDAY, COMFORTABLE, (200, 60)])
def test_everything_can_be_reached_by_keyboard(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with showing(one_card(), size) as shown:
            seen = []
            for _ in range(8):
                await shown.press("tab")
                assert shown.app.focused is not None
                seen.append(shown.app.focused.id)
            assert {"cards", "loaded", "installed"} <= set(seen)
            assert seen[:2] == seen[len(set(seen)) : len(set(seen)) + 2]
            await shown.press("shift+tab")
            assert shown.app.focused is not None
            assert shown.app.focused.id == seen[-2]
            for key, name in zip("1234", LOWER_TABS, strict=True):
                await shown.press(key)
                assert shown.app.focused.id == name
                assert shown.desk.lists[name].region.height > 0

    run(scenario())


@pytest.mark.slow
def test_enter_opens_the_details_of_whatever_has_the_focus() -> None:
    async def scenario() -> None:
        desk = replace(one_card(), problems=(Problem("nvml", "something is wrong", "do something"),))
        async with showing(desk, COMFORTABLE) as shown:
            for keys, expected in (
                (("1",), "engine claims"),
                (("2",), "memory on card"),
                (("3",), "severity"),
                (("4",), "do something"),
                (("tab",), "Who holds it"),
            ):
                await shown.press(*keys, "enter")
                assert isinstance(shown.app.screen, DetailScreen), keys
                assert expected in shown.text()
                await shown.press("escape")
                assert len(shown.app.screen_stack) == 1

    run(scenario())


def test_details_keep_up_with_the_desk_and_say_when_their_subject_is_gone() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("enter")
            assert "4m 32s" in shown.text()
            shown.feed.moment = NOW + timedelta(seconds=10)
            await shown.change(desk)
            assert "4m 22s" in shown.text()
            await shown.change(replace(desk, models=(), installed=()))
            assert "no longer on the desk" in shown.text()

    run(scenario())


def test_details_scroll() -> None:
    async def scenario() -> None:
        async with showing(one_card(), EVERYDAY) as shown:
            await shown.press("enter")
            assert "measured" in shown.text()
            assert "weights" not in shown.text()
            await shown.press("end")
            assert "weights" in shown.text()
            await shown.press("home")
            assert "measured" in shown.text()
            await shown.press("down")
            assert "Memory" not in shown.lines()[1]

    run(scenario())


def test_help_lists_every_key_and_explains_columns_and_signs() -> None:
    async def scenario() -> None:
        async with showing(one_card(), (130, 180)) as shown:
            await shown.press("question_mark")
            assert isinstance(shown.app.screen, HelpScreen)
            text = shown.text()
            for action in BINDINGS:
                assert action.help.split(";")[0][:40] in text, action.id
            for word in ("CLAIMED", "DIFF", "RUNS ON", "STAYS", "unattributed", "spilled"):
                assert word in text
            await shown.press("question_mark")
            assert len(shown.app.screen_stack) == 1

    run(scenario())


@pytest.mark.slow
def test_the_palette_finds_actions_and_themes() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            commands = {command.title for command in shown.app.get_system_commands(shown.app.screen)}
            assert {"Help", "Quit", "Filter", "Theme gpudesk-light", "Theme nord"} <= commands
            await shown.press("ctrl+p")
            assert isinstance(shown.app.screen, CommandPalette)
            await shown.press(*"gpudesk-light")
            await shown.pilot.pause(0.3)
            await shown.press("enter")
            await shown.app.workers.wait_for_complete()
            await shown.pilot.pause()
            assert shown.app.theme == "gpudesk-light"

    run(scenario())


def test_the_palette_offers_what_the_focused_panel_can_do() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:

            def commands() -> dict[str, Callable[[], object]]:
                screen = shown.app.screen
                return {command.title: command.callback for command in shown.app.get_system_commands(screen)}

            await shown.press("2")
            assert {"Sort", "Reverse", "Details"} <= set(commands())
            await cast(Awaitable[object], commands()["Sort"]())
            assert shown.desk.processes.sorted_by is not None
            shown.desk.set_focus(None)
            assert not {"Sort", "Reverse", "Details"} & set(commands())

    run(scenario())


def test_q_leaves_with_0_and_ctrl_c_with_130_and_the_watch_stops() -> None:
    async def scenario(key: str, code: int) -> None:
        async with showing(one_card()) as shown:
            await shown.press(key)
            assert shown.app.return_code == code
            assert shown.feed.stopped

    run(scenario("q", 0))
    run(scenario("ctrl+c", 130))


@pytest.mark.slow
def test_ctrl_c_leaves_from_the_palette_too() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            await shown.pilot.press("ctrl+p", *"theme")
            assert isinstance(shown.app.screen, CommandPalette)
            await shown.pilot.press("ctrl+c")
            assert shown.app.return_code == 130

    run(scenario())


def test_q_works_in_details_and_help() -> None:
    async def scenario(key: str) -> None:
        async with showing(one_card()) as shown:
            await shown.press(key, "q")
            assert shown.app.return_code == 0

    run(scenario("enter"))
    run(scenario("question_mark"))


def test_remapped_keys_work_and_are_shown() -> None:
    async def scenario() -> None:
        settings = Settings(keymap={"filter": "ctrl+f", "page_down": "pagedown", "quit": "X"})
        async with showing(one_card(), COMFORTABLE, settings=settings) as shown:
            footer = shown.lines()[-1]
            assert "^f filter" in footer
            assert "X quit" in footer
            await shown.press("slash")
            assert not shown.desk.query("#filter")
            await shown.press("ctrl+f")
            assert shown.desk.query("#filter")
            await shown.press("escape", "X")
            assert shown.app.return_code == 0

    run(scenario())


def test_a_broken_keymap_leaves_the_defaults() -> None:
    async def scenario() -> None:
        async with showing(one_card(), settings=Settings(keymap={"filter": "q"})) as shown:
            await shown.press("q")
            assert shown.app.return_code == 0

    run(scenario())


def test_every_key_of_the_registry_is_bound_with_id_and_tooltip() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            bound = {active.binding.id: active for active in shown.app.screen.active_bindings.values()}
            for action in BINDINGS:
                if action.scope not in (Scope.EVERYWHERE, Scope.DESK, Scope.PANELS, Scope.LIST):
                    continue
                assert action.id in bound, action.id
                assert bound[action.id].tooltip == action.help

    run(scenario())


def test_g_switches_the_graphs_and_t_the_theme_and_r_asks_for_a_sample() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            assert "60 s" in shown.text()
            await shown.press("g")
            assert "10 min" in shown.text()
            assert "60 s" not in shown.text()
            await shown.press("t")
            assert shown.app.theme == "gpudesk-light"
            await shown.press("t")
            assert shown.app.theme == "gpudesk-dark"
            await shown.press("r")
            assert shown.feed.samples_requested == 1

    run(scenario())


def test_a_terminal_without_focus_is_told_to_the_watch() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            shown.app.post_message(events.AppBlur())
            await shown.pilot.pause()
            assert shown.feed.focused is False
            shown.app.post_message(events.AppFocus())
            await shown.pilot.pause()
            assert shown.feed.focused is True

    run(scenario())


def test_news_from_a_watching_thread_is_shown_before_the_next_tick() -> None:
    async def scenario() -> None:
        async with showing(empty()) as shown:
            assert "looking for cards" in shown.text()
            shown.feed.desk = one_card()
            (listener,) = shown.feed.listeners
            await asyncio.to_thread(listener)
            await shown.pilot.pause()
            assert "NVIDIA GeForce RTX 4090" in shown.text()

    run(scenario())


def test_the_countdown_ticks_without_news() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            shown.feed.moment = NOW + timedelta(seconds=42)
            shown.app.show_desk()
            await shown.pilot.pause()
            assert "3m 50s" in shown.text()
            assert "stopping…" in shown.text()  # the one that had 41 s left

    run(scenario())


def test_old_values_are_marked_with_their_age() -> None:
    async def scenario() -> None:
        async with showing(stale()) as shown:
            card = next(line for line in shown.lines() if "RTX 4090" in line)
            assert "7s old" in card
        async with showing(engine_down(), COMFORTABLE) as shown:
            text = shown.text()
            assert "✗ ollama unreachable" in text
            assert "connection refused at 127.0.0.1:11434" in text
            assert "→ start it with `ollama serve`" in text
            assert "47s old" in text

    run(scenario())


def test_problems_of_the_configuration_are_shown_among_the_others() -> None:
    async def scenario() -> None:
        problem = Problem("config", "line 3: unknown key `thme`", "did you mean `theme`?")
        async with showing(one_card(), COMFORTABLE, problems=(problem,)) as shown:
            assert "4 Problems 1" in shown.text()
            await shown.press("4")
            assert "line 3: unknown key `thme`" in shown.text()

    run(scenario())


def test_a_banner_stays_under_the_title() -> None:
    async def scenario() -> None:
        async with showing(one_card(), banner="DEMO: [b]simulated[/b]") as shown:
            assert shown.lines()[1].startswith(" DEMO: [b]simulated[/b]")

    run(scenario())


def test_the_reserve_is_named_and_told_when_it_is_cut_into() -> None:
    async def scenario() -> None:
        async with showing(one_card(), settings=Settings(reserve_bytes=2 * GIB)) as shown:
            assert "reserve 2.0" in shown.text()
            assert "cut into" not in shown.text()
        async with showing(one_card(), settings=Settings(reserve_bytes=12 * GIB)) as shown:
            assert "cut into" in shown.text()

    run(scenario())


def test_several_cards_scroll_to_the_selected_one() -> None:
    async def scenario() -> None:
        async with showing(many(), (80, 16)) as shown:
            await shown.press("shift+tab")
            assert shown.app.focused is shown.desk.cards
            assert "▸ 0" in shown.text()
            await shown.press("end")
            assert "▸ 7" in shown.text()
            await shown.press("enter")
            assert isinstance(shown.app.screen, DetailScreen)
            assert shown.app.screen.target.key == "7"

    run(scenario())


def test_a_remote_engines_models_are_told_apart() -> None:
    async def scenario() -> None:
        async with showing(two_cards(), COMFORTABLE) as shown:
            row = next(line for line in shown.lines() if "gemma3:27b" in line)
            assert "@10.0.0.5" in row
            assert "~17.3" in row

    run(scenario())


def test_too_small_is_said_plainly() -> None:
    async def scenario() -> None:
        async with showing(one_card(), (20, 5)) as shown:
            assert shown.lines()[0].strip() == f"gpudesk needs {SMALLEST_WIDTH}×{SMALLEST_HEIGHT}"[:20].strip()
            await shown.press("q")
            assert shown.app.return_code == 0

    run(scenario())


def test_no_color_keeps_every_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            text = shown.text()
            assert "▓" in text
            assert "▚" in text
            colors = {
                style.color.triplet
                for strip in shown.app.screen._compositor.render_strips()
                for segment in strip
                if (style := segment.style) is not None and style.color is not None and style.color.triplet
            }
            assert all(color.red == color.green == color.blue for color in colors)

    run(scenario())


def test_ansi_uses_the_terminals_own_colors() -> None:
    async def scenario() -> None:
        async with showing(one_card(), settings=Settings(ansi_colors=True)) as shown:
            for strip in shown.desk.loaded.render_lines(shown.desk.loaded.size.region):
                for segment in strip:
                    style = segment.style
                    assert style is None or style.color is None or style.color.triplet is None
                    assert style is None or style.bgcolor is None or style.bgcolor.triplet is None

    run(scenario())


def test_reduced_motion_stops_animation() -> None:
    async def scenario() -> None:
        async with showing(one_card(), settings=Settings(reduced_motion=True)) as shown:
            assert shown.app.animation_level == "none"

    run(scenario())


def test_an_unknown_theme_falls_back_to_ours() -> None:
    async def scenario() -> None:
        async with showing(one_card(), settings=Settings(theme="nonexistent")) as shown:
            assert shown.app.theme == "gpudesk-dark"

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("accounting", list(ProcessAccounting))
def test_the_card_says_what_its_driver_tells(accounting: ProcessAccounting) -> None:
    async def scenario() -> None:
        desk = one_card()
        state = desk.cards[0]
        changed = replace(state, card=replace(state.card, process_accounting=accounting))
        async with showing(replace(desk, cards=(changed,)), (90, 60)) as shown:
            await shown.press("shift+tab", "enter")
            assert "driver tells" in shown.text()

    run(scenario())
