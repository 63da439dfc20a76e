from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from gpudesk.actions.values import ActionId, Danger, Ending, Load, Outcome, Preview, Progress, Refusal, Step, StepKind
from gpudesk.domain.alarm import Alarm, AlarmKind
from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.pin import Pin, PinState, PinWish
from gpudesk.records import replace
from gpudesk.ui.acting.view_line import outcome_lines, running_line
from gpudesk.ui.acting.view_preview import preview_lines
from gpudesk.ui.cells import Line, line_width
from tests.ui.desks import CHAT, GIB, NOW, URL, one_card
from tests.ui.screens import COMFORTABLE, EVERYDAY, showing

WISH = PinWish(URL, CHAT.name, context_length=16384)
LOST = PinState(WISH, Pin.LOST, reason="keep-alive changed from forever to 30m: what Continue sends", lost_at=NOW)
ALARM = Alarm(AlarmKind.THRASH, CHAT.name, f"{CHAT.name} is pushed out again and again", "Pin fewer models", NOW)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def text(lines: list[Line]) -> str:
    return "\n".join("".join(span.text for span in line) for line in lines)


def unload(name: str) -> Step:
    return Step(StepKind.UNLOAD, Load(URL, name), why="makes room for gpt-oss:20b")


PREVIEW = Preview(
    ActionId.LOAD, "gpt-oss:20b",
    (unload(CHAT.name), Step(StepKind.LOAD, Load(URL, "gpt-oss:20b", 8192))),
    danger=Danger.REVERSIBLE, loses=(f"{CHAT.name} (9.8 GiB) is unloaded: makes room for gpt-oss:20b",),
    notes=("about the figures",), verdict="tight", needs_bytes=13 * GIB, frees_bytes=10 * GIB, free_after_bytes=2 * GIB,
    expected_seconds=14.2,
)  # fmt: skip


@pytest.mark.parametrize("width", [36, 56, 72, 120])
def test_a_preview_says_everything_at_every_width(width: int) -> None:
    lines = preview_lines(PREVIEW, width)
    assert max(line_width(line) for line in lines) <= width
    words = " ".join(text(lines).split())
    for expected in (
        "≈ tight", "needs 13.0 GiB", "frees 10.0 GiB", "2.0 GiB free then", "about 14s", "with context 8192",
        "about the figures",
    ):  # fmt: skip
        assert expected in words
    assert words.count("makes room") == 1, "said once"


@pytest.mark.parametrize(("verdict", "shown"), [("fits", ""), ("tight", ""), ("does not fit", "✗ does not fit  ")])
def test_a_refusal_is_not_contradicted_by_its_figures(verdict: str, shown: str) -> None:
    refused = Preview(ActionId.APPLY, "plan", refusal=Refusal("no room"), verdict=verdict, needs_bytes=9 * GIB)
    assert text(preview_lines(refused, 60)) == f"✗ no room\n{shown}needs 9.0 GiB"


def test_a_refusal_says_why_and_what_to_do() -> None:
    refused = Preview(ActionId.LOAD, "x", refusal=Refusal("x has room only if y goes", "Would help: unpin y"))
    shown = text(preview_lines(refused, 60))
    assert "✗ x has room only if y goes" in shown
    assert "→ Would help: unpin y" in shown


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_running_line_keeps_the_key_that_cancels(width: int) -> None:
    progress = Progress(PREVIEW.steps[1], 2, 2, "loading gpt-oss:20b", 4.0, 14.0)
    work: Any = SimpleNamespace(preview=PREVIEW, progress=progress, canceled=False)
    line = running_line(work, 5.0, width, "x")
    assert line_width(line) == width
    shown = text([line])
    assert shown.rstrip().endswith("x cancel")
    assert "4s of about 14s" in shown
    assert ("█" in shown) is (width > 40)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_load_tells_its_seconds_beside_its_bytes(width: int) -> None:
    progress = Progress(PREVIEW.steps[1], 2, 2, "loading gpt-oss:20b", 4.0, 14.0, 3 * GIB, 13 * GIB)
    work: Any = SimpleNamespace(preview=PREVIEW, progress=progress, canceled=False, bytes_per_second=750e6)
    shown = text([running_line(work, 5.0, width, "x")])
    assert "3.0 of 13.0 GiB, 4s of about 14s" in shown
    assert "MB/s" not in shown
    back: Any = SimpleNamespace(preview=PREVIEW, progress=replace(progress, step=None), canceled=True)
    assert "4s of about 14s" in text([running_line(back, 5.0, 120, "x")])


