"""Pictures of the main states, compared cell by cell. After an intended change `pytest --snapshot-update`, and look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gpudesk.config import Settings
from gpudesk.ui.app import GpudeskApp
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
        if not board.headers.reading.going_on and (
            (board.plan is not None and not board.partial) or not board.ground.cards
        ):
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
