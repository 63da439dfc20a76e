"""The tree of a YAML document, made of the events of ruamel.yaml, which knows all of YAML and takes its time.

What ruamel accepts and Continue's parser (npm `yaml` 2) does not is refused here too: duplicate keys, unknown anchors,
several documents. A tab that only npm `yaml` takes for white space is read as one.
"""

from __future__ import annotations

import re
from typing import Any

from gpudesk.exports.text_file import line_and_column
from gpudesk.exports.yaml_scalars import key_identity
from gpudesk.exports.yaml_spaces import TAB_REASON, check_spaces
from gpudesk.exports.yaml_tree import Document, Node, YamlError

_SEPARATING_TABS = re.compile(
    r"[ \t]*\t[ \t]*(?=#|\r?$)|(?<=[^\s-])[ \t]*\t[ \t]*"
    r"|(?:(?<=^-)|(?<= -))[ \t]*\t[ \t]*"
    r"(?=(?:\"[^\"\r\n]*\"|'[^'\r\n]*'|[A-Za-z0-9](?:[^:#\r\n]|:(?=\S))*|[|>][-+0-9]*)(?:[ \t]+#[^\r\n]*)?\r?$)",
    re.MULTILINE,
)
"""Tabs that npm `yaml` takes for white space, and ruamel does not: at the end of a line, before a comment, behind
anything but a dash, and behind a dash when a scalar follows."""

DEEPEST = 200
"""Collections within each other, as in JSON; ruamel takes time by the square of it, and then all of the stack."""


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
        document = _parsed(text, anchors)
    except YamlError as error:
        if "\t" not in text:
            raise
        try:
            document = _parsed(_SEPARATING_TABS.sub(lambda found: " " * len(found[0]), text), anchors)
        except YamlError as other:
            raise (other if error.reason == TAB_REASON else error) from error
        document.text = text
    check_spaces(document)
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
        return TAB_REASON
    context = " ".join((error.context or "").split())
    return f"{problem} ({context})" if context else problem


class _Builder:
    """Makes the tree of the events."""

    def __init__(self, text: str, anchors: set[str]) -> None:
        self.text = text
        self.old = False
        self.anchors = anchors
        self.depth = 0

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
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong("nested too deeply", start)
        node = self.collection(event, events, style, anchor, tag)
        self.depth -= 1
        return node

    def collection(self, event: Any, events: Any, style: str, anchor: str | None, tag: str | None) -> Node:
        start = event.start_mark.index
        if event.__class__.__name__ == "SequenceStartEvent":
            items: list[Node] = []
            while (event := next(events)).__class__.__name__ != "SequenceEndEvent":
                items.append(self.node(event, events))
            end = event.end_mark.index if style == "flow" else max((i.end for i in items), default=start)
            return Node("sequence", start, end, items, style, anchor, tag)
        pairs: list[tuple[Node, Node]] = []
        names: dict[object, str] = {}
        while (event := next(events)).__class__.__name__ != "MappingEndEvent":
            key = self.node(event, events)
            if key.kind == "scalar":
                name = key_identity(key.value, plain=not key.style and not key.tag, old=self.old)
                if name in names and key.value != "<<":
                    same = "" if names[name] == key.value else f": {names[name]} is the same to Continue's parser"
                    raise self.wrong(f"the key {key.value} is there twice{same}", key.start)
                names[name] = key.value
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
