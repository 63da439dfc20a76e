"""The line a filter is typed into; imported when first asked for, because Textual's Input costs start-up time."""

from __future__ import annotations

from textual.widgets import Input


class FilterLine(Input):
    """A one-line input above the footer."""

    def __init__(self, value: str, placeholder: str) -> None:
        super().__init__(value, placeholder=placeholder, id="filter", compact=True, select_on_focus=False)
        self.cursor_blink = False
