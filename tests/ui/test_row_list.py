from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gpudesk.domain.event import Event, EventKind
from gpudesk.ui.screens.sheet import DetailScreen
from tests.ui.desks import CHAT, CODER, EMBED, NOW, URL, installed_models, many, one_card, some_events
from tests.ui.screens import COMFORTABLE, Shown, showing


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def names(shown: Shown, list_name: str) -> list[str]:
    """The names of the rows that are on the screen, in order."""
    rows = shown.desk.lists[list_name]
    return [item.name for item in rows._rows]


def test_the_cursor_follows_its_row_through_a_sort() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            await shown.press("down")
            assert shown.desk.loaded.selected == CODER
            await shown.press("o")  # by name: embed, coder, chat
            assert names(shown, "loaded") == [EMBED.name, CODER.name, CHAT.name]
            assert shown.desk.loaded.selected == CODER
            await shown.press("O")
            assert names(shown, "loaded") == [CHAT.name, CODER.name, EMBED.name]
            assert shown.desk.loaded.selected == CODER

    run(scenario())


def test_the_cursor_follows_its_row_when_one_above_goes() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("down", "down")
            assert shown.desk.loaded.selected == EMBED
            await shown.change(replace(desk, models=(CODER, EMBED)))
            assert shown.desk.loaded.selected == EMBED
            await shown.press("enter")
            screen = shown.app.screen
            assert isinstance(screen, DetailScreen)
            assert screen.target.key == EMBED.key

    run(scenario())


def test_when_the_cursors_row_goes_the_next_one_takes_its_place() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("down")
            await shown.change(replace(desk, models=(CHAT, EMBED)))
            assert shown.desk.loaded.selected == EMBED
            await shown.change(replace(desk, models=()))
            assert shown.desk.loaded.counts == (0, 0)
            await shown.press("enter", "down", "up", "end", "home", "pagedown")
            assert not isinstance(shown.app.screen, DetailScreen)

    run(scenario())


@pytest.mark.slow
def test_a_row_keeps_its_line_on_the_screen_when_rows_come_in_above() -> None:
    async def scenario() -> None:
        desk = many()
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("1", *["down"] * 30)
            rows = shown.desk.installed
            key = rows.selected_key
            before = rows._index - rows._top
            extra = tuple(replace(model, name=f"new-{model.name}") for model in desk.installed[:7])
            await shown.change(replace(desk, installed=(*extra, *desk.installed)))
            assert rows.selected_key == key
            assert rows._index - rows._top == before

    run(scenario())


def test_an_untouched_list_of_events_stays_at_the_newest() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("3")
            newest = Event(EventKind.LOADED, NOW + timedelta(seconds=1), "phi4:14b", "phi4:14b was loaded")
            await shown.change(replace(desk, events=(*some_events(), newest)))
            assert shown.desk.events.selected == newest
            await shown.press("down")
            held = shown.desk.events.selected
            newer = replace(newest, at=NOW + timedelta(seconds=2), message="again")
            await shown.change(replace(desk, events=(*some_events(), newest, newer)))
            assert shown.desk.events.selected == held
            await shown.press("home")
            assert shown.desk.events.selected == newer

    run(scenario())


def test_filter_narrows_while_typing_and_escape_clears_it() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            await shown.press("1", "slash", *"qwen")
            assert shown.desk.installed.filter_text == "qwen"
            assert all("qwen" in name for name in names(shown, "installed"))
            assert "6 of 40" in shown.text()
            await shown.press("enter")
            assert shown.app.focused is shown.desk.installed
            assert shown.desk.installed.filter_text == "qwen"
            await shown.press("escape")
            assert shown.desk.installed.counts == (40, 40)

    run(scenario())


@pytest.mark.slow
def test_keys_typed_into_the_filter_do_nothing_else() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            await shown.press("1", "slash", *"q?1to")
            assert shown.app.is_running
            assert shown.desk.installed.filter_text == "q?1to"
            assert shown.lines()[-1].split() == ["enter", "keep", "the", "filter", "esc", "clear", "it"]
            assert "nothing matches “q?1to”" in shown.text()
            await shown.press("escape")
            assert shown.desk.installed.filter_text == ""
            assert not shown.desk.query("#filter")

    run(scenario())


def test_the_filter_takes_every_word_in_any_order() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            shown.desk.installed.set_filter("vision 24B")
            assert {model.name for model in shown.desk.installed._rows} == {
                model.name
                for model in installed_models()
                if "24b" in model.name and "vision" in (model.capabilities or ())
            }

    run(scenario())


