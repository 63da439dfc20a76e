"""`gpudesk restore`: bring back what `free` took, or deal with an action that a gpudesk was killed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.actions import previews, recover
from gpudesk.actions.lookup import installed_as
from gpudesk.actions.values import ActionId, Ending, Preview
from gpudesk.commands import acting
from gpudesk.errors import ExitCode
from gpudesk.records import replace
from gpudesk.stores.freed import FreedStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.actions.values import Load, Outcome
    from gpudesk.commands.acting_session import ActingMeans, Session
    from gpudesk.domain.desk import Desk

NOTHING_UNFINISHED = "no gpudesk was killed in the middle of anything"


def run(given: Mapping[str, Any], means: ActingMeans, out: TextIO) -> int:
    """Bring back, print, and return the exit code; raises as `acting.act` does, and `StoreError`."""
    how = given.get("unfinished")
    if how == "forget":
        return _forget(means, out)
    if how is not None:
        return acting.act(
            given, means, out, lambda session: _unfinished(session, how), after=_forget_note, tells_unfinished=False
        )
    return acting.act(given, means, out, _freed, after=_forget_freed)


def _freed(session: Session) -> Preview:
    known = FreedStore(session.acting.folders.state).read()
    if known is None:
        return Preview(ActionId.RESTORE, "what was freed", notes=("gpudesk free has put nothing aside",))
    here = [load for load in known.loads if _is_installed(session.desk, load)]
    lost = [load.name for load in known.loads if load not in here]
    acting.prepare(session, here)
    preview = previews.restore(session.desk, here, session.acting.ports.forecaster)
    notes = tuple(f"{name} is not installed any more: it cannot come back" for name in lost)
    return replace(preview, notes=(*notes, *preview.notes))


def _is_installed(desk: Desk, load: Load) -> bool:
    """Tell whether a model can come back; yes where its engine does not tell what it has."""
    told = any(model.engine_url == load.engine_url for model in desk.installed)
    return not told or installed_as(desk, load) is not None


def _forget_freed(session: Session, preview: Preview, outcome: Outcome) -> None:
    """Forget what is back; what is not can be tried again."""
    store = FreedStore(session.acting.folders.state)
    if outcome.ending is Ending.DONE:
        store.keep_only(())
        return
    known = store.read()
    if known is not None and preview.steps:
        store.keep_only(_still_gone(known.loads, outcome.after))


def _still_gone(freed: Sequence[Load], after: Sequence[Load]) -> tuple[Load, ...]:
    there = {(load.engine_url, load.name) for load in after}
    return tuple(load for load in freed if (load.engine_url, load.name) not in there)


def _unfinished(session: Session, how: str) -> Preview:
    found = session.acting.journal.unfinished()
    if found is None:
        return Preview(ActionId.RESTORE, "what was unfinished", notes=(NOTHING_UNFINISHED,))
    preview = recover.finish(found, session.desk) if how == "finish" else recover.undo(found, session.desk)
    if preview.steps:
        return preview
    said = "nothing is left to do" if how == "finish" else "everything that was there is there"
    return replace(preview, notes=(*preview.notes, said))


def _forget_note(session: Session, preview: Preview, outcome: Outcome) -> None:
    """Forget the note when there was nothing left to do about it; otherwise whoever acted has."""
    if outcome.ending is Ending.DONE and not preview.steps:
        session.acting.journal.finish()


def _forget(means: ActingMeans, out: TextIO) -> int:
    """Leave everything as it is and do not mention it any more."""
    from gpudesk.stores.journal import FileJournal

    acting.refuse_read_only(means.settings)
    with means.folders() as folders:
        journal = FileJournal(folders.state)
        found = journal.unfinished()
        if found is None:
            out.write(f"{NOTHING_UNFINISHED}\n")
        else:
            journal.finish()
            out.write(f"forgotten: {found.action.value} {found.subject}\n")
    return ExitCode.OK
