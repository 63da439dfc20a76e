from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.cells import cell_len

from gpudesk.config.settings import Settings
from gpudesk.domain.desk import Desk
from gpudesk.fit.values import Plan, Verdict
from gpudesk.keymap import BINDINGS, Scope
from gpudesk.ui.planner.board import Board
from gpudesk.ui.planner.handover import HandoverScreen
from gpudesk.ui.planner.screen import PlannerScreen
from gpudesk.ui.planner.thinking import Answer, Thinking
from gpudesk.ui.screens.desk import DeskScreen
from gpudesk.watch.planning import Handover, Purpose
from tests.ui.desks import CHAT, CODER, EMBED, GIB, driver_missing, empty, engine_down, many, one_card, two_cards
from tests.ui.plans import HandMade, settled
from tests.ui.screens import COMFORTABLE, EVERYDAY, Shown, showing

if TYPE_CHECKING:
    from gpudesk.ui.acting.port import Acting

SETTINGS = Settings(reserve_bytes=GIB, reduced_motion=True)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def press(shown: Shown, *keys: str) -> None:
    """Press keys and wait for the whole plan."""
    await shown.press(*keys)
    await until(shown, lambda: settled(board_of(shown)), "settled")


async def until(shown: Shown, condition: Callable[[], bool], what: str) -> None:
    for _ in range(300):
        await shown.pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")


def board_of(shown: Shown) -> Board:
    screen = shown.app.screen_stack[1]
    assert isinstance(screen, PlannerScreen)
    return screen.board


@asynccontextmanager
async def planning(
    desk: Desk, size: tuple[int, int] = EVERYDAY, planner: HandMade | None = None, **arguments: Any
) -> AsyncIterator[tuple[Shown, HandMade]]:
    """The planner on a desk, once everything is read and planned."""
    planner = planner or HandMade()
    async with showing(desk, size, settings=SETTINGS, planning=lambda: planner, **arguments) as shown:
        await shown.press("f")
        board = board_of(shown)
        if planner.may_read.is_set() and planner.may_plan.is_set():
            await until(shown, lambda: settled(board), "settled")
        yield shown, planner


def test_f_opens_it_with_what_is_loaded_and_escape_goes_back() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, planner):
            assert [one.name for one in planner.questions[-1]] == [CHAT.name, CODER.name, EMBED.name]
            assert "✓ fits" in shown.text()
            await shown.press("escape")
            assert isinstance(shown.app.screen, DeskScreen)

    run(scenario())


@pytest.mark.slow
def test_space_and_enter_add_and_take_out() -> None:
    async def scenario() -> None:
        async with planning(one_card(), COMFORTABLE) as (shown, planner):
            await press(shown, "down", "down", "down", "space")
            added = board_of(shown).choices[3].name
            assert planner.questions[-1][-1].name == added
            assert "comes" in shown.text()
            await press(shown, "home", "enter")
            assert CHAT.name not in [one.name for one in planner.questions[-1]]
            assert planner.left[-1] == (CHAT.name,)
            assert "goes" in shown.text()

    run(scenario())


@pytest.mark.slow
def test_keys_in_a_burst_count_in_their_order() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, _):
            await shown.press("down", "down", "down")
            board, at = board_of(shown), shown.app.screen
            assert isinstance(at, PlannerScreen)
            name = board.choices[3].name
            # What an eager typist or a paste does: no turn of the loop between the keys.
            at.list.action_choose()
            at.action_context(1)
            await until(shown, lambda: settled(board), "settled")
            chosen = board.named(name)
            assert chosen is not None
            assert chosen.chosen

    run(scenario())


@pytest.mark.slow
def test_context_slots_and_kv_type_follow_their_keys() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, planner):
            for keys, name, expected in (
                (("right",), "context_length", 24576),
                (("left", "minus"), "context_length", 12288),
                (("plus",), "context_length", 16384),
                (("s",), "parallel", 4),
                (("v",), "kv_cache_type_k", "q4_0"),
                (("V",), "kv_cache_type_v", "q8_0"),
            ):
                await press(shown, *keys)
                assert getattr(planner.questions[-1][0].options, name) == expected, keys
            assert "restart" in shown.text()
            for _ in range(6):
                await press(shown, "backspace")
            await press(shown, "backspace")
            assert planner.questions[-1][0].options.parallel == CHAT.parallel
            assert planner.questions[-1][0].options.context_length == CHAT.context_length

    run(scenario())


