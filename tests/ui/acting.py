"""The screen on a simulated workstation that can be acted on, with stores in a folder of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gpudesk.actions.ports import Forecast, Ports
from gpudesk.actions.values import Load, Preview
from gpudesk.config.settings import Settings
from gpudesk.records import replace
from gpudesk.stores.freed import FreedStore
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.working_sets import WorkingSetStore
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.screens.desk import DeskScreen
from tests.actions.rig import FreeTurn, MemoryPins, Oracle, Rig
from tests.ui.screens import EVERYDAY, Shown

if TYPE_CHECKING:
    from gpudesk.actions.ports import Watch
    from tests.ui.desks import FakeFeed

PATIENCE_SECONDS = 20.0


class Book(FileJournal):
    """The real journal; a test may say what was cut off."""

    cut_off: Preview | None = None

    def unfinished(self) -> Preview | None:
        return self.cut_off

    def finish(self) -> None:
        self.cut_off = None
        super().finish()


@dataclass
class ActingInFolder:
    """`ui.acting.port.Acting` over a rig."""

    ports: Ports
    sets: WorkingSetStore
    journal: Book
    freed: FreedStore
    restore_pins: bool = False
    preparing: Callable[[], None] = lambda: None
    """Does what makes the next forecast better."""

    def prepare(self, loads: Sequence[Load]) -> None:
        assert loads
        self.preparing()


class Stage(Shown):
    """A running application on a rig."""

    def __init__(self, app: GpudeskApp, rig: Rig, pilot: Any, acting: ActingInFolder) -> None:
        super().__init__(app, cast("FakeFeed", rig.poller), pilot)
        self.rig = rig
        self.acting = acting

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so, and drawn."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.text()}")
            await self.pilot.pause(0.02)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type into a line."""
        await self.press(*({"-": "minus", ":": "colon", ".": "full_stop", " ": "space"}.get(c, c) for c in text))

    async def ended(self) -> None:
        """Wait until the running action has ended."""
        await self.until(lambda: self.app.acts is not None and self.app.acts.ended is not None, "it has ended")

    @property
    def message(self) -> str:
        """How the last action ended."""
        assert self.app.acts is not None
        assert self.app.acts.ended is not None
        return self.app.acts.ended[1].message

    @property
    def toasts(self) -> list[str]:
        """What was said in passing."""
        return [toast.message for toast in self.app._notifications]

    async def select(self, name: str, *, key: str = "loaded") -> None:
        """Put the cursor on a model."""
        screen = self.app.screen_stack[0]
        assert isinstance(screen, DeskScreen)
        rows = screen.lists[key]
        if key == "installed":
            await self.press("1")
        else:
            screen.set_focus(rows)
        await self.until(lambda: f"{self.rig.url} {name}" in rows._keys, f"{name} is listed")
        rows._go(rows._keys.index(f"{self.rig.url} {name}"))
        await self.pilot.pause()


@asynccontextmanager
async def acting_on(
    rig: Rig, folder: Path, size: tuple[int, int] = EVERYDAY, *, cut_off: Preview | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """Run the application on a rig."""
    journal = Book(folder)
    journal.cut_off = cut_off
    acting = ActingInFolder(replace(rig.ports, journal=journal), WorkingSetStore(folder), journal, FreedStore(folder))
    app = GpudeskApp(rig.poller, Settings(reduced_motion=True, **settings), acting=lambda _say: acting)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Stage(app, rig, pilot, acting)
    await asyncio.sleep(0)


def still(feed: FakeFeed, folder: Path) -> ActingInFolder:
    """Acting on a desk that stands still, for pictures: everything can be previewed and nothing is carried out."""
    oracle = Oracle()
    oracle.answer = Forecast(
        verdict="fits", needs_bytes=6 << 30, by_model=(("llama3.1:8b", 6 << 30),), available_bytes=9 << 30,
        expected_seconds=6.0, notes=("calculated from the file's header",),
    )  # fmt: skip
    watch = cast("Watch", feed)
    ports = Ports(watch, (), oracle, MemoryPins(), Book(folder), FreeTurn())
    return ActingInFolder(ports, WorkingSetStore(folder), Book(folder), FreedStore(folder))
