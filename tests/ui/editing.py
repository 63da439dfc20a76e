"""The editors' screen in a test: a home directory of its own, and plans made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.widgets import Input

from gpudesk.domain.desk import Desk
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.undoing import undoing
from gpudesk.exports.writing import apply
from gpudesk.sim.editor_files import furnish
from gpudesk.stores.working_sets import WorkingSetStore
from gpudesk.ui.editors.port import EditorPort
from gpudesk.ui.editors.screen import EditorsScreen
from tests.ui.plans import HandMade
from tests.ui.screens import EVERYDAY, Shown, showing


class Workplace:
    """Where the editors' files and gpudesk's own are."""

    def __init__(self, folder: Path, *, furnished: bool = True) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        if furnished:
            furnish(self.home)
        self.state, self.data = folder / "state", folder / "data"
        self.planner = HandMade()
        self.around = Surroundings(self.home, {}, "linux")

    @property
    def config(self) -> Path:
        return self.home / ".continue" / "config.yaml"

    @property
    def own(self) -> Path:
        return self.home / ".continue" / "models" / "gpudesk.yaml"

    @property
    def sets(self) -> WorkingSetStore:
        return WorkingSetStore(self.data)

    def port(self) -> EditorPort:
        return EditorPort(
            self.around, self.planner, self.sets,
            apply=lambda export: apply(export, state=self.state, within=self.around.bounds).notes,
            undoing=lambda editor: undoing(editor, self.around, state=self.state),
        )  # fmt: skip


def screen_of(shown: Shown) -> EditorsScreen:
    screen = shown.app.screen_stack[1]
    assert isinstance(screen, EditorsScreen)
    return screen


async def until(pause: Callable[[], Any], condition: Callable[[], bool], what: str) -> None:
    for _ in range(500):
        await pause()
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")


async def settled(shown: Shown) -> None:
    """Wait until everything asked is answered and drawn."""
    screen = screen_of(shown)
    await until(shown.pilot.pause, lambda: screen.worker.idle and screen.answer is not None, "settled")
    await shown.pilot.pause()


async def press(shown: Shown, *keys: str) -> None:
    for key in keys:
        await shown.press(key)
        if len(shown.app.screen_stack) > 1:
            await settled(shown)


async def typed(shown: Shown, text: str) -> None:
    """Put a text into the open line, in place of what stands there, and enter it; keys are waited for one by one."""
    shown.app.screen.query_one(Input).value = text
    await press(shown, "enter")


@asynccontextmanager
async def editing(
    desk: Desk, place: Workplace, size: tuple[int, int] = EVERYDAY, **arguments: Any
) -> AsyncIterator[Shown]:
    """The editors' screen on a desk, once everything is worked out."""
    async with showing(desk, size, editors=place.port, **arguments) as shown:
        await shown.press("e")
        await settled(shown)
        yield shown
