"""`gpudesk apply`: make what is loaded be what a working set says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.working_sets import as_wish
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Apply, print, and return the exit code; raises as `acting.act` does, and `UsageError` for a wrong set."""

    def make(session: Session) -> Preview:
        working_set = session.acting.sets.read(given["name"])
        first = session.desk.engines[0].url if session.desk.engines else ""
        acting.prepare(session, [as_wish(model, first) for model in working_set.models])
        return previews.apply(session.desk, working_set, session.acting.ports.forecaster)

    return acting.act(given, means, out, make)
