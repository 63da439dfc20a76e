from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from gpudesk.config.settings import Settings
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.exports.values import FileChange, Role, Way
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.editors.confirming import ConfirmFiles
from gpudesk.ui.editors.layout import plan_editors
from gpudesk.ui.editors.screen import EditorsScreen
from gpudesk.ui.editors.view_lists import EDITORS, OPTIONS, ROLE_ROWS
from gpudesk.ui.screens.desk import DeskScreen
from tests.ui.desks import CHAT, CODER, EMBED, GIB, driver_missing, empty, one_card, seeded
from tests.ui.editing import Workplace, editing, press, screen_of, settled, typed, until
from tests.ui.screens import COMFORTABLE, EVERYDAY, Shown, showing

SMALL = (60, 20)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path)
    monkeypatch.setenv("HOME", str(made.home))
    return made


def chosen(shown: Shown) -> dict[str, tuple[Role, ...]]:
    answer = screen_of(shown).answer
    assert answer is not None
    assert answer.chosen is not None, answer.choice_problem
    return {model.name: model.roles for model in answer.chosen.models}


def told(shown: Shown) -> str:
    """What toasts say."""
    return "\n".join(toast.message for toast in shown.app._notifications)


def test_e_opens_it_with_what_is_loaded_and_escape_goes_back(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            assert chosen(shown) == {
                CHAT.name: (Role.CHAT, Role.EDIT, Role.APPLY), CODER.name: (Role.AUTOCOMPLETE,),
                EMBED.name: (Role.EMBED,),
            }  # fmt: skip
            text = shown.text()
            assert re.search(r"! +Continue +not set up, \d findings", text)
            assert "✓ fits" in text
            assert "+++ ~/.continue/models/gpudesk.yaml" in text
            await shown.press("escape")
            assert isinstance(shown.app.screen, DeskScreen)

    run(scenario())


def test_what_is_worked_out_before_the_screen_is_there_is_shown(place: Workplace) -> None:
    async def scenario() -> None:
        async with showing(one_card(), EVERYDAY) as shown:
            screen = EditorsScreen(place.port(), banner=None, keymap={})
            screen.show(shown.app.scene(), shown.app.palette)
            await until(shown.pilot.pause, lambda: screen.worker.idle, "worked out")
            assert screen.answer is None
            shown.app.push_screen(screen)
            await settled(shown)
            assert "+++ ~/.continue/models/gpudesk.yaml" in shown.text()

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(40, 12), SMALL, EVERYDAY, (100, 30), COMFORTABLE, (140, 40), (200, 60)])
def test_no_line_is_wider_than_the_terminal_and_every_part_is_there(place: Workplace, size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, size) as shown:
            for keys in ((), ("tab",), ("tab",), ("c",)):
                await press(shown, *keys)
                lines = shown.lines()
                assert len(lines) == size[1]
                assert {cell_len(line) for line in lines} == {size[0]}
            assert "Editors" in shown.text()

    run(scenario())


@pytest.mark.parametrize("banner", [False, True])
def test_parts_never_overlap_and_fill_the_screen(*, banner: bool) -> None:
    for width in range(40, 210, 7):
        for height in range(12, 70):
            for editors in (0, 1, 10, 40):
                for reading in (False, True):
                    places = plan_editors(width, height, editors=editors, banner=banner, reading=reading)
                    cells = sum(place.width * place.height for place in places.values())
                    assert cells <= width * height
                    taken = set()
                    for name, spot in places.items():
                        assert spot.x + spot.width <= width, name
                        assert spot.y + spot.height <= height, name
                        assert spot.height >= 1, (name, width, height)
                        for y in range(spot.y, spot.y + spot.height):
                            assert (y, spot.x) not in taken
                            taken.add((y, spot.x))


def test_a_terminal_that_is_too_small_says_so(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, (38, 10)) as shown:
            assert "gpudesk needs" in shown.text()

    run(scenario())


# --- choosing ---------------------------------------------------------------------------------------------------


def test_the_change_follows_the_editor(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "down")
            answer = screen_of(shown).answer
            assert answer is not None
            assert answer.export is not None
            assert answer.export.editor == "zed"
            assert "settings.json" in shown.text()

    run(scenario())


def test_right_takes_the_next_model_and_left_the_one_before(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "tab", "down", "right")
            other = next(name for name, roles in chosen(shown).items() if Role.CHAT in roles)
            assert other != CHAT.name
            assert CODER.name in chosen(shown)
            assert "‹ by hand ›" in shown.text()
            await press(shown, "left")
            assert next(name for name, roles in chosen(shown).items() if Role.CHAT in roles) == CHAT.name

    run(scenario())


def test_a_role_may_have_no_model(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "tab", "end", "up", "right")
            assert EMBED.name not in chosen(shown)
            assert "none" in shown.text()

    run(scenario())


