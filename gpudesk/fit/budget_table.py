"""Reading one table of a budget file key by key, with complaints that say everything."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpudesk.errors import UsageError
from gpudesk.quantities import parse_bytes
from gpudesk.text import clean
from gpudesk.toml_text import shown


@dataclass(frozen=True, slots=True)  # not of `gpudesk.records`, which knows no `__post_init__`
class Table:
    """One table of the file, read key by key; every complaint names file, table, key and what was expected."""

    where: str
    place: str
    values: Mapping[str, object]
    known: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse keys nobody reads: a misspelled `peak` would change the answer."""
        for key in self.values:
            if key not in self.known:
                close = difflib.get_close_matches(key, self.known, 1)
                hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(self.known)}"
                raise UsageError(f"{self.where}: {self.place}unknown key {clean(key, 40)}", hint)

    def wrong(self, key: str, expected: str) -> UsageError:
        """Say what is wrong with one key."""
        if key not in self.values:
            return UsageError(f"{self.where}: {self.place}{key} is missing, expected {expected}")
        return UsageError(f"{self.where}: {self.place}{key} is {shown(self.values[key])}, expected {expected}")

    def text(self, key: str, expected: str = "text in quotes") -> str | None:
        """Return text without control characters; None when absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        cleaned = clean(value) if isinstance(value, str) else ""
        if not cleaned:
            raise self.wrong(key, expected)
        return cleaned

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """Return one of a few words; None when absent."""
        word = self.text(key, f"one of {', '.join(choices)}")
        if word is not None and word not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return word

    def size(self, key: str) -> int | None:
        """Return a size with its unit; a bare number is refused, because nobody could tell GB from GiB from bytes."""
        if key not in self.values:
            return None
        value = self.values[key]
        size = parse_bytes(value) if isinstance(value, str) and value.strip()[-1:].isalpha() else None
        if size is None:
            raise self.wrong(key, 'a size with its unit in quotes, such as "5.5GB" or "5.1GiB"')
        return size

    def whole(self, key: str, low: int, high: int, expected: str) -> int | None:
        """Return a whole number within bounds; None when absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, expected)
        return value

    def real(self, key: str, high: float, expected: str) -> float | None:
        """Return a number above 0, at most `high`; None when absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(key, expected)
        if not (math.isfinite(value) and 0 < value <= high):
            raise self.wrong(key, expected)
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value
