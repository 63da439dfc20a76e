"""A dialog of choices: a line each, left and right change it, and beneath stands what would come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass, replace
from gpudesk.ui.acting.dialog import DialogScreen
from gpudesk.ui.acting.view_preview import preview_lines
from gpudesk.ui.cells import Line, Span, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk
    from gpudesk.ui.acting.proposal import Proposal

LABEL_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Field:
    """One line of choices."""

    label: str
    options: tuple[tuple[str, object], ...]
    """What is shown, and what it stands for."""
    index: int = 0

    @property
    def value(self) -> object:
        """What is chosen."""
        return self.options[self.index][1]

    @property
    def shown(self) -> str:
        """What is chosen, in words."""
        return self.options[self.index][0]


class FormScreen(DialogScreen, inherit_bindings=False):
    """Choices and what comes of them."""

    BINDINGS = DialogScreen.BINDINGS

    def __init__(
        self,
        keymap: Mapping[str, str],
        title: str,
        fields: Sequence[Field],
        *,
        proposal: Callable[[Sequence[object]], Proposal],
        word: str,
        propose: Callable[[Proposal], None],
    ) -> None:
        """Make the dialog.

        Args:
            keymap: the user's keys.
            title: what it is about.
            fields: the choices.
            proposal: makes of the chosen values what is proposed.
            word: what enter does.
            propose: takes it.
        """
        super().__init__(keymap, title)
        self.fields = list(fields)
        self._proposal = proposal
        self._word = word
        self._propose = propose
        self._row = 0
        self.preview: Preview | None = None
        self._looked_at: tuple[Desk, tuple[object, ...]] | None = None

    @property
    def values(self) -> tuple[object, ...]:
        """What is chosen."""
        return tuple(field.value for field in self.fields)

    def look(self) -> None:
        """Make the preview anew where the desk or a choice is another."""
        if self.scene is None:
            return
        looked_at = (self.scene.desk, self.values)
        if self._looked_at is None or looked_at[0] is not self._looked_at[0] or looked_at[1] != self._looked_at[1]:
            self._looked_at = looked_at
            self.preview = self._proposal(self.values).preview(self.scene.desk)

    def fixed(self, width: int, room: int) -> list[tuple[Line, str]]:  # noqa: ARG002 - a few lines always fit
        """Return the choices."""
        lines = []
        for index, field in enumerate(self.fields):
            here = index == self._row
            line = (
                Span(fit(f"{'▸' if here else ' '} {field.label}", LABEL_WIDTH + 2), "strong" if here else "dim",
                     f"screen.row({index})"),
                Span("‹ ", "key" if field.index else "faint", f"screen.change_row({index}, -1)"),
                Span(field.shown, "strong" if here else "", f"screen.change_row({index}, 1)"),
                Span(" ›", "key" if field.index < len(field.options) - 1 else "faint",
                     f"screen.change_row({index}, 1)"),
            )  # fmt: skip
            lines.append((line, "cursor" if here else ""))
        return [*lines, ((), "")]

    def below(self, width: int) -> Sequence[Line]:
        """Return what would come of it."""
        return preview_lines(self.preview, width) if self.preview is not None else ()

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys."""
        several = (("dialog_down", "next line", "screen.move(1)"),) if len(self.fields) > 1 else ()
        return (
            ("dialog_accept", self._word, "screen.accept"),
            ("dialog_less", "less", "screen.change(-1)"),
            ("dialog_more", "more", "screen.change(1)"),
            *several,
            ("back", "back", "screen.back"),
        )

    def action_accept(self) -> None:
        """Propose it; what is refused stays on the screen with its reason."""
        self.look()
        if self.preview is not None and self.preview.refusal is not None:
            self.app.bell()
            return
        proposal = self._proposal(self.values)
        self.dismiss()
        self._propose(proposal)

    def action_move(self, lines: int) -> None:
        """Go to another choice."""
        self._row = (self._row + lines) % len(self.fields)
        self.draw()

    def action_row(self, index: int) -> None:
        """Go to a choice that was clicked."""
        self._row = index
        self.draw()

    def action_change_row(self, index: int, step: int) -> None:
        """Change a choice that was clicked."""
        self._row = index
        self.action_change(step)

    def action_change(self, step: int) -> None:
        """Take the next choice."""
        field = self.fields[self._row]
        index = max(0, min(field.index + step, len(field.options) - 1))
        if len(field.options) == 2:
            index = 1 - field.index
        self.fields[self._row] = replace(field, index=index)
        self.look()
        self.draw()
