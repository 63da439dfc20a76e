"""Where everything stands, for every size of terminal: pure arithmetic, no widgets.

The heights depend on what is on the desk (how many cards, how many loaded models) and not on the size alone, which
style sheets cannot express; so one function divides the screen, and the screen's layout only applies it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gpudesk.records import dataclass
from gpudesk.ui.view_cards import card_height

SMALLEST_WIDTH = 40
SMALLEST_HEIGHT = 12
"""Below either there is one line that says so."""

BOXED_WIDTH = 100
BOXED_HEIGHT = 30
"""From here on lists stand in boxes; below, every line is needed for rows."""

WIDE_WIDTH = 160
"""From here on the lower lists stand side by side."""

LOWER_TABS = ("installed", "processes", "events", "problems")


class Frame(Enum):
    """What surrounds a panel."""

    NONE = 0
    TITLE = 1
    """A title line above."""
    BOX = 2

    @property
    def lines(self) -> int:
        """Lines the frame takes."""
        return self.value


class Place(NamedTuple):
    """A rectangle of the screen and the frame of what stands in it."""

    x: int
    y: int
    width: int
    height: int
    frame: Frame = Frame.NONE


@dataclass(frozen=True, slots=True)
class Contents:
    """What the layout depends on besides the size."""

    cards: int = 1
    loaded: int = 0
    processes: int = 0
    problems: int = 0
    tab: str = "installed"
    banner: bool = False
    filtering: bool = False
    """A line for the filter is needed."""
    action: int = 0
    """Lines for the running action, or how the last one ended."""


def body_width(width: int, frame: Frame) -> int:
    """Return the cells inside a frame: one of padding at each side, and the border of a box."""
    return max(0, width - (4 if frame is Frame.BOX else 2))


def is_wide(width: int, height: int) -> bool:
    """Tell whether the lower lists stand side by side."""
    return width >= WIDE_WIDTH and height >= BOXED_HEIGHT


def plan_desk(width: int, height: int, contents: Contents) -> dict[str, Place]:
    """Divide the screen. Panels that are not in the result are not shown.

    From the top: title, banner, cards, loaded models, lower lists, filter line, running action, footer.
    """
    if width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
        return {"small": Place(0, 0, width, height)}
    boxed = width >= BOXED_WIDTH and height >= BOXED_HEIGHT
    places = {"title": Place(0, 0, width, 1), "footer": Place(0, height - 1, width, 1)}
    top, bottom = 1, height - 1
    if contents.banner:
        places["banner"] = Place(0, top, width, 1)
        top += 1
    if contents.action:
        lines = min(contents.action, max(1, height // 4))
        bottom -= lines
        places["action"] = Place(0, bottom, width, lines)
    if contents.filtering:
        bottom -= 1
        places["filter"] = Place(0, bottom, width, 1)
    room = bottom - top

    frame = Frame.BOX if boxed else Frame.NONE
    cards_room = max(1, room * (45 if contents.cards <= 2 else 40) // 100 - frame.lines)
    cards = card_height(contents.cards, body_width(width, frame), cards_room, boxed=boxed) + frame.lines
    places["cards"] = Place(0, top, width, cards, frame)
    top += cards
    room -= cards

    lower_least = max(3, min(room // 2, 8))
    loaded = min(max(contents.loaded, 1) + 1 + frame.lines, max(2 + frame.lines, room - lower_least))
    loaded = min(loaded, max(room, 0))
    places["loaded"] = Place(0, top, width, loaded, frame)
    top += loaded
    room -= loaded
    if room >= 2:
        places |= _plan_lower(Place(0, top, width, room), contents, boxed=boxed, wide=is_wide(width, height))
    return places


def _plan_lower(area: Place, contents: Contents, *, boxed: bool, wide: bool) -> dict[str, Place]:
    """Divide the lower part: one list under its tabs, or several side by side."""
    frame = Frame.BOX if boxed else Frame.TITLE
    if not wide or area.height < 7:
        return {contents.tab: area._replace(frame=frame)}
    left = area.width * 54 // 100
    places = {"installed": Place(area.x, area.y, left, area.height, frame)}
    x, width = area.x + left, area.width - left
    extra = frame.lines + 1
    if area.height < 4 * extra + 5:
        tab = contents.tab if contents.tab != "installed" else "events"
        places[tab] = Place(x, area.y, width, area.height, frame)
        return places
    processes = min(max(contents.processes, 1), max(1, area.height // 3 - extra)) + extra
    problems = min(max(contents.problems, 1), max(1, area.height // 4 - extra)) + extra
    events = area.height - processes - problems
    places["processes"] = Place(x, area.y, width, processes, frame)
    places["events"] = Place(x, area.y + processes, width, events, frame)
    places["problems"] = Place(x, area.y + processes + events, width, problems, frame)
    return places
