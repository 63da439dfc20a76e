"""`gpudesk free`: make room on the card, and remember what went for `gpudesk restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.values import StepKind
from gpudesk.commands import acting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Load, Outcome, Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Free, print, and return the exit code; raises as `acting.act` does."""
    return acting.act(
        given, means, out, lambda session: previews.free(session.desk, given["size"], given["card"]), after=remember
    )


def remember(session: Session, preview: Preview, outcome: Outcome) -> None:
    """Keep what has gone, also when not all of it went.

    Raises:
        StoreError: it cannot be kept.
    """
    from gpudesk.stores.freed import FreedStore

    FreedStore(session.acting.folders.state).add(gone(preview, outcome), session.desk.taken_at)


def gone(preview: Preview, outcome: Outcome) -> tuple[Load, ...]:
    """Return the models that were to go and are gone, as they were before."""
    went = {(step.load.engine_url, step.load.name) for step in preview.steps if step.kind is StepKind.UNLOAD}
    there = {(load.engine_url, load.name) for load in outcome.after}
    return tuple(load for load in preview.before if (load.engine_url, load.name) in went - there)
