"""A YAML document as a tree that knows where everything is in the text.

Made of the events of ruamel.yaml, never of its values: aliases stay aliases (a document that expands to gigabytes does
not), and 1.2 or `%YAML 1.1` matter only where a plain scalar is read as a value. What ruamel accepts and Continue's
parser (npm `yaml` 2) does not is refused here too: duplicate keys, unknown anchors, several documents.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_and_column

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["scalar", "mapping", "sequence", "alias"]
Path = tuple["str | int", ...]

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_TRUE, _FALSE = ({w, w.title(), w.upper()} for w in ("true", "false"))
_OLD_TRUE = {form for w in ("yes", "on", "y") for form in (w, w.title(), w.upper())}
_OLD_FALSE = {form for w in ("no", "off", "n") for form in (w, w.title(), w.upper())}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NO_NUMBER = re.compile(r"(?:(?P<infinite>[-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_TAB_REASON = "a tab where YAML wants spaces"
_SEPARATING_TABS = re.compile(r"[ \t]*\t[ \t]*(?=#|\r?$)|(?<=[^\s-])[ \t]*\t[ \t]*", re.MULTILINE)
"""Tabs that npm `yaml` takes for white space, and ruamel does not: at the end of a line, before a comment, behind
anything but a dash."""


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


def plain_value(text: str, *, old: bool = False) -> str | int | float | bool | None:
    """Return what a plain scalar is by the core schema of YAML 1.2, or with the words of 1.1."""
    if _NULL.match(text):
        return None
    if text in _TRUE or (old and text in _OLD_TRUE):
        return True
    if text in _FALSE or (old and text in _OLD_FALSE):
        return False
    if _INTEGER.match(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.match(text):
        return float(text)
    if (found := _NO_NUMBER.match(text)) is not None:
        return float("nan" if found["infinite"] is None else f"{found['infinite']}inf")
    return text


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
    from gpudesk.exports.yaml_quick import UnsureError, read_quickly

    try:
        return read_quickly(text)
    except UnsureError:
        return read_wholly(text)


def read_wholly(text: str) -> Document:
    """Read a document with ruamel.yaml, which knows all of YAML.

    Raises:
        YamlError: it is no YAML, or none that Continue's parser takes.
    """
    lone = re.search(r"\r(?!\n)", text)
    if lone:
        raise YamlError("a carriage return that ends no line", *line_and_column(text, lone.start()))
    return _built(text, set())


def read_part(text: str, anchors: set[str]) -> Node | None:
    """Read one entry of a document; anchors that it sets are added.

    Raises:
        YamlError: it is no YAML by itself.
    """
    return _built(text, anchors).root


def _built(text: str, anchors: set[str]) -> Document:
    try:
        return _parsed(text, anchors)
    except YamlError as error:
        if error.reason != _TAB_REASON:
            raise
    document = _parsed(_SEPARATING_TABS.sub(lambda found: " " * len(found[0]), text), anchors)
    document.text = text
    return document


def _parsed(text: str, anchors: set[str]) -> Document:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _Builder(text, anchors).document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise YamlError(_reason(error), *place) from error
    except YAMLError as error:
        place = line_and_column(text, getattr(error, "position", 0))
        raise YamlError(" ".join(str(error).split())[:200], *place) from error
    except RecursionError as error:
        raise YamlError("nested too deeply", 1, 1) from error


def _reason(error: Any) -> str:
    problem = " ".join((error.problem or "it is no YAML").split())
    if "\\t" in problem:
        return _TAB_REASON
    context = " ".join((error.context or "").split())
    return f"{problem} ({context})" if context else problem


class _Builder:
    """Makes the tree of the events."""

    def __init__(self, text: str, anchors: set[str]) -> None:
        self.text = text
        self.old = False
        self.anchors = anchors

    def document(self, events: Any) -> Document:
        root: Node | None = None
        documents = 0
        for event in events:
            name = event.__class__.__name__
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self.wrong("a second document begins here; one file is one document", event.start_mark.index)
                self.old = event.version is not None and tuple(event.version) == (1, 1)
            elif name not in {"StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"}:
                root = self.node(event, events)
        if root is not None and root.kind == "scalar" and root.start == root.end and not root.style:
            root = None
        return Document(self.text, root, old=self.old)

    def wrong(self, message: str, offset: int) -> YamlError:
        return YamlError(message, *line_and_column(self.text, offset))

    def node(self, event: Any, events: Any) -> Node:
        name = event.__class__.__name__
        start = event.start_mark.index
        if name == "AliasEvent":
            if event.anchor not in self.anchors:
                raise self.wrong(f"there is no anchor &{event.anchor}", start)
            return Node("alias", start, event.end_mark.index, str(event.anchor), "")
        anchor = str(event.anchor) if event.anchor else None
        tag = None if event.tag is None else str(event.tag)
        if anchor:
            self.anchors.add(anchor)
        if name == "ScalarEvent":
            style = event.style or ""
            end = self._scalar_end(event, style)
            return Node("scalar", start, end, event.value, style, anchor, tag)
        style = "flow" if event.flow_style else "block"
        if name == "SequenceStartEvent":
            items: list[Node] = []
            while (event := next(events)).__class__.__name__ != "SequenceEndEvent":
                items.append(self.node(event, events))
            end = event.end_mark.index if style == "flow" else max((i.end for i in items), default=start)
            return Node("sequence", start, end, items, style, anchor, tag)
        pairs: list[tuple[Node, Node]] = []
        names: set[str] = set()
        while (event := next(events)).__class__.__name__ != "MappingEndEvent":
            key = self.node(event, events)
            if key.kind == "scalar":
                if key.value in names and key.value != "<<":
                    raise self.wrong(f"the key {key.value} is there twice", key.start)
                names.add(key.value)
            pairs.append((key, self.node(next(events), events)))
            self._place_null(*pairs[-1])
        end = event.end_mark.index if style == "flow" else max((v.end for p in pairs for v in p), default=start)
        return Node("mapping", start, end, pairs, style, anchor, tag)

    def _place_null(self, key: Node, value: Node) -> None:
        """Put a value that is not there behind its colon; ruamel has it where the next token is."""
        if value.kind == "scalar" and value.start == value.end:
            colon = self.text.find(":", key.end, value.start)
            value.start = value.end = colon + 1 if colon >= 0 else key.end

    def _scalar_end(self, event: Any, style: str) -> int:
        """Return where a scalar ends; a block scalar at the end of its last line that belongs to its value."""
        end: int = event.end_mark.index
        if style not in {"|", ">"}:
            return end
        head = self.text[event.start_mark.index : self.text.find("\n", event.start_mark.index)]
        if "+" in head.split("#")[0]:
            return end - 2 if self.text[end - 2 : end] == "\r\n" else end - (self.text[end - 1 : end] == "\n")
        start: int = event.start_mark.index
        body = self.text[start:end]
        return start + len(_without_blank_lines(body))


def _without_blank_lines(text: str) -> str:
    """Return a text without the blank lines at its end and without its last line end."""
    return re.sub(r"(?:\r?\n[ \t]*)+\Z", "", text)
