"""Leaving while something runs: wait for it, take it back, or leave it to the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.ui.acting.menu import Answer, MenuScreen
from gpudesk.ui.acting.view_preview import action_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.ui.acting.acts import Acts


def ask(acts: Acts, end: Callable[[], None]) -> None:
    """Ask what becomes of the running action; once more while it is asked leaves at once."""
    if isinstance(acts.app.screen, LeaveScreen):
        end()
        return
    work = acts.work
    if work is None:
        end()
        return

    def wait() -> None:
        if acts.running:
            acts.after(end)
        else:
            end()

    def take_back() -> None:
        wait()
        if acts.running:
            acts.cancel()

    answers = [
        Answer("stay", lambda: None),
        Answer("leave when it is done", wait),
        Answer("cancel it and leave", take_back, "what was there is brought back first"),
        Answer("leave now", end, "the next start offers to finish or undo it"),
    ]
    words = [f"{action_words(work.preview)} is running."]
    acts.push(LeaveScreen(acts.keymap, "leave gpudesk?", words=words, answers=answers))


class LeaveScreen(MenuScreen, inherit_bindings=False):
    """The question."""

    BINDINGS = MenuScreen.BINDINGS
