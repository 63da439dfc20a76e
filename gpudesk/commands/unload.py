"""`gpudesk unload`: unload models and wait until the driver has their memory back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews
from gpudesk.actions.leaving import still_pinned
from gpudesk.actions.lookup import find_model
from gpudesk.commands import acting
from gpudesk.domain.desk import LoadedModel
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.commands.acting_session import ActingMeans, Session


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Unload, print, and return the exit code; raises as `acting.act` does. What is not loaded needs nothing done."""

    def make(session: Session) -> Preview:
        found = [find_model(session.desk, name, session.engine_url) for name in given["names"]]
        loaded = [model for model in found if isinstance(model, LoadedModel)]
        not_there = [model for model in found if not isinstance(model, LoadedModel)]
        absent = [model.name for model in not_there]
        preview = previews.unload(session.desk, loaded)
        notes = tuple(f"{name} is not loaded" for name in dict.fromkeys(absent))
        subject = preview.subject if loaded else ", ".join(dict.fromkeys(absent))
        return replace(preview, subject=subject, notes=(*preview.notes, *notes, *still_pinned(session.desk, not_there)))

    return acting.act(given, means, out, make)
