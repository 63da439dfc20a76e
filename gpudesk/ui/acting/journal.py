"""The journal as a sheet: what gpudesk did, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.values import Ending
from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.detail_lines import paragraphs
from gpudesk.ui.screens.sheet import SheetScreen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.actions.values import JournalEntry
    from gpudesk.ui.scene import Scene

ENTRIES_MOST = 200
ENDINGS = {
    Ending.DONE: ("✓", "good"),
    Ending.UNDONE: ("↶", "warn"),
    Ending.FAILED: ("✗", "error"),
    Ending.REFUSED: ("·", "dim"),
}
"""Glyph and role of how an action ended; the message says it in words."""


def entry_lines(entry: JournalEntry, width: int) -> list[Line]:
    """Return one action: when, what, by whom, how it ended."""
    glyph, role = ENDINGS[entry.ending]
    when = f"{entry.at.astimezone():%a %d %b %H:%M:%S}"
    seconds = f", {entry.seconds:.1f} s" if entry.seconds >= 0.05 else ""
    lines: list[Line] = [
        (Span(f"{glyph} ", role), Span(f"{entry.action} {entry.subject}", "strong"),
         Span(f"  {when}, {entry.who}{seconds}", "dim"))
    ]  # fmt: skip
    lines += paragraphs([f"{entry.ending}: {entry.message}"], width, mark=" ")
    if entry.why:
        lines += paragraphs([entry.why], width, mark=" ", role="dim")
    if entry.hint and entry.ending is not Ending.DONE:
        lines += paragraphs([entry.hint], width, mark="→")
    return [*lines, ()]


class JournalScreen(SheetScreen, inherit_bindings=False):
    """What was done."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)

    def __init__(self, entries: Sequence[JournalEntry], keymap: Mapping[str, str]) -> None:
        super().__init__(keymap)
        self._entries = entries

    def contents(self, _scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the entries, newest first."""
        title = (Span("Journal", "title-focus"), Span(f"  {len(self._entries)} newest", "dim"))
        if not self._entries:
            return title, [(Span("gpudesk has done nothing yet", "dim"),)]
        return title, [line for entry in reversed(self._entries) for line in entry_lines(entry, width)]
