"""`gpudesk load`: load a model and wait until it is on the card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_model
from gpudesk.actions.values import Load
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Load, print, and return the exit code; raises as `acting.act` does."""

    def make(session: Session) -> Preview:
        wish = wished_load(given, session)
        acting.prepare(session, [wish])
        return previews.load(session.desk, wish, session.acting.ports.forecaster)

    return acting.act(given, means, out, make)


def wished_load(given: Mapping[str, Any], session: Session) -> Load:
    """Return the model that was named, as it shall be loaded.

    Raises:
        UsageError: nobody knows it, or the keep-alive is none.
    """
    found = find_model(session.desk, given["model"].word, session.engine_url)
    pinned = given.get("pin", False)
    return Load(
        found.engine_url,
        found.name,
        context_length=acting.wished_context(given),
        keep_alive=acting.wished_keep_alive(given, session),
        pinned=pinned,
        restore_pin=pinned and session.acting.restore_pins,
    )
