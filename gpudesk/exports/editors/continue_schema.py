"""Where a configuration differs from Continue's schema, with the place of each difference in the text."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editors.continue_shapes import CONFIG, MCP_COMMAND, MCP_URL, Shape, uses_of
from gpudesk.exports.yaml_tree import Document, Node, walk
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = re.compile(
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z", re.ASCII
)
_STEPS = 200_000
"""Nodes looked at, at most: aliases of aliases stand for more than anybody can count."""


class MismatchKind(StrEnum):
    """In which way."""

    UNKNOWN = "unknown"
    MISSING = "missing"
    TYPE = "type"
    CHOICE = "choice"
    MERGE = "merge"
    """`<<` in a file that is not YAML 1.1."""
    WORD = "word"
    """A key that is true or false to the parser: `n` in a file that is YAML 1.1."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference."""

    kind: MismatchKind
    where: str
    """Key path."""
    owner: Node
    """The mapping or list it is in."""
    place: Node
    """The key when it is unknown or a word, otherwise the value; of a missing key its owner."""
    shape: Shape
    """What the value should be; of an unknown or missing key, what its owner is."""
    key: str = ""
    """Unknown or missing."""
    value: Node | None = None
    """Of an unknown key."""


class Reader:
    """A document with its aliases followed, and merge keys where YAML 1.1 is asked for."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._anchored: dict[str, list[Node]] = {}
        self._steps = 0
        if "&" in document.text:
            for node in walk(document.root):
                if node.anchor:
                    self._anchored.setdefault(node.anchor, []).append(node)
        self.used = {node.value for node in walk(document.root) if node.kind == "alias"} if self._anchored else set()
        """Names of anchors that something refers to."""

    def step(self) -> bool:
        """Count a node that is looked at; false when it is time to stop."""
        self._steps += 1
        return self._steps <= _STEPS

    def resolved(self, node: Node | None) -> Node | None:
        """Return what an alias stands for: the last anchor of that name before it."""
        for _ in range(8):
            if node is None or node.kind != "alias":
                return node
            place = node.start
            node = next((found for found in reversed(self._anchored.get(node.value, [])) if found.start < place), None)
        return None

    def pairs(self, node: Node | None) -> list[tuple[Node, Node]]:
        """Return keys and resolved values of a mapping; what `<<` merges in comes after what stands there."""
        mapping = self.resolved(node)
        if mapping is None or mapping.kind != "mapping":
            return []
        found: list[tuple[Node, Node]] = []
        merged: list[Node] = []
        for key, value in mapping.pairs():
            target = self.resolved(value)
            if target is None:
                continue
            if self.document.old and key.value == "<<" and not key.style:
                merged += target.items() if target.kind == "sequence" else [target]
            else:
                found.append((key, target))
        names = {key.value for key, _ in found if key.kind == "scalar"}
        for other in merged:
            source = self.resolved(other)
            for key, value in source.pairs() if source is not None else ():
                target = self.resolved(value)
                if target is not None and key.kind == "scalar" and key.value not in names:
                    names.add(key.value)
                    found.append((key, target))
        return found

    def get(self, node: Node | None, *names: str) -> Node | None:
        """Return the resolved value under keys, one within the other."""
        for name in names:
            node = next((value for key, value in self.pairs(node) if key.kind == "scalar" and key.value == name), None)
        return self.resolved(node)

    def items(self, node: Node | None) -> list[Node]:
        """Return the entries of a list; aliases stay what they are."""
        target = self.resolved(node)
        return target.items() if target is not None else []

    def value(self, node: Node | None) -> Any:
        """Return a scalar as Continue's parser reads it; None for everything else."""
        target = self.resolved(node)
        return self.document.data(target) if target is not None and target.kind == "scalar" else None

    def word(self, key: Node) -> str | None:
        """Return what the parser makes of a key that it takes for true or false; None for every other key."""
        value = self.document.data(key) if key.kind == "scalar" and not key.style else None
        word = {True: "true", False: "false"}[value] if isinstance(value, bool) else None
        return word if word != key.value else None

    def is_shared(self, node: Node) -> bool:
        """Something else refers to this node: a change here would show there."""
        return node.anchor in self.used if node.anchor else False

    def is_used(self, node: Node | None) -> bool:
        """Something refers to this node or to something in it."""
        return bool(self.used) and any(self.is_shared(inner) for inner in walk(node))


def mismatches(reader: Reader) -> Iterator[Mismatch]:
    """Yield every difference of a document, in the order of the text."""
    root = reader.document.root
    if root is not None:
        yield from _compare(reader, root, CONFIG, "", root)


def _compare(reader: Reader, node: Node, shape: Shape, where: str, owner: Node) -> Iterator[Mismatch]:
    target = reader.resolved(node)
    kind = shape.kind
    if target is None or not reader.step():
        return
    if kind == "entry":
        yield from _compare_entry(reader, target, shape, where, owner)
    elif kind == "object":
        yield from _compare_object(reader, target, shape, where, owner)
    elif kind in {"anything", "record", "list"} or (kind == "text or texts" and target.kind == "sequence"):
        yield from _compare_members(reader, node, target, shape, where, owner)
    else:
        wrong = _wrong(reader, target, shape)
        if wrong is not None:
            yield Mismatch(wrong, where, owner, node, shape)


