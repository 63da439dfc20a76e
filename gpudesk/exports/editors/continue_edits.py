"""Small changes to a configuration that are safe to make: everything else stays byte for byte.

Every method gives the edits or none: none when the place is shared by an alias, is laid out in a way that one line
cannot be put into, or was changed by an edit given before. What is not possible at once is possible in the next round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.exports.text_file import line_end_of
from gpudesk.exports.values import Edit
from gpudesk.exports.yaml_layout import column_of, end_of_line

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_schema import Reader
    from gpudesk.exports.yaml_tree import Node

Edits = tuple[Edit, ...]


class Fixes:
    """Gives edits for one document that can all be made together."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._document = reader.document
        self._text = reader.document.text
        self._taken: set[tuple[int, str]] = set()

    def replace(self, node: Node, text: str) -> Edits:
        """Put another scalar in the place of one."""
        if node.kind != "scalar" or node.anchor or node.tag or node.style in {"|", ">"} or node.start == node.end:
            return ()
        return (Edit(node.start, node.end, text),) if self._take(node, "") else ()

    def rename(self, owner: Node, key: Node, name: str) -> Edits:
        """Give a key another name, unless there is one of that name."""
        if any(other.value == name for other, _ in self._reader.pairs(owner)) or key.style:
            return ()
        if key.anchor or key.tag or not owner.start <= key.start < owner.end or not self._take(owner, name):
            return ()
        return (Edit(key.start, key.end, name),)

    def quote(self, owner: Node, key: Node) -> Edits:
        """Put a plain key in quotes, unless there is one like it in quotes."""
        if any(other.style and other.value == key.value for other, _ in self._reader.pairs(owner)):
            return ()
        return self.rename(owner, key, f'"{key.value}"')

    def put(self, owner: Node, path: tuple[str, ...], text: str) -> Edits:
        """Set a key, some levels down, to a scalar; what is missing on the way is made, on one line."""
        name, *rest = path
        if owner.kind != "mapping" or self._reader.is_shared(owner):
            return ()
        if self._document.old and any(key.value == "<<" for key, _ in owner.pairs()):
            return ()
        there = owner.get(name)
        if there is None:
            if not self._take(owner, name):
                return ()
            for inner in reversed(rest):
                text = f"{{{inner}: {text}}}"
            return self._add(owner, f"{name}: {text}")
        if rest:
            return self.put(there, tuple(rest), text)
        return self.replace(there, text)

    def move(self, owner: Node, key: Node, value: Node, path: tuple[str, ...]) -> Edits:
        """Take a key with a scalar value off a mapping and put it elsewhere below that mapping."""
        if value.kind != "scalar" or value.anchor or value.tag or value.style in {"|", ">"} or key.style:
            return ()
        if self._reader.is_shared(owner) or not owner.start <= key.start < value.end <= owner.end:
            return ()
        text = self._text[value.start : value.end]
        there = owner.get(path[0])
        if there is None:  # in its own place, so that no line moves
            if not self._take(owner, path[0]) or (owner.style == "flow" and not text.strip()):
                return ()
            for inner in reversed(path[1:]):
                text = f"{{{inner}: {text}}}"
            return (Edit(key.start, value.end, f"{path[0]}: {text}"),)
        cut = self._cut(owner, key, value)
        if cut is None or self._found(there, path[1:]):
            return ()
        put = self.put(owner, path, text)
        return (*put, cut) if put else ()

    def _found(self, node: Node, path: tuple[str, ...]) -> bool:
        target: Node | None = node
        for name in path:
            target = target.get(name) if target is not None else None
        return target is not None

    def _add(self, owner: Node, text: str) -> Edits:
        """Add a line to a mapping, or a pair where it is written on one line."""
        pairs = owner.pairs()
        if owner.style == "flow":
            if pairs:
                place = pairs[-1][1].end
                return (Edit(place, place, f", {text}"),)
            place = self._text.index("{", owner.start) + 1
            return (Edit(place, place, text),) if self._take(owner, "{") else ()
        if not pairs:
            return ()
        last = pairs[-1][1]
        if self._ends_open(last):
            return ()
        place = end_of_line(self._text, max(last.end, pairs[-1][0].end))
        behind = self._text[max(last.end, pairs[-1][0].end) : place].strip(" \t:")
        if behind and not behind.startswith("#"):
            return ()
        margin = " " * column_of(self._document, pairs[0][0].start)
        return (Edit(place, place, f"{line_end_of(self._text)}{margin}{text}"),)

    def _ends_open(self, node: Node) -> bool:
        """The text ends in a block scalar, whose end is not the end of its last word."""
        while node.kind in {"mapping", "sequence"} and node.style == "block":
            node = node.pairs()[-1][1] if node.kind == "mapping" else node.items()[-1]
        return node.style in {"|", ">"}

    def _cut(self, owner: Node, key: Node, value: Node) -> Edit | None:
        """Return what takes a whole line out; None where the pair does not have a line of its own."""
        if owner.style == "flow" or owner.pairs()[0][0] is key:
            return None
        start, end = self._text.rfind("\n", 0, key.start) + 1, end_of_line(self._text, value.end)
        if self._text[start : key.start].strip() or self._text[value.end : end].strip():
            return None
        if "\n" in self._text[key.start : value.end] or start == 0:
            return None
        return Edit(start - (2 if self._text[start - 2 : start] == "\r\n" else 1), end, "")

    def _take(self, node: Node, name: str) -> bool:
        if (node.start, name) in self._taken:
            return False
        self._taken.add((node.start, name))
        return True
