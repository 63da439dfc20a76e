"""What a change does to files, as text to read before it is made. Secrets are never in it."""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import TYPE_CHECKING

from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpudesk.exports.values import Export, FileChange

CONTEXT_LINES = 3
_OPEN_END = "\n\\ No newline at end of file"
HIDDEN = "(hidden)"
_LINES_COMPARED = 4000
"""Where more than this differs, the old lines are shown as gone and the new ones as come."""
_HARMLESS = frozenset({"", "ollama", "none", "null", "true", "false", "~", "local", "dummy", "empty"})
"""What is written where a tool wants a key and the engine wants none."""

_SECRET_KEY = re.compile(
    r"""(?P<key>["']?[\w.-]*(?:api[_-]?key|token(?!s|iz|_?count|_?limit)|secret(?!s\.)|passw(?:or)?d|passphrase
    |authorization|credential|cookie|(?:private|access)[_-]?key|bearer)[\w.-]*["']?[ \t]*[:=][ \t]*)
    (?P<value>"(?:[^"\\\r\n]|\\.)*"?|'[^'\r\n]*'?|[^\s,}\]\#"'][^,}\]\#\r\n]*)""",
    re.IGNORECASE | re.VERBOSE,
)
_SECRET_BLOCK = re.compile(
    r"^(?P<margin>[ \t]*)(?:- +)?[\"']?[\w.-]*(?:api[_-]?key|token(?!s)|secret|passw(?:or)?d|authorization|credential"
    r"|private[_-]?key)[\w.-]*[\"']?[ \t]*:[ \t]*[|>][-+0-9]*[ \t]*$",
    re.IGNORECASE,
)
_SECRET_SHAPE = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}|\bgh[oprsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bhf_[A-Za-z0-9]{20,}"
    r"|\bAIza[\w-]{30,}|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]+)?|\bAKIA[0-9A-Z]{16}\b"
    r"|(?<=bearer )[^\s\"',}]{6,}|(?<=://)[^\s/@:\"']*:[^\s/@\"']+(?=@)",
    re.IGNORECASE,
)

_HINT = re.compile(
    r"api|token|secret|passw|passphrase|auth|credential|cookie|[e_-]key|bearer|[spr]k-|gh|hf_|xox|eyj|akia|://",
    re.IGNORECASE,
)
"""In every line that may hold a secret: most lines need no second look."""


def difference(export: Export) -> str:
    """Return what an export does to each file, as a unified diff; empty when it does nothing."""
    return "".join(change_text(change) for change in export.changes)


def change_text(change: FileChange) -> str:
    """Return what happens to one file: a unified diff, or one line when nothing in it changes."""
    name = shortened(change.path)
    if not change.changes:
        return "" if change.before is None else f"# {name}: {change.why}\n"
    return between(name, change.before, change.after)


def between(path: Path | str, before: bytes | None, after: bytes | None) -> str:
    """Return how two contents of a file differ; None is a file that does not exist."""
    name = shortened(path)
    body = _unified(_lines(before), _lines(after))
    if before != after and not body:
        body = ["@@ what differs is hidden, or cannot be seen @@"] if before or after else []
    head = [f"--- {'/dev/null' if before is None else name}", f"+++ {'/dev/null' if after is None else name}"]
    return "\n".join([*head, *body, ""])


def masked(text: str) -> str:
    """Return a text without its secrets: values of keys that name one, and what looks like one anywhere."""
    return "\n".join(_masked_lines(text.split("\n")))


