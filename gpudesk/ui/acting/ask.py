"""A dialog in which is typed and chosen: a line, the options it leaves, and what would come of the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import Input

from gpudesk.records import dataclass
from gpudesk.ui.acting.dialog import ASK_LINE, DialogScreen
from gpudesk.ui.acting.view_preview import preview_lines
from gpudesk.ui.cells import Line, Span, fit_line, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.app import ComposeResult

    from gpudesk.actions.values import Preview
    from gpudesk.domain.desk import Desk

OPTIONS_MOST = 9
"""Options that are seen at once."""
_BELOW_LEAST = 4
"""Lines kept for what would come of it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to choose."""

    text: str
    value: object
    note: str = ""
    """At the right: a size, a state."""


class AskLine(Input):
    """The line."""

    def __init__(self, placeholder: str, value: str = "") -> None:
        super().__init__(value, placeholder=placeholder, id=ASK_LINE, compact=True, select_on_focus=False)
        self.cursor_blink = False


class AskScreen(DialogScreen, inherit_bindings=False):
    """A line to type in, options, and a preview."""

    BINDINGS = DialogScreen.BINDINGS
    AUTO_FOCUS = f"#{ASK_LINE}"

    def __init__(
        self,
        keymap: Mapping[str, str],
        title: str,
        *,
        placeholder: str,
        options: Callable[[str], Sequence[Option]],
        preview: Callable[[Desk, object], Preview | Sequence[Line] | None],
        word: str,
        chosen: Callable[[object], None],
        selected: object = None,
        value: str = "",
    ) -> None:
        """Make the dialog.

        Args:
            keymap: the user's keys.
            title: what it is about.
            placeholder: what may be typed.
            options: what there is to choose once so much is typed.
            preview: what would come of an option's value; lines instead where there is nothing to preview.
            word: what enter does.
            chosen: takes the value.
            selected: the value the cursor is on at first.
            value: what stands in the line at first.
        """
        super().__init__(keymap, title)
        self._options_of = options
        self._preview_of = preview
        self._word = word
        self._chosen = chosen
        self._line = AskLine(placeholder, value)
        self.options = list(options(value))
        self._asked = value
        """What the options are for."""
        values = [option.value for option in self.options]
        self._index = values.index(selected) if selected in values else 0
        self._first = 0
        self.preview: Preview | Sequence[Line] | None = None
        self._looked_at: tuple[Desk, object] | None = None

    def compose(self) -> ComposeResult:
        """Put box and line on the screen."""
        yield self.box
        yield self._line

    @property
    def option(self) -> Option | None:
        """The chosen one."""
        return self.options[self._index] if 0 <= self._index < len(self.options) else None

    def look(self) -> None:
        """Make the preview anew where the desk or the choice is another."""
        if self.scene is None:
            return
        value = None if self.option is None else self.option.value
        looked_at = (self.scene.desk, value)
        if self._looked_at is None or looked_at[0] is not self._looked_at[0] or value != self._looked_at[1]:
            self._looked_at = looked_at
            self.preview = None if value is None else self._preview_of(self.scene.desk, value)

    def fixed(self, width: int, room: int) -> list[tuple[Line, str]]:
        """Return room for the line, and the options about the chosen one."""
        count = max(1, min(OPTIONS_MOST, len(self.options), room - 2 - _BELOW_LEAST))
        self._first = max(min(self._first, self._index), self._index - count + 1)
        self._first = max(0, min(self._first, len(self.options) - count))
        lines: list[tuple[Line, str]] = [((), "")]
        for index, option in enumerate(self.options[self._first : self._first + count], self._first):
            here = index == self._index
            action = f"screen.option({index})"
            name = (Span("▸ " if here else "  ", "accent", action), Span(option.text, "strong" if here else "", action))
            line = spread(name, (Span(option.note, "dim", action),) if option.note else (), width)
            lines.append((fit_line(line, width), "cursor" if here else ""))
        if len(self.options) > count:
            lines.append(((Span(f"  {self._index + 1} of {len(self.options)}", "dim"),), ""))
        return [*lines, ((), "")]

    def below(self, width: int) -> Sequence[Line]:
        """Return what would come of it."""
        if self.preview is None:
            nothing = "nothing matches" if self._line.value.strip() else f"type {self._line.placeholder}"
            return () if self.options else ((Span(nothing, "dim"),),)
        if isinstance(self.preview, (tuple, list)):
            return self.preview
        return preview_lines(self.preview, width)  # type: ignore[arg-type]

    def hints(self) -> Sequence[tuple[str, str, str]]:
        """Return the keys."""
        move = (("dialog_down", "next", "screen.move(1)"),) if len(self.options) > 1 else ()
        return (("dialog_accept", self._word, "screen.accept"), *move, ("back", "back", "screen.back"))

    def line(self) -> Input | None:
        """Return the line; it is there before it is on the screen."""
        return self._line

    def on_input_changed(self, event: Input.Changed) -> None:
        """Offer what is left by what is typed."""
        event.stop()
        self._follow_line()
        self.look()
        self.draw()

    def _follow_line(self) -> None:
        """Offer what the line leaves: enter may come before the news that it has changed."""
        typed = self._line.value.strip()
        if typed != self._asked:
            self._asked = typed
            self.options = list(self._options_of(typed))
            self._index = self._first = 0

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Choose."""
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Choose; what is refused stays on the screen with its reason."""
        self._follow_line()
        option = self.option
        if option is None:
            self.app.bell()
            return
        self.look()
        if getattr(self.preview, "refusal", None) is not None:
            self.app.bell()
            return
        self.dismiss()
        self._chosen(option.value)

    def action_move(self, lines: int) -> None:
        """Go to another option."""
        if self.options:
            self._index = (self._index + lines) % len(self.options)
            self.look()
            self.draw()

    def action_option(self, index: int) -> None:
        """Go to an option that was clicked; again chooses it."""
        if index == self._index:
            self.action_accept()
            return
        self._index = index
        self.look()
        self.draw()
