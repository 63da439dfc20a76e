"""Where entries stand in the text of a YAML document, and how the document is laid out."""

from __future__ import annotations

import re

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_and_column, line_end_of
from gpudesk.exports.values import Edit
from gpudesk.exports.yaml_tree import Document, Node, walk
from gpudesk.records import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """How a document writes its lists."""

    dash_column: int
    dash: str
    step: int


def refused(document: Document, node: Node | int, why: str) -> ExportError:
    """Return the error that says what cannot be done safely, and where."""
    line, column = line_and_column(document.text, node if isinstance(node, int) else node.start)
    return ExportError(f"line {line}, column {column}: {why}")


def style_of(document: Document, items: Node | None) -> Style:
    """Return how lists are written: like this one's entries, or like another list of the document."""
    root = document.root
    candidates = (
        [items] if items is not None and items.items() else [value for _, value in (root.pairs() if root else [])]
    )
    column = column_of(document, root.pairs()[0][0].start) if root is not None and root.pairs() else 0
    for candidate in candidates:
        if candidate.kind == "sequence" and candidate.style == "block":
            try:
                return _style_like(document, candidate)
            except ExportError:
                continue
    return Style(column + 2, "- ", 2)


def _style_like(document: Document, items: Node) -> Style:
    """Return how the entries of a list are written: like the first mapping, nested like the first that nests."""
    dash_column, dash, step = column_of(document, dash_of(document, items.items()[0])), "", 0
    for node in items.items():
        if node.kind != "mapping" or node.style != "block" or node.anchor or node.tag:
            continue
        found = document.text[dash_of(document, node) : node.start]
        dash = dash or (found if found.strip(" ") == "-" else "")
        for key, value in node.pairs():
            if not step and value.kind == "mapping" and value.style == "block" and not value.anchor and not value.tag:
                step = max(0, column_of(document, value.start) - column_of(document, key.start))
        if dash and step:
            break
    return Style(dash_column, dash or "- ", step or 2)


def dash_of(document: Document, node: Node) -> int:
    """Return where the dash of an entry is."""
    text, place = document.text, node.start
    while place:
        start = text.rfind("\n", 0, place) + 1
        found = (
            re.fullmatch(r"(?:[ ]*(?:-[ \t]+)*?)(-)[ \t]*(?:#[^\n]*)?", text[start:place].rstrip("\r\n"))
            if start < place
            else None
        )
        if found:
            return start + found.start(1)
        if text[start:place].strip() and not text[start:place].lstrip().startswith("#"):
            break
        place = start - 1 if start else 0
    raise refused(document, node, "this entry is not written in a way that can be changed safely")


def column_of(document: Document, place: int) -> int:
    """Return how far a place is from the begin of its line."""
    return place - document.text.rfind("\n", 0, place) - 1


def end_of_line(text: str, place: int) -> int:
    """Return the end of a line, without what ends it."""
    end = text.find("\n", place)
    end = len(text) if end < 0 else end
    return end - 1 if text[end - 1 : end] == "\r" and end > place else end


def content_end(document: Document, node: Node) -> int:
    """Return the end of the last line of a node, a comment behind it included."""
    end = end_of_line(document.text, node.end)
    rest = document.text[node.end : end].strip()
    if rest and not rest.startswith("#"):
        raise refused(document, node.end, "something else stands behind this entry on the same line")
    return end


def after_comments(text: str, place: int, column: int) -> int:
    """Return where the comments end that belong to an entry by their indentation."""
    pattern = re.compile(r"\r?\n {" + str(column + 1) + r",}#[^\r\n]*(?=\r?\n|\Z)")
    while (found := pattern.match(text, place)) is not None:
        place = found.end()
    return place


def whole_lines(document: Document, start: int, end: int) -> tuple[int, int]:
    """Return whole lines, with the line end before them; at the begin of a text with the one behind them."""
    text = document.text
    first = text.rfind("\n", 0, start) + 1
    if text[first:start].strip():
        raise refused(document, start, "something else stands before this entry on the same line")
    if first == 0:
        behind = re.match(r"\r?\n", text[end:])
        return 0, end + (behind.end() if behind else 0)
    return first - (2 if text[first - 2 : first] == "\r\n" else 1), end


def at_end(document: Document, lines: str) -> Edit:
    """Return what puts lines behind the last key of a mapping in block style, such that cutting them out undoes it."""
    text, root = document.text, document.root
    if root is None:
        raise refused(document, 0, "there is nothing in it")
    margin, end = line_end_of(text), len(text)
    if (closing := re.search(r"^\.\.\.(?=[ \t\r\n]|\Z)", text[root.end :], re.MULTILINE)) is not None:
        end = root.end + closing.start()
    place = _before_line_end(text, end)
    last = list(walk(root))[-1]
    if place == len(text) and last.style in {"|", ">"}:  # a line end behind it would become part of its value
        start = text.rfind("\n", 0, root.pairs()[-1][0].start) + 1
        if start == 0:
            return Edit(0, 0, lines + margin)
        place = _before_line_end(text, start)
    return Edit(place, place, margin + lines)


def _before_line_end(text: str, end: int) -> int:
    return end - (2 if text[end - 2 : end] == "\r\n" else 1 if text[end - 1 : end] == "\n" else 0)