def test_sorting_puts_unknown_values_last_either_way() -> None:
    async def scenario() -> None:
        unknown = replace(CHAT, name="unknown", memory_bytes=None)
        async with showing(replace(one_card(), models=(unknown, CODER, CHAT)), COMFORTABLE) as shown:
            shown.desk.loaded.action_sort("memory")
            assert names(shown, "loaded") == [CHAT.name, CODER.name, "unknown"]
            shown.desk.loaded.action_sort("memory")
            assert names(shown, "loaded") == [CODER.name, CHAT.name, "unknown"]

    run(scenario())


def test_a_list_ordered_by_time_left_reorders_as_time_passes() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:
            shown.desk.loaded.action_sort("keep_alive")
            assert names(shown, "loaded")[-1] == CODER.name  # forever
            shown.desk.loaded.action_reverse_sort()
            assert names(shown, "loaded")[0] == CODER.name

    run(scenario())


def test_clicks_select_sort_and_open() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            rows = shown.desk.loaded
            await shown.pilot.click(rows, offset=(8, 3))
            await shown.pilot.pause()
            assert rows.selected == CODER
            name_column = shown.lines()[rows.region.y + 1].index("LOADED MODEL")
            await shown.pilot.click(rows, offset=(name_column, 1))
            await shown.pilot.pause()
            assert (rows.sorted_by, rows.reverse) == ("name", False)
            await shown.pilot.click(rows, offset=(8, 4), times=2)
            await shown.pilot.pause()
            assert isinstance(shown.app.screen, DetailScreen)
            assert shown.app.screen.target.key == f"{URL} {CHAT.name}"

    run(scenario())


def test_clicking_a_tab_shows_its_list() -> None:
    async def scenario() -> None:
        async with showing(one_card(), COMFORTABLE) as shown:
            rows = shown.desk.installed
            column = shown.lines()[rows.region.y].index("Events")
            await shown.pilot.click(rows, offset=(column, 0))
            await shown.pilot.pause()
            assert shown.app.focused is shown.desk.events
            assert "keep-alive of qwen3:14b changed from forever to 5m" in shown.text()

    run(scenario())


def test_rows_that_look_alike_can_each_be_reached() -> None:
    async def scenario() -> None:
        desk = replace(one_card(), models=(CHAT, CHAT, CODER))
        async with showing(desk, COMFORTABLE) as shown:
            await shown.press("down")
            await shown.change(replace(desk, models=(CHAT, CHAT, EMBED, CODER)))
            await shown.press("down")
            assert shown.desk.loaded.selected == CODER

    run(scenario())


def test_loaded_models_stay_where_they_are_when_the_engine_lists_them_in_another_order() -> None:
    """Ollama lists by the end of the keep-alive, so that every request would move a row."""

    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:

            def letters() -> list[str]:
                rows = shown.desk.loaded.shown_text
                return [cells[1] for line in rows if len(cells := line.split()) > 2 and len(cells[1]) == 1]

            assert letters() == ["A", "B", "C"]
            before = shown.desk.loaded.shown_text
            await shown.change(replace(desk, models=tuple(reversed(desk.models))))
            assert shown.desk.loaded.shown_text == before

    run(scenario())


def test_kept_rows_follow_what_they_show() -> None:
    """Rows of installed models are kept between moments; a letter that moves must still be drawn."""

    async def scenario() -> None:
        desk = one_card()
        async with showing(desk, COMFORTABLE) as shown:

            def row_of(name: str) -> str:
                top = shown.desk.installed.region.y
                return next(line for line in shown.lines()[top:] if name in line)

            assert "A  qwen3:14b " in row_of("qwen3:14b ")
            await shown.change(replace(desk, models=(CODER, EMBED)))
            assert "A" not in row_of("qwen3:14b ").split("qwen3:14b")[0]
            grown = tuple(
                replace(model, size_bytes=77 << 30) if model.name == CHAT.name else model for model in desk.installed
            )
            await shown.change(replace(desk, models=(CODER, EMBED), installed=grown))
            assert "77.0" in row_of("qwen3:14b ")
            shown.feed.moment = NOW + timedelta(days=1)
            await shown.change(replace(desk, models=(CODER, EMBED), installed=grown))
            assert "4d ago" in row_of("qwen3:14b ")
            await shown.pilot.resize_terminal(80, 24)
            await shown.pilot.pause()
            assert "77.0" in row_of("qwen3:14b ")

    run(scenario())
