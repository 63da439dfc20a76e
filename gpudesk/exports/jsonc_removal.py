"""Finding and taking out what gpudesk put into JSON with comments, by its marks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.jsonc_layout import applied
from gpudesk.exports.jsonc_tree import Child, Document, Key, KeyPath, Node
from gpudesk.exports.values import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence


def marked(node: Node | None, path: KeyPath = ()) -> list[KeyPath]:
    """Return the paths of the values that gpudesk put in; not of what was only made for them."""
    if node is None:
        return []
    if node.mark is not None and not node.made:
        return [path]
    return [
        found
        for place, child in enumerate(node.children)
        if child.node.children or child.node.mark is not None
        for found in marked(child.node, (*path, _key(place, child)))
    ]


def _key(place: int, child: Child) -> Key:
    """Return what finds a child; an element of a list goes by its `name` where it has one."""
    if child.name is not None:
        return child.name
    data = child.node.data
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        return ("name", data["name"])
    return ("", place)


def without(document: Document, paths: set[KeyPath], owned: frozenset[KeyPath] = frozenset()) -> str:
    """Return the text without the values at paths, as far as they are gpudesk's: by their mark, or `owned`."""
    root = document.root
    if root is None:
        return document.text
    edits: list[Edit] = []
    if _take_out(document.text, root, (), paths, owned, edits) and root.made and root.mark is not None:
        before, rest = document.text[: root.mark], document.text[root.end :]
        return re.sub(r"\r?\n\Z", "", before) + (rest if rest.strip() else "")
    return applied(document.text, edits)


def _take_out(
    text: str, node: Node, path: KeyPath, paths: set[KeyPath], owned: frozenset[KeyPath], edits: list[Edit]
) -> bool:
    """Collect what takes values out of an object or list; tell whether nothing is left in what was made for them."""
    gone: list[Child] = []
    for place, child in enumerate(node.children):
        key = (*path, _key(place, child))
        inner = child.node
        if key in paths and (inner.mark is not None or key in owned):
            if inner.mark is not None and inner.old is not None:
                edits.append(Edit(inner.mark, inner.end, inner.old))
            else:
                gone.append(child)
        elif inner.children:
            within: list[Edit] = []
            if _take_out(text, inner, key, paths, owned, within):
                gone.append(child)
            else:
                edits += within
    if node.made and node.children and len(gone) == len(node.children):
        return True
    if node.made and node.mark is not None and all(found in paths for found in marked(node, path)):
        edits.append(Edit(node.mark, node.start, ""))  # the user has put something in: it is the user's now
    edits += _cuts(text, node, gone)
    return False


def _cuts(text: str, node: Node, gone: Sequence[Child]) -> list[Edit]:
    edits: list[Edit] = []
    places = {id(child) for child in gone}
    stays = [child for child in node.children if id(child) not in places]
    for child in gone:
        end = child.node.end
        if child.comma is not None:
            blank = not text[end : child.comma].strip()
            end, extra = (child.comma + 1, None) if blank else (end, Edit(child.comma, child.comma + 1, ""))
            edits += [extra] if extra else []
        edits.append(Edit(_begin(text, child, node), end, ""))
    if gone and stays and node.children[-1].comma is None and id(node.children[-1]) in places:
        comma = stays[-1].comma
        if comma is not None:
            edits.append(Edit(comma, comma + 1, ""))
    return edits


def _begin(text: str, child: Child, node: Node) -> int:
    """Return from where a child was put in: its line end and indentation, or the blank before it."""
    line = re.search(r"\r?\n[ \t]*\Z", text[: child.start])
    if line is not None and line.start() >= node.start:
        return line.start()
    blank = text[child.start - 1 : child.start] == " " and child is not node.children[0]
    return child.start - 1 if blank else child.start
