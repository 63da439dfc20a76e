"""A YAML document as a tree that knows where everything is in the text.

Made of what is written, never of values: aliases stay aliases (a document that expands to gigabytes does not), and 1.2
or `%YAML 1.1` matter only where a plain scalar is read as a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from gpudesk.errors import ExportError
from gpudesk.exports.yaml_scalars import plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["scalar", "mapping", "sequence", "alias"]
Path = tuple["str | int", ...]


class YamlError(ExportError):
    """A text is no YAML that Continue's parser takes; `line` and `column` from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.reason = message


class Node:
    """One node; a plain class, for a file has thousands. `start` to `end` is its text, anchor and tag included."""

    __slots__ = ("anchor", "end", "kind", "start", "style", "tag", "value")

    def __init__(
        self,
        kind: Kind,
        start: int,
        end: int,
        value: Any,
        style: str,
        anchor: str | None = None,
        tag: str | None = None,
    ) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.value = value
        """Text of a scalar, pairs of a mapping, nodes of a sequence, name of an alias."""
        self.style = style
        """Of a scalar: empty (plain), `'`, `"`, `|`, `>`; of the others `flow` or `block`."""
        self.anchor = anchor
        self.tag = tag

    def pairs(self) -> list[tuple[Node, Node]]:
        """Return keys and values of a mapping; nothing for any other."""
        return self.value if self.kind == "mapping" else []

    def items(self) -> list[Node]:
        """Return the entries of a sequence; nothing for any other."""
        return self.value if self.kind == "sequence" else []

    def get(self, name: str) -> Node | None:
        """Return the value of a key."""
        for key, value in self.pairs():
            if key.kind == "scalar" and key.value == name:
                return value
        return None


class Document:
    """A text and its tree."""

    __slots__ = ("old", "root", "text")

    def __init__(self, text: str, root: Node | None, *, old: bool) -> None:
        self.text = text
        self.root = root
        """None: nothing but comments."""
        self.old = old
        """Begins with `%YAML 1.1`: `yes` is true there and `<<` merges."""

    def at(self, path: Path) -> Node | None:
        """Return the node of a key path."""
        node = self.root
        for step in path:
            if node is None:
                return None
            if isinstance(step, int):
                items = node.items()
                node = items[step] if -len(items) <= step < len(items) else None
            else:
                node = node.get(step)
        return node

    def data(self, node: Node | None) -> Any:
        """Return a node as Continue's parser reads it; an alias or tagged node as its text."""
        if node is None:
            return None
        if node.kind == "mapping":
            return {self.data(key) if key.kind == "scalar" else key.start: self.data(v) for key, v in node.value}
        if node.kind == "sequence":
            return [self.data(item) for item in node.value]
        if node.kind == "alias":
            return f"*{node.value}"
        if node.style or node.tag:
            return node.value
        return plain_value(node.value, old=self.old)


def walk(node: Node | None) -> Iterator[Node]:
    """Yield a node and everything in it."""
    if node is None:
        return
    yield node
    if node.kind == "mapping":
        for key, value in node.value:
            yield from walk(key)
            yield from walk(value)
    elif node.kind == "sequence":
        for item in node.value:
            yield from walk(item)


def same(left: Node | None, right: Node | None) -> bool:
    """Two nodes say the same, wherever they are."""
    if left is None or right is None:
        return left is right
    if left.kind != right.kind or left.tag != right.tag or left.anchor != right.anchor:
        return False
    if left.kind == "mapping":
        return len(left.value) == len(right.value) and all(
            same(a, c) and same(b, d) for (a, b), (c, d) in zip(left.value, right.value, strict=True)
        )
    if left.kind == "sequence":
        return len(left.value) == len(right.value) and all(map(same, left.value, right.value))
    return bool(left.value == right.value and left.style == right.style)


def read(text: str) -> Document:
    """Read a document.

    Raises:
        YamlError: it is no YAML, or none that Continue's parser takes.
    """
    from gpudesk.exports.yaml_inline import UnsureError
    from gpudesk.exports.yaml_quick import read_quickly

    try:
        return read_quickly(text)
    except UnsureError:
        from gpudesk.exports.yaml_whole import read_wholly

        return read_wholly(text)
