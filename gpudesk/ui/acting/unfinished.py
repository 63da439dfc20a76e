"""What an earlier gpudesk was cut off in: finish it, undo it, or leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import recover
from gpudesk.actions.step_words import step_words
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
        acts.acting.journal.finish()
        acts.tell(f"{name} had been cut off, but all of it is done")
        return
    undo = recover.undo(preview, desk)
    finishing = Proposal(preview.action, preview.subject, lambda now: recover.finish(preview, now))
    undoing = Proposal(preview.action, undo.subject, lambda now: recover.undo(preview, now))

    def forget() -> None:
        acts.acting.journal.finish()
        acts.tell(f"{name} is left as it is")

    def undone() -> None:
        if undo.refusal is None and not undo.steps:
            forget()
        else:
            acts.propose(undoing)

    answers = [
        Answer("finish it", lambda: acts.propose(finishing), _words(left)),
        Answer("undo it", undone, _words(undo)),
        Answer("leave everything as it is now", forget),
    ]
    words = [f"An earlier gpudesk was cut off in the middle: {name}."]
    acts.push(MenuScreen(acts.keymap, "unfinished", words=words, answers=answers))


def _words(preview: Preview) -> str:
    if preview.refusal is not None:
        return preview.refusal.message
    return "; ".join(step_words(step) for step in preview.steps) or "nothing to do: what was there is there"
