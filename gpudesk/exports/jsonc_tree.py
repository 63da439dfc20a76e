"""JSON with comments and trailing commas, read with the place of every value."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_and_column
from gpudesk.paths import shortened
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SKIPPED = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*[\s\S]*?\*/)*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_PLAIN = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]{0,999})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![\w.])")
_ITEM = re.compile(rf"({_STRING.pattern}|{_PLAIN.pattern})[ \t]*(,)?[ \t]*(?=[^ \t/\r\n,])")
"""A scalar in a list with the comma and the blanks behind it, where something else follows on the line."""
_BLANK_OR_COMMENT = " \t\r\n/"
MARK = re.compile(r"/\* gpudesk(?:: (?P<what>made|instead of (?P<old>[\s\S]*?)))? \*/[ \t]*\Z")
"""What stands before a value that gpudesk put there, or before an object or list that it made to put one in."""
_DEEPEST = 200
_UNSEPARATED = "expected a comma or "
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class Node:
    """A value."""

    kind: str
    """`object`, `array` or `scalar`."""
    start: int
    end: int
    data: Any
    children: Sequence[Child] = ()
    mark: int | None = None
    """Where gpudesk's mark before it begins; None: it is the user's."""
    old: str | None = None
    """What was there before, as it was written."""
    made: bool = False
    """An object or list that was made to put something in."""

    def child(self, key: Key) -> Child | None:
        """Return a member by its name, or an element by what one of its members is; the last one, as editors do."""
        if isinstance(key, str):
            found = (each for each in reversed(self.children) if each.name == key)
            return next(found, None) if self.kind == "object" else None
        name, value = key
        fitting = (each for each in reversed(self.children) if _is(each.node.data, name, value))
        return next(fitting, None) if self.kind == "array" else None

    def at(self, path: KeyPath) -> Node | None:
        """Return the value at a path; None when there is none."""
        node = self
        for key in path:
            child = node.child(key)
            if child is None:
                return None
            node = child.node
        return node


@dataclass(slots=True)
class Child:
    """A member of an object, or an element of a list."""

    name: str | None
    start: int
    """Of its name; of the mark or the value in a list."""
    node: Node
    comma: int | None = None
    """Where the comma after it is."""


Key = str | tuple[str, Any]
"""The name of a member, or name and value of a member that tells an element of a list from the others."""
KeyPath = tuple[Key, ...]


def _is(data: Any, name: str, value: Any) -> bool:
    return isinstance(data, dict) and data.get(name) == value


@dataclass(slots=True)
class Document:
    """A text and what is in it."""

    text: str
    root: Node | None
    """None: nothing but blanks and comments."""


def read(text: str, path: Path, effect: str = "the editor does not read it") -> Document:
    """Read a text.

    Args:
        text: without byte order mark.
        path: for messages.
        effect: what the editor makes of a file that is broken, for messages.

    Raises:
        ExportError: it is no JSON with comments; names line and column.
    """
    reader = _Reader(text, path, effect)
    place = reader.skip(0)
    if place == len(text):
        return Document(text, None)
    root = reader.value(place, 0, 0)
    place = reader.skip(root.end)
    if place != len(text):
        reader.fail(place, "something follows the value")
    return Document(text, root)


def is_blank(text: str) -> bool:
    """Tell whether a text is nothing but blanks and comments."""
    found = _SKIPPED.match(text)
    return found is not None and found.end() == len(text)


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, path: Path, effect: str) -> None:
        self.text = text
        self.path = path
        self.effect = effect

    def skip(self, place: int) -> int:
        """Return where the next thing begins that is neither blank nor comment."""
        if self.text[place : place + 1] not in _BLANK_OR_COMMENT:
            return place
        found = _SKIPPED.match(self.text, place)
        return found.end() if found else place

    def fail(self, place: int, what: str) -> NoReturn:
        """Say what is wrong and where."""
        line, column = line_and_column(self.text, place)
        name = shortened(self.path)
        raise ExportError(f"{name}, line {line}, column {column}: {what}", f"As it is, {self.effect}; correct it first")

    def value(self, start: int, since: int, depth: int) -> Node:
        """Read a value; what stands between `since` and it may be gpudesk's mark."""
        text = self.text
        first = text[start : start + 1]
        if depth > _DEEPEST:
            self.fail(start, "it is nested too deeply")
        if first == "{" or first == "[":
            node = self.container(start, depth, "}" if first == "{" else "]")
        else:
            found = (_STRING if first == '"' else _PLAIN).match(text, start)
            if found is None:
                self.fail(start, "the file ends too early" if not first else _expected(text, start))
            node = Node("scalar", start, found.end(), _scalar(found[0]))
        if start - since > 10 and (mark := _mark_before(text, since, start)) is not None:
            node.mark, node.made = mark.start(), mark["what"] == "made"
            node.old = None if mark["old"] is None else unescaped(mark["old"])
        return node

    def container(self, start: int, depth: int, closing: str) -> Node:
        """Read an object or a list."""
        text, children = self.text, list[Child]()
        since = start + 1
        place = self.skip(since)
        while not text.startswith(closing, place):
            if closing == "]" and place - since < 2 and (found := _ITEM.match(text, place)) is not None:
                # Long lists are nearly all scalars: one look for each instead of five.
                node = Node("scalar", place, found.end(1), _scalar(found[1]))
                comma = found.start(2)
                children.append(Child(None, place, node, None if comma < 0 else comma))
                place, since = found.end(), comma + 1
                if comma < 0 and not text.startswith(closing, place):
                    self.fail(place, _UNSEPARATED + closing)
                continue
            child = self.member(place, depth) if closing == "}" else self.element(since, place, depth)
            children.append(child)
            place = self.skip(child.node.end)
            if text.startswith(",", place):
                child.comma = place
                since = place + 1
                place = self.skip(since)
            elif not text.startswith(closing, place):
                self.fail(place, "the file ends too early" if place == len(text) else _UNSEPARATED + closing)
        if closing == "}":
            data: Any = {str(child.name): child.node.data for child in children}
            return Node("object", start, place + 1, data, children)
        return Node("array", start, place + 1, [child.node.data for child in children], children)

    def member(self, place: int, depth: int) -> Child:
        """Read a member of an object."""
        found = _STRING.match(self.text, place)
        if found is None:
            self.fail(place, "the file ends too early" if place == len(self.text) else 'expected a name in "quotes"')
        colon = self.skip(found.end())
        if not self.text.startswith(":", colon):
            self.fail(colon, "expected a colon")
        node = self.value(self.skip(colon + 1), colon + 1, depth + 1)
        return Child(_scalar(found[0]), place, node)

    def element(self, since: int, place: int, depth: int) -> Child:
        """Read an element of a list."""
        node = self.value(place, since, depth + 1)
        return Child(None, place if node.mark is None else node.mark, node)


def _scalar(text: str) -> Any:
    """Return what a scalar means; most texts need no parser."""
    if text[0] == '"' and "\\" not in text:
        return text[1:-1]
    if text.isdecimal() and text.isascii() and len(text) < 16:
        return int(text)
    return _WORDS[text] if text in _WORDS else json.loads(text)


def _mark_before(text: str, since: int, start: int) -> re.Match[str] | None:
    begin = text.rfind("/* gpudesk", since, start)
    return None if begin < 0 else MARK.match(text[:start], begin)


def _expected(text: str, place: int) -> str:
    if text.startswith('"', place):
        return "a text that does not end, or with a wrong escape"
    if text.startswith("/*", place):
        return "a comment that does not end"
    return "expected a value"


def escaped(old: str) -> str:
    """Return what was there such that it can stand in a comment."""
    return re.sub(r"\*(\\*)/", r"*\\\1/", old)


def unescaped(old: str) -> str:
    """Return what `escaped` was given."""
    return re.sub(r"\*\\(\\*)/", r"*\1/", old)
