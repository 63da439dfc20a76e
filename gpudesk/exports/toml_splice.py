"""Changes to TOML as lines put in or taken out; what is not changed stays byte for byte.

A key that is new stands on a line that ends with `# gpudesk`; a line that is replaced stays above the new one, behind
`# gpudesk: instead of: `; tables are put at the end, between `# gpudesk: begin` and `# gpudesk: end`. Every change is
checked: both texts are read by tomlkit and everything else is compared, and taking the change out again has to give
the same bytes.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from gpudesk.errors import ExportError
from gpudesk.exports.text_file import line_end_of
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ADDED, INSTEAD = " # gpudesk", "# gpudesk: instead of: "
BEGIN, END = "# gpudesk: begin", "# gpudesk: end"
_BLOCK = re.compile(rf"(?:\r?\n)?^{BEGIN}\r?$[\s\S]*?^{END}\r?$(?:\n|\Z)", re.MULTILINE)
_REPLACED = re.compile(rf"^{INSTEAD}(?P<old>[^\r\n]*)\r?\n[^\r\n]*{ADDED}(?=\r?$)", re.MULTILINE)
_ADDED_LINE = re.compile(rf"(?!#)[^\r\n]*{ADDED}\Z")


def with_values(
    text: str,
    values: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any]],
    file: Path,
    effect: str,
) -> str:
    """Return a text with top-level keys set and tables put at its end, in the place of what gpudesk put there before.

    Args:
        text: what is there, without byte order mark.
        values: top-level keys.
        tables: by dotted name, their keys.
        file: for messages.
        effect: what the program makes of a broken file, for messages.

    Raises:
        ExportError: the text is no TOML, or it cannot be done without touching something else.
    """
    check(text, file, effect)
    bare = without_ours(text)
    after = _with_tables(_with_keys(bare, values), tables)
    if not _is_right(bare, after, values, tables):
        raise ExportError(
            f"{shortened(file)}: the change would alter something else, so nothing is changed",
            f"Look for {', '.join([*values, *tables])} in it",
        )
    return after


def without_ours(text: str) -> str:
    """Return a text without anything of gpudesk's: what it was before."""
    text = _BLOCK.sub("", text)
    text = _REPLACED.sub(lambda found: found["old"], text)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text) if ADDED in text else []
    if not any(map(_is_ours, lines)):
        return text
    kept = "".join(line for line in lines if not _is_ours(line))
    ended = lines[-1].endswith("\n") or not _is_ours(lines[-1])
    return kept if ended else re.sub(r"\r?\n\Z", "", kept)


def _is_ours(line: str) -> bool:
    return _ADDED_LINE.match(line.rstrip("\r\n")) is not None


def check(text: str, file: Path, effect: str) -> dict[str, Any]:
    """Return what a text says.

    Raises:
        ExportError: it is no TOML; names line and column.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = f", line {found[1]}, column {found[2]}" if found else ""
        what = re.sub(r" \(at .*\)\Z", "", str(error))
        raise ExportError(
            f"{shortened(file)}{place}: {what[:1].lower()}{what[1:]}", f"As it is, {effect}; correct it first"
        ) from error


def scalar_text(value: Any) -> str:
    """Return a value as TOML."""
    import tomlkit

    return str(tomlkit.item(value).as_string())


def table_text(name: str, table: Mapping[str, Any], line_end: str = "\n") -> str:
    """Return a table as TOML."""
    return line_end.join([f"[{name}]", *(f"{key} = {scalar_text(value)}" for key, value in table.items())])


def _with_keys(text: str, values: Mapping[str, Any]) -> str:
    line_end = line_end_of(text)
    new: list[str] = []
    for key, value in values.items():
        line = f"{key} = {scalar_text(value)}{ADDED}"
        found = _key_line(text, key)
        if found is None:
            new.append(line)
        elif tomllib.loads(found[0]).get(key) != value:
            text = f"{text[: found.start()]}{INSTEAD}{found[0]}{line_end}{line}{text[found.end() :]}"
    if not new:
        return text
    place = _end_of_keys(text)
    before, rest = text[:place], text[place:]
    if rest or not before or before.endswith("\n"):
        return before + "".join(line + line_end for line in new) + rest
    return before + "".join(line_end + line for line in new)


def _key_line(text: str, key: str) -> re.Match[str] | None:
    """Return the line on which a top-level key stands, when it stands on one line."""
    for found in re.finditer(rf"^[ \t]*{re.escape(key)}[ \t]*=[^\r\n]*", text, re.MULTILINE):
        if _is_top_level(text[: found.start()]) and _reads(found[0]):
            return found
    return None


def _end_of_keys(text: str) -> int:
    """Return where top-level keys end: before the first table and the comments that belong to it."""
    for found in re.finditer(r"^[ \t]*\[", text, re.MULTILINE):
        if _is_top_level(text[: found.start()]):
            above = re.search(r"(?:^[ \t]*(?:#[^\n]*)?\r?\n)*\Z", text[: found.start()], re.MULTILINE)
            return above.start() if above is not None else found.start()
    return len(text)


def _is_top_level(before: str) -> bool:
    """Tell whether what follows a text belongs to no table, and is not within a text or a list of several lines."""
    try:
        return "gpudesk-is-here" in tomllib.loads(f"{before}\ngpudesk-is-here = 1")
    except tomllib.TOMLDecodeError:
        return False


def _reads(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _with_tables(text: str, tables: Mapping[str, Mapping[str, Any]]) -> str:
    if not tables:
        return text
    line_end = line_end_of(text)
    blocks = (line_end * 2).join(table_text(name, table, line_end) for name, table in tables.items())
    last = line_end if not text or text.endswith("\n") else ""
    return f"{text}{line_end if text else ''}{BEGIN}{line_end}{blocks}{line_end}{END}{last}"


def _is_right(bare: str, after: str, values: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> bool:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        wanted, result = tomllib.loads(bare), tomllib.loads(after)
        if tomlkit.parse(after).as_string() != after:
            return False
    except (TOMLKitError, ValueError, RecursionError):
        return False
    wanted |= values
    for name, table in tables.items():
        place = wanted
        *above, last = name.split(".")
        for key in above:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                return False
        if last in place:
            return False
        place[last] = dict(table)
    return bool(wanted == result) and without_ours(after) == bare
