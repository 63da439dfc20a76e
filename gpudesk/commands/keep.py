"""`gpudesk keep`: how long a loaded model stays, without loading it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_loaded
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Set the keep-alive, print, and return the exit code; raises as `acting.act` does."""

    def make(session: Session) -> Preview:
        from gpudesk.quantities import parse_keep_alive

        wish = parse_keep_alive(" ".join(given["duration"]), session.desk.taken_at)
        return previews.keep(session.desk, find_loaded(session.desk, given["name"], session.engine_url), wish)

    return acting.act(given, means, out, make)
