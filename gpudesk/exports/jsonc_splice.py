"""Changes to JSON with comments as text put in or cut out; what is not changed stays byte for byte.

What gpudesk puts in carries a mark, so that it can be found and taken out again without knowing anything else:
`/* gpudesk */` before a value that is new, `/* gpudesk: made */` before an object or a list that had to be made to
put one in (it goes when it is empty, and stays when the user has put something in as well), and `/* gpudesk: instead
of … */` with what was there before. Every change is checked: both texts are read by another parser and everything
else is compared, and taking the change out again has to give the same bytes.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.jsonc_tree import Child, Document, Key, KeyPath, Node, escaped, is_blank, read
from gpudesk.exports.text_file import line_and_column, line_end_of
from gpudesk.exports.values import Edit
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ADDED, MADE = "/* gpudesk */ ", "/* gpudesk: made */ "
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*(?:[^*\r\n]|\*(?!/))*\*/)*(?://[^\r\n]*)?(?=\r?\n)")
"""Blanks and comments up to the end of a line."""


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
    stale = [path for path in _marked(document.root) if path not in values] if bare != document.text else []
    base = read(_without(document, set(stale)), file, effect) if stale else document
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
    return _without(document, {*_marked(document.root), *owned}, owned)


def _is_unmarked(node: Node | None) -> bool:
    return node is not None and node.mark is None


def ours(text: str, file: Path) -> tuple[KeyPath, ...]:
    """Return the paths of what gpudesk put into a text."""
    return tuple(_marked(read(text, file).root))


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


def _marked(node: Node | None, path: KeyPath = ()) -> list[KeyPath]:
    """Return the paths of the values that gpudesk put in; not of what was only made for them."""
    if node is None:
        return []
    if node.mark is not None and not node.made:
        return [path]
    return [
        found
        for place, child in enumerate(node.children)
        if child.node.children or child.node.mark is not None
        for found in _marked(child.node, (*path, _key(place, child)))
    ]


def _key(place: int, child: Child) -> Key:
    """Return what finds a child; an element of a list goes by its `name` where it has one."""
    if child.name is not None:
        return child.name
    data = child.node.data
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        return ("name", data["name"])
    return ("", place)


def _without(document: Document, paths: set[KeyPath], owned: frozenset[KeyPath] = frozenset()) -> str:
    root = document.root
    if root is None:
        return document.text
    edits: list[Edit] = []
    if _take_out(document.text, root, (), paths, owned, edits) and root.made and root.mark is not None:
        before, rest = document.text[: root.mark], document.text[root.end :]
        return re.sub(r"\r?\n\Z", "", before) + (rest if rest.strip() else "")
    return applied(document.text, edits)


def _take_out(
    text: str, node: Node, path: KeyPath, paths: set[KeyPath], owned: frozenset[KeyPath], edits: list[Edit]
) -> bool:
    """Collect what takes values out of an object or list; tell whether nothing is left in what was made for them."""
    gone: list[Child] = []
    for place, child in enumerate(node.children):
        key = (*path, _key(place, child))
        inner = child.node
        if key in paths and (inner.mark is not None or key in owned):
            if inner.mark is not None and inner.old is not None:
                edits.append(Edit(inner.mark, inner.end, inner.old))
            else:
                gone.append(child)
        elif inner.children:
            within: list[Edit] = []
            if _take_out(text, inner, key, paths, owned, within):
                gone.append(child)
            else:
                edits += within
    if node.made and node.children and len(gone) == len(node.children):
        return True
    if node.made and node.mark is not None and all(found in paths for found in _marked(node, path)):
        edits.append(Edit(node.mark, node.start, ""))  # the user has put something in: it is the user's now
    edits += _cuts(text, node, gone)
    return False


def _cuts(text: str, node: Node, gone: Sequence[Child]) -> list[Edit]:
    edits: list[Edit] = []
    places = {id(child) for child in gone}
    stays = [child for child in node.children if id(child) not in places]
    for child in gone:
        end = child.node.end
        if child.comma is not None:
            blank = not text[end : child.comma].strip()
            end, extra = (child.comma + 1, None) if blank else (end, Edit(child.comma, child.comma + 1, ""))
            edits += [extra] if extra else []
        edits.append(Edit(_begin(text, child, node), end, ""))
    if gone and stays and node.children[-1].comma is None and id(node.children[-1]) in places:
        comma = stays[-1].comma
        if comma is not None:
            edits.append(Edit(comma, comma + 1, ""))
    return edits


def _begin(text: str, child: Child, node: Node) -> int:
    """Return from where a child was put in: its line end and indentation, or the blank before it."""
    line = re.search(r"\r?\n[ \t]*\Z", text[: child.start])
    if line is not None and line.start() >= node.start:
        return line.start()
    blank = text[child.start - 1 : child.start] == " " and child is not node.children[0]
    return child.start - 1 if blank else child.start


def _spliced(document: Document, values: Mapping[KeyPath, Any], file: Path, unit: str) -> str:
    text, root = document.text, document.root
    wanted = _tree(values)
    if not wanted:
        return text
    style = _Style(text, unit)
    if root is None:
        last = style.line_end if not text else ""
        return f"{text}{style.line_end if text else ''}{style.made(wanted, '')}{last}"
    edits: list[Edit] = []
    _put_in(document, root, wanted, style, file, edits)
    return applied(text, edits)


class _Leaf:
    """A value to be set, told from an object of further keys."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _tree(values: Mapping[KeyPath, Any]) -> dict[Key, Any]:
    tree: dict[Key, Any] = {}
    for path, value in values.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = _Leaf(value)
    return tree


def _put_in(
    document: Document, node: Node, wanted: Mapping[Key, Any], style: _Style, file: Path, edits: list[Edit]
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
        if not isinstance(value, _Leaf):
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


class _Style:
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
        if isinstance(value, _Leaf):
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