def test_every_alternative_is_one_key_away() -> None:
    async def scenario() -> None:
        async with planning(one_card(), COMFORTABLE) as (shown, planner):
            board = board_of(shown)
            assert board.plan is not None
            wanted = board.plan.alternatives[1]
            assert wanted.key == "context:4096"
            await press(shown, "2")
            assert tuple(planner.questions[-1]) == wanted.wanted
            assert board.plan.total_bytes == wanted.total_bytes
            await press(shown, "9")
            assert board.plan.total_bytes == wanted.total_bytes
            await press(shown, "backspace")
            assert planner.questions[-1][0].options.context_length == CHAT.context_length

    run(scenario())


@pytest.mark.slow
def test_the_plan_leaves_by_one_door() -> None:
    async def scenario() -> None:
        taken: list[tuple[Purpose, Handover]] = []

        def door(purpose: Purpose, handover: Handover) -> None:
            taken.append((purpose, handover))

        async with planning(one_card(), acting=lambda _say: cast("Acting", None)) as (shown, _):
            shown.app.hand_over = door  # type: ignore[method-assign]
            await shown.press("escape", "f")
            await until(shown, lambda: settled(board_of(shown)), "planned")
            await shown.press("down", "space", "m", "w")
            assert [purpose for purpose, _ in taken] == [Purpose.MAKE_IT_SO, Purpose.SAVE]
            handover = taken[0][1]
            assert handover.leaving == (CODER.name,)
            assert [one.name for one in handover.wanted] == [each.name for each in handover.plan.models]
            assert handover.plan is board_of(shown).plan

    run(scenario())


@pytest.mark.slow
def test_read_only_neither_offers_nor_takes_a_plan() -> None:
    async def scenario() -> None:
        for read_only in (False, True):
            settings = replace(SETTINGS, read_only=read_only)
            planner = HandMade()
            async with showing(one_card(), (250, 40), settings=settings, planning=lambda: planner) as shown:  # noqa: B023
                await shown.press("f")
                await until(shown, lambda: settled(board_of(shown)), "settled")
                footer = shown.lines()[-1]
                assert ("m make it so" in footer) is not read_only
                assert ("w save" in footer) is not read_only
                assert "c card" in footer
                assert ("read-only" in shown.lines()[0]) is read_only
                names = {each.title for each in shown.app.get_system_commands(shown.app.screen)}
                assert ("Make it so" in names) is not read_only
                if read_only:
                    for key in "mw":
                        await shown.press(key)
                        assert len(shown.app.screen_stack) == 2
                        (toast,) = shown.app._notifications
                        assert toast.message.startswith("read-only")
                        shown.app.clear_notifications()

    run(scenario())


@pytest.mark.slow
def test_without_a_door_the_plan_is_shown_as_text() -> None:
    async def scenario() -> None:
        async with planning(one_card(), COMFORTABLE) as (shown, _):
            await shown.press("m")
            assert isinstance(shown.app.screen, HandoverScreen)
            assert f"gpudesk fit {CHAT.name}@16384" in shown.text()
            await shown.press("escape")
            assert len(shown.app.screen_stack) == 2

    run(scenario())


def test_headers_are_read_with_progress_and_what_is_chosen_first() -> None:
    async def scenario() -> None:
        planner = HandMade()
        planner.may_read.clear()
        async with planning(one_card(), COMFORTABLE, planner) as (shown, _):
            assert "reading headers 0 of 39" in shown.text()
            planner.may_read.set()
            board = board_of(shown)
            await until(shown, lambda: settled(board), "all read")
            assert set(planner.reads[:3]) == {CHAT.name, CODER.name, EMBED.name}
            assert len(planner.reads) == len(set(planner.reads)) == 39
            await until(shown, lambda: "reading headers" not in shown.text(), "no progress when done")

    run(scenario())


