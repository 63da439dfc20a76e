"""What a list shows: columns that know their width, their cell, their order, and when to step aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.cells import cell_len

from gpudesk.records import dataclass
from gpudesk.ui.cells import Line, Span, fit, fit_line, line_width

if TYPE_CHECKING:
    from gpudesk.ui.scene import Scene

Item = TypeVar("Item")

GAP = 2
"""Cells between columns."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """One column of a list of `Item`."""

    id: str
    title: str
    width: int
    cell: Callable[[Item, Scene], Line]
    right: bool = False
    """Figures stand at the right, so that their digits line up."""
    grow: int = 0
    """Share of the room left over; 0 keeps the width."""
    rank: int = 0
    """When it is too narrow, columns with the highest rank go first; 0 never goes."""
    order: Callable[[Item, Scene], Any] | None = None
    """Sort value; None values are put last either way."""
    largest_first: bool = False
    help: str = ""
    """What the column means, for the help view."""


@dataclass(frozen=True, slots=True)
class Table(Generic[Item]):
    """A kind of list."""

    id: str
    columns: tuple[Column[Item], ...]
    key: Callable[[Item], str]
    """Identifies an item across desks; the cursor holds on to it."""
    haystack: Callable[[Item], str]
    """Text the filter looks into."""
    basis: Callable[[Scene], object] | None = None
    """What the cells depend on besides their item; rows are kept while neither changes. None: every moment."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[Item]):
    """A column with the width it got."""

    column: Column[Item]
    width: int


def place(columns: Sequence[Column[Item]], width: int) -> list[Placed[Item]]:
    """Choose the columns that fit into `width` cells and divide what is left among the growing ones."""
    kept = list(columns)

    def needed() -> int:
        return sum(column.width for column in kept) + GAP * (len(kept) - 1)

    while len(kept) > 1 and needed() > width:
        droppable = [column for column in kept if column.rank > 0]
        if not droppable:
            break
        highest = max(column.rank for column in droppable)
        kept.remove([column for column in droppable if column.rank == highest][-1])
    spare = width - needed()
    growing = sum(column.grow for column in kept)
    placed: list[Placed[Item]] = []
    for column in kept:
        extra = 0
        if column.grow and growing:
            extra = spare * column.grow // growing
            spare -= extra
            growing -= column.grow
        placed.append(Placed(column, max(1, column.width + extra)))
    return placed


def header(placed: Sequence[Placed[Item]], *, sorted_by: str | None, reverse: bool, note: Line = ()) -> Line:
    """Return the column titles; the one the list is ordered by carries an arrow, the growing one the note."""
    spans: list[Span] = []
    for index, (column, width) in enumerate((entry.column, entry.width) for entry in placed):
        if index:
            spans.append(Span(" " * GAP))
        title, role = column.title, "head"
        if column.id == sorted_by:
            arrow = "▾" if reverse else "▴"
            title, role = (f"{arrow}{title}" if column.right else f"{title}{arrow}"), "head-sort"
        action = f"sort('{column.id}')" if column.order is not None else ""
        if note and column.grow:
            if cell_len(title) + GAP + line_width(note) > width:
                title = title.split()[0]
            spans.extend(fit_line((Span(title, role, action), Span(" " * GAP), *note), width))
            note = ()
        else:
            spans.append(Span(fit(title, width, right=column.right), role, action))
    return tuple(spans)


def row(placed: Sequence[Placed[Item]], item: Item, scene: Scene) -> Line:
    """Return one item's cells side by side."""
    spans: list[Span] = []
    for index, entry in enumerate(placed):
        if index:
            spans.append(Span(" " * GAP))
        spans.extend(fit_line(entry.column.cell(item, scene), entry.width, right=entry.column.right))
    return tuple(spans)


def ordered(items: Sequence[Item], scene: Scene, column: Column[Item] | None, *, reverse: bool) -> list[Item]:
    """Order items by a column; equal ones keep the order they came in, unknown values come last."""
    if column is None or column.order is None:
        return list(items)
    order = column.order
    known = [(value, item) for item in items if (value := order(item, scene)) is not None]
    unknown = [item for item in items if order(item, scene) is None]
    known.sort(key=lambda pair: pair[0], reverse=reverse)
    return [item for _, item in known] + unknown
