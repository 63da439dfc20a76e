"""Draws the pictures in `assets/` from fixed desks: `make pictures`. The same desks give the same bytes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from gpudesk.config.settings import Settings
from gpudesk.domain.desk import Desk
from gpudesk.ui.app import GpudeskApp
from gpudesk.ui.editors.screen import EditorsScreen
from gpudesk.ui.planner.screen import PlannerScreen
from tests.ui.acting import still
from tests.ui.desks import GIB, many, one_card, seeded, spilled, two_cards
from tests.ui.editing import Workplace
from tests.ui.plans import HandMade, settled

ASSETS = Path(__file__).parents[1] / "assets"
PLANNED_TRIES = 500
FONTS = "ui-monospace, 'DejaVu Sans Mono', 'Cascadia Mono', Menlo, Consolas, monospace"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and how to come by it."""

    name: str
    desk: Callable[[], Desk]
    size: tuple[int, int]
    theme: str = "gpudesk-dark"
    keys: tuple[str, ...] = ()


PICTURES = (
    Picture("desk-120x40", one_card, (120, 40)),
    Picture("desk-80x24", spilled, (80, 24)),
    Picture("desk-light", one_card, (120, 40), "gpudesk-light"),
    Picture("desk-wide", two_cards, (200, 56)),
    Picture("many-cards", many, (120, 40)),
    Picture("detail", one_card, (160, 44), keys=("enter",)),
    Picture("help", one_card, (120, 44), keys=("question_mark",)),
    Picture("acting", one_card, (120, 40), keys=("1", "down", "down", "down", "l", "right", "right")),
    Picture("editors", one_card, (120, 40), keys=("e",)),
    Picture("planner", one_card, (120, 40), keys=("f", "down", "down", "down", "space", "up", "up", "up")),
)


async def draw(picture: Picture) -> str:
    """Return a picture as SVG without anything that would be fetched from elsewhere."""
    settings = Settings(theme=picture.theme, reserve_bytes=GIB, reduced_motion=True)
    feed = seeded(picture.desk())
    folder = Path(os.devnull)
    with a_home() as place:
        app = GpudeskApp(feed, settings, planning=HandMade, acting=lambda _say: still(feed, folder), editors=place.port)
        async with app.run_test(size=picture.size) as pilot:
            await pilot.pause()
            for key in picture.keys:
                await pilot.press(key)
                await planned(app, pilot)
            await pilot.pause()
            svg = app.export_screenshot(title="gpudesk")
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    svg = svg.replace("Fira Code, monospace", FONTS)
    # Viewers other than browsers drop spaces at either end of a text, no-break spaces too.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


@contextmanager
def a_home() -> Iterator[Workplace]:
    """Give a home directory with editors in it; it is written as `~`."""
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(Path(folder))
        os.environ["HOME"] = str(place.home)
        try:
            yield place
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


async def planned(app: GpudeskApp, pilot: Pilot[int]) -> None:
    """Wait for what threads work out, where the planner or the editors are shown."""
    for _ in range(PLANNED_TRIES):
        await pilot.pause()
        if isinstance(app.screen, EditorsScreen):
            if app.screen.worker.idle and app.screen.answer is not None:
                return
        elif not isinstance(app.screen, PlannerScreen) or settled(app.screen.board):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the plan was never made")


def steady() -> None:
    """Make the drawing independent of who draws: no color settings of the terminal, one time zone."""
    for name in [name for name in os.environ if name.startswith("TEXTUAL") and "SNAPSHOT" not in name]:
        del os.environ[name]
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        os.environ.pop(name, None)
    os.environ["TZ"] = "UTC"
    time.tzset()


def main() -> int:
    """Draw every picture."""
    steady()
    ASSETS.mkdir(exist_ok=True)
    for picture in PICTURES:
        path = ASSETS / f"{picture.name}.svg"
        path.write_text(asyncio.run(draw(picture)), encoding="utf-8")
        print(path.relative_to(ASSETS.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
