"""What each key asks for, about the model it was pressed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import previews
from gpudesk.actions.lookup import find_pin, pins_of
from gpudesk.actions.values import ActionId
from gpudesk.domain.desk import LoadedModel
from gpudesk.domain.pin import Pin
from gpudesk.errors import UsageError
from gpudesk.ui.acting import forms, questions
from gpudesk.ui.acting.menu import Answer, MenuScreen
from gpudesk.ui.acting.proposal import Proposal, target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel
    from gpudesk.ui.acting.acts import Acts


def press(acts: Acts, what: str, model: LoadedModel | InstalledModel | None) -> None:
    """Do what a key asks for.

    Args:
        acts: who does it.
        what: the key's word.
        model: what is selected, if a list of models has the focus.
    """
    if what in GENERAL:
        if what not in BEGINNING or acts.is_free():
            GENERAL[what](acts)
    elif model is None:
        _nothing_selected(acts, what)
    elif acts.is_free():
        ABOUT_A_MODEL[what](acts, model)


def _nothing_selected(acts: Acts, what: str) -> None:
    """Say how a model is selected; where none is loaded there is only one list to take it from, so go there."""
    if acts.desk.models or what not in ABOUT_INSTALLED:
        acts.tell("select a model first: tab goes to the lists of models", severity="warning")
    elif not acts.desk.installed:
        acts.tell(f"no model is installed; {acts.key_of('pull')} downloads one", severity="warning")
    else:
        acts.app.desk_screen.action_tab("installed")
        acts.tell(f"choose a model here, then press {acts.key_of(what)} again")


def unload(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Unload it."""
    there = _loaded(acts, model)
    if there is None:
        return
    target = target_of(there)
    acts.propose(
        Proposal(
            ActionId.UNLOAD, there.name, lambda desk: previews.unload(desk, [target.loaded(desk) or there]), (target,)
        )
    )


def pin(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Pin it, end its pin, or ask which where the pin is lost."""
    states = pins_of(acts.desk, model.engine_url, model.name, *getattr(model, "shares_runner_with", ()))
    if not states:
        forms.pin(acts, model)
        return
    state = states[0]
    if state.pin is not Pin.LOST:
        _unpin(acts, model)
        return
    put_right = Proposal(
        ActionId.PIN,
        model.name,
        lambda desk: previews.pin(
            desk, target_of(model).loaded(desk) or model, acts.acting.ports.forecaster,
            context_length=state.wish.context_length, restore=state.wish.restore,
        ),
    )  # fmt: skip
    answers = [
        Answer("put it right now", lambda: acts.propose(put_right)),
        Answer("end the pin", lambda: _unpin(acts, model)),
    ]
    words = [f"The pin of {state.wish.name} is lost: {state.reason or 'nobody told why'}."]
    acts.push(MenuScreen(acts.keymap, f"pin of {model.name}", words=words, answers=answers))


def _unpin(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    target = target_of(model)

    def preview(desk: Desk) -> Preview:
        there = target.loaded(desk)
        if there is not None:
            return previews.unpin(desk, there)
        try:
            return previews.unpin(desk, find_pin(desk, model.name, model.engine_url).wish)
        except UsageError:
            return previews.unpin(desk, model)

    acts.propose(Proposal(ActionId.UNPIN, model.name, preview, (target,)))


def delete(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Delete it from the disk; asks."""
    target = target_of(model)
    installed = target.installed(acts.desk)
    if installed is None:
        acts.tell(f"{model.name} is not installed, as far as is known", severity="warning")
        return
    acts.propose(
        Proposal(
            ActionId.DELETE, model.name, lambda desk: previews.delete(desk, target.installed(desk) or installed),
            (target,),
        )
    )  # fmt: skip


def journal(acts: Acts) -> None:
    """Show what was done."""
    from gpudesk.ui.acting.journal import ENTRIES_MOST, JournalScreen

    book = acts.acting.journal
    entries = book.read(ENTRIES_MOST)
    problems = [problem for problem in (book.read_problem, book.problem) if problem is not None]
    acts.push(JournalScreen(entries, acts.keymap, problem="; ".join(problems) or None))


def sets(acts: Acts) -> None:
    """Show the working sets."""
    from gpudesk.ui.acting.sets import SetsScreen

    acts.push(SetsScreen(acts))


def _loaded(acts: Acts, model: LoadedModel | InstalledModel) -> LoadedModel | None:
    """Return the model as it is loaded; says so where it is not."""
    there = target_of(model).loaded(acts.desk)
    if there is None:
        acts.tell(f"{model.name} is not loaded; {acts.key_of('load')} loads it", severity="warning")
    return there


def keep(acts: Acts, model: LoadedModel | InstalledModel) -> None:
    """Ask for another keep-alive."""
    there = _loaded(acts, model)
    if there is not None:
        questions.keep(acts, there)


GENERAL: Mapping[str, Callable[[Acts], None]] = {
    "cancel": lambda acts: acts.cancel(),
    "journal": journal,
    "sets": sets,
    "free": questions.free,
    "pull": questions.pull,
}
ABOUT_A_MODEL: Mapping[str, Callable[[Acts, LoadedModel | InstalledModel], None]] = {
    "load": forms.load,
    "unload": unload,
    "pin": pin,
    "keep": keep,
    "swap": questions.swap,
    "delete": delete,
    "derive": questions.derive,
}
ABOUT_INSTALLED = frozenset({"load", "pin", "swap", "delete", "derive"})
"""Keys about a model that need not be loaded."""
BEGINNING = frozenset({"free", "pull"})
"""General keys that lead to an action; there is one at a time."""