def test_a_model_without_a_header_says_why_and_is_not_planned() -> None:
    async def scenario() -> None:
        planner = HandMade()
        planner.broken["gemma3:4b"] = "gemma3:4b: the header is cut off at 12 KiB"
        async with planning(one_card(), COMFORTABLE, planner) as (shown, _):
            board = board_of(shown)
            row = next(index for index, each in enumerate(board.choices) if each.name == "gemma3:4b")
            await shown.press(*["down"] * row, "space")
            assert not board.choices[row].chosen
            assert any("cut off" in toast.message for toast in shown.app._notifications)

    run(scenario())


@pytest.mark.slow
def test_without_a_card_one_is_picked_from_the_table() -> None:
    async def scenario() -> None:
        async with planning(driver_missing(), COMFORTABLE) as (shown, planner):
            assert "c chooses a card" in shown.text()
            await shown.press("c", "slash", *"4090", "enter")
            assert "GeForce RTX 4090" in shown.text()
            await shown.press("enter")
            await until(shown, lambda: board_of(shown).plan is not None, "planned on that card")
            assert "not in this computer" in shown.text()
            assert planner.left[-1] == ()
            await shown.press("c")
            assert board_of(shown).plan is None

    run(scenario())


@pytest.mark.slow
def test_a_file_is_added_by_its_path_without_any_server() -> None:
    async def scenario() -> None:
        async with planning(engine_down(), COMFORTABLE) as (shown, planner):
            await shown.press("a", *"/tmp/tiny.gguf", "enter")
            await until(shown, lambda: board_of(shown).named("tiny.gguf") is not None, "the file is in the list")
            await until(shown, lambda: "tiny.gguf" in [one.name for one in planner.questions[-1]], "planned")
            assert "tiny.gguf" in shown.text()
            await shown.press("a", *"nothing.txt", "enter")
            await until(shown, lambda: len(shown.app._notifications) > 0, "said")

    run(scenario())


@pytest.mark.slow
def test_the_list_is_filtered_and_escape_goes_back_step_by_step() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, _):
            await shown.press("slash", *"phi4", "enter")
            assert "phi4:14b" in shown.text()
            assert "mistral" not in shown.text()
            await shown.press("escape")
            assert len(shown.app.screen_stack) == 2
            assert "mistral" in shown.text()
            await shown.press("escape")
            assert isinstance(shown.app.screen, DeskScreen)

    run(scenario())


def test_it_follows_the_desk() -> None:
    async def scenario() -> None:
        desk = one_card()
        async with planning(desk, COMFORTABLE) as (shown, planner):
            asked = len(planner.questions)
            await shown.change(desk)
            assert len(planner.questions) == asked, "nothing changed, nothing is planned"
            fuller = replace(desk, cards=(replace(desk.cards[0], free_bytes=2 * GIB),))
            await shown.change(fuller)
            await until(shown, lambda: len(planner.questions) > asked, "planned anew")

    run(scenario())


def test_the_mouse_chooses() -> None:
    async def scenario() -> None:
        async with planning(one_card(), COMFORTABLE) as (shown, _):
            screen = shown.app.screen
            assert isinstance(screen, PlannerScreen)
            before = board_of(shown).choices[3].chosen
            await shown.pilot.click("#choices", offset=(3, 5))
            await shown.pilot.pause()
            assert board_of(shown).choices[3].chosen is not before

    run(scenario())


def test_every_key_of_the_planner_is_bound_with_id_and_tooltip() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, _):
            bound = {active.binding.id: active for active in shown.app.screen.active_bindings.values()}
            for action in BINDINGS:
                scopes = (Scope.EVERYWHERE, Scope.PANELS, Scope.LIST, Scope.PLANNER, Scope.CHOICES)
                if action.scope not in scopes or action.id == "details":
                    continue
                assert action.id in bound, action.id
                assert bound[action.id].tooltip == action.help

    run(scenario())


