"""What ends in its line in a YAML document: scalars, aliases, and collections in flow style."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from gpudesk.exports.yaml_scalars import key_identity
from gpudesk.exports.yaml_tree import Node

_ALIAS = re.compile(r"\*([\w-]+)(?=[ ]*(?:[ ]#|\r?\n|\r?\Z))", re.ASCII)
_FLOW_ALIAS = re.compile(r"\*([\w-]+)(?=[ ]*[,\]}])", re.ASCII)
_PLAIN = re.compile(
    r"(?:[^\s\-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^\s]))(?:[^\s:#]|:(?=[^\s])|(?<=[^\s])#|[ ]+(?=[^\s#]))*"
)
_DOUBLE = re.compile(r'"(?:[^"\\\r\n\t]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*"')
_SINGLE = re.compile(r"'(?:[^'\r\n\t]|'')*'")
_FLOW_PLAIN = re.compile(
    r"(?:[^\s,\[\]{}#&*!|>'\"%@`:?-]|-(?=[\w.]))"
    r"(?:[^\s,\[\]{}:#]|:(?=[^\s,\[\]{}])|(?<=[^\s])#|[ ]+(?=[^\s,\[\]{}:#]))*"
)
_SPACES = re.compile("[ ]*")
_DEPTH = 60
TRIES = 100
"""Entries that ruamel reads one by one; where so much is odd, or it is so deep, it had better read the whole."""


class UnsureError(Exception):
    """Something that only a whole YAML parser knows."""


def unsure() -> NoReturn:
    """Leave it to a whole parser."""
    raise UnsureError


class Inline:
    """Reads what ends in its line, from a place in the text on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.old = False
        """By YAML 1.1."""
        self.anchors: set[str] = set()
        self.depth = 0
        self.tries = 0

    def deeper(self) -> None:
        """Count a collection within another."""
        self.depth += 1
        if self.depth > _DEPTH:
            self.tries = TRIES
            unsure()

    def inline(self, place: int) -> Node:
        """Read a node that ends in its line."""
        first = self.text[place]
        if first in "[{":
            return self.flow(place)
        if first == "*":
            return self.alias(place, _ALIAS)
        return self.scalar(place, _PLAIN)

    def alias(self, place: int, pattern: re.Pattern[str]) -> Node:
        """Read an alias of an anchor that is known."""
        found = pattern.match(self.text, place)
        if found is None or found[1] not in self.anchors:
            unsure()
        return Node("alias", place, found.end(), found[1], "")

    def scalar(self, place: int, plain: re.Pattern[str]) -> Node:
        """Read a scalar; `plain` is what one without quotes may be."""
        first = self.text[place]
        pattern = _DOUBLE if first == '"' else _SINGLE if first == "'" else plain
        found = pattern.match(self.text, place)
        if found is None:
            unsure()
        value: str = found[0]
        if first == '"':
            value = json.loads(value)
        elif first == "'":
            value = value[1:-1].replace("''", "'")
        return Node("scalar", place, found.end(), value, first if first in "\"'" else "")

    def flow(self, place: int) -> Node:
        """Read a flow collection on one line."""
        self.deeper()
        start, text = place, self.text
        is_mapping = text[place] == "{"
        closing = "}" if is_mapping else "]"
        value: list[Any] = []
        names: set[object] = set()
        place = self.gap(place + 1)
        while text[place : place + 1] != closing:
            if is_mapping:
                key = self.scalar(place, _FLOW_PLAIN)
                place = self.gap(key.end)
                name = key_identity(key.value, plain=not key.style, old=self.old)
                if text[place : place + 1] != ":" or name in names or (key.value == "<<" and not key.style):
                    unsure()
                if text[place + 1 : place + 2] != " ":
                    unsure()
                names.add(name)
                item = self.flow_item(self.gap(place + 1))
                value.append((key, item))
            else:
                item = self.flow_item(place)
                value.append(item)
            place = self.gap(item.end)
            if text[place : place + 1] == ",":
                place = self.gap(place + 1)
            elif text[place : place + 1] != closing:
                unsure()
        self.depth -= 1
        return Node("mapping" if is_mapping else "sequence", start, place + 1, value, "flow")

    def flow_item(self, place: int) -> Node:
        """Read a value in a flow collection."""
        first = self.text[place : place + 1]
        if first and first in "[{":
            return self.flow(place)
        if first == "*":
            return self.alias(place, _FLOW_ALIAS)
        return self.scalar(place, _FLOW_PLAIN) if first else unsure()

    def gap(self, place: int) -> int:
        """Return where blanks end."""
        found = _SPACES.match(self.text, place)
        return found.end() if found else place
