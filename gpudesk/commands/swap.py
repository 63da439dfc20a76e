"""`gpudesk swap`: one loaded model for another, or back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_loaded
from gpudesk.commands import acting
from gpudesk.commands.load import wished_load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Swap, print, and return the exit code; raises as `acting.act` does."""

    def make(session: Session) -> Preview:
        leaving = find_loaded(session.desk, given["name"], session.engine_url)
        wish = wished_load(given, session)
        acting.prepare(session, [wish])
        return previews.swap(session.desk, [leaving], wish, session.acting.ports.forecaster)

    return acting.act(given, means, out, make)
