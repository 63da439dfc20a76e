"""What an earlier gpudesk was cut off in: finish it, undo it, or leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import recover
from gpudesk.actions.step_words import step_words
from gpudesk.actions.values import Ending, JournalEntry, Origin
from gpudesk.errors import GpudeskError
from gpudesk.ui.acting.menu import Answer, MenuScreen
from gpudesk.ui.acting.proposal import Proposal
from gpudesk.ui.acting.view_preview import action_words

if TYPE_CHECKING:
    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.ui.acting.acts import Acts


def offer(acts: Acts, preview: Preview, desk: Desk) -> None:
    """Ask what becomes of it; when it turns out to be all done, only say so."""
    left = recover.finish(preview, desk)
    name = action_words(preview)
    if left.refusal is None and not left.steps:
        forget(acts, preview, Ending.DONE, "gpudesk was killed in the middle, but all of it is done")
        acts.tell(f"{name} had been cut off, but all of it is done")
        return
    undo = recover.undo(preview, desk)
    acts.cut_off = preview, frozenset({left.subject, undo.subject})
    finishing = Proposal(preview.action, preview.subject, lambda now: recover.finish(preview, now))
    undoing = Proposal(preview.action, undo.subject, lambda now: recover.undo(preview, now))

    def leave() -> None:
        forget(acts, preview, Ending.FAILED, "gpudesk was killed in the middle; it was left as it was then")
        acts.tell(f"{name} is left as it is")

    def undone() -> None:
        if undo.refusal is None and not undo.steps:
            forget(acts, preview, Ending.UNDONE, "gpudesk was killed in the middle; what was there is there")
            acts.tell(f"{name}: what was there before is there")
        else:
            acts.propose(undoing)

    answers = [
        Answer("finish it", lambda: acts.propose(finishing), _words(left)),
        Answer("undo it", undone, _words(undo)),
        Answer("leave everything as it is now", leave),
    ]
    words = [f"An earlier gpudesk was cut off in the middle: {name}."]
    acts.push(MenuScreen(acts.keymap, "unfinished", words=words, answers=answers))


def forget(acts: Acts, preview: Preview, ending: Ending, message: str) -> None:
    """Put what was cut off into the journal, and offer it no more."""
    acts.cut_off = None
    clock = acts.acting.ports.watch.clock
    try:
        acts.acting.ports.journal.append(
            JournalEntry(
                at=clock.now(), action=preview.action.value, subject=preview.subject, who=Origin.KEY, ending=ending,
                message=message, seconds=0.0, why="found by the next one", before=preview.before,
            )
        )  # fmt: skip
        acts.acting.journal.finish()
    except GpudeskError as error:
        acts.tell_error(error)


def _words(preview: Preview) -> str:
    if preview.refusal is not None:
        return preview.refusal.message
    return "; ".join(step_words(step) for step in preview.steps) or "nothing to do: what was there is there"
