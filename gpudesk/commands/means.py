"""What commands work with that need more than a look at the desk, and one opening and closing of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpudesk.acting import opening
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from gpudesk.acting.opening import Folders
    from gpudesk.config.settings import Settings
    from gpudesk.planning.desk_planner import DeskPlanner
    from gpudesk.sources.base import Source
    from gpudesk.workstation import Workstation

LOOK_SECONDS = 5.0
"""As long as `status` takes at most for a look."""


@dataclass(frozen=True, slots=True)
class Means:
    """What is there to be opened; nothing is opened before it is needed."""

    settings: Settings
    workstation: Callable[[], Workstation]
    folders: Callable[[], AbstractContextManager[Folders]]
    """The user's own, or temporary ones for a demo."""
    planning: Callable[[Workstation], DeskPlanner]


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened."""

    workstation: Workstation
    folders: Folders
    sources: tuple[Source, ...]
    """All that is watched, pins included."""
    planning: Callable[[], DeskPlanner]
    """Makes a planner that is closed with the rest."""


@contextmanager
def opened(means: Means) -> Iterator[Opened]:
    """Open workstation and folders, and close them in the end with every planner that was made."""
    workstation = means.workstation()
    planners: list[DeskPlanner] = []

    def planning() -> DeskPlanner:
        planners.append(means.planning(workstation))
        return planners[-1]

    try:
        with means.folders() as folders:
            yield Opened(workstation, folders, opening.watch_sources(workstation.sources, folders), planning)
    finally:
        for planner in planners:
            planner.close()
        workstation.close()
