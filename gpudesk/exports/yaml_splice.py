"""Changes to a YAML document as text put in or cut out; what is not changed stays byte for byte.

An insertion never touches what is there: it begins with the line end that it needs and ends without one, so that
cutting it out again gives the original bytes. Where a list is empty (`models: []`), the old value becomes a comment
behind `# gpudesk: instead of`, and comes back from there. Every change is checked by parsing before and after and
comparing everything else; what does not compare is refused, never written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_end_of
from gpudesk.exports.values import Edit
from gpudesk.exports.yaml_layout import (
    Style,
    after_comments,
    at_end,
    column_of,
    content_end,
    dash_of,
    end_of_line,
    refused,
    style_of,
    whole_lines,
)
from gpudesk.exports.yaml_text import entry_lines, flow_text
from gpudesk.exports.yaml_tree import Document, Node, read, same, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

INSTEAD = " # gpudesk: instead of"
"""Put before an empty value, which it turns into a comment."""
ADDED = " # gpudesk: added"
"""Behind a key that was not there."""
_EMPTY = re.compile(r":(?P<rest>[ \t]*(?:\[[ \t]*\]|~|null)?[ \t]*(?:(?<=[ \t])#[^\r\n]*)?)(?=\r?\n|\Z)")
_ADDED_IN_FLOW = "  :  "
"""Between such a key and its value in a document in flow style, where a comment would end the line."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; they must not overlap.

    Raises:
        ValueError: two overlap.
    """
    parts: list[str] = []
    place = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < place:
            raise ValueError("edits overlap")
        parts += (text[place : edit.start], edit.text)
        place = edit.end
    return "".join([*parts, text[place:]])


def with_entries(document: Document, key: str, entries: Sequence[Any], ours: Callable[[Any], str | None]) -> str:
    """Return the text with entries of a top-level list put in, in the place of those that are ours already.

    Args:
        document: what is there.
        key: of the list, `models`.
        entries: what shall be there, each with a name by `ours`; none removes ours.
        ours: the name of an entry that is ours, None for the user's.

    Raises:
        ExportError: it cannot be done without touching something else; says where and why.
    """
    after = apply(document.text, _edits(document, key, entries, ours))
    _verify(document, after, key, entries, ours)
    return after


def _edits(document: Document, key: str, entries: Sequence[Any], ours: Callable[[Any], str | None]) -> list[Edit]:
    root = document.root
    if root is not None and root.kind != "mapping":
        raise refused(document, root, "the document is no mapping of keys")
    found = next((pair for pair in root.pairs() if pair[0].value == key), None) if root is not None else None
    if found is None:
        return _new_key(document, key, entries) if entries else []
    name, items = found
    if items.kind == "alias":
        raise refused(document, items, f"{key} is an alias: its entries belong to another place")
    if items.kind == "scalar" and (document.data(items) is not None or items.style):
        raise refused(document, items, f"{key} is not a list")
    if items.kind == "mapping":
        raise refused(document, items, f"{key} is a mapping, not a list")
    _check_unshared(document, items, key)
    named = [(index, ours(document.data(node))) for index, node in enumerate(items.items())]
    mine = {index: label for index, label in named if label is not None}
    wanted = {ours(entry): entry for entry in entries}
    replaced = {index: wanted.pop(label) for index, label in mine.items() if label in wanted}
    cut = [index for index in mine if index not in replaced]
    if not entries and len(mine) == len(items.items()) and mine:
        return _emptied(document, name, items)
    edits = [edit for index, entry in replaced.items() for edit in _replace(document, items, index, entry)]
    if len(cut) == len(items.items()) and cut:  # nothing would stay: put the new ones in the place of the first
        first, *cut = cut
        edits += _replace(document, items, first, wanted.pop(next(iter(wanted))))
    edits += _cut(document, items, cut)
    return edits + (_append(document, name, items, list(wanted.values()), cut) if wanted else [])


def _check_unshared(document: Document, items: Node, key: str) -> None:
    if items.anchor and any(node.kind == "alias" and node.value == items.anchor for node in walk(document.root)):
        raise refused(document, items, f"{key} is used elsewhere as *{items.anchor}: a change here would show there")


def _replace(document: Document, items: Node, index: int, entry: Any) -> list[Edit]:
    node = items.value[index]
    if node.kind != "alias" and document.data(node) == entry:
        return []
    _check_no_anchor(document, node)
    if items.style == "flow":
        return [Edit(node.start, node.end, flow_text(entry))]
    start = dash_of(document, node)
    style = style_of(document, items)
    margin = "\n" if line_end_of(document.text) == "\n" else "\r\n"
    lines = entry_lines(entry, style.step, style.dash)
    return [Edit(start, content_end(document, node), (margin + " " * column_of(document, start)).join(lines))]


def _check_no_anchor(document: Document, node: Node) -> None:
    names = {inner.anchor for inner in walk(node) if inner.anchor}
    if not names:
        return
    for other in walk(document.root):
        if other.kind == "alias" and other.value in names and not node.start <= other.start < node.end:
            raise refused(document, node, f"this entry is used elsewhere as *{other.value}")


def _cut(document: Document, items: Node, indexes: Sequence[int]) -> list[Edit]:
    nodes = items.items()
    edits: list[Edit] = []
    for index in indexes:
        node = nodes[index]
        _check_no_anchor(document, node)
        if items.style == "block":
            edits.append(Edit(*whole_lines(document, dash_of(document, node), content_end(document, node)), ""))
        elif any(other not in indexes for other in range(index)):
            edits.append(Edit(nodes[index - 1].end, node.end, ""))
        else:
            edits.append(Edit(node.start, nodes[index + 1].start, ""))
    return edits


def _emptied(document: Document, name: Node, items: Node) -> list[Edit]:
    """Return what takes out a list in which everything is ours, as it was before."""
    text, nodes = document.text, items.items()
    for node in nodes:
        _check_no_anchor(document, node)
    if items.style == "flow":
        if text[name.end : items.start] != _ADDED_IN_FLOW:
            return [Edit(nodes[0].start, nodes[-1].end, "")]
        before = text[: name.start].rstrip()
        return [Edit(len(before) - 1 if before.endswith(",") else name.start, items.end, "")]
    colon = text.index(":", name.end)
    line_end = end_of_line(text, colon)
    cuts = [Edit(*whole_lines(document, dash_of(document, node), content_end(document, node)), "") for node in nodes]
    gaps = zip([line_end, *(content_end(document, node) for node in nodes)], nodes, strict=False)
    commented = any("#" in text[end : dash_of(document, node)] for end, node in gaps)
    if text[colon + 1 : line_end].rstrip() == ADDED and not commented:
        return [Edit(*whole_lines(document, name.start, content_end(document, nodes[-1])), "")]
    if text.startswith(INSTEAD, colon + 1):
        return [Edit(colon + 1, colon + 1 + len(INSTEAD), ""), *cuts]
    return [Edit(colon + 1, colon + 1, " []"), *cuts]


def _append(document: Document, name: Node, items: Node, entries: list[Any], cut: Sequence[int]) -> list[Edit]:
    text = document.text
    if items.style == "flow" and items.items():
        last = max(index for index in range(len(items.items())) if index not in cut)
        node = items.value[last]
        return [Edit(node.end, node.end, "".join(", " + flow_text(entry) for entry in entries))]
    style = style_of(document, items if items.kind == "sequence" else None)
    if items.kind == "sequence" and items.style == "block":
        last = max(index for index in range(len(items.items())) if index not in cut)
        node = items.value[last]
        place = after_comments(text, content_end(document, node), style.dash_column)
        if place == len(text) and list(walk(node))[-1].style in {"|", ">"}:
            # A line end behind it would become part of its value.
            place, _ = whole_lines(document, dash_of(document, node), content_end(document, node))
        return [Edit(place, place, _new_lines(document, entries, style))]
    found = _EMPTY.match(text, name.end)
    if document.root is not None and document.root.style == "block" and found and not items.anchor and not items.tag:
        end = found.end("rest")
        return [
            Edit(found.start("rest"), found.start("rest"), INSTEAD),
            Edit(end, end, _new_lines(document, entries, style)),
        ]
    if items.kind == "sequence":
        place = text.index("[", items.start) + 1
        return [Edit(place, place, ", ".join(flow_text(entry) for entry in entries))]
    raise refused(document, items, f"{name.value} has no value that a list could be put in the place of")


def _new_key(document: Document, key: str, entries: Sequence[Any]) -> list[Edit]:
    root, text = document.root, document.text
    if root is None:
        raise refused(document, 0, "there is nothing in it")
    if any(name.value == "<<" for name, _ in root.pairs()):
        raise refused(document, root, f"{key} may come from what << merges in")
    if root.style == "flow":
        listed = "[" + ", ".join(flow_text(entry) for entry in entries) + "]"
        place = root.pairs()[-1][1].end if root.pairs() else text.index("{", root.start) + 1
        return [Edit(place, place, (", " if root.pairs() else "") + f"{flow_text(key)}{_ADDED_IN_FLOW}{listed}")]
    column = column_of(document, root.pairs()[0][0].start)
    style = style_of(document, None)
    return [at_end(document, f"{' ' * column}{key}:{ADDED}{_new_lines(document, entries, style)}")]


def _new_lines(document: Document, entries: Iterable[Any], style: Style) -> str:
    margin = line_end_of(document.text)
    return "".join(
        f"{margin}{' ' * style.dash_column}{line}"
        for entry in entries
        for line in entry_lines(entry, style.step, style.dash)
    )


def _verify(before: Document, text: str, key: str, entries: Sequence[Any], ours: Callable[[Any], str | None]) -> None:
    """Refuse a change that changed anything else, or not what it should."""
    try:
        after = read(text)
    except ExportError as error:
        raise ExportError(f"the change would not leave valid YAML: {error.message}") from error

    def others(document: Document) -> list[tuple[Node, Node]]:
        return [pair for pair in (document.root.pairs() if document.root else []) if pair[0].value != key]

    def split(document: Document) -> tuple[list[Node], list[Any]]:
        items = document.at((key,))
        nodes = items.items() if items is not None else []
        data = [(node, document.data(node)) for node in nodes]
        return [node for node, value in data if ours(value) is None], [
            value for _, value in data if ours(value) is not None
        ]

    left, right = others(before), others(after)
    (their_before, _), (their_after, mine) = split(before), split(after)
    fine = (
        before.old == after.old
        and len(left) == len(right)
        and all(same(a, c) and same(b, d) for (a, b), (c, d) in zip(left, right, strict=True))
        and len(their_before) == len(their_after)
        and all(map(same, their_before, their_after))
        and sorted(mine, key=ours) == sorted(entries, key=ours)  # type: ignore[arg-type]
    )
    if not fine:
        raise ExportError("the change would alter something else in the file, so nothing is changed")
