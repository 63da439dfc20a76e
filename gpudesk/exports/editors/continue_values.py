"""Values that Continue's schema refuses: one of them, and the whole file gives no model at all.

The message the user sees there stops at `models.0: Invalid input` (packages/config-yaml/src/load/unroll.ts at
d0a3c0b626), so the place and the reason are said here.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editors.continue_report import REFUSED, is_harmless, shown
from gpudesk.exports.editors.continue_schema import Mismatch, MismatchKind
from gpudesk.exports.editors.continue_shapes import ROLES
from gpudesk.exports.requests import seconds_of
from gpudesk.exports.values import Edit, Severity
from gpudesk.exports.yaml_text import flow_text

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_report import Report
    from gpudesk.exports.yaml_tree import Node

_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?\Z")
_TRUE = frozenset({"true", "yes", "on", "y"})
_FALSE = frozenset({"false", "no", "off", "n"})
_ROLE_WORDS = {
    **dict.fromkeys(
        ("tab", "tabautocomplete", "completion", "completions", "autocompletion", "fim", "complete"), "autocomplete"
    ),
    **dict.fromkeys(("embedding", "embeddings", "embedder", "embeddingsprovider"), "embed"),
    **dict.fromkeys(("reranker", "reranking"), "rerank"),
    **dict.fromkeys(("editing", "inlineedit"), "edit"),
    **dict.fromkeys(("summary", "summarise", "summarization"), "summarize"),
}


def report_value(report: Report, found: Mismatch) -> None:
    """Add the finding of a value of a wrong type, of a word that is no choice, or of a key that is missing."""
    if found.kind is MismatchKind.MISSING:
        _report_missing(report, found)
    elif found.kind is MismatchKind.CHOICE:
        _report_choice(report, found)
    else:
        _report_type(report, found)


def _report_missing(report: Report, found: Mismatch) -> None:
    edits: tuple[Edit, ...] = ()
    default = {"name": "Main Config", "version": "1.0.0"}.get(found.key) if found.shape.name == "config" else None
    owner = found.owner
    if default is not None and owner.kind == "mapping" and owner.style == "block" and owner.pairs():
        first = owner.pairs()[0][0]
        start = report.source.document.text.rfind("\n", 0, first.start) + 1
        if start == first.start and not owner.anchor and not owner.tag:
            end = "\r\n" if "\r\n" in report.source.document.text else "\n"
            edits = (Edit(start, start, f"{found.key}: {default}{end}"),)
    fix = f"Add {found.key}: {default}" if default else f"Add {found.key}"
    report.add("missing-key", Severity.ERROR, owner, found.where, f"{found.key} is missing", REFUSED, fix, edits)


def _report_choice(report: Report, found: Mismatch) -> None:
    value = str(report.source.reader.value(found.place))
    right: str | None
    if found.shape.choices == ROLES:
        plain = "".join(character for character in value.lower() if character.isalnum())
        right = _ROLE_WORDS.get(plain) or (plain if plain in ROLES else None)
        code, message = "unknown-role", f"{shown(value, found.where)} is no role"
        known = ", ".join(ROLES)
    else:
        right = value.strip().lower() if value.strip().lower() in found.shape.choices else None
        code, message = "wrong-choice", f"{shown(value, found.where)} is not {found.shape.words}"
        known = ", ".join(found.shape.choices)
    near = right or next(iter(difflib.get_close_matches(value.lower(), found.shape.choices, n=1)), None)
    fix = f"Write {near}" if near else f"Choose of {known}"
    twice = right is not None and any(report.source.reader.value(n) == right for n in found.owner.items())
    edits = report.source.fixes.replace(found.place, right) if right and not twice else ()
    report.add(code, Severity.ERROR, found.place, found.where, message, REFUSED, fix, edits)


def _report_type(report: Report, found: Mismatch) -> None:
    value = report.source.reader.value(found.place)
    node = report.source.reader.resolved(found.place)
    is_scalar = node is not None and node.kind == "scalar"
    kind, where = found.shape.kind, found.where
    code = "wrong-type"
    right: str | None = None
    if is_scalar and value is None:
        if _report_null(report, found):
            return
    elif is_scalar:
        right = _right(kind, found, value)
    if where == "version":
        code = "version-not-text"
    elif where.endswith(".keepAlive"):
        code = "keep-alive-text"
    edits = report.source.fixes.replace(found.place, right) if right is not None and found.place is node else ()
    what = (
        shown(value, where)
        if is_scalar
        else {"mapping": "a mapping", "sequence": "a list"}.get(node.kind if node else "", "")
    )
    message = f"{what or 'it'} is not {found.shape.words}"
    if isinstance(value, bool) and report.source.document.old and kind in {"text", "choice"}:
        message += ": under %YAML 1.1 such a word is true or false"
    fix = f"Give it {found.shape.words}"
    if right and (is_harmless(where) or kind in {"number", "flag"}):
        fix = f"Write {right}"
    elif right:
        fix = "Make it a list" if kind == "list" else "Put it in quotes"
    report.add(code, Severity.ERROR, found.place, where, message, REFUSED, fix, edits)


def _report_null(report: Report, found: Mismatch) -> bool:
    """Report a key without a value; a list of Continue's may be left out or empty, but not nothing."""
    key = next((key for key, value in found.owner.pairs() if value is found.place), None)
    if found.shape.kind != "list" or key is None:
        return False
    text, place = report.source.document.text, found.place
    name = found.where.rsplit(".", 1)[-1]
    edits: tuple[Edit, ...] = ()
    if place.start < place.end:
        edits = report.source.fixes.replace(place, "[]")
    elif (
        not place.anchor
        and not place.tag
        and (colon := text.find(":", key.end)) >= 0
        and not text[key.end : colon].strip()
    ):
        edits = (Edit(colon + 1, colon + 1, " []"),)
    message = f"{name} has no value, and nothing is not a list"
    report.add("empty-value", Severity.ERROR, key, found.where, message, REFUSED, f"Write {name}: []", edits)
    return True


def _right(kind: str, found: Mismatch, value: Any) -> str | None:
    """Return the value as it should be written; None when that is a guess."""
    text = str(value).strip() if isinstance(value, str) else ""
    if kind == "number":
        if _NUMBER.match(text):
            return text
        seconds = seconds_of(text) if found.where.endswith(".keepAlive") else None
        return None if seconds is None else str(-1 if seconds < 0 else round(seconds))
    if kind == "flag":
        low = text.lower()
        return "true" if low in _TRUE else "false" if low in _FALSE else None
    if kind in {"text", "text or texts"} and not isinstance(value, str):
        if found.where == "version":
            return "1.0.0" if value == 1 and not isinstance(value, bool) else f'"{_source(found.place)}"'
        return f'"{_source(found.place)}"'
    if (
        kind == "list"
        and isinstance(value, str)
        and found.shape.item is not None
        and found.shape.item.kind in {"text", "choice"}
    ):
        if found.shape.item.kind == "choice":
            words = [word for word in re.split(r"[\s,]+", text) if word]
            return f"[{', '.join(words)}]" if words and all(word in ROLES for word in words) else None
        return flow_text([value])
    return None


def _source(node: Node) -> str:
    """Return a plain scalar as it is written: digits and words, nothing that needs an escape in quotes."""
    return str(node.value)
