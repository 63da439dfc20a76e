"""The journal as a sheet: what gpudesk did, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.values import Ending
from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, cells, line_width, wrap
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
NOTHING_YET = "Nothing has been done yet."
COMES_HERE = (
    "what you do by key or command, and what the guard does, will stand here, newest first: when, why, how it ended",
    "`gpudesk log` prints the same in a shell",
)


def entry_lines(entry: JournalEntry, width: int) -> list[Line]:
    """Return one action: when, what, by whom, how it ended."""
    glyph, role = ENDINGS[entry.ending]
    when = f"{entry.at.astimezone():%a %d %b %H:%M:%S}"
    seconds = f", {entry.seconds:.1f} s" if entry.seconds >= 0.05 else ""
    about = f"{when}, {entry.who}{seconds}"
    subject = wrap(f"{entry.action} {entry.subject}", max(8, width - 2))
    head: list[Line] = [
        (Span(f"{glyph} " if index == 0 else "  ", role), Span(piece, "strong")) for index, piece in enumerate(subject)
    ]
    if line_width(head[-1]) + cells(about) + 2 <= width:
        head[-1] = (*head[-1], Span(f"  {about}", "dim"))
    else:
        head.append((Span(f"  {about}", "dim"),))
    lines = head
    lines += paragraphs([f"{entry.ending}: {entry.message}"], width, mark=" ")
    if entry.why:
        lines += paragraphs([entry.why], width, mark=" ", role="dim")
    if entry.hint and entry.ending is not Ending.DONE:
        lines += paragraphs([entry.hint], width, mark="→")
    return [*lines, ()]


class JournalScreen(SheetScreen, inherit_bindings=False):
    """What was done."""

    BINDINGS = bindings_for(Scope.EVERYWHERE)

    def __init__(
        self, entries: Sequence[JournalEntry], keymap: Mapping[str, str], *, problem: str | None = None
    ) -> None:
        """Make the sheet.

        Args:
            entries: what was done, the newest last.
            keymap: the user's keys.
            problem: why something may be missing.
        """
        super().__init__(keymap)
        self._entries = entries
        self._problems = () if problem is None else (problem,)

    def contents(self, _scene: Scene, width: int) -> tuple[Line, Sequence[Line]]:
        """Return the entries, newest first."""
        missing = paragraphs(self._problems, width, mark="!", role="warn")
        if not self._entries:
            nothing: list[Line] = [] if missing else [(Span(NOTHING_YET, "strong"),), ()]
            return (Span("Journal", "title-focus"),), [*missing, *nothing, *paragraphs(COMES_HERE, width)]
        title = (Span("Journal", "title-focus"), Span(f"  {len(self._entries)} newest", "dim"))
        entries = [line for entry in reversed(self._entries) for line in entry_lines(entry, width)]
        return title, [*missing, *entries]
