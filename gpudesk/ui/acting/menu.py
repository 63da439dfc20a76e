"""Dialogs of a few answers: is this to be done, though something is lost; what becomes of an unfinished action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.values import Danger
from gpudesk.records import dataclass
from gpudesk.ui.acting.dialog import DialogScreen
from gpudesk.ui.acting.proposal import does_the_same
from gpudesk.ui.acting.view_preview import action_words, preview_lines
from gpudesk.ui.cells import Line, Span, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpudesk.actions.values import Preview
    from gpudesk.ui.acting.proposal import Proposal


class ConfirmScreen(DialogScreen, inherit_bindings=False):
    """The one confirmation. What is shown is what is done: should it change meanwhile, it is shown anew."""

    BINDINGS = DialogScreen.BINDINGS

    def __init__(
        self,
        keymap: Mapping[str, str],
        proposal: Proposal,
        preview: Preview,
        *,
        run: Callable[[Preview], None],
        refuse: Callable[[Preview], None],
    ) -> None:
        """Make the dialog.

        Args:
            keymap: the user's keys.
            proposal: makes the preview anew at the last moment.
            preview: what is shown.
            run: carries it out.
            refuse: says why it cannot be any more.
        """
        super().__init__(keymap, f"{action_words(preview)}?")
        self.preview = preview
        self._proposal = proposal
        self._run = run
        self._refuse = refuse
        self._changed = False

    def below(self, width: int) -> Sequence[Line]:
        """Return what would be done."""
        lines: list[Line] = []
        if self._changed:
            words = "something has changed meanwhile: this is what it comes to now"
            lines += [(Span(piece, "warn"),) for piece in wrap(words, width)]
        return [*lines, *preview_lines(self.preview, width), ()]

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys; what cannot be loaded again wants a letter, not the key that was just pressed."""
        yes = "dialog_yes" if self.preview.danger is Danger.DESTRUCTIVE else "dialog_accept"
        return ((yes, "yes, do it", "screen.yes"), ("back", "no", "screen.back"))

    def action_accept(self) -> None:
        """Do it, unless it wants a letter."""
        if self.preview.danger is Danger.DESTRUCTIVE:
            self.app.bell()
            self.notify(f"{self.key_of('dialog_yes')} does it, {self.key_of('back')} does not", timeout=3)
            return
        self.action_yes()

    def action_yes(self) -> None:
        """Do it, if it still is what is shown."""
        if self.scene is None:
            return
        now = self._proposal.preview(self.scene.desk)
        if now.refusal is not None or not now.steps:
            self.dismiss()
            self._refuse(now)
        elif does_the_same(now, self.preview):
            self.dismiss()
            self._run(now)
        else:
            self.preview, self._changed = now, True
            self.app.bell()
            self.draw()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a menu."""

    text: str
    chosen: Callable[[], None]
    note: str = ""


class MenuScreen(DialogScreen, inherit_bindings=False):
    """A question with a few answers."""

    BINDINGS = DialogScreen.BINDINGS

    def __init__(
        self, keymap: Mapping[str, str], title: str, *, words: Sequence[str], answers: Sequence[Answer]
    ) -> None:
        super().__init__(keymap, title)
        self._words = words
        self.answers = list(answers)
        self._index = 0

    def fixed(self, width: int, room: int) -> list[tuple[Line, str]]:
        """Return the question and its answers."""
        lines: list[tuple[Line, str]] = []
        for text in self._words:
            lines += [((Span(piece),), "") for piece in wrap(text, width)]
        lines = [*lines[: max(1, room - 2 - 2 * len(self.answers))], ((), "")]
        for index, answer in enumerate(self.answers):
            here, action = index == self._index, f"screen.option({index})"
            mark = Span("▸ " if here else "  ", "accent", action)
            lines.append(((mark, Span(answer.text, "strong" if here else "", action)), "cursor" if here else ""))
            if answer.note:
                lines += [((Span(f"    {piece}", "dim", action),), "") for piece in wrap(answer.note, width - 4)]
        return [*lines, ((), "")]

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys."""
        return (
            ("dialog_accept", "choose", "screen.accept"), ("dialog_down", "next", "screen.move(1)"),
            ("back", "back", "screen.back"),
        )  # fmt: skip

    def action_accept(self) -> None:
        """Take the answer."""
        answer = self.answers[self._index]
        self.dismiss()
        answer.chosen()

    def action_move(self, lines: int) -> None:
        """Go to another answer."""
        self._index = (self._index + lines) % len(self.answers)
        self.draw()

    def action_option(self, index: int) -> None:
        """Take an answer that was clicked."""
        self._index = index
        self.action_accept()
