"""Where the planner's parts stand, for every size of terminal."""

from __future__ import annotations

from gpudesk.ui.layout import (
    BOXED_HEIGHT,
    BOXED_WIDTH,
    SMALLEST_HEIGHT,
    SMALLEST_WIDTH,
    Frame,
    Place,
)

SIDE_BY_SIDE = 150
"""From here on the answer stands beside the list."""


def plan_planner(
    width: int, height: int, *, cards: int, choices: int, banner: bool = False, typing: bool = False
) -> dict[str, Place]:
    """Divide the screen: title, banner, cards, list, answer, input line, footer.

    Args:
        width: cells.
        height: lines.
        cards: how many are planned with.
        choices: rows of the list.
        banner: the demo's line is there.
        typing: a line is needed for a filter or a path.
    """
    if width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
        return {"small": Place(0, 0, width, height)}
    boxed = width >= BOXED_WIDTH and height >= BOXED_HEIGHT
    places = {"title": Place(0, 0, width, 1), "footer": Place(0, height - 1, width, 1)}
    top, bottom = 1, height - 1
    if banner:
        places["banner"] = Place(0, top, width, 1)
        top += 1
    if typing:
        bottom -= 1
        places["filter"] = Place(0, bottom, width, 1)
    frame = Frame.BOX if boxed else Frame.NONE
    room = bottom - top
    wanted = max(1, cards) * 4
    lines = min(wanted, max(1, room * 35 // 100 - frame.lines))
    if lines < wanted:
        lines = max(1, min(lines, max(1, cards) * (lines // max(1, cards))) if lines >= cards else lines)
    places["plan-cards"] = Place(0, top, width, lines + frame.lines, frame)
    top += lines + frame.lines
    room = bottom - top
    inner = Frame.BOX if boxed else Frame.TITLE
    if width >= SIDE_BY_SIDE:
        left = width * 52 // 100
        places["choices"] = Place(0, top, left, room, inner)
        places["answer"] = Place(left, top, width - left, room, inner)
        return places
    needed = max(1, choices) + 1 + inner.lines
    rows = max(min(needed, room * 45 // 100), min(4, room - 3))
    places["choices"] = Place(0, top, width, rows, inner)
    if room - rows >= 2:
        places["answer"] = Place(0, top + rows, width, room - rows, inner)
    return places
