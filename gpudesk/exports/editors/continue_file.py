"""One file of Continue's, with gpudesk's entries and without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports import yaml_splice
from gpudesk.exports.editors.continue_blocks import Block, is_ours
from gpudesk.exports.text_file import TextFile, line_end_of
from gpudesk.exports.yaml_text import entry_lines
from gpudesk.exports.yaml_tree import Document, YamlError, read
from gpudesk.paths import shortened
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = "models"
INVALID_EFFECT = "Continue loads no model at all from such a file: it does not keep the configuration it had before"
_ANOTHER_WAY = "Use a file of gpudesk's own instead: --block"
_ROLES_WHEN_NONE = ("chat", "summarize", "apply", "edit")
"""What a model without roles is used for (core/config/yaml/loadYaml.ts)."""
_OWN_HEAD = ("name: gpudesk", "version: 1.0.0", "schema: v1")
_MAIN_HEAD = ("name: Main Config", "version: 1.0.0", "schema: v1")
"""What Continue writes itself where there is no configuration (core/config/default.ts at d0a3c0b626)."""
_OWN_MARK = "# Written by gpudesk: changes are lost when it writes again. Remove: gpudesk editors restore continue"
_NEW_MARK = "# Written by gpudesk: there was no configuration"
_EMPTY_MARK = "# Written by gpudesk: the configuration was empty"


def parsed(file: TextFile) -> Document:
    """Read a configuration.

    Raises:
        ExportError: it is no valid YAML; says where, and what Continue does with it.
    """
    try:
        return read(file.text)
    except YamlError as error:
        raise ExportError(
            f"{shortened(file.path)} is not valid YAML: {error.message}", f"Repair it first. {INVALID_EFFECT}"
        ) from error


def own_text(blocks: Sequence[Block]) -> str:
    """Return a file of gpudesk's own."""
    return "\n".join([_OWN_MARK, *_OWN_HEAD, *_list(blocks)]) + "\n"


def is_own(document: Document) -> bool:
    """A file is gpudesk's alone: it says so, and nobody has added a model or a section."""
    if document.root is None or not document.text.startswith(_OWN_MARK) or not _has_head(document, _OWN_HEAD):
        return False
    items = document.at((KEY,))
    return items is not None and all(is_ours(document.data(item)) for item in items.items())


def filled(file: TextFile, blocks: Sequence[Block]) -> bytes:
    """Return a configuration with gpudesk's entries; a file that is missing or empty gets a head as well.

    Raises:
        ExportError: it cannot be done without touching something else.
    """
    document = parsed(file)
    if document.root is not None:
        return file.encoded(_spliced(file, document, blocks))
    margin = line_end_of(file.text)
    mark = _NEW_MARK if file.data is None else _EMPTY_MARK
    added = margin.join([mark, *_MAIN_HEAD, *_list(blocks)])
    ending = re.search(r"(?:\r?\n)?\Z", file.text)
    place = ending.start() if ending else 0
    text = file.text[:place] + margin + added + file.text[place:] if file.text else added + margin
    try:
        after = read(text)
    except YamlError as error:
        raise ExportError(f"{shortened(file.path)} cannot be added to: {error.message}", _ANOTHER_WAY) from error
    if not _has_head(after, _MAIN_HEAD) or after.data(after.at((KEY,))) != list(blocks):
        raise ExportError(f"{shortened(file.path)} cannot be added to safely, so nothing is changed", _ANOTHER_WAY)
    return file.encoded(text)


def without_ours(file: TextFile) -> bytes | None:
    """Return a file as it was before gpudesk's entries came; None when there was none.

    Raises:
        ExportError: it is no valid YAML, or an entry of gpudesk's is used elsewhere in it.
    """
    if "gpudesk" not in file.text:
        return file.data
    document = parsed(file)
    if is_own(document):
        return None
    if _is_filled(document):
        start = document.text.rindex(_EMPTY_MARK if _EMPTY_MARK in document.text else _NEW_MARK)
        if start == 0:
            return None if document.text.startswith(_NEW_MARK) else file.encoded("")
        start -= 2 if document.text[start - 2 : start] == "\r\n" else 1
        root_end = document.root.end if document.root is not None else len(document.text)
        return file.encoded(document.text[:start] + document.text[root_end:])
    return file.encoded(_spliced(file, document, ()))


def first_of_roles(file: TextFile) -> dict[str, str]:
    """Return the name of the first model of each role in a configuration, gpudesk's own left out of account."""
    document = parsed(file)
    items = document.at((KEY,))
    first: dict[str, str] = {}
    for item in items.items() if items is not None else ():
        entry = document.data(item)
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str):
            roles = entry.get("roles", _ROLES_WHEN_NONE)
            for role in roles if isinstance(roles, (list, tuple)) else ():
                first.setdefault(str(role), clean(name))
    return first


def _spliced(file: TextFile, document: Document, blocks: Sequence[Block]) -> str:
    try:
        return yaml_splice.with_entries(document, KEY, blocks, is_ours)
    except ExportError as error:
        raise ExportError(f"{shortened(file.path)}: {error.message}", _ANOTHER_WAY) from error


def _is_filled(document: Document) -> bool:
    """Everything in a configuration is what gpudesk put into an empty one."""
    root = document.root
    marks = [found.start() for found in re.finditer(rf"^(?:{_NEW_MARK}|{_EMPTY_MARK})(?=\r?$)", document.text, re.M)]
    if root is None or len(marks) != 1 or not _has_head(document, _MAIN_HEAD) or root.start < marks[0]:
        return False
    items = document.at((KEY,))
    return items is not None and items.style == "block" and all(is_ours(document.data(item)) for item in items.items())


def _has_head(document: Document, head: Sequence[str]) -> bool:
    data = document.data(document.root)
    wanted = dict(line.split(": ") for line in head)
    return (
        isinstance(data, dict)
        and {*wanted, KEY} == set(data)
        and all(data[key] == text for key, text in wanted.items())
    )


def _list(blocks: Sequence[Block]) -> list[str]:
    return [f"{KEY}:", *("  " + line for block in blocks for line in entry_lines(block))]
