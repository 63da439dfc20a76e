"""Working sets are saved, edited and deleted here."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from gpudesk.actions import previews
from gpudesk.errors import GpudeskError, UsageError
from gpudesk.records import replace
from gpudesk.stores.working_set_toml import check_name
from gpudesk.ui.acting.ask import AskScreen, Option
from gpudesk.ui.acting.menu import Answer, MenuScreen
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import paragraphs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.working_set import SetModel, WorkingSet
    from gpudesk.ui.acting.acts import Acts

NAME_EXAMPLE = "coding"
_WIDTH = 70


def _nothing() -> None:
    """Do nothing after."""


def save_present(acts: Acts, *, after: Callable[[], None] = _nothing) -> None:
    """Ask for a name and save what is loaded at that moment."""
    if not acts.desk.models:
        acts.tell("nothing is loaded: there is nothing to save", severity="warning")
        return
    save(acts, lambda name: previews.present_set(acts.desk, name), after=after)


def save(
    acts: Acts,
    make: Callable[[str], WorkingSet],
    *,
    after: Callable[[], None] = _nothing,
    note: str | None = None,
) -> None:
    """Ask for a name and save the set that `make` gives it; `note` says what it does not keep."""
    try:
        known = acts.acting.sets.names()
    except GpudeskError as error:
        acts.tell_error(error)
        return

    def options(text: str) -> Sequence[Option]:
        typed = [Option(text, text, "replaces the old one" if text in known else "new")] if text else []
        return [*typed, *(Option(name, name, "replaces the old one") for name in known if text in name != text)]

    def preview(_desk: Desk, name: object) -> Preview | Sequence[Line]:
        try:
            working_set = make(check_name(f"{name}"))
        except UsageError as error:
            from gpudesk.actions.values import ActionId, Preview, Refusal

            return Preview(ActionId.APPLY, f"{name}", refusal=Refusal(error.message, error.hint))
        return [*_set_lines(working_set), *(paragraphs([note], _WIDTH, mark="!", role="warn") if note else ())]

    def chosen(name: object) -> None:
        working_set = make(f"{name}")
        if name in known:
            answers = [
                Answer(f"replace {name}", lambda: write(acts, working_set, after)),
                Answer("keep it as it is", lambda: None),
            ]
            acts.push(MenuScreen(acts.keymap, f"replace {name}?", words=[f"There is a set {name}."], answers=answers))
        else:
            write(acts, working_set, after)

    acts.push(
        AskScreen(
            acts.keymap, "Save as working set", placeholder=f"a name, such as {NAME_EXAMPLE}", options=options,
            preview=preview, word="save", chosen=chosen,
        )
    )  # fmt: skip


def _set_lines(working_set: WorkingSet) -> Sequence[Line]:
    if not working_set.models:
        return [(Span("! ", "warn"), Span("no models are in it", "warn"))]
    return paragraphs([_model_words(model) for model in working_set.models], _WIDTH)


def _model_words(model: SetModel) -> str:
    from gpudesk.actions.wishes import kept

    words = [model.name]
    if model.context_length is not None:
        words.append(f"context {model.context_length}")
    if model.pinned:
        words.append("pinned")
    elif model.keep_alive is not None:
        words.append(f"keep-alive {kept(model.keep_alive)}")
    return ", ".join(words)


def write(acts: Acts, working_set: WorkingSet, after: Callable[[], None]) -> None:
    """Store a set and say where; what else stood in an older one (key, description) stays."""
    sets = acts.acting.sets
    try:
        old = next((each.working_set for each in sets.list() if each.name == working_set.name), None)
        if old is not None:
            working_set = replace(working_set, description=old.description, key=old.key, keeps_others=old.keeps_others)
        sets.write(working_set)
        from gpudesk.ui.acting.sets import place_words

        acts.tell(f"saved as {place_words(acts, working_set.name)}")
    except GpudeskError as error:
        acts.tell_error(error)
    after()


def edit(acts: Acts, name: str) -> None:
    """Give the terminal to the user's editor; without one say where the file is."""
    from textual.app import SuspendNotSupported

    from gpudesk.ui.acting.sets import place_words

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        acts.tell(f"{place_words(acts, name)} (set EDITOR to open it from here)")
        return
    import subprocess

    try:
        with acts.app.suspend():
            subprocess.run([*shlex.split(editor), str(acts.acting.sets.path(name))], check=False)  # noqa: S603 - theirs
    except SuspendNotSupported:
        acts.tell(f"{place_words(acts, name)} (this terminal cannot be handed to an editor)")
    except (OSError, ValueError, GpudeskError) as error:
        acts.tell(f"{editor}: {error}", severity="error")


def delete(acts: Acts, name: str, *, after: Callable[[], None]) -> None:
    """Ask, and delete a set."""
    sets = acts.acting.sets
    users = sets.included_by(name)
    words = ["The models stay as they are; only the set's file goes."]
    if users:
        words.append(f"{', '.join(users)} includes it and cannot be used without it.")

    def gone() -> None:
        try:
            sets.delete(name)
        except GpudeskError as error:
            acts.tell_error(error)
        after()

    answers = [Answer("keep it", lambda: None), Answer(f"delete {name}", gone)]
    acts.push(MenuScreen(acts.keymap, f"delete the set {name}?", words=words, answers=answers))
