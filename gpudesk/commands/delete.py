"""`gpudesk rm`: delete an installed model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_installed
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Delete, print, and return the exit code; raises as `acting.act` does."""

    def make(session: Session) -> Preview:
        return previews.delete(session.desk, find_installed(session.desk, given["name"], session.engine_url))

    return acting.act(given, means, out, make)