def test_the_palette_offers_what_makes_sense_here() -> None:
    async def scenario() -> None:
        async with planning(one_card()) as (shown, _):
            titles = {command.title for command in shown.app.get_system_commands(shown.app.screen)}
            assert {"Make it so", "Card", "File", "Filter"} <= titles
            assert not {"Installed", "Events", "Fit"} & titles
            on_desk = {command.title for command in shown.app.get_system_commands(shown.desk)}
            assert "Fit" in on_desk
            assert "Make it so" not in on_desk

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("desk", [one_card, two_cards, many, empty, driver_missing, engine_down])
def test_it_fills_every_screen_exactly(desk: Callable[[], Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scenario() -> None:
        async with planning(desk(), EVERYDAY) as (shown, _):
            for width, height in ((20, 5), (40, 12), (60, 20), (80, 24), (100, 30), (120, 40), (200, 60)):
                await shown.pilot.resize_terminal(width, height)
                await shown.pilot.pause()
                lines = shown.lines()
                assert len(lines) == height
                assert {cell_len(line) for line in lines} == {width}

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60, 20), EVERYDAY, COMFORTABLE, (200, 60)])
def test_the_verdict_is_on_the_screen_in_words_at_every_size(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        async with planning(one_card(), size) as (shown, _):
            assert shown.text().count("✓ fits") >= 2
            await shown.press("tab")
            assert shown.app.focused is not None
            assert shown.app.focused.id == "answer"
            await shown.press("end")
            assert shown.app.focused.id == "answer"

    run(scenario())


# --- thinking ---------------------------------------------------------------------------------------------------------


def plan_numbered(number: int) -> Plan:
    from gpudesk.fit.values import ServerForecast

    return Plan(Verdict.FITS, (), (), number, ServerForecast())


def test_quick_plans_are_made_at_once_and_slow_ones_beside() -> None:
    told: list[Answer] = []
    arrived = threading.Event()

    def tell(answer: Answer) -> None:
        told.append(answer)
        arrived.set()

    thinking = Thinking(tell)
    assert thinking.ask(lambda: plan_numbered(1)) is None, "nobody knows yet how long it takes"
    assert arrived.wait(5)
    at_once = thinking.ask(lambda: plan_numbered(2))
    assert at_once is not None
    assert at_once.plan is not None
    assert at_once.plan.total_bytes == 2

    def slow() -> Plan:
        time.sleep(0.05)
        return plan_numbered(3)

    assert thinking.ask(slow) is not None
    assert thinking.ask(lambda: plan_numbered(4)) is None, "the last one took too long"
    thinking.stop()


def test_overtaken_questions_are_never_asked() -> None:
    gate, begun, done = threading.Event(), threading.Event(), threading.Event()
    asked: list[int] = []
    told: list[Answer] = []

    def question(number: int) -> Callable[[], Plan]:
        def answer() -> Plan:
            asked.append(number)
            begun.set()
            gate.wait(5)
            return plan_numbered(number)

        return answer

    def tell(answer: Answer) -> None:
        told.append(answer)
        if answer.sequence == 4:
            done.set()

    thinking = Thinking(tell)
    thinking.ask(question(1))
    assert begun.wait(5)
    for number in (2, 3, 4):
        thinking.ask(question(number))
    gate.set()
    assert done.wait(5)
    assert asked == [1, 4]
    assert thinking.sequence == told[-1].sequence == 4
    thinking.stop()


def test_a_formula_that_fails_is_an_answer() -> None:
    arrived = threading.Event()
    told: list[Answer] = []

    def tell(answer: Answer) -> None:
        told.append(answer)
        arrived.set()

    def broken() -> Plan:
        raise ZeroDivisionError("no layers")

    thinking = Thinking(tell)
    thinking.ask(broken)
    assert arrived.wait(5)
    assert told[0].plan is None
    assert told[0].problem is not None
    assert "no layers" in told[0].problem
    thinking.stop()


def test_the_verdict_does_not_wait_for_alternatives() -> None:
    told: list[Answer] = []
    whole = threading.Event()

    def tell(answer: Answer) -> None:
        told.append(answer)
        if not answer.partial:
            whole.set()

    def slow() -> Plan:
        time.sleep(0.05)
        return plan_numbered(1)

    thinking = Thinking(tell)
    assert thinking.ask(slow, lambda: plan_numbered(2)) is None
    assert whole.wait(5)
    assert [(answer.partial, answer.plan and answer.plan.total_bytes) for answer in told] == [(True, 2), (False, 1)]
    whole.clear()
    at_once = thinking.ask(slow, lambda: plan_numbered(3))
    assert at_once is not None
    assert at_once.partial
    assert at_once.plan is not None
    assert at_once.plan.total_bytes == 3
    assert whole.wait(5)
    assert told[-1].sequence == at_once.sequence
    thinking.stop()
