"""Reads Continue's old `config.json`: with comments, and knowing where each stands. It is never written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.editors.continue_report import SECRET_WORDS
from gpudesk.records import dataclass
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple["str | int", ...]

_TOKEN = re.compile(
    r'(?P<line>//[^\n]*)|(?P<block>/\*.*?(?:\*/|\Z))|(?P<text>"(?:[^"\\\n]|\\.)*"?)|(?P<mark>[{}\[\]:,])|[^\s{}\[\]:,"/]+|/',
    re.DOTALL,
)
_SECRET = re.compile(r"\b(?:sk|pk|ghp|xox[abp]|hf|gsk)[-_]\w|[A-Za-z0-9+/_-]{32,}")


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment of a file."""

    place: Place
    """Key path of what it stands in: `("models", 1)`, empty at the top."""
    line: int
    text: str
    """Without its marks, on one line."""
    may_be_secret: bool
    """It names or holds a key, and is not to be copied."""


def read_json(text: str) -> dict[str, Any]:
    """Read a `config.json` as Continue does, comments and trailing commas among it.

    Raises:
        ExportError: it is no JSON, or none of Continue's; says where.
    """
    import jsonc  # type: ignore[import-untyped]

    try:
        told = jsonc.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ExportError("config.json is nested too deeply") from error
    except ValueError as error:
        line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
        where = f"line {line}, column {column}: " if line else ""
        reason = clean(getattr(error, "msg", None) or str(error), 120)
        raise ExportError(
            f"config.json: {where}{reason}", "Continue cannot read it either: put that right first"
        ) from error
    if not isinstance(told, dict):
        raise ExportError("config.json is not a mapping of keys", "Continue cannot read it either")
    return told


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def comments(text: str) -> Iterator[Comment]:
    """Yield the comments of a text that `read_json` takes."""
    stack: list[list[Any]] = []
    """Of what is open: the key or index it is at, and whether a key comes next."""
    name = ""
    for token in _TOKEN.finditer(text):
        if token["line"] is not None or token["block"] is not None:
            words = " ".join(_bare(token[0]).split())
            if words:
                place = tuple(level[0] for level in stack if level[0] is not None)
                yield Comment(place, text.count("\n", 0, token.start()) + 1, clean(words, 250), _is_secret(words))
        elif token["text"] is not None:
            name = token["text"].strip('"')
        elif token["mark"] is not None:
            _follow(stack, token["mark"], name)


def _follow(stack: list[list[Any]], mark: str, name: str) -> None:
    if mark == "{":
        stack.append([None])
    elif mark == "[":
        stack.append([0])
    elif mark in "}]":
        if stack:
            stack.pop()
    elif stack and mark == ":":
        stack[-1][0] = name
    elif stack and mark == ",":
        stack[-1][0] = stack[-1][0] + 1 if isinstance(stack[-1][0], int) else None


def _bare(comment: str) -> str:
    if comment.startswith("//"):
        return comment[2:]
    return re.sub(r"(?m)^\s*\*", "", comment[2:].removesuffix("*/"))


def _is_secret(words: str) -> bool:
    return any(word in words.lower() for word in SECRET_WORDS) or _SECRET.search(words) is not None
