"""How JSON with comments is laid out: where something new goes, how it is indented, which commas it needs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from gpudesk.exports.jsonc_tree import Key, Node
from gpudesk.exports.text_file import line_end_of
from gpudesk.exports.values import Edit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ADDED, MADE = "/* gpudesk */ ", "/* gpudesk: made */ "
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*(?:[^*\r\n]|\*(?!/))*\*/)*(?://[^\r\n]*)?(?=\r?\n)")
"""Blanks and comments up to the end of a line."""


class Leaf:
    """A value to be set, told from an object of further keys."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Style:
    """How a text is laid out."""

    def __init__(self, text: str, unit: str) -> None:
        self.text = text
        self.line_end = line_end_of(text)
        found = re.search(r"^([ \t]+)(?=[\"\[{])", text, re.MULTILINE)
        self.unit = (found[1][:1] if found[1][0] == "\t" else found[1][:8]) if found else unit

    def margin_of(self, node: Node) -> str:
        """Return the indentation of what is in an object or list; that of its line where all is on one."""
        for child in reversed(node.children):
            margin = re.search(r"\n([ \t]*)\Z", self.text[: child.start])
            if margin is not None:
                return margin[1]
        on_lines = not node.children and "\n" in self.text[node.start : node.end]
        return self.line_margin(node.start) + (self.unit if on_lines else "")

    def line_margin(self, place: int) -> str:
        """Return the indentation of a line."""
        line = self.text[self.text.rfind("\n", 0, place) + 1 : place]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def value(self, data: Any, margin: str) -> str:
        """Return a value as text, further lines indented."""
        text = json.dumps(data, ensure_ascii=False, indent=self.unit)
        return text.replace("\n", self.line_end + margin)

    def member(self, key: Key, value: Any, margin: str) -> str:
        """Return a new member or element."""
        name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(key, str) else ""
        if isinstance(value, Leaf):
            return f"{name}{ADDED}{self.value(value.value, margin)}"
        return name + self.made(value, margin)

    def made(self, wanted: Mapping[Key, Any], margin: str) -> str:
        """Return an object or a list that is made to put something in."""
        opening, closing = "{}" if isinstance(next(iter(wanted)), str) else "[]"
        inner = margin + self.unit
        members = f",{self.line_end}{inner}".join(self.member(key, value, inner) for key, value in wanted.items())
        return f"{MADE}{opening}{self.line_end}{inner}{members}{self.line_end}{margin}{closing}"

    def insertion(self, node: Node, new: Sequence[str], margin: str) -> list[Edit]:
        """Return what puts members or elements in behind those that are there."""
        if not node.children:
            on_lines = "\n" in self.text[node.start : node.end]
            gap = self.line_end + margin if on_lines else ""
            return [Edit(node.start + 1, node.start + 1, gap + f",{gap or ' '}".join(new))]
        last = node.children[-1]
        on_lines = "\n" in self.text[node.start : node.children[0].start]
        gap = self.line_end + margin if on_lines else " "
        place = last.node.end if last.comma is None else last.comma + 1
        rest = _REST_OF_LINE.match(self.text, place) if on_lines else None
        after = rest.end() if rest is not None else place
        if last.comma is not None:
            return [Edit(after, after, "".join(f"{gap}{each}," for each in new))]
        joined = gap + f",{gap}".join(new)
        if after == place:
            return [Edit(place, place, "," + joined)]
        return [Edit(place, place, ","), Edit(after, after, joined)]


def applied(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with edits made."""
    parts: list[str] = []
    place = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        parts += (text[place : edit.start], edit.text)
        place = max(place, edit.end)
    return "".join([*parts, text[place:]])