def _compare_members(
    reader: Reader, node: Node, target: Node, shape: Shape, where: str, owner: Node
) -> Iterator[Mismatch]:
    item = shape if shape.kind == "anything" else shape.item
    assert item is not None
    if shape.kind != "anything" and target.kind != ("mapping" if shape.kind == "record" else "sequence"):
        yield Mismatch(MismatchKind.TYPE, where, owner, node, shape)
        return
    if shape.choices:
        for key, _ in reader.pairs(target):
            if key.value not in shape.choices:
                yield Mismatch(MismatchKind.CHOICE, _join(where, key), target, key, shape)
    yield from _words(reader, target, shape, where)
    for path, value in _members(reader, target, where):
        yield from _compare(reader, value, item, path, target)


def _words(reader: Reader, target: Node, shape: Shape, where: str) -> Iterator[Mismatch]:
    """Yield the keys of a mapping that may have any name, and are read as another one than is written."""
    if target.kind == "mapping":
        for key, value in reader.pairs(target):
            if reader.word(key) is not None:
                yield Mismatch(MismatchKind.WORD, _join(where, key), target, key, shape, key.value, value)


def _members(reader: Reader, target: Node, where: str) -> Iterator[tuple[str, Node]]:
    if target.kind == "mapping":
        yield from ((_join(where, key), value) for key, value in reader.pairs(target))
    else:
        yield from ((f"{where}[{index}]", item) for index, item in enumerate(target.items()))


def _compare_entry(reader: Reader, target: Node, shape: Shape, where: str, owner: Node) -> Iterator[Mismatch]:
    assert shape.item is not None
    whole = shape.item
    if target.kind == "scalar" and whole.name == "rule":
        if not isinstance(reader.value(target), str):
            yield Mismatch(MismatchKind.TYPE, where, owner, target, Shape("text", "a text or a mapping of keys"))
        return
    names = {key.value for key, _ in reader.pairs(target) if key.kind == "scalar"}
    if "uses" in names and not names.issuperset(whole.required):
        whole = uses_of(whole)
    elif whole is MCP_COMMAND and "url" in names and _is_by_url(reader, target, names):
        whole = MCP_URL
    yield from _compare_object(reader, target, whole, where, owner)


def _is_by_url(reader: Reader, target: Node, names: set[str]) -> bool:
    """Tell which of the two kinds of servers one with a URL is: of one with both keys, the one that is not refused."""
    return "command" not in names or (_refuses(reader, target, MCP_COMMAND) and not _refuses(reader, target, MCP_URL))


def _refuses(reader: Reader, target: Node, shape: Shape) -> bool:
    dropped = {MismatchKind.UNKNOWN, MismatchKind.MERGE, MismatchKind.WORD}
    return any(each.kind not in dropped for each in _compare_object(reader, target, shape, "", target))


def _compare_object(reader: Reader, target: Node, shape: Shape, where: str, owner: Node) -> Iterator[Mismatch]:
    if target.kind != "mapping":
        yield Mismatch(MismatchKind.TYPE, where, owner, target, shape)
        return
    fields = shape.fields or {}
    missing = dict.fromkeys(shape.required)
    for key, value in reader.pairs(target):
        name = key.value if key.kind == "scalar" else ""
        missing.pop(name, None)
        field = fields.get(name)
        if field is not None and reader.word(key) is not None:
            yield Mismatch(MismatchKind.WORD, _join(where, key), target, key, shape, name, value)
        elif field is not None:
            yield from _compare(reader, value, field, _join(where, key), target)
        elif name == "<<" and not key.style:
            yield Mismatch(MismatchKind.MERGE, _join(where, key), target, key, shape, name, value)
        else:
            yield Mismatch(MismatchKind.UNKNOWN, _join(where, key), target, key, shape, name, value)
    for name in missing:
        yield Mismatch(MismatchKind.MISSING, f"{where}.{name}" if where else name, target, target, shape, name)


def _wrong(reader: Reader, target: Node, shape: Shape) -> MismatchKind | None:
    if target.kind != "scalar":
        return MismatchKind.TYPE
    value = reader.value(target)
    if shape.kind in {"text", "text or texts"}:
        fine = isinstance(value, str)
    elif shape.kind == "flag":
        fine = isinstance(value, bool)
    elif shape.kind == "number":
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    elif shape.kind == "positive":
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    elif shape.kind == "version":
        fine = isinstance(value, str) and _VERSION.match(value) is not None
    elif shape.kind == "choice":
        return None if value in shape.choices else MismatchKind.CHOICE if isinstance(value, str) else MismatchKind.TYPE
    else:
        fine = value is not None
    return None if fine else MismatchKind.TYPE


def _join(where: str, key: Node) -> str:
    name = str(key.value) if key.kind == "scalar" else "?"
    return f"{where}.{name}" if where else name
