"""The same tree as ruamel.yaml's events make, ten times as fast, of the YAML that people write.

ruamel.yaml needs 70 to 100 ms for 2,000 lines, and every change is checked by reading before and after. This reads
block mappings and sequences, scalars and flow collections on one line, block scalars, anchors and aliases, line by
line. Where it meets anything else, wrong YAML included, ruamel reads that entry, and the whole where that does not help
(`UnsureError`). Tests hold it against ruamel, on configurations and on broken ones.
"""

from __future__ import annotations

import re

from gpudesk.exports.yaml_inline import TRIES, Inline, UnsureError, unsure
from gpudesk.exports.yaml_scalars import key_identity
from gpudesk.exports.yaml_tree import Document, Node, YamlError, walk
from gpudesk.exports.yaml_whole import read_part

_STRANGE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029\ufeff]|\r(?!\n)|^ *\t", re.MULTILINE
)
_HEAD = re.compile(r"(?:%YAML (1\.[12])[ ]*\r?\n---[ ]*\r?\n|---[ ]*\r?\n)?")
_OLD = "%YAML 1.1\n---\n"
_BLANK = re.compile(r"[ ]*(?:#[^\n]*)?\r?\Z")
_REST = re.compile(r"(?:[ ]+#[^\n\r]*|[ ]*)(?=\r?(?:\n|\Z))")
_DASH = re.compile(r"-(?=[ \r\n]|\Z)")
_KEY = re.compile(
    r"([A-Za-z_][\w./-]*(?: [\w./-]+)*|<<)[ ]*:(?=[ \r\n]|\Z)"
    r"|(\"[^\"\\\r\n]*\"|'[^'\r\n]*')[ ]*:(?=[ \r\n]|\Z)",
    re.ASCII,
)
_ANCHOR = re.compile(r"&([\w-]+)(?=[ \r\n]|\Z)", re.ASCII)
_BLOCK = re.compile(r"([|>])([+-]?)(?:[ ]+#[^\n\r]*|[ ]*)\r?\n")
_SPACES = re.compile("[ ]*")
_MARKERS = ("---", "...", "%")
"""What ends or begins a document at the begin of a line."""


def read_quickly(text: str) -> Document:
    """Read a document.

    Raises:
        UnsureError: it holds something that this does not know for certain.
    """
    if _STRANGE.search(text):
        raise UnsureError
    return _Quick(text).document()


