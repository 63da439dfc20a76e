"""`gpudesk pin` and `gpudesk unpin`: gpudesk's own wish that a model stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_model, find_pin, with_tag
from gpudesk.actions.values import Load
from gpudesk.commands import acting
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Pin or unpin, print, and return the exit code; raises as `acting.act` does."""
    if given["verb"] == "unpin":
        return acting.act(given, means, out, lambda session: _unpin(given["names"], session), needs_engine=False)
    return acting.act(given, means, out, lambda session: _pin(given, session))


def _pin(given: Mapping[str, Any], session: Session) -> Preview:
    found = find_model(session.desk, given["model"].word, session.engine_url)
    context, restore = acting.wished_context(given), given.get("restore")
    acting.prepare(session, [Load(found.engine_url, found.name, context)])
    return previews.pin(
        session.desk,
        found,
        session.acting.ports.forecaster,
        context_length=context,
        restore=session.acting.restore_pins if restore is None else restore,
    )


def _unpin(names: Sequence[str], session: Session) -> Preview:
    """Preview the end of pins; a model need be neither loaded nor installed, nor its engine there."""
    parts = [_end(name, session) for name in names]
    whole = parts[0]
    if len(parts) == 1:
        return whole
    return replace(
        whole,
        subject=", ".join(dict.fromkeys(part.subject for part in parts)),
        steps=tuple(dict.fromkeys(step for part in parts for step in part.steps)),
        notes=tuple(note for part in parts for note in part.notes),
        before=tuple(dict.fromkeys(load for part in parts for load in part.before)),
    )


def _end(name: str, session: Session) -> Preview:
    wanted = with_tag(name.strip()).casefold()
    if any(state.wish.name.casefold() == wanted for state in session.desk.pins):
        return previews.unpin(session.desk, find_pin(session.desk, name, session.engine_url).wish)
    # A model without a pin is as it was wished; a name nobody knows is a mistake.
    return previews.unpin(session.desk, find_model(session.desk, name, session.engine_url))
