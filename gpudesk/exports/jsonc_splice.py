"""Changes to JSON with comments as text put in or cut out; what is not changed stays byte for byte.

What gpudesk puts in carries a mark, so that it can be found and taken out again without knowing anything else:
`/* gpudesk */` before a value that is new, `/* gpudesk: made */` before an object or a list that had to be made to
put one in (it goes when it is empty, and stays when the user has put something in as well), and `/* gpudesk: instead
of … */` with what was there before. Every change is checked: both texts are read by another parser and everything
else is compared, and taking the change out again has to give the same bytes.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.jsonc_layout import ADDED, Leaf, Style, applied
from gpudesk.exports.jsonc_removal import marked, without
from gpudesk.exports.jsonc_tree import Document, Key, KeyPath, Node, escaped, is_blank, read
from gpudesk.exports.text_file import line_and_column
from gpudesk.exports.values import Edit
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def span(text: str, path: KeyPath, file: Path) -> tuple[int, int] | None:
    """Return from where to where the value at a path stands; None when there is none."""
    root = read(text, file).root
    node = root.at(path) if root is not None else None
    return None if node is None else (node.start, node.end)


def with_values(
    text: str,
    values: Mapping[KeyPath, Any],
    file: Path,
    effect: str,
    *,
    unit: str = "  ",
    owned: frozenset[KeyPath] = frozenset(),
) -> str:
    """Return a text with values set; what gpudesk set before and is not among them is taken out.

    Args:
        text: what is there, without byte order mark; empty for a new file.
        values: by path, none of them within another.
        file: for messages.
        effect: what the editor makes of a broken file, for messages.
        unit: indentation where the text does not tell.
        owned: what is gpudesk's even without a mark: the editor writes its file anew, without comments.

    Raises:
        ExportError: the text is no JSON with comments, or it cannot be done without touching something else.
    """
    document = read(text, file, effect)
    bare = _without_any(document, owned)
    if document.root is not None and any(_is_unmarked(document.root.at(path)) for path in owned):
        document = read(bare, file, effect)
    stale = [path for path in marked(document.root) if path not in values] if bare != document.text else []
    base = read(without(document, set(stale)), file, effect) if stale else document
    after = _spliced(base, values, file, unit)
    if not _is_right(bare, after, values, file):
        after = _spliced(read(bare, file, effect), values, file, unit)
        if not _is_right(bare, after, values, file):
            raise ExportError(f"{shortened(file)}: the change would alter something else, so nothing is changed")
    return after


def without_ours(
    text: str, file: Path, effect: str = "the editor does not read it", owned: frozenset[KeyPath] = frozenset()
) -> str:
    """Return a text without anything of gpudesk's: what it was before.

    Raises:
        ExportError: the text is no JSON with comments.
    """
    return _without_any(read(text, file, effect), owned)


def _without_any(document: Document, owned: frozenset[KeyPath]) -> str:
    if not owned and ADDED[:10] not in document.text:
        return document.text
    return without(document, {*marked(document.root), *owned}, owned)


def _is_unmarked(node: Node | None) -> bool:
    return node is not None and node.mark is None


def ours(text: str, file: Path) -> tuple[KeyPath, ...]:
    """Return the paths of what gpudesk put into a text."""
    return tuple(marked(read(text, file).root))


def _is_right(bare: str, after: str, values: Mapping[KeyPath, Any], file: Path) -> bool:
    import jsonc  # type: ignore[import-untyped]

    try:
        if without_ours(after, file) != bare:
            return False
        wanted = None if is_blank(bare) else jsonc.loads(bare)
        for path, value in values.items():
            wanted = _with(wanted, path, value)
        same = _comparable(wanted) == _comparable(jsonc.loads(after)) if values else bare == after
    except (ValueError, TypeError, RecursionError, ExportError):
        return False
    return same


def _comparable(data: Any) -> str:
    """Return data such that 1, 1.0 and true are different and the order of members is not."""
    return json.dumps(data, sort_keys=True)


def _with(data: Any, path: KeyPath, value: Any) -> Any:
    """Return plain data with a value set: what the splice has to come to."""
    if not path:
        return deepcopy(value)
    key, *rest = path
    if isinstance(key, str):
        result = dict(data or {})
        result[key] = _with(result.get(key), tuple(rest), value)
        return result
    listed = list(data or [])
    for place in range(len(listed) - 1, -1, -1):
        if isinstance(listed[place], dict) and listed[place].get(key[0]) == key[1]:
            listed[place] = _with(listed[place], tuple(rest), value)
            return listed
    return [*listed, _with(None, tuple(rest), value)]


def _spliced(document: Document, values: Mapping[KeyPath, Any], file: Path, unit: str) -> str:
    text, root = document.text, document.root
    wanted = _tree(values)
    if not wanted:
        return text
    style = Style(text, unit)
    if root is None:
        last = style.line_end if not text else ""
        return f"{text}{style.line_end if text else ''}{style.made(wanted, '')}{last}"
    edits: list[Edit] = []
    _put_in(document, root, wanted, style, file, edits)
    return applied(text, edits)


def _tree(values: Mapping[KeyPath, Any]) -> dict[Key, Any]:
    tree: dict[Key, Any] = {}
    for path, value in values.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = Leaf(value)
    return tree


def _put_in(
    document: Document, node: Node, wanted: Mapping[Key, Any], style: Style, file: Path, edits: list[Edit]
) -> None:
    kind = "object" if isinstance(next(iter(wanted)), str) else "array"
    if node.kind != kind:
        line, _ = line_and_column(document.text, node.start)
        raise ExportError(
            f"{shortened(file)}, line {line}: expected {'an object' if kind == 'object' else 'a list'} here",
            "Correct it, or take it out",
        )
    margin = style.margin_of(node)
    new: list[str] = []
    for key, value in wanted.items():
        child = node.child(key)
        if child is None:
            new.append(style.member(key, value, margin))
            continue
        if isinstance(key, str) and sum(each.name == key for each in node.children) > 1:
            line, _ = line_and_column(document.text, child.start)
            raise ExportError(f'{shortened(file)}, line {line}: "{key}" is there twice', "Take one of them out")
        if not isinstance(value, Leaf):
            _put_in(document, child.node, value, style, file, edits)
        elif child.node.mark is None or child.node.made:
            if _comparable(child.node.data) == _comparable(value.value):
                continue  # it is what it shall be, and stays the user's
            old = document.text[child.node.start : child.node.end]
            written = style.value(value.value, style.line_margin(child.start))
            mark = f"/* gpudesk: instead of {escaped(old)} */ "
            edits.append(Edit(child.node.start, child.node.end, mark + written))
        elif child.node.data != value.value or type(child.node.data) is not type(value.value):
            edits.append(
                Edit(child.node.start, child.node.end, style.value(value.value, style.line_margin(child.start)))
            )
    if new:
        edits += style.insertion(node, new, margin)
