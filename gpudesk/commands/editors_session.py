"""What `gpudesk editors` works in: one look at the desk, and the place where the editors' files are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpudesk.commands.means import LOOK_SECONDS, Means, opened
from gpudesk.records import dataclass
from gpudesk.watch.names import is_catalog, is_details

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.acting import Folders
    from gpudesk.config import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.editor_desk import EditorChoice
    from gpudesk.exports.editor import Surroundings

QUICK_SECONDS = 0.15
"""How long a check waits for engines: what is in the files is wrong or not without them."""


@dataclass(frozen=True, slots=True)
class EditorMeans(Means):
    """What `gpudesk editors` works with."""

    around: Callable[[Folders], Surroundings]
    """Where the editors' files are; for a demo below the temporary folders."""


@dataclass(frozen=True, slots=True)
class EditorSession:
    """Everything one command needs."""

    around: Surroundings
    folders: Folders
    settings: Settings
    desk: Desk | None = None
    """None: nobody answered."""
    choice: EditorChoice | None = None
    """Set after a whole look."""
    banner: str | None = None


@contextmanager
def open_editors(means: EditorMeans, *, whole: bool) -> Iterator[EditorSession]:
    """Look once.

    Args:
        means: what to open.
        whole: models are to be chosen, which needs the cards and the headers; else only what is installed, loaded and
            pinned is looked at, and not for long.
    """
    from gpudesk.watch.once import sample_once

    with opened(means) as here:
        workstation, sources = here.workstation, here.sources
        if not whole:
            sources = tuple(source for source in sources if _tells_models(source.name))
        desk = sample_once(sources, workstation.clock, LOOK_SECONDS if whole else QUICK_SECONDS)
        choice = None
        if whole:
            from gpudesk.editor_desk import EditorChoice
            from gpudesk.stores.working_sets import WorkingSetStore

            choice = EditorChoice(desk, here.planning(), WorkingSetStore(here.folders.data))
        answered = any(engine.reachable for engine in desk.engines)
        yield EditorSession(
            means.around(here.folders), here.folders, workstation.settings, desk if whole or answered else None,
            choice, workstation.banner,
        )  # fmt: skip


def _tells_models(name: str) -> bool:
    return name == "pins" or name.startswith("ollama ") or is_catalog(name) or is_details(name)
