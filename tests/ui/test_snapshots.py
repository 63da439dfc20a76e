"""Pictures of the main states, compared cell by cell. After an intended change `pytest --snapshot-update`, and look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpudesk.actions.values import ActionId, Ending, Outcome, Preview
from gpudesk.config.settings import Settings
from gpudesk.ui.acting_app import ActingApp
from gpudesk.ui.app import GpudeskApp
from tests.ui.acting import still
from tests.ui.desks import ALL_DESKS, GIB, seeded
from tests.ui.plans import HandMade

SETTINGS = Settings(reserve_bytes=GIB, reduced_motion=True)

STATES = [
    ("one_card", (80, 24), ()),
    ("one_card", (120, 40), ()),
    ("two_cards", (200, 60), ()),
    ("many", (120, 40), ()),
    ("spilled", (80, 24), ()),
    ("driver_missing", (80, 24), ()),
    ("engine_down", (80, 24), ("4",)),
    ("stale", (120, 40), ("3",)),
    ("empty", (80, 24), ()),
    ("one_card", (160, 50), ("enter",)),
    ("mig", (120, 40), ("shift+tab", "enter")),
    ("one_card", (100, 60), ("question_mark",)),
]


def named(state: tuple[str, tuple[int, int], tuple[str, ...]]) -> str:
    name, (width, height), keys = state
    return "-".join((name, f"{width}x{height}", *keys))


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES, ids=named)
def test_the_screen_looks_as_it_did(
    snap_compare: Callable[..., bool], state: tuple[str, tuple[int, int], tuple[str, ...]]
) -> None:
    name, size, keys = state

    async def press(pilot: Any) -> None:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    app = GpudeskApp(seeded(ALL_DESKS[name]()), SETTINGS)
    assert snap_compare(app, terminal_size=size, run_before=press)


@pytest.mark.slow
def test_the_light_theme_looks_as_it_did(snap_compare: Callable[..., bool]) -> None:
    app = GpudeskApp(seeded(ALL_DESKS["one_card"]()), Settings(theme="gpudesk-light", reserve_bytes=GIB))
    assert snap_compare(app, terminal_size=(120, 40))


async def _open_planner(pilot: Any, keys: tuple[str, ...]) -> None:
    """Open the planner, wait until everything is read and planned, and press keys."""
    await pilot.pause()
    await pilot.press("f")
    for _ in range(500):
        board = pilot.app.screen.board
        read = board.choices and all(choice.model is not None for choice in board.choices if choice.installed)
        if read and ((board.plan is not None and not board.partial) or not board.ground.cards):
            break
        await pilot.pause(0.01)
    await pilot.pause()
    await pilot.press(*keys)
    await pilot.pause()


PLANS = [
    ("one_card", (80, 24), ()),
    ("one_card", (120, 40), ("down", "down", "down", "down", "space")),
    ("two_cards", (200, 60), ("down", "space")),
    ("driver_missing", (80, 24), ()),
]


@pytest.mark.slow
@pytest.mark.parametrize("state", PLANS, ids=named)
def test_the_planner_looks_as_it_did(
    snap_compare: Callable[..., bool], state: tuple[str, tuple[int, int], tuple[str, ...]]
) -> None:
    name, size, keys = state
    planner = HandMade()
    planner.evicts = ("nomic-embed-text:latest",)
    app = GpudeskApp(seeded(ALL_DESKS[name]()), SETTINGS, planning=lambda: planner)
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: _open_planner(pilot, keys))


DIALOGS = [
    ((80, 24), ("l",)),
    ((60, 20), ("l", "right")),
    ((80, 24), ("p",)),
    ((80, 24), ("k",)),
    ((120, 40), ("F", "enter")),
    ((80, 24), ("w",)),
    ((80, 24), ("1", "down", "D")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "keys"), DIALOGS, ids=lambda value: "-".join(str(part) for part in value))
def test_the_dialogs_look_as_they_did(
    snap_compare: Callable[..., bool], tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    async def press(pilot: Any) -> None:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause()

    feed = seeded(ALL_DESKS["one_card"]())
    app = GpudeskApp(feed, SETTINGS, acting=lambda _say: still(feed, tmp_path))
    assert snap_compare(app, terminal_size=size, run_before=press)


@pytest.mark.slow
def test_a_failure_above_the_footer_looks_as_it_did(snap_compare: Callable[..., bool], tmp_path: Path) -> None:
    async def fail(pilot: Any) -> None:
        app: ActingApp = pilot.app
        await pilot.pause()
        acts = app._acts_now()
        assert acts is not None
        preview = Preview(ActionId.SWAP, "qwen3:14b to gpt-oss:20b")
        message = "gpt-oss:20b ended on the CPU, with 12 of 24 layers on the card; qwen3:14b is back (context 16384)"
        outcome = Outcome(Ending.UNDONE, message, "Choose a shorter context: s, then gpt-oss@8192")
        acts.ended = preview, outcome, 0.0
        app.show_action()
        await pilot.pause()

    feed = seeded(ALL_DESKS["one_card"]())
    app = GpudeskApp(feed, SETTINGS, acting=lambda _say: still(feed, tmp_path))
    assert snap_compare(app, terminal_size=(80, 24), run_before=fail)
