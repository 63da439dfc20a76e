"""White space that ruamel.yaml takes and Continue's parser does not, which then has no model at all.

npm `yaml` 2 (src/parse/lexer.ts of eemeli/yaml) wants every line of a value in quotes or brackets to be indented more
than the mapping or list it is in (only the last bracket may stand below its begin), a blank before a comment, and no
tab where a text in block style is indented.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.text_file import line_and_column
from gpudesk.exports.yaml_tree import YamlError

if TYPE_CHECKING:
    from gpudesk.exports.yaml_tree import Document, Node

TAB_REASON = "a tab where YAML wants spaces"
_GLUED_REASON = "a comment needs a blank before it"
_INDENT_REASON = "indent it further: it belongs to a value that began above"
_COMMENT_OR_GLUED = re.compile(r"(?<=\s)#[^\r\n]*|(?P<glued>[\[{,:]#)")
_LINE = re.compile(r"\n([ ]*)([^ \r\n]?)")


def check_spaces(document: Document) -> None:
    """Refuse such a document.

    Raises:
        YamlError: says where and why.
    """
    if document.root is not None:
        _check(document.text, document.root, -1)


def _check(text: str, node: Node, column: int) -> None:
    """Look at a node in a mapping or list whose entries begin in a column; -1 for none."""
    if node.kind == "mapping" and node.style == "block":
        own = _column(text, node.pairs()[0][0].start)
        for key, value in node.pairs():
            _check(text, key, own)
            _check(text, value, own)
    elif node.kind == "sequence" and node.style == "block":
        own = _column(text, text.rindex("-", 0, node.items()[0].start + 1) if node.anchor or node.tag else node.start)
        for item in node.items():
            _check(text, item, own)
    elif node.style in {"|", ">"}:
        _refuse(text, _tab_in_block(text, node), TAB_REASON)
    elif node.style in {"flow", "'", '"'}:
        _refuse(text, _too_far_left(text, node, column), _INDENT_REASON)
        _check_comments(text, node)


def _column(text: str, place: int) -> int:
    return place - text.rfind("\n", 0, place) - 1


def _refuse(text: str, place: int | None, reason: str) -> None:
    if place is not None:
        raise YamlError(reason, *line_and_column(text, place))


def _too_far_left(text: str, node: Node, column: int) -> int | None:
    """Return where a further line of a value begins that is not indented more than what it is in."""
    for found in _LINE.finditer(text, node.start, node.end):
        indent, first, place = len(found[1]), found[2], found.start(2)
        if not first or indent > column or (first in "#\t" and node.style == "flow"):
            continue
        if not (indent == column and first in "]}" and place == node.end - 1):
            return place
    return None


def _check_comments(text: str, node: Node) -> None:
    _refuse(text, _glued_comment(text, node), _GLUED_REASON)
    if node.style == "flow":
        for each in [each for pair in node.pairs() for each in pair] or node.items():
            if each.style in {"flow", "'", '"'}:
                _check_comments(text, each)


def _glued_comment(text: str, node: Node) -> int | None:
    if text.startswith("#", node.end):
        return node.end
    place = node.start + 1
    inner = [node for pair in node.pairs() for node in pair] or node.items()
    for each in inner if node.style == "flow" else ():
        for found in _COMMENT_OR_GLUED.finditer(text, place - 1, max(place, each.start)):
            if found["glued"] is not None:
                return found.end() - 1
        place = each.end + 1
    return None


def _tab_in_block(text: str, node: Node) -> int | None:
    """Return where a line of a text in block style begins with a tab too far to the left."""
    place = text.find("\n", node.start) + 1
    indent: int | None = None
    while place:
        end = text.find("\n", place)
        line = text[place : len(text) if end < 0 else end].rstrip("\r")
        bare = line.lstrip(" ")
        here = len(line) - len(bare)
        if bare and indent is None:
            indent = here
        if bare and indent is not None and here < indent:
            return place + here if bare.startswith("\t") else None
        place = end + 1
    return None