class _Quick(Inline):
    """One reading: `line` is the next line that has something in it, `indent` how far that is indented."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        head = _HEAD.match(text)
        self.old = head is not None and head[1] == "1.1"
        self.starts: list[int] = []
        self.lines: list[str] = text[head.end() if head else 0 :].split("\n")
        place = head.end() if head else 0
        for line in self.lines:
            self.starts.append(place)
            place += len(line) + 1
        self.line = -1
        self.indent = -1
        self.forward()

    def document(self) -> Document:
        if self.line >= len(self.lines):
            return Document(self.text, None, old=self.old) if self.starts[0] == 0 else unsure()
        root = self.block(self.indent)
        if self.line < len(self.lines) or root.kind != "mapping":
            unsure()
        return Document(self.text, root, old=self.old)

    def forward(self) -> None:
        """Go to the next line that is not blank and no comment."""
        self.line += 1
        while self.line < len(self.lines):
            line = self.lines[self.line]
            if not _BLANK.match(line):
                self.indent = len(line) - len(line.lstrip(" "))
                if line.startswith(_MARKERS):
                    unsure()
                return
            self.line += 1
        self.indent = -1

    def block(self, column: int) -> Node:
        """Read the block node that begins in this line, at its first character."""
        return self.node(self.starts[self.line] + column, column)

    def node(self, place: int, column: int) -> Node:
        """Read a node that begins at a place in this line, in a column; moves to the line behind it."""
        self.deeper()
        if _DASH.match(self.text, place):
            node = self.sequence(place, column)
        elif _KEY.match(self.text, place):
            node = self.mapping(place, column)
        else:
            node = self.one_line(place)
            if self.indent > column - 1:
                unsure()
        self.depth -= 1
        return node

    def sequence(self, place: int, column: int) -> Node:
        items: list[Node] = []
        start = place
        while True:
            line, depth = self.line, self.depth
            try:
                item = self.value(place + 1, column, in_mapping=False)
                if self.indent > column:
                    unsure()
                items.append(item)
            except UnsureError:
                items += self.by_ruamel(place, column, line, depth, _DASH).items()
            if self.indent > column:
                unsure()
            if self.indent < column or not _DASH.match(self.text, place := self.starts[self.line] + column):
                return Node("sequence", start, items[-1].end, items, "block")

    def mapping(self, place: int, column: int) -> Node:
        pairs: list[tuple[Node, Node]] = []
        names: set[object] = set()
        start = place
        while True:
            line, depth = self.line, self.depth
            try:
                pair = self.pair(place, column)
                if self.indent > column:
                    unsure()
                pairs.append(pair)
            except UnsureError:
                pairs += self.by_ruamel(place, column, line, depth, _KEY).pairs()
            key = pairs[-1][0]
            if key.kind != "scalar":
                unsure()
            name = key_identity(key.value, plain=not key.style and not key.tag, old=self.old)
            if name in names:
                unsure()
            names.add(name)
            if self.indent > column:
                unsure()
            if self.indent < column:
                return Node("mapping", start, pairs[-1][1].end, pairs, "block")
            place = self.starts[self.line] + column

    def pair(self, place: int, column: int) -> tuple[Node, Node]:
        found = _KEY.match(self.text, place)
        if found is None:
            unsure()
        plain, quoted = found.groups()
        name = quoted[1:-1] if plain is None else plain
        end = place + len(plain if quoted is None else quoted)
        key = Node("scalar", place, end, name, "" if quoted is None else quoted[0])
        return key, self.value(found.end(), column, in_mapping=True)

    def by_ruamel(self, place: int, column: int, line: int, depth: int, begin: re.Pattern[str]) -> Node:
        """Read one entry with ruamel: up to the next line that begins one in this column, or stands before it.

        What is an entry by itself is the same entry within a block: nothing in one reaches over the begin of the next.
        Only anchors do, and the version in the first line, which is put before it.
        """
        self.tries += 1
        if self.tries > TRIES:
            unsure()
        end = line + 1
        while end < len(self.lines):
            text = self.lines[end]
            indent = len(text) - len(text.lstrip(" "))
            here = self.starts[end] + indent
            if text.startswith(_MARKERS):
                unsure()
            if not _BLANK.match(text) and (indent < column or (indent == column and begin.match(self.text, here))):
                break
            end += 1
        head = (_OLD if self.old else "") + " " * column
        stop = self.starts[end] if end < len(self.lines) else len(self.text)
        try:
            node = read_part(head + self.text[place:stop], self.anchors)
        except YamlError as error:
            raise UnsureError from error
        wanted = "mapping" if begin is _KEY else "sequence"
        if (
            node is None
            or node.kind != wanted
            or node.style != "block"
            or len(node.value) != 1
            or node.anchor
            or node.tag
        ):
            unsure()
        for inner in walk(node):
            inner.start += place - len(head)
            inner.end += place - len(head)
        self.depth, self.line = depth, end - 1
        self.forward()
        return node

    def value(self, place: int, column: int, *, in_mapping: bool) -> Node:
        """Read what stands behind a colon or a dash."""
        text = self.text
        begin = place
        spaces = _SPACES.match(text, place)
        place = spaces.end() if spaces else place
        anchor = _ANCHOR.match(text, place)
        start = place
        if anchor is not None:
            if anchor[1] in self.anchors:
                unsure()
            place = anchor.end()
        if _REST.match(text, place):
            self.forward()
            node = self.below(column, in_mapping=in_mapping)
            if node is None:
                node = Node("scalar", begin, begin, "", "") if anchor is None else unsure()
        else:
            if anchor is not None:
                spaces = _SPACES.match(text, place)
                place = spaces.end() if spaces else place
            if text[place] in "|>":
                node = self.block_scalar(place, column)
            elif in_mapping or anchor is not None:
                if anchor is not None and (_KEY.match(text, place) or _DASH.match(text, place) or text[place] == "*"):
                    unsure()
                node = self.one_line(place)
            else:
                node = self.node(place, place - self.starts[self.line])
        if anchor is not None:
            self.anchors.add(anchor[1])
            node.start, node.anchor = start, anchor[1]
        return node

    def below(self, column: int, *, in_mapping: bool) -> Node | None:
        """Read the block node in the lines below, when there is one."""
        if self.indent > column:
            return self.block(self.indent)
        if in_mapping and self.indent == column and _DASH.match(self.text, self.starts[self.line] + column):
            return self.node(self.starts[self.line] + column, column)
        return None

    def one_line(self, place: int) -> Node:
        """Read a node that ends in its line; moves to the line behind it."""
        node = self.inline(place)
        if not _REST.match(self.text, node.end):
            unsure()
        self.forward()
        return node

    def block_scalar(self, place: int, column: int) -> Node:
        """Read the lines of a block scalar."""
        head = _BLOCK.match(self.text, place)
        if head is None:
            unsure()
        first = self.line + 1
        inner = next((len(x) - len(x.lstrip(" ")) for x in self.lines[first:] if x.strip(" \r")), 0)
        if inner <= column:
            unsure()
        end = first
        while end < len(self.lines):
            line = self.lines[end].rstrip("\r")
            bare = line.strip(" ")
            if not bare:
                if len(line) > inner:
                    unsure()
            elif len(line) - len(line.lstrip(" ")) < inner:
                break
            end += 1
        if self.lines[first].strip(" \r") == "" or (end < len(self.lines) and self.lines[end].lstrip(" ")[:1] == "\t"):
            unsure()
        body = [line.rstrip("\r")[inner:] for line in self.lines[first:end]]
        node = self.block_value(place, head, body, first)
        self.line = end - 1
        self.forward()
        return node

    def block_value(self, place: int, head: re.Match[str], body: list[str], first: int) -> Node:
        style, chomp = head.groups()
        count = len(body)
        while count and not body[count - 1]:
            count -= 1
        last = first + count - 1
        ended = last + 1 < len(self.lines)  # a line end behind its last line
        if style == ">":
            if any(line.startswith((" ", "\t")) for line in body):
                unsure()
            value = re.sub(r"\n+", lambda gap: gap[0][1:] or " ", "\n".join(body[:count]))
        else:
            value = "\n".join(body[:count])
        if chomp == "+" or not ended:
            # What is kept at the end of a text is ruamel's to say.
            unsure()
        end = self.starts[last] + len(self.lines[last].rstrip("\r"))
        return Node("scalar", place, end, value + ("" if chomp == "-" else "\n"), style)
