"""What `gpudesk editors` works in: one look at the desk, and the place where the editors' files are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from gpudesk.commands.means import LOOK_SECONDS, Means, opened
from gpudesk.records import dataclass
from gpudesk.watch.names import CARDS, PINS, PROCESSES, engine_url, is_catalog, is_details, side_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.acting.opening import Folders
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.editor_desk import EditorChoice
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits

QUICK_SECONDS = 0.2
"""How long a check waits: what is in the files is wrong or not without engines."""
SLOW_SECONDS = 1.5
"""How long it waits for an engine on this computer. Where nobody listens that is known at once, so this is waited for
only where somebody is connected and busy."""


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
    fits: Fits | None = None
    """Says why models do not fit together."""


@contextmanager
def open_editors(means: EditorMeans, *, whole: bool) -> Iterator[EditorSession]:
    """Look once.

    Args:
        means: what to open.
        whole: models are to be chosen, which needs the cards and the headers; else only what is installed, loaded and
            pinned and on the cards is looked at, and not for long.
    """
    from gpudesk.watch.once import sample_once

    with opened(means) as here:
        workstation, sources = here.workstation, here.sources
        if not whole:
            sources = tuple(source for source in sources if _tells_models(source.name))
        if whole:
            desk = sample_once(sources, workstation.clock, LOOK_SECONDS)
        else:
            near = {source.name: SLOW_SECONDS for source in sources if _asks_here(source.name)}
            desk = sample_once(sources, workstation.clock, QUICK_SECONDS, longer=near)

        @cache
        def choice() -> EditorChoice:
            """Return who chooses and plans; it is made when somebody asks."""
            from gpudesk.editor_desk import EditorChoice
            from gpudesk.stores.working_sets import WorkingSetStore

            return EditorChoice(desk, here.planning(), WorkingSetStore(here.folders.data))

        answered = any(engine.reachable for engine in desk.engines)
        yield EditorSession(
            means.around(here.folders),
            here.folders,
            workstation.settings,
            desk if whole or answered else None,
            choice() if whole else None,
            workstation.banner,
            fits=(lambda planned: choice().why_apart(planned)) if _is_measured(desk) else None,
        )


def _is_measured(desk: Desk) -> bool:
    """Tell whether it is known what is on the cards and whose it is: else what is loaded seems to be in the way."""
    states = [desk.source(name) for name in (CARDS, PROCESSES)]
    return all(state is not None and state.failure is None for state in states)


def _asks_here(name: str) -> bool:
    """Tell whether a source asks an engine on this computer."""
    from urllib.parse import urlsplit

    url = engine_url(name) or side_url(name)
    host = (urlsplit(url).hostname or "") if url is not None else ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _tells_models(name: str) -> bool:
    return name in {PINS, CARDS, PROCESSES} or name.startswith("ollama ") or is_catalog(name) or is_details(name)