@pytest.mark.parametrize(
    ("pace", "words"), [(None, "13.0 GiB "), (750e6, ", 750 MB/s, 14s left"), (0.0, ", nothing arrives")]
)
def test_a_download_tells_how_fast_it_comes_and_what_is_left(pace: float | None, words: str) -> None:
    step = Step(StepKind.PULL, Load(URL, "gpt-oss:20b"))
    progress = Progress(step, 1, 1, "pulling gpt-oss:20b", 4.0, None, 3 * GIB, 13 * GIB)
    work: Any = SimpleNamespace(preview=PREVIEW, progress=progress, canceled=False, bytes_per_second=pace)
    assert f"3.0 of 13.0 GiB{words.removeprefix('13.0 GiB')}" in text([running_line(work, 5.0, 120, "x")])


def test_what_is_brought_back_offers_no_cancel() -> None:
    progress = Progress(None, 1, 2, "loading qwen3:14b", 4.0)
    work: Any = SimpleNamespace(preview=PREVIEW, progress=progress, canceled=True)
    shown = text([running_line(work, 5.0, 100, "x")])
    assert "bringing back what was there" in shown
    assert "x cancel" not in shown


def test_a_failure_says_what_to_press() -> None:
    outcome = Outcome(Ending.FAILED, "the engine ended; qwen3:14b is missing", "gpudesk load qwen3:14b")
    shown = text(outcome_lines(PREVIEW, outcome, 80, "esc", "J"))
    for expected in (
        "✗ load gpt-oss:20b: failed",
        "esc dismiss",
        "J journal",
        "is missing",
        "→ gpudesk load qwen3:14b",
    ):
        assert expected in shown
    assert len(outcome_lines(PREVIEW, Outcome(Ending.DONE, "well"), 80, "esc", "J")) == 1


@pytest.mark.parametrize("size", [EVERYDAY, COMFORTABLE])
def test_alarms_and_lost_pins_are_in_the_title_and_say_what_to_do(size: tuple[int, int]) -> None:
    async def scenario() -> None:
        desk = replace(one_card(), alarms=(ALARM,), pins=(LOST,))
        async with showing(desk, size) as shown:
            assert "! 1 alarm, 1 lost pin" in shown.lines()[0]
            await shown.press("4")
            assert f"pin of {CHAT.name} lost" in shown.text()
            await shown.press("enter")
            assert "press p" in shown.text() or "Pin fewer models" in shown.text()

    run(scenario())


def test_the_details_say_who_broke_a_pin_and_which_key_helps() -> None:
    async def scenario() -> None:
        lost = replace(CHAT, pin=Pin.LOST)
        models = tuple(lost if model.name == CHAT.name else model for model in one_card().models)
        async with showing(replace(one_card(), models=models, pins=(LOST,)), COMFORTABLE) as shown:
            assert "! lost" in shown.text()
            await shown.press("enter")
            words = " ".join(shown.text().replace("│", " ").replace("┃", " ").split())
            assert "what Continue sends" in words
            assert "p on the model puts it right or ends the pin" in words

    run(scenario())


def test_new_alarms_and_lost_pins_are_toasts_and_old_ones_are_not() -> None:
    async def scenario() -> None:
        lost = Event(EventKind.PIN_LOST, NOW, CHAT.name, f"the pin of {CHAT.name} is lost", Severity.WARNING)
        alarm = Event(EventKind.ALARM, NOW, CHAT.name, ALARM.message, Severity.ERROR)
        async with showing(replace(one_card(), events=(lost,))) as shown:
            assert not list(shown.app._notifications)
            await shown.change(replace(one_card(), events=(lost, alarm), alarms=(ALARM,)))
            (toast,) = shown.app._notifications
            assert toast.message == f"{ALARM.message}. Pin fewer models"
            assert toast.severity == "error"

    run(scenario())


def test_without_anybody_to_act_a_key_says_so() -> None:
    async def scenario() -> None:
        async with showing(one_card()) as shown:
            await shown.press("u")
            (toast,) = shown.app._notifications
            assert "nobody to carry anything out" in toast.message

    run(scenario())
