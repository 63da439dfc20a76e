"""`gpudesk pull`: download a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.commands.acting_session import ActingMeans


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Download, print, and return the exit code; of several engines to the first. Raises as `acting.act` does."""
    return acting.act(given, means, out, lambda session: previews.pull(session.desk, given["name"], session.engine_url))
