"""Starting the application in a test, and reading what it shows."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gpudesk.config.settings import Settings
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.screens.desk import DeskScreen
from tests.ui.desks import FakeFeed, seeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from textual.pilot import Pilot

    from gpudesk.domain.desk import Desk

EVERYDAY = (80, 24)
COMFORTABLE = (120, 40)


class Shown:
    """A running application and its feed."""

    def __init__(self, app: GpudeskApp, feed: FakeFeed, pilot: Pilot[Any]) -> None:
        self.app = app
        self.feed = feed
        self.pilot = pilot

    @property
    def desk(self) -> DeskScreen:
        """The main screen, whatever is over it."""
        screen = self.app.screen_stack[0]
        assert isinstance(screen, DeskScreen)
        return screen

    async def press(self, *keys: str) -> None:
        """Press keys and let everything settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def change(self, desk: Desk) -> None:
        """Let the watch have a new desk, as a tick would find it."""
        self.feed.desk = desk
        self.app.show_desk()
        await self.pilot.pause()

    def lines(self) -> list[str]:
        """The screen as text."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines())


@asynccontextmanager
async def showing(
    desk: Desk, size: tuple[int, int] = EVERYDAY, *, settings: Settings | None = None, **arguments: Any
) -> AsyncIterator[Shown]:
    """Run the application on a desk."""
    feed = seeded(desk)
    app = GpudeskApp(feed, settings or Settings(), **arguments)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Shown(app, feed, pilot)
