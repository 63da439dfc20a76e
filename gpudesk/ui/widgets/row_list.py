"""A list of rows that follows its rows, not their positions.

Own widget instead of Textual's DataTable, for two measured reasons. Cost: with 6 + 40 rows and six changed cells a
second a DataTable pair takes 0.7 % of a core and 0.20 s to the first paint, lists that repaint changed lines only
take 0.3 % and 0.14 s (an empty application takes 0.17 % and 0.135 s). And the DataTable's cursor is a position: after
a sort or a removal it stands on another row, which in a live list makes a key act on the wrong thing. Here the cursor
is a row's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from textual.message import Message

from gpudesk.keymap import Scope
from gpudesk.ui.bindings import bindings_for
from gpudesk.ui.cells import Line, Span, line_width
from gpudesk.ui.layout import Frame, body_width
from gpudesk.ui.tables import Placed, Table, header, ordered, place, row
from gpudesk.ui.widgets.focusable import FocusableWidget
from gpudesk.ui.widgets.panel import frame_lines
from gpudesk.ui.widgets.scrolling import thumb_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.geometry import Size

    from gpudesk.ui.scene import Scene
    from gpudesk.ui.widgets.panel import Painted

Item = TypeVar("Item")

TITLE_MARGIN = 7
"""Cells between and around a title and what stands at the right of it."""
MOST_ROWS_KEPT = 500
"""Composed rows kept for the next moment."""


class RowList(FocusableWidget, Generic[Item]):
    """Rows of a table, sortable, filterable, scrollable, with a cursor that holds on to its row."""

    BINDINGS = bindings_for(Scope.LIST)

    class Opened(Message):
        """A row was asked for its details."""

        def __init__(self, rows: RowList[Any], key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

    class Changed(Message):
        """Focus or filter changed, which the rest of the screen shows too."""

    def __init__(self, table: Table[Item], *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.table = table
        self.frame = Frame.NONE
        self.title: Line = ()
        self.empty: Sequence[Line] = ()
        """What is said where there are no rows."""
        self.note: Line = ()
        """Said in the header, about all rows: how old they are."""
        self.filter_text = ""
        self.sorted_by: str | None = None
        self.reverse = False
        self.cursor_key: str | None = None
        """Key of the row the cursor stands on; None follows whatever is first."""
        self._items: Sequence[Item] = ()
        self._scene: Scene | None = None
        self._rows: list[Item] = []
        self._keys: list[str] = []
        self._index = 0
        self._top = 0
        self._built_from: tuple[object, ...] = ()
        self._kept: dict[str, tuple[Item, Line]] = {}
        self._kept_for: object = None

    # --- what is in it ------------------------------------------------------------------------------------------

    def set_items(self, items: Sequence[Item], scene: Scene) -> None:
        """Take the items of a new desk; order, filter, cursor and scroll position are kept by key."""
        self._items = items
        self._scene = scene
        self._rebuild()

    def _rebuild(self) -> None:
        """Filter and order; skipped when nothing it depends on has changed."""
        if self._scene is None:
            return
        column = next((column for column in self.table.columns if column.id == self.sorted_by), None)
        built_from = (self._items, self.filter_text, self.sorted_by, self.reverse)
        # Orders by cell may depend on the moment (time left); the order the desk gives does not.
        if column is None and built_from == self._built_from:
            return
        self._built_from = built_from
        items = self._items
        if self.filter_text:
            words = self.filter_text.casefold().split()
            haystack = self.table.haystack
            items = [item for item in items if all(word in haystack(item).casefold() for word in words)]
        self._rows = ordered(items, self._scene, column, reverse=self.reverse)
        self._keys = _unique([self.table.key(item) for item in self._rows])
        self._anchor()

    def _anchor(self) -> None:
        """Put the cursor back on its row, at the same height on the screen where possible."""
        before = self._index
        last = len(self._keys) - 1
        if self.cursor_key is None:
            self._index = 0
        elif self.cursor_key in self._keys:
            self._index = self._keys.index(self.cursor_key)
            self._top += self._index - before
        else:
            self._index = max(0, min(before, last))
            self.cursor_key = self._keys[self._index] if self._keys else None

    @property
    def counts(self) -> tuple[int, int]:
        """Rows shown by the filter, and rows there are."""
        return len(self._rows), len(self._items)

    @property
    def selected(self) -> Item | None:
        """The item under the cursor."""
        return self._rows[self._index] if 0 <= self._index < len(self._rows) else None

    @property
    def selected_key(self) -> str | None:
        """Key of the item under the cursor."""
        return self._keys[self._index] if 0 <= self._index < len(self._keys) else None

    # --- how it is shown ----------------------------------------------------------------------------------------

    @property
    def page_lines(self) -> int:
        """Rows that fit under the header."""
        return max(0, self.size.height - self.frame.lines - 1)

    def lines(self, size: Size) -> list[Painted]:
        """Compose what is visible."""
        if self._scene is None:
            return []
        count = self.page_lines
        self._keep_visible(count)
        placed = place(self.table.columns, body_width(size.width, self.frame))
        self._refresh_kept(placed, self._scene)
        body: list[tuple[Line, str]] = [
            (header(placed, sorted_by=self.sorted_by, reverse=self.reverse, note=self.note), self._head_ground),
        ]
        for index in range(self._top, min(self._top + count, len(self._rows))):
            ground = "cursor" if index == self._index and self.has_focus else ""
            body.append((self._row(index, placed, self._scene), ground))
        if not self._rows:
            nothing: Line = (Span(f"nothing matches “{self.filter_text}”", "dim"),)
            body.extend((line, "") for line in ([nothing] if self._items else self.empty))
        return frame_lines(
            body,
            size.width,
            size.height,
            self.frame,
            title=self.title,
            right=self._position(count, size.width),
            focused=self.has_focus,
            thumb=self._thumb(count),
        )

    def _refresh_kept(self, placed: Sequence[Placed[Item]], scene: Scene) -> None:
        """Forget the rows composed before when what they depend on has changed."""
        basis = self.table.basis
        kept_for = None if basis is None else (basis(scene), [(entry.column.id, entry.width) for entry in placed])
        if kept_for is None or kept_for != self._kept_for or len(self._kept) > MOST_ROWS_KEPT:
            self._kept.clear()
        self._kept_for = kept_for

    def _row(self, index: int, placed: Sequence[Placed[Item]], scene: Scene) -> Line:
        """Compose a row, or take the one composed before for an equal item."""
        item, key = self._rows[index], self._keys[index]
        kept = self._kept.get(key)
        if kept is not None and (kept[0] is item or kept[0] == item):
            return kept[1]
        line = row(placed, item, scene)
        self._kept[key] = (item, line)
        return line

    @property
    def _head_ground(self) -> str:
        """A band, where no frame tells where the list begins."""
        return "" if self.frame is Frame.BOX else "head"

    def _position(self, lines: int, width: int) -> Line:
        """Return the filter, and where we are when not everything is visible and the title leaves room."""
        spans: list[Span] = []
        shown, total = self.counts
        if self.filter_text:
            spans.append(Span(f"/{self.filter_text}", "accent"))
            spans.append(Span(f"  {shown} of {total}", "dim"))
        elif shown > lines:
            position = f"{self._index + 1}/{shown}"
            if line_width(self.title) + len(position) + TITLE_MARGIN <= width:
                spans.append(Span(position, "dim"))
        return tuple(spans)

    def _thumb(self, lines: int) -> tuple[int, int] | None:
        """Return the first and last line of the scroll bar's thumb, counted below the header."""
        thumb = thumb_of(self._top, lines, len(self._rows))
        return None if thumb is None else (thumb[0] + 1, thumb[1] + 1)

    def _keep_visible(self, lines: int) -> None:
        """Scroll so that the cursor is on the screen and no room is wasted below the last row."""
        if lines <= 0:
            return
        self._top = max(min(self._top, self._index), self._index - lines + 1)
        self._top = max(0, min(self._top, len(self._rows) - lines))

    # --- keys and mouse -----------------------------------------------------------------------------------------

    def _go(self, index: int) -> None:
        """Put the cursor on a row and hold on to it."""
        if not self._keys:
            return
        self._index = max(0, min(index, len(self._keys) - 1))
        self.cursor_key = self._keys[self._index]
        self.redraw()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._index + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self._go(self._index + pages * max(1, self.page_lines - 1))

    def action_first(self) -> None:
        """Go to the first row and follow whatever is first from now on."""
        self._index = self._top = 0
        self.cursor_key = None
        self.redraw()

    def action_last(self) -> None:
        """Go to the last row."""
        self._go(len(self._keys) - 1)

    def action_details(self) -> None:
        """Ask for the details of the row under the cursor."""
        item = self.selected
        if item is not None:
            self.post_message(self.Opened(self, self.table.key(item)))

    def action_next_sort(self) -> None:
        """Order by the next column that has an order, after the last by none."""
        sortable = [column.id for column in self.table.columns if column.order is not None]
        position = sortable.index(self.sorted_by) + 1 if self.sorted_by in sortable else 0
        self._sort(sortable[position] if position < len(sortable) else None)

    def action_reverse_sort(self) -> None:
        """Turn the order around."""
        if self.sorted_by is not None:
            self.reverse = not self.reverse
            self._rebuild()
            self.redraw()

    def action_sort(self, column_id: str) -> None:
        """Order by a column; by the same one again, the other way around."""
        if self.sorted_by == column_id:
            self.action_reverse_sort()
        else:
            self._sort(column_id)

    def _sort(self, column_id: str | None) -> None:
        self.sorted_by = column_id
        self.reverse = any(column.largest_first for column in self.table.columns if column.id == column_id)
        self._built_from = ()
        self._rebuild()
        self.redraw()

    def set_filter(self, text: str) -> None:
        """Show only rows that contain every word of `text`."""
        self.filter_text = text.strip()
        self._rebuild()
        self.redraw()
        self.post_message(self.Changed())

    def clicked(self, event: events.Click) -> None:
        """Put the cursor under the mouse; a second click opens the row."""
        index = self._top + event.y - (1 if self.frame is not Frame.NONE else 0) - 1
        if event.y > 0 and 0 <= index < len(self._keys):
            self._go(index)
            if event.chain > 1:
                self.action_details()

    def wheel_turned(self, step: int) -> None:
        """Move the cursor."""
        self.action_move(step)

    def focus_changed(self) -> None:
        """Have the cursor shown or hidden, and the titles of the lists with it."""
        self.post_message(self.Changed())


def _unique(keys: list[str]) -> list[str]:
    """Number the keys that occur more than once, so that the cursor can stand on each of their rows."""
    if len(set(keys)) == len(keys):
        return keys
    seen: dict[str, int] = {}
    numbered: list[str] = []
    for key in keys:
        count = seen[key] = seen.get(key, -1) + 1
        numbered.append(f"{key} #{count}" if count else key)
    return numbered
