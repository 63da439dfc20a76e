"""What is said of acting: toasts, the journal, what was cut off, and where to go when nothing is loaded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.widgets import Input

from gpudesk.actions.ports import Forecast
from gpudesk.actions.values import (
    ActionId,
    Ending,
    JournalEntry,
    Load,
    Origin,
    Outcome,
    Preview,
    Progress,
    Step,
    StepKind,
)
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.records import replace
from gpudesk.ui.acting.ask import AskScreen
from gpudesk.ui.acting.journal import entry_lines
from gpudesk.ui.acting.menu import ConfirmScreen, MenuScreen
from gpudesk.ui.acting.view_line import outcome_lines
from gpudesk.ui.acting.work import PACE_SECONDS, Pace
from gpudesk.ui.acting_app import Said
from gpudesk.ui.cells import line_width
from gpudesk.ui.screens.desk import DeskScreen
from gpudesk.ui.screens.sheet import DetailScreen
from tests.actions.rig import CHAT, CODE, SMALL, Rig
from tests.ui.acting import Stage, acting_on
from tests.ui.desks import NOW, one_card
from tests.ui.screens import EVERYDAY, showing
from tests.ui.test_acting_views import text


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


LOST = Event(EventKind.PIN_LOST, NOW, CHAT, f"the pin of {CHAT} is lost: evicted for b", Severity.WARNING)


# Toasts


def test_what_the_guard_noticed_is_one_toast() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            await shown.change(replace(one_card(), events=(LOST,)))
            shown.app.post_message(Said(LOST.message))
            shown.app.post_message(Said(f"pin {CHAT}: put right"))
            await shown.pilot.pause()
            told = [toast.message for toast in shown.app._notifications]
            assert told == [f"{LOST.message}. p on it puts it right, or ends the pin", f"pin {CHAT}: put right"]

    run(scenario())


def test_no_toast_covers_the_details_that_are_opened() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            await shown.change(replace(one_card(), events=(LOST,)))
            assert len(shown.app._notifications) == 1
            await shown.press("enter")
            assert isinstance(shown.app.screen, DetailScreen)
            assert len(shown.app._notifications) == 0

    run(scenario())


@pytest.mark.slow
def test_no_toast_covers_what_is_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                stage.app.notify("an alarm")
                await stage.press("k")
                assert isinstance(stage.app.screen, AskScreen)
                assert stage.toasts == []

    run(scenario())


# Typed faster than a line opens


async def typed_at_once(stage: Stage, *keys: str) -> None:
    """Type without waiting for what a key does, as a terminal sends what is typed quickly or pasted."""
    for key in keys:
        stage.app.post_message(Key(key, key if len(key) == 1 else {"slash": "/"}.get(key)))
    await stage.pilot.pause(0.3)


@pytest.mark.slow
def test_what_is_typed_ahead_of_the_filter_is_no_key_of_the_desk(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await typed_at_once(stage, "slash", "q", "u", "p", "t")
                assert rig.loaded() == {CHAT: 8192, CODE: 4096}
                screen = stage.app.screen
                assert isinstance(screen, DeskScreen), "no dialog was opened"
                assert screen.query_one("#filter", Input).value == "qupt"

    run(scenario())


@pytest.mark.slow
def test_what_is_typed_ahead_of_a_question_is_its_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.select(CHAT)
                await typed_at_once(stage, "k", "2", "h", "3", "0", "m", "enter")
                await stage.ended()
                assert rig.session_seconds(CHAT) == 9000.0

    run(scenario())


# Nothing is loaded


@pytest.mark.slow
def test_with_nothing_loaded_a_key_leads_to_what_is_installed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                screen = stage.app.screen
                assert isinstance(screen, DeskScreen)
                assert screen.focused is screen.loaded
                await stage.press("l")
                assert stage.toasts[-1] == "choose a model here, then press l again"
                assert screen.focused is screen.installed
                await stage.press("l")
                assert stage.app.screen is not screen, "the form of the first installed model"

    run(scenario())


@pytest.mark.slow
def test_with_nothing_loaded_what_was_freed_is_offered_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.until(lambda: stage.feed.desk.models, "it is listed")
                await stage.press("F")
                assert "▸ everything models hold" in stage.text()
                await stage.press("enter", "y")
                await stage.ended()
                await stage.until(lambda: not stage.feed.desk.models, "it is gone")
                await stage.press("F")
                assert f"▸ bring back {CHAT}" in stage.text()
                assert "everything models hold" in stage.text()

    run(scenario())


# What cannot be told yet


@pytest.mark.slow
def test_what_cannot_be_told_yet_is_found_out_before_anything_moves(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                read = threading.Event()

                def preparing() -> None:
                    assert_waited(read)
                    rig.oracle.answer = Forecast(verdict="tight", needs_bytes=3 << 30)

                rig.oracle.answer = Forecast()
                stage.acting.preparing = preparing
                await stage.select(SMALL, key="installed")
                await stage.press("l", "enter")
                assert f"finding out what {SMALL} takes" in stage.text()
                assert stage.app.acts is not None
                assert not stage.app.acts.running
                read.set()
                await stage.ended()
                assert stage.app.acts.ended is not None
                assert stage.app.acts.ended[0].verdict == "tight", "carried out is what could be told then"
                assert "finding out" not in stage.text()

    run(scenario())


@pytest.mark.slow
def test_what_is_being_found_out_can_be_taken_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                read = threading.Event()
                rig.oracle.answer = Forecast()
                stage.acting.preparing = lambda: assert_waited(read)
                await stage.select(SMALL, key="installed")
                await stage.press("l", "enter", "x")
                assert "finding out" not in stage.text()
                read.set()
                await stage.until(lambda: not preparing_threads(), "it has been found out")
                await stage.pilot.pause(0.1)
                assert rig.loaded() == {}
                assert stage.acting.journal.read(9) == []

    run(scenario())


def assert_waited(read: threading.Event) -> None:
    assert read.wait(20)


def preparing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "gpudesk preparing"]


# Dialogs stay where they are


@pytest.mark.slow
@pytest.mark.parametrize("size", [EVERYDAY, (120, 40)])
def test_a_choice_stays_on_its_line_while_what_comes_of_it_changes(size: tuple[int, int], tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0), (CODE, 4096, 300.0)) as rig:
            async with acting_on(rig, tmp_path, size) as stage:
                await stage.until(lambda: len(stage.feed.desk.models) == 2, "both are listed")
                await stage.press("F")
                (line,) = (number for number, line in enumerate(stage.lines()) if "▸ everything" in line)
                heights = set()
                for asked in ("1GiB", "23GiB", "99GiB"):
                    await stage.type(asked)
                    assert "on one card" in stage.lines()[line], asked
                    heights.add(stage.app.screen.query_one("#dialog").size.height)
                    await stage.press(*["backspace"] * len(asked))
                    assert "▸ everything" in stage.lines()[line]
                assert len(heights) > 1, "else nothing was seen"

    run(scenario())


# The journal


def entry(**changes: Any) -> JournalEntry:
    plain = JournalEntry(NOW, "unload", CHAT, Origin.KEY, Ending.DONE, "it is gone", 0.4)
    return replace(plain, **changes)


@pytest.mark.parametrize("width", [36, 76, 120])
def test_when_and_who_are_not_cut_off_however_long_the_name(width: int) -> None:
    name = "hf.co/somebody/a-model-with-a-very-long-name-indeed:Q4_K_M"
    for one in (entry(), entry(subject=name)):
        lines = entry_lines(one, width)
        assert max(line_width(line) for line in lines) <= width
        words = " ".join(text(lines).split())
        assert f"{NOW.astimezone():%H:%M:%S}, key, 0.4 s" in words
        assert one.subject.replace(" ", "") in words.replace(" ", "")


@pytest.mark.slow
def test_the_journal_of_a_fresh_start_says_that_nothing_was_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                await stage.press("J")
                assert "Nothing has been done yet." in stage.text()
                assert "will stand here" in stage.text()

    run(scenario())


@pytest.mark.slow
def test_a_journal_that_cannot_be_read_says_so_on_its_sheet(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig() as rig:
            async with acting_on(rig, tmp_path) as stage:
                stage.acting.journal.path.mkdir()
                await stage.press("J")
                assert "journal.jsonl cannot be read: Is a directory" in stage.text()
                assert "Nothing has been done yet" not in stage.text()

    run(scenario())


@pytest.mark.slow
def test_a_journal_that_cannot_be_written_is_told_of_and_does_not_say_that_nothing_was_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path) as stage:
                stage.acting.journal.path.mkdir()
                await stage.select(CHAT)
                await stage.press("u")
                await stage.ended()
                assert rig.loaded() == {}
                assert "journal.jsonl cannot be written" in stage.toasts[-1]
                await stage.press("J")
                assert "cannot be written" in stage.text()
                assert "Nothing has been done yet" not in stage.text()

    run(scenario())


# What was cut off


def messages(stage: Stage) -> list[tuple[str, Ending, str]]:
    return [(one.action, one.ending, one.message) for one in stage.acting.journal.read(9)]


@pytest.mark.slow
def test_what_was_cut_off_is_in_the_journal_when_it_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, cut_off=rig.swap(CHAT, SMALL)) as stage:
                await stage.until(lambda: isinstance(stage.app.screen, MenuScreen), "it is offered")
                await stage.press("up", "enter")
                left = "gpudesk was killed in the middle; it was left as it was then"
                assert messages(stage) == [("swap", Ending.FAILED, left)]

    run(scenario())


@pytest.mark.slow
def test_what_was_cut_off_is_in_the_journal_when_something_else_is_done(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, cut_off=rig.swap(CHAT, SMALL)) as stage:
                await stage.until(lambda: isinstance(stage.app.screen, MenuScreen), "it is offered")
                await stage.press("escape")
                assert messages(stage) == [], "nobody has decided yet"
                await stage.select(CHAT)
                await stage.press("u")
                await stage.ended()
                (first, second) = messages(stage)
                assert first == (
                    "swap",
                    Ending.FAILED,
                    "gpudesk was killed in the middle; the next one did something else",
                )
                assert second[:2] == ("unload", Ending.DONE)

    run(scenario())


@pytest.mark.slow
def test_what_was_cut_off_and_is_finished_is_one_line_of_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig((CHAT, 8192, 300.0)) as rig:
            async with acting_on(rig, tmp_path, cut_off=rig.swap(CHAT, SMALL)) as stage:
                await stage.until(lambda: isinstance(stage.app.screen, MenuScreen), "it is offered")
                await stage.press("enter")
                if isinstance(stage.app.screen, ConfirmScreen):
                    await stage.press("y")
                await stage.ended()
                assert [one[:2] for one in messages(stage)] == [("swap", Ending.DONE)]

    run(scenario())


# Read-only


@pytest.mark.slow
def test_read_only_takes_what_changes_something_out_of_the_palette(tmp_path: Path) -> None:
    async def scenario() -> None:
        found = {}
        for read_only in (False, True):
            with Rig((CHAT, 8192, 300.0)) as rig:
                async with acting_on(rig, tmp_path / f"{read_only}", read_only=read_only) as stage:
                    found[read_only] = {each.title for each in stage.app.get_system_commands(stage.app.screen)}
        gone = {"Load", "Unload", "Pin", "Keep", "Swap", "Sets", "Free card", "Pull", "Delete", "Derive", "Cancel"}
        assert found[False] - found[True] == gone
        assert "Journal" in found[True]

    run(scenario())


# How it went, and how far it is

UNLOAD = Preview(ActionId.UNLOAD, CHAT)
SEEN = f"{CHAT} is gone from the engine after 0.0 s, 9.9 GiB back on the card after 0.3 s"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_was_seen_of_a_good_end_is_not_cut_off(width: int) -> None:
    lines = outcome_lines(UNLOAD, Outcome(Ending.DONE, SEEN, seconds=0.4), width, "esc", "J")
    assert all(line_width(line) == width for line in lines)
    words = " ".join(text(lines).split())
    assert f"unload {CHAT}: done" in words
    assert "9.9 GiB back on the card after 0.3 s" in words
    assert words.count(CHAT) == 1, "the name is said once"
    assert (len(lines) == 1) is (width == 120)


def test_a_long_text_says_that_there_is_more_of_it() -> None:
    long = "; ".join(f"model-{number}:14b is back (context 8192)" for number in range(20))
    for ending in (Ending.DONE, Ending.FAILED):
        lines = outcome_lines(UNLOAD, Outcome(ending, long), 80, "esc", "J")
        assert max(line_width(line) for line in lines) <= 80
        assert text(lines).rstrip().endswith("…")


def arrived(seconds: float, completed: int | None, total: int | None = 100) -> Progress:
    step = Step(StepKind.PULL, Load("http://localhost:11434", CHAT))
    return Progress(step, 1, 1, "pulling", seconds, None, completed, total)


@pytest.mark.slow
def test_a_canceled_download_says_that_what_has_arrived_stays_and_goes_on_from_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Rig(pull_bytes_per_second=10e6) as rig:
            rig.run(rig.preview(ActionId.DELETE, Step(StepKind.DELETE, Load(rig.url, SMALL))))
            async with acting_on(rig, tmp_path) as stage:
                await stage.press("P")
                await stage.type(SMALL)
                await stage.press("enter")
                await stage.until(lambda: "MB/s" in stage.text(), "it arrives")
                await stage.press("x")
                await stage.ended()
                words = " ".join(stage.text().split())
                assert f"pull {SMALL}: canceled" in words
                assert "→ What has arrived stays: pull it again and it goes on from there" in words

    run(scenario())


def test_the_pace_is_what_arrives_now_and_not_what_was_there() -> None:
    pace = Pace()
    assert pace.after(arrived(0.0, None, None)) is None
    assert pace.after(arrived(0.5, 40)) is None, "an earlier download left 40"
    assert pace.after(arrived(2.5, 60)) == 10.0


def test_the_pace_of_a_download_that_stands_still_falls_to_nothing() -> None:
    pace = Pace()
    for second in range(5):
        pace.after(arrived(second, 10 * second))
    found = [pace.after(arrived(4 + second, 40)) for second in range(1, 30)]
    assert found[-1] == 0.0
    assert found[int(PACE_SECONDS) + 1] == 0.0


def test_a_file_that_is_here_already_does_not_count_as_fast() -> None:
    pace = Pace()
    pace.after(arrived(0.0, 0, 100))
    pace.after(arrived(1.0, 10, 100))
    assert pace.after(arrived(2.0, 1000, 2000)) is None
    assert pace.after(arrived(4.0, 1002, 2000)) == 1.0
