"""The letter and shade of each loaded model: the same one in the bar, the table and the details, while it stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import ascii_uppercase

SHADE_COUNT = 8
"""Shades the palette keeps for models; further ones begin again, the letters go on."""


def assign_marks(previous: Mapping[str, int], keys: Iterable[str]) -> dict[str, int]:
    """Number the models: whoever has a number keeps it, newcomers take the lowest free one.

    A model that goes leaves its number to the next that comes, so that the letters stay few.
    """
    present = list(dict.fromkeys(keys))
    marks = {key: previous[key] for key in present if key in previous}
    taken = set(marks.values())
    number = 0
    for key in present:
        if key in marks:
            continue
        while number in taken:
            number += 1
        marks[key] = number
        taken.add(number)
    return marks


def letter(mark: int | None) -> str:
    """Return the letter of a mark: A to Z, then a dot-like plus for the very many."""
    if mark is None:
        return " "
    return ascii_uppercase[mark] if mark < len(ascii_uppercase) else "+"


def shade(mark: int | None) -> int:
    """Return which of the palette's shades a mark has."""
    return 0 if mark is None else mark % SHADE_COUNT