def _masked_lines(given: Iterable[str]) -> list[str]:
    lines: list[str] = []
    margin: int | None = None
    for line in given:
        if margin is not None and (line.isspace() or not line or _indent(line) > margin):
            lines.append(line if line.isspace() or not line else f"{' ' * (margin + 2)}{HIDDEN}")
            continue
        margin = None
        if _HINT.search(line) is None:
            lines.append(line)
            continue
        found = _SECRET_BLOCK.match(line.rstrip("\r"))
        margin = len(found["margin"]) if found else None
        lines.append(line if found else _SECRET_SHAPE.sub(HIDDEN, _SECRET_KEY.sub(_without_value, line)))
    return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _without_value(found: re.Match[str]) -> str:
    value = found["value"].rstrip()
    rest = found["value"][len(value) :]
    bare = value.strip("\"'")
    # A number counts tokens, and ${{ secrets.NAME }} only names where a secret is.
    if bare.lower() in _HARMLESS or bare.startswith(("$", "{", "[", "|", ">", "&", "*")):
        return found[0]
    if re.fullmatch(r"-?\d{1,9}", value):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found['key']}{quote}{HIDDEN}{quote}{rest}"


def _lines(data: bytes | None) -> list[str]:
    """Return the lines as they are; the last one says when it does not end."""
    if not data:
        return []
    text = data.decode("utf-8-sig", errors="replace")
    if text.count("\r\n") * 2 > text.count("\n"):
        text = text.replace("\r\n", "\n")
    ended = text.endswith("\n")
    lines = (text[:-1] if ended else text).split("\n")
    if not ended:
        lines[-1] += _OPEN_END
    return lines


def _shown(lines: Sequence[str], start: int, end: int) -> list[str]:
    """Return some of the lines as they may be shown: no secrets, nothing that moves a cursor."""
    begin = _secret_block_around(lines, start)
    part = [line.removesuffix(_OPEN_END) for line in lines[begin:end]]
    shown = [_visible(line) for line in _masked_lines(part)]
    if shown and lines[end - 1].endswith(_OPEN_END):
        shown[-1] += _OPEN_END
    return shown[start - begin :]


def _secret_block_around(lines: Sequence[str], place: int) -> int:
    """Return where the outermost secret text of several lines begins that reaches to a line; else the line itself."""
    found = place
    least = next((_indent(line) for line in lines[place:] if line.strip()), 0)
    for number in range(place - 1, -1, -1):
        line = lines[number]
        if not least:
            break
        if not line.strip() or _indent(line) >= least:
            continue
        least = _indent(line)
        if _SECRET_BLOCK.match(line):
            found = number
    return found


def _visible(line: str) -> str:
    """Return a line in which nothing moves a cursor or turns the line around."""
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() or character == "\t" else f"\\u{ord(character):04x}" for character in line
    )


def _unified(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the lines of a unified diff without its head.

    What is the same at both ends is neither compared nor looked through for secrets, which takes longer than the rest.
    """
    start, end = _same_at_the_ends(old, new)
    left, right = _shown(old, start, len(old) - end), _shown(new, start, len(new) - end)
    further, end = _same_at_the_ends(left, right)
    left, right = left[further : len(left) - end], right[further : len(right) - end]
    if left == right:
        return []
    if max(len(left), len(right)) > _LINES_COMPARED:
        return [f"@@ {len(left)} lines become {len(right)} @@", *(f"-{x}" for x in left), *(f"+{x}" for x in right)]
    lines = list(unified_diff(left, right, lineterm="", n=CONTEXT_LINES))[2:]
    return [_moved(line, start + further) if line.startswith("@@ ") else line for line in lines]


def _same_at_the_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """Return how many lines at the start and at the end are the same, less those shown around a change."""
    shortest = min(len(old), len(new))
    start = next((number for number in range(shortest) if old[number] != new[number]), shortest)
    rest = shortest - start
    end = next((number for number in range(rest) if old[-1 - number] != new[-1 - number]), rest)
    return max(0, start - CONTEXT_LINES), max(0, end - CONTEXT_LINES)


def _moved(head: str, offset: int) -> str:
    """Return the head of a part with its line numbers counted from the start of the file."""
    found = re.match(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@", head)
    if found is None:
        return head
    old, old_count, new, new_count = found.groups(default="")
    return f"@@ -{int(old) + offset}{old_count} +{int(new) + offset}{new_count} @@"
