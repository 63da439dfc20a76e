"""Where the parts of the editors' screen stand, for every size of terminal."""

from __future__ import annotations

from gpudesk.ui.layout import BOXED_HEIGHT, BOXED_WIDTH, SMALLEST_HEIGHT, SMALLEST_WIDTH, Frame, Place

SIDE_BY_SIDE = 140
"""From here on what is beneath stands beside the lists."""
_ROLE_LINES = 6
"""Header, where models come from, three roles, the way."""
_SHORT = 30
"""Below this many lines a focused detail takes the place of the roles."""


def plan_editors(
    width: int, height: int, *, editors: int, banner: bool = False, reading: bool = False, typing: bool = False
) -> dict[str, Place]:
    """Divide the screen: title, banner, editors, roles, detail, input line, footer.

    Args:
        width: cells.
        height: lines.
        editors: how many there are.
        banner: the demo's line is there.
        reading: the detail has the focus.
        typing: a line is needed for a filter.
    """
    if width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
        return {"small": Place(0, 0, width, height)}
    boxed = width >= BOXED_WIDTH and height >= BOXED_HEIGHT
    frame = Frame.BOX if boxed else Frame.TITLE
    places = {"title": Place(0, 0, width, 1), "footer": Place(0, height - 1, width, 1)}
    top, bottom = 1, height - 1
    if banner:
        places["banner"] = Place(0, top, width, 1)
        top += 1
    if typing:
        bottom -= 1
        places["filter"] = Place(0, bottom, width, 1)
    room = bottom - top
    beside = width >= SIDE_BY_SIDE
    left = width * 48 // 100 if beside else width
    roles = _ROLE_LINES + frame.lines
    wanted = max(1, editors) + 1 + frame.lines
    if beside:
        rows = max(4, min(wanted, room - roles))
        places["editors"] = Place(0, top, left, rows, frame)
        places["roles"] = Place(0, top + rows, left, room - rows, frame)
        places["detail"] = Place(left, top, width - left, room, frame)
        return places
    if reading and height < _SHORT:
        rows = min(wanted, 4)
        places["editors"] = Place(0, top, width, rows, frame)
        places["detail"] = Place(0, top + rows, width, room - rows, frame)
        return places
    # Not found ones stand last: the change is worth more lines than they are.
    rows = max(2 + frame.lines, min(wanted, room * 3 // 10, room - roles - 2))
    places["editors"] = Place(0, top, width, rows, frame)
    places["roles"] = Place(0, top + rows, width, min(roles, room - rows), frame)
    rest = room - rows - roles
    if rest >= 2:
        places["detail"] = Place(0, top + rows + roles, width, rest, frame)
    return places
