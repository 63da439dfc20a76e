"""The list of working sets: one key each, enter applies, and what that would come to beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import previews
from gpudesk.actions.values import ActionId
from gpudesk.errors import GpudeskError
from gpudesk.keymap import BINDINGS, Scope, display_key, key_name, keys_of
from gpudesk.keys import SET_KEYS_MOST
from gpudesk.paths import shortened
from gpudesk.ui.acting.dialog import DialogScreen, dialog_bindings
from gpudesk.ui.acting.proposal import Proposal
from gpudesk.ui.acting.view_preview import preview_lines
from gpudesk.ui.cells import Line, Span, fit_line, spread
from gpudesk.ui.detail_lines import paragraphs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual import events

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.working_set import WorkingSet
    from gpudesk.stores.working_sets import ListedSet
    from gpudesk.ui.acting.acts import Acts

ROWS_MOST = 9


def set_keys(sets: Sequence[ListedSet], keymap: Mapping[str, str]) -> tuple[str, ...]:
    """Return the one key of each set, as Textual names it: its own, else that of its place; empty where there is none.

    It is the same in the list and on the desk; one that the desk uses itself works in the list alone.
    """
    own = [key_name(each.working_set.key or "") if each.working_set is not None else "" for each in sets]
    given = [keys_of(action, keymap)[0] for action in BINDINGS if action.id.startswith("apply_set_")]
    places = [key if key not in own else "" for key in given] + [""] * max(0, len(sets) - SET_KEYS_MOST)
    return tuple(key or place for key, place in zip(own, places, strict=False))


def apply_place(acts: Acts, number: int) -> None:
    """Apply the set that stands in this place of the list, from 1."""
    action = next(action for action in BINDINGS if action.id == f"apply_set_{number}")
    if not apply_by_key(acts, keys_of(action, acts.keymap)[0]):
        acts.tell(f"no working set has this key; {acts.key_of('working_sets')} lists them", severity="warning")


def apply_by_key(acts: Acts, key: str) -> bool:
    """Apply the set whose one key this is; tell whether there is one."""
    try:
        sets = acts.acting.sets.list()
    except GpudeskError as error:
        acts.tell_error(error)
        return True
    chosen = next((each for each, its in zip(sets, set_keys(sets, acts.keymap), strict=True) if its == key), None)
    if chosen is None:
        return False
    if chosen.working_set is None:
        acts.tell(f"{chosen.name} cannot be used. {'; '.join(chosen.problems)}", severity="error")
    else:
        acts.propose(_proposal(acts, chosen.working_set))
    return True


def _proposal(acts: Acts, working_set: WorkingSet) -> Proposal:
    forecaster = acts.acting.ports.forecaster
    return Proposal(ActionId.APPLY, working_set.name, lambda desk: previews.apply(desk, working_set, forecaster))


class SetsScreen(DialogScreen, inherit_bindings=False):
    """Working sets."""

    BINDINGS = dialog_bindings(Scope.SETS)

    def __init__(self, acts: Acts) -> None:
        super().__init__(acts.keymap, "Working sets")
        self._acts = acts
        self.sets: tuple[ListedSet, ...] = ()
        self._problem: str | None = None
        self._index = self._first = 0
        self.preview: Preview | None = None
        self._looked_at: tuple[Desk, str] | None = None
        self.reload()

    def reload(self) -> None:
        """Read the sets anew."""
        try:
            self.sets, self._problem = self._acts.acting.sets.list(), None
        except GpudeskError as error:
            self.sets, self._problem = (), str(error)
        self._index = min(self._index, max(0, len(self.sets) - 1))
        self._looked_at = None
        self._keys = set_keys(self.sets, self.keymap)

    @property
    def selected(self) -> ListedSet | None:
        """The set under the cursor."""
        return self.sets[self._index] if self._index < len(self.sets) else None

    def look(self) -> None:
        """Make the preview anew where the desk or the set is another."""
        chosen = self.selected
        if self.scene is None or chosen is None:
            return
        looked_at = (self.scene.desk, chosen.name)
        if self._looked_at is None or looked_at[0] is not self._looked_at[0] or chosen.name != self._looked_at[1]:
            self._looked_at = looked_at
            working_set = chosen.working_set
            self.preview = None if working_set is None else _proposal(self._acts, working_set).preview(self.scene.desk)

    def fixed(self, width: int, room: int) -> list[tuple[Line, str]]:
        """Return the sets about the selected one."""
        if not self.sets:
            words = self._problem or "there are no working sets yet"
            advice = f"{self.key_of('set_save')} saves what is loaded now as one"
            return [((Span(words, "warn" if self._problem else "dim"),), ""), ((Span(advice, "dim"),), ""), ((), "")]
        count = max(1, min(ROWS_MOST, len(self.sets), room - 5))
        self._first = max(min(self._first, self._index), self._index - count + 1)
        lines: list[tuple[Line, str]] = []
        for index, each in enumerate(self.sets[self._first : self._first + count], self._first):
            here, action = index == self._index, f"screen.option({index})"
            key = display_key(self._keys[index]) if self._keys[index] else " "
            left = (
                Span("▸ " if here else "  ", "accent", action), Span(f"{key} ", "key", action),
                Span(each.name, "strong" if here else "", action),
            )  # fmt: skip
            lines.append((fit_line(spread(left, _note(each), width), width), "cursor" if here else ""))
        return [*lines, ((), "")]

    def below(self, width: int) -> Sequence[Line]:
        """Return what applying it would come to, or what is wrong with it."""
        chosen = self.selected
        if chosen is None:
            return ()
        lines: list[Line] = []
        working_set = chosen.working_set
        if working_set is not None and working_set.description:
            lines += [(Span(working_set.description, "dim"),)]
        lines += paragraphs(chosen.problems, width, mark="!", role="warn")
        return [*lines, *(preview_lines(self.preview, width) if self.preview is not None else ())]

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys."""
        save = ("set_save", "save the present state", "screen.save_set")
        if not self.sets:
            return (save, ("back", "back", "screen.back"))
        return (
            ("dialog_accept", "apply", "screen.accept"), save, ("set_edit", "edit", "screen.edit_set"),
            ("set_delete", "delete", "screen.delete_set"), ("back", "back", "screen.back"),
        )  # fmt: skip

    # --- keys ---------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Apply the set a key belongs to."""
        for index, key in enumerate(self._keys):
            if key == event.key:
                event.stop()
                self._index = index
                self.action_accept()
                return

    def action_accept(self) -> None:
        """Apply the selected set; what is wrong with it stands beneath."""
        chosen = self.selected
        if chosen is None:
            return
        if chosen.working_set is None:
            self.app.bell()
            return
        self.look()
        if self.preview is not None and self.preview.refusal is not None:
            self.app.bell()
            self.draw()
            return
        self.dismiss()
        self._acts.propose(_proposal(self._acts, chosen.working_set))

    def action_move(self, lines: int) -> None:
        """Go to another set."""
        if self.sets:
            self._index = (self._index + lines) % len(self.sets)
            self.look()
            self.draw()

    def action_option(self, index: int) -> None:
        """Go to a set that was clicked; again applies it."""
        if index == self._index:
            self.action_accept()
        else:
            self._index = index
            self.look()
            self.draw()

    def action_save_set(self) -> None:
        """Ask for a name and save what is loaded now."""
        from gpudesk.ui.acting.saving import save_present

        save_present(self._acts, after=self._again)

    def action_edit_set(self) -> None:
        """Open the file in an editor, or say where it is."""
        from gpudesk.ui.acting.saving import edit

        if self.selected is not None:
            edit(self._acts, self.selected.name)
            self._again()

    def action_delete_set(self) -> None:
        """Ask, and delete the selected set."""
        from gpudesk.ui.acting.saving import delete

        if self.selected is not None:
            delete(self._acts, self.selected.name, after=self._again)

    def _again(self) -> None:
        self.reload()
        self.look()
        self.draw()


def _note(each: ListedSet) -> Line:
    """Say what is in a set, or that something is wrong with it."""
    if each.working_set is None:
        return (Span("! cannot be used", "error"),)
    names = ", ".join(model.name for model in each.working_set.models) or "empty"
    return (Span(names, "dim"),)


def place_words(acts: Acts, name: str) -> str:
    """Return where a set's file is."""
    return shortened(acts.acting.sets.path(name))
