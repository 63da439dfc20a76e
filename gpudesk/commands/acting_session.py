"""What a command that changes something works in: a running watch, the first whole look, and everything to act with."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpudesk.acting import opening
from gpudesk.commands.means import LOOK_SECONDS, Means, opened
from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.watch.names import is_details
from gpudesk.workstation import NothingFoundError, found_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.acting.opening import Acting
    from gpudesk.config.settings import Settings
    from gpudesk.domain.desk import Desk
    from gpudesk.watch.poller import Poller

DETAILS_SECONDS = 2.0
"""How long details of loaded models are waited for: they tell which names share weights."""
HEADER_SECONDS = 10.0
"""How long the headers of models to be loaded are waited for; without them a preview cannot tell what fits."""
_PAUSE_SECONDS = 0.004


@dataclass(frozen=True, slots=True)
class ActingMeans(Means):
    """What the commands that change something work with."""


@dataclass(frozen=True, slots=True)
class Session:
    """Everything one command needs. `desk` was read after the command began."""

    acting: Acting
    desk: Desk
    settings: Settings
    banner: str | None = None

    @property
    def engine_url(self) -> str | None:
        """The engine that is meant when only one is known; None looks at all of them."""
        return self.settings.engines[0].url if len(self.settings.engines) == 1 else None


@contextmanager
def open_session(means: ActingMeans, *, needs_engine: bool = True) -> Iterator[Session]:
    """Start watching, and give what was seen first.

    Args:
        means: what to open.
        needs_engine: nothing can be done when no engine answers.

    Raises:
        NothingFoundError: neither a driver nor an engine is here.
        SourceError: no engine answers.
    """
    from gpudesk.watch.poller import Poller

    with opened(means) as here:
        workstation = here.workstation
        poller = Poller(here.sources, workstation.clock, limits=workstation.settings.alarms)
        acting_here = opening.open_acting(poller, workstation.settings, here.folders, here.planning)
        poller.start()
        try:
            desk = _first_look(poller, {source.name for source in here.sources})
            if needs_engine:
                _check_engine(desk, workstation.settings)
            yield Session(acting_here, desk, workstation.settings, workstation.banner)
        finally:
            poller.stop()
            acting_here.close()


def _first_look(poller: Poller, names: set[str]) -> Desk:
    """Return a desk on which every source was read, or did not answer in time."""
    deadline = time.monotonic() + LOOK_SECONDS
    poller.fresh(LOOK_SECONDS, installed=True)
    wanted = {name for name in names if not is_details(name)}
    while not wanted <= {state.source for state in poller.desk.sources} and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    deadline = time.monotonic() + DETAILS_SECONDS
    while not _has_details(poller.desk) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return poller.desk


def _has_details(desk: Desk) -> bool:
    """Tell whether something is known of every loaded model that can be asked about."""
    known = {details.digest for details in desk.details}
    answering = {engine.url for engine in desk.engines if engine.reachable}
    return all(
        model.digest is None or model.digest in known or model.engine_url not in answering for model in desk.models
    )


def _check_engine(desk: Desk, settings: Settings) -> None:
    found = found_in(desk, settings)
    if not found.anything:
        raise NothingFoundError(found)
    if any(engine.reachable for engine in desk.engines):
        return
    searched = [search for search in found.searched if search.what.startswith("Ollama")]
    message = "; ".join(search.line() for search in searched) or "no engine is known"
    hint = next((search.hint for search in searched if search.hint), None)
    raise SourceError(FailureKind.UNREACHABLE, message, hint)