@pytest.mark.slow
def test_models_come_from_what_is_loaded_suggested_or_a_set(place: Workplace) -> None:
    place.sets.write(WorkingSet("coding", (SetModel(CHAT.name, 4096), SetModel(CODER.name, 2048))))

    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "tab", "right")
            assert "‹ suggested ›" in shown.text()
            await press(shown, "right")
            assert "‹ set coding ›" in shown.text()
            assert set(chosen(shown)) == {CHAT.name, CODER.name}
            assert "has 16384" in shown.text() or shown.app.size.width < 90
            await press(shown, "right")
            assert "‹ loaded or pinned ›" in shown.text()

    run(scenario())


@pytest.mark.slow
def test_another_way_is_another_change(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "tab", "end", "right")
            answer = screen_of(shown).answer
            assert answer is not None
            assert answer.export is not None
            assert answer.export.way is Way.MERGE
            await press(shown, "shift+tab", "down", "up")
            assert screen_of(shown).way is Way.OWN_FILE

    run(scenario())


def test_another_file_is_named_by_its_path(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            screen = screen_of(shown)
            named = place.home / "project" / "mine.yaml"
            named.parent.mkdir()
            await shown.press("a", *"~/project/mine.yaml")
            await press(shown, "enter")
            assert change_of(screen).path == named
            assert "~/project/mine.yaml" in shown.text()
            await press(shown, "w", "enter")
            await until(shown.pilot.pause, named.exists, "written")
            assert not place.own.exists()

            await press(shown, "a", *"x/no", "escape")
            assert change_of(screen).path == named, "escape changes nothing"
            await press(shown, "a")
            await typed(shown, "")
            assert change_of(screen).path == place.own, "nothing is the usual file"

    run(scenario())


def test_a_folder_that_is_missing_is_not_made_for_a_named_file(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "a")
            await typed(shown, "~/projcet/mine.yaml")
            await press(shown, "w", "enter")
            await until(shown.pilot.pause, lambda: "does not exist" in told(shown), "refused")
            assert not (place.home / "projcet").exists()
            await press(shown, "down")
            assert change_of(screen_of(shown)).path.name == "settings.json", "another editor has its own file"

    run(scenario())


def test_a_demo_writes_no_file_outside_of_its_home(place: Workplace, tmp_path: Path) -> None:
    place.around = replace(place.around, bounds=place.home)
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nversion: 1.0.0\n")
    (place.home / "link.yaml").symlink_to(mine)

    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            for named in (str(mine), "~/link.yaml"):
                await press(shown, "a")
                await typed(shown, named)
                assert change_of(screen_of(shown)).after is not None, "it may be looked at"
                await shown.press("w")
                assert not isinstance(shown.app.screen, ConfirmFiles)
                assert "a demo changes nothing outside of its own home" in told(shown)
            await press(shown, "a")
            await typed(shown, "")
            await confirmed(shown, "w")
            await until(shown.pilot.pause, place.own.exists, "what is its own is written")

    run(scenario())
    assert mine.read_text() == "name: mine\nversion: 1.0.0\n"


def change_of(screen: EditorsScreen) -> FileChange:
    """The first file of the change that is shown."""
    assert screen.answer is not None
    assert screen.answer.export is not None, screen.answer.export_problem
    return screen.answer.export.changes[0]


@pytest.mark.slow
def test_enter_lists_the_models_of_a_role_with_their_fit(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            await press(shown, "tab", "down", "enter")
            screen = screen_of(shown)
            assert "For chat, edit, apply" in shown.text()
            options = screen.answer.judged if screen.answer is not None else ()
            assert options
            assert all(option.together is not None and option.together.verdict for option in options)
            assert [option.name for option in options if option.chosen] == [CHAT.name]
            # An embedding model and one of the cloud are for nobody to talk to.
            assert EMBED.name not in {option.name for option in options}
            await press(shown, "down", "enter")
            assert options[1].name in chosen(shown)
            assert "For chat, edit, apply" not in shown.text()

    run(scenario())


@pytest.mark.slow
def test_escape_leaves_the_list_of_models_as_it_was(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            before = chosen(shown)
            await press(shown, "tab", "down", "enter", "down", "escape")
            assert chosen(shown) == before
            assert screen_of(shown).picking is None

    run(scenario())


@pytest.mark.slow
def test_the_list_of_models_can_be_filtered(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            await press(shown, "tab", "down", "enter", "slash", *"phi4", "enter")
            shown_rows = screen_of(shown).options.counts
            assert 0 < shown_rows[0] < shown_rows[1]
            await press(shown, "enter")
            assert any(name.startswith("phi4") for name in chosen(shown))

    run(scenario())


def test_a_pair_that_does_not_fit_is_warned_of(place: Workplace) -> None:
    place.planner.evicts = (CHAT.name,)

    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            assert "✗ swaps" in shown.text()
            answer = screen_of(shown).answer
            assert answer is not None
            assert answer.chosen is not None
            assert "do not stay loaded together" in answer.chosen.warnings[0]

    run(scenario())


@pytest.mark.parametrize("desk", [driver_missing, empty])
def test_without_cards_or_models_it_says_what_is_missing(place: Workplace, desk: Callable[[], Any]) -> None:
    async def scenario() -> None:
        async with editing(desk(), place) as shown:
            assert "cannot be" in shown.text() or "nothing can be suggested" in shown.text()

    run(scenario())


def test_a_role_that_no_installed_model_can_do_says_so(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(empty(), place) as shown:
            text = " ".join(shown.text().split())
            assert "Choose a model for a role: enter on it lists them" in text
            assert "--chat" not in text, "options of the command are none of the screen's"
            await press(shown, "tab", "down", "enter")
            assert "For chat" in shown.text()
            assert "no installed model can do this" in shown.text()
            assert "working out" not in shown.text()

    run(scenario())


def test_a_model_that_is_loaded_meanwhile_is_taken_in(place: Workplace) -> None:
    async def scenario() -> None:
        desk = one_card()
        async with editing(replace(desk, models=desk.models[:1]), place) as shown:
            assert set(chosen(shown)) == {CHAT.name}
            await shown.change(desk)
            await settled(shown)
            assert set(chosen(shown)) == {CHAT.name, CODER.name, EMBED.name}

    run(scenario())


# --- writing ----------------------------------------------------------------------------------------------------


async def confirmed(shown: Shown, key: str) -> None:
    """Press a key that asks, and say yes."""
    await shown.press(key)
    await until(shown.pilot.pause, lambda: isinstance(shown.app.screen, ConfirmFiles), "asked")
    await shown.press("enter")


def test_w_asks_once_shows_the_files_and_writes(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await shown.press("w")
            assert isinstance(shown.app.screen, ConfirmFiles)
            text = shown.text()
            assert "Set up Continue?" in text
            assert "new    ~/.continue/models/gpudesk.yaml" in text
            assert "touch  ~/.continue/config.yaml" in text
            assert not place.own.exists()
            await shown.press("enter")
            await until(shown.pilot.pause, place.own.exists, "written")
            await until(shown.pilot.pause, lambda: "set up by gpudesk" in shown.text(), "shown")
            assert CHAT.name in place.own.read_text()

    run(scenario())


@pytest.mark.slow
def test_escape_writes_nothing(place: Workplace) -> None:
    before = place.config.read_bytes()

    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await shown.press("w")
            await shown.press("escape")
            assert not isinstance(shown.app.screen, ConfirmFiles)

    run(scenario())
    assert not place.own.exists()
    assert place.config.read_bytes() == before
    assert not place.state.exists()


@pytest.mark.slow
def test_b_brings_back_every_byte(place: Workplace) -> None:
    before = place.config.read_bytes()

    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await press(shown, "tab", "end", "right")
            await confirmed(shown, "w")
            await until(shown.pilot.pause, lambda: place.config.read_bytes() != before, "written")
            await settled(shown)
            await shown.press("b")
            await until(shown.pilot.pause, lambda: isinstance(shown.app.screen, ConfirmFiles), "asked")
            assert "enter restore it" in shown.text()
            await shown.press("enter")
            await until(shown.pilot.pause, lambda: place.config.read_bytes() == before, "restored")

    run(scenario())


def test_there_is_nothing_to_bring_back(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            await shown.press("b")
            await until(shown.pilot.pause, lambda: "nothing to restore" in told(shown), "told")

    run(scenario())


def test_c_shows_what_is_wrong_and_x_makes_the_safe_fixes(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            state = screen_of(shown).state
            assert state is not None
            assert f"Check: {len(state.wrong)}" in shown.text()
            await press(shown, "c")
            assert "line 11: error: models[0].numCtx" in shown.text()
            await confirmed(shown, "x")
            await until(shown.pilot.pause, lambda: "maxTokens: 256" in place.config.read_text(), "fixed")
            await settled(shown)
            assert "# more context" in place.config.read_text()

    run(scenario())


def test_x_makes_the_fixes_that_others_make_way_for_at_once(place: Workplace) -> None:
    place.config.write_text(
        "name: a\nversion: 1.0.0\nmodels:\n  - name: one\n    provider: openai\n    model: m\n    maxtokens: '256'\n"
    )

    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            await confirmed(shown, "x")
            await until(shown.pilot.pause, lambda: "maxTokens" in place.config.read_text(), "fixed")
            await settled(shown)
            await shown.press("x")
            assert "nothing here can be fixed without you" in told(shown)

    run(scenario())
    assert "maxTokens: 256" in place.config.read_text(), "moved, and no text any more"


@pytest.mark.slow
def test_m_makes_a_new_configuration_of_a_deprecated_one(place: Workplace) -> None:
    place.config.unlink()
    old = place.config.with_name("config.json")
    old.write_text('{"models": [{"title": "mine", "provider": "ollama", "model": "qwen3:14b"}]}')

    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            await confirmed(shown, "m")
            await until(shown.pilot.pause, place.config.exists, "migrated")

    run(scenario())
    assert "name: mine" in place.config.read_text()
    assert old.exists()


@pytest.mark.slow
def test_a_file_that_changes_meanwhile_is_not_written_over(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            await press(shown, "tab", "end", "right")
            await shown.press("w")
            place.config.write_text("name: other\nversion: 1.0.0\n")
            await shown.press("enter")
            await until(shown.pilot.pause, lambda: "has changed since it was read" in told(shown), "refused")
            assert place.config.read_text() == "name: other\nversion: 1.0.0\n"
            await shown.change(one_card())
            await settled(shown)
            assert "not set up" in shown.text()

    run(scenario())


def test_read_only_asks_nothing_and_writes_nothing(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place, (200, 40), settings=Settings(read_only=True)) as shown:
            footer = shown.lines()[-1]
            assert "c check" in footer
            for words in ("w write", "x fix", "b restore"):
                assert words not in footer
            assert "read-only" in shown.lines()[0]
            for key in ("w", "b", "x"):
                await shown.press(key)
                assert not isinstance(shown.app.screen, ConfirmFiles)
                assert "read-only" in told(shown)

    run(scenario())
    assert not place.own.exists()


def test_a_file_that_cannot_be_read_is_told_where_it_is_shown(place: Workplace) -> None:
    place.config.write_text("models: [\n")

    async def scenario() -> None:
        async with editing(one_card(), place, COMFORTABLE) as shown:
            assert "config.yaml" in shown.text()
            assert "line" in shown.text()
            await shown.press("w")
            assert not isinstance(shown.app.screen, ConfirmFiles)

    run(scenario())


# --- mouse and modes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_mouse_selects_turns_and_writes(place: Workplace) -> None:
    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            lines = shown.lines()
            zed = next(y for y, line in enumerate(lines) if " Zed " in line)
            await shown.pilot.click(offset=(8, zed))
            await settled(shown)
            state = screen_of(shown).state
            assert state is not None
            assert state.id == "zed"
            lines = shown.lines()
            tabs = next(y for y, line in enumerate(lines) if "Change  Check" in line)
            await shown.pilot.click(offset=(lines[tabs].index("Check") + 1, tabs))
            assert screen_of(shown).checking
            await shown.pilot.click(offset=(lines[-1].index("write"), len(lines) - 1))
            await until(shown.pilot.pause, lambda: isinstance(shown.app.screen, ConfirmFiles), "asked")

    run(scenario())


def test_without_color_signs_tell_the_same(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario() -> None:
        async with editing(one_card(), place) as shown:
            text = shown.text()
            assert "✓ fits" in text
            assert "!  Continue" in text

    run(scenario())


def test_where_nobody_can_be_asked_the_key_says_so() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            await shown.press("e")
            assert isinstance(shown.app.screen, DeskScreen)
            assert "nobody to ask about editors" in told(shown)

    run(scenario())


# --- pictures ---------------------------------------------------------------------------------------------------

STATES = [
    (EVERYDAY, ()),
    (EVERYDAY, ("c", "enter")),
    (SMALL, ("tab", "down")),
    (COMFORTABLE, ("tab", "down", "enter")),
    (COMFORTABLE, ("w",)),
    ((200, 60), ("down",)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "keys"), STATES, ids=lambda value: "-".join(map(str, value)) or "opened")
def test_the_screen_of_editors_looks_as_it_did(
    snap_compare: Callable[..., bool], place: Workplace, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    app = GpudeskApp(seeded(one_card()), Settings(reserve_bytes=GIB, reduced_motion=True), editors=place.port)

    async def before(pilot: Any) -> None:
        await pilot.pause()
        shown = Shown(app, seeded(one_card()), pilot)
        await shown.press("e")
        await settled(shown)
        await press(shown, *keys)

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_the_help_tells_the_keys_and_columns_of_the_editors() -> None:
    from gpudesk.ui.view_help import help_lines

    text = "\n".join("".join(span.text for span in line) for line in help_lines({}, 200))
    for table in (EDITORS, ROLE_ROWS, OPTIONS):
        for column in table.columns:
            assert column.help in text
    keys = text.partition("In the editors' screen\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in keys.splitlines()] == ["w", "c", "x", "b", "m", "a", "→", "←"]
