"""Single values of a YAML document, put in such that what was there stays in the line as a comment.

`model: gpt-4o  # old` becomes `model: ollama_chat/qwen3 # gpudesk: instead of gpt-4o  # old`, and back again; a key
that was not there gets a line of its own that ends with `# gpudesk: added`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.values import Edit
from gpudesk.exports.yaml_layout import at_end, column_of, end_of_line, refused, whole_lines
from gpudesk.exports.yaml_splice import ADDED, INSTEAD, apply
from gpudesk.exports.yaml_text import scalar_text
from gpudesk.exports.yaml_tree import Document, Node, read, same

if TYPE_CHECKING:
    from collections.abc import Mapping

Scalar = str | int | float | bool | None
_MARKED = re.compile(r":(?P<ours>[ ][^\n]*?)(?P<mark> # gpudesk: (?:instead of|added))(?P<rest>[^\r\n]*)")


def with_values(document: Document, values: Mapping[str, Scalar]) -> str:
    """Return the text with values of top-level keys set.

    Raises:
        ExportError: it cannot be done without touching something else; says where and why.
    """
    if document.root is None:
        raise refused(document, 0, "there is nothing in it")
    if document.root.kind != "mapping" or document.root.style != "block":
        raise refused(document, document.root, "the document is not written one key per line")
    text = document.text
    for key, value in values.items():
        text = _with_value(read(text), key, value)
    _verify(document, text, dict(values))
    return text


def without_values(document: Document) -> str:
    """Return the text as it was before; values that gpudesk did not set stay.

    Raises:
        ExportError: it would touch something else.
    """
    edits: list[Edit] = []
    names: dict[str, Scalar] = {}
    for name, value in document.root.pairs() if document.root else ():
        found = _MARKED.match(document.text, name.end)
        if found is None or found.start("mark") < value.end or value.kind not in {"scalar", "alias"}:
            continue
        if found["mark"] == ADDED and not found["rest"].strip():
            edits.append(Edit(*whole_lines(document, name.start, end_of_line(document.text, found.end())), ""))
        elif found["mark"] == INSTEAD:
            edits.append(Edit(found.start("ours"), found.end("mark"), ""))
        else:
            continue
        names[name.value] = None
    text = document.text
    for edit in reversed(edits):  # one by one: two lines at the begin of a text share the line end between them
        text = text[: edit.start] + text[edit.end :]
    _verify(document, text, names, check_values=False)
    return text


def _with_value(document: Document, key: str, value: Scalar) -> str:
    text = document.text
    written = " " + scalar_text(value)
    pair = next((pair for pair in (document.root.pairs() if document.root else ()) if pair[0].value == key), None)
    if pair is None:
        first = document.root.pairs()[0][0] if document.root else None
        margin = " " * (column_of(document, first.start) if first is not None else 0)
        return apply(text, [at_end(document, f"{margin}{scalar_text(key)}:{written}{ADDED}")])
    name, node = pair
    if node.kind == "scalar" and not node.tag and not node.anchor and document.data(node) == value:
        return text
    found = _MARKED.match(text, name.end)
    if found is not None and found.start("mark") >= node.end:
        return apply(text, [Edit(found.start("ours"), found.end("ours"), written)])
    line = text[name.end : end_of_line(text, name.end)]
    if not line.startswith(":") or node.end > name.end + len(line) or node.style in {"|", ">"} or _holds_lines(node):
        raise refused(document, node, f"the value of {key} is more than one line")
    if node.anchor:
        raise refused(document, node, f"the value of {key} may be used elsewhere as *{node.anchor}")
    return apply(text, [Edit(name.end + 1, name.end + 1, written + INSTEAD)])


def _holds_lines(node: Node) -> bool:
    return node.style == "block"


def _verify(before: Document, text: str, values: Mapping[str, Scalar], *, check_values: bool = True) -> None:
    """Refuse a change that changed anything else, or not what it should."""
    try:
        after = read(text)
    except ExportError as error:
        raise ExportError(f"the change would not leave valid YAML: {error.message}") from error

    def others(document: Document) -> list[tuple[Node, Node]]:
        return [pair for pair in (document.root.pairs() if document.root else []) if pair[0].value not in values]

    left, right = others(before), others(after)
    fine = len(left) == len(right) and all(
        same(a, c) and same(b, d) for (a, b), (c, d) in zip(left, right, strict=True)
    )
    if check_values:
        fine = fine and all(
            after.at((key,)) is not None and after.data(after.at((key,))) == values[key] for key in values
        )
    if not fine:
        raise ExportError("the change would alter something else in the file, so nothing is changed")
