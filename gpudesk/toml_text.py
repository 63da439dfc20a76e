"""Reading TOML that people write by hand, so that what is wrong can be told with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable


class TomlError(ValueError):
    """It is no TOML; the text says why, and on which line where that is known."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def parsed(raw: bytes) -> tuple[str, dict[str, Any]]:
    """Return the text, without carriage returns and byte order mark, and what it says.

    Raises:
        TomlError: it is not UTF-8 or not TOML.
    """
    import tomllib

    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TomlError(f"not UTF-8 at line {line}", "Save the file as UTF-8") from error
    try:
        return text, tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        reason = str(error).replace("at end of document", f"at line {len(text.splitlines()) or 1}, the end of the file")
        raise TomlError(f"not valid TOML: {reason}") from error
    except RecursionError as error:
        raise TomlError("nested too deeply") from error


def line_of(text: str, table: str, key: str | None = None, occurrence: int = 0) -> int | None:
    """Find the line of `[table]`, or of `key` in it; None when it is written in a way this does not follow.

    Args:
        text: the whole file.
        table: `screen`, or the name of an array of tables; empty for what stands above every header.
        key: a key of that table; None for the header itself.
        occurrence: which `[[table]]`, counted from 0.
    """
    inside, seen = (True, 0) if not table else (False, -1)
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.split("#")[0].strip(" []\t\"'") == table
            seen += inside
            if inside and key is None and seen == occurrence:
                return number
        elif key is not None and "=" in stripped:
            name = stripped.split("=")[0].strip().strip("\"'")
            if (inside and seen == occurrence and name == key) or (not inside and name == f"{table}.{key}"):
                return number
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to `word`, or None when none is close."""
    import difflib

    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return found[0] if found else None


def shown(value: object) -> str:
    """Write a value as it might stand in the file, shortened."""
    import json

    if isinstance(value, dict):
        return "a table"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return clean(text, 40)
