"""Typed reading of GGUF key values, naming the key in every error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.gguf_values import HeaderError, SkippedArray
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = (1 << 32) - 1
"""No key of a model's shape is larger; what is would only make sums absurd."""


class Keys:
    """The keys of one model; those of its architecture are asked for without the prefix."""

    def __init__(self, key_values: Mapping[str, object], *, prefix: str | None = None) -> None:
        self._values = key_values
        architecture = key_values.get("general.architecture")
        if not isinstance(architecture, str) or not clean(architecture, 64):
            raise HeaderError("general.architecture", "missing" if architecture is None else "not a text")
        self._prefix = architecture if prefix is None else prefix
        self.architecture = clean(architecture, 64)
        self.notes: list[str] = []

    def full(self, key: str) -> str:
        """Return the key as it stands in the file."""
        return f"{clean(self._prefix, 64)}.{key}"

    def note(self, key: str, how: str) -> None:
        """Remember what had to be assumed."""
        self.notes.append(f"{self.full(key)} is not in the header: {how}")

    def value(self, key: str) -> object:
        """Return the value of a full key."""
        return self._values.get(key)

    def own(self, key: str) -> object:
        """Return the value of a key of the architecture; a list reads as a tuple, an empty one as missing."""
        value = self._values.get(f"{self._prefix}.{key}")
        value = tuple(value) if isinstance(value, list) else value
        return None if value == () else value

    def number(self, key: str, *, most: int = LARGEST, least: int = 1) -> int | None:
        """Return a whole number; None when it is missing or below `least` (0 is how "not set" is written).

        A list counts by its largest element.

        Raises:
            HeaderError: not a number, or one that no model has.
        """
        value = self.own(key)
        if isinstance(value, tuple) and value:
            numbers = [self._whole(key, item, most) for item in value]
            value = max(numbers)
        if value is None:
            return None
        number = self._whole(key, value, most)
        return number if number >= least else None

    def per_layer(self, key: str, layers: int, *, most: int = LARGEST) -> tuple[int, ...] | None:
        """Return a number per layer; a single one holds for all, and one list longer than the layers is cut.

        Raises:
            HeaderError: not numbers, or fewer than layers.
        """
        value = self.own(key)
        if value is None:
            return None
        if not isinstance(value, tuple):
            return (self._whole(key, value, most),) * layers
        if len(value) < layers:
            raise HeaderError(self.full(key), f"{len(value)} values for {layers} layers")
        return tuple(self._whole(key, item, most) for item in value[:layers])

    def flag(self, key: str) -> bool | None:
        """Return yes or no; numbers count as C does."""
        value = self.own(key)
        return bool(value) if isinstance(value, bool | int) else None

    def flags(self, key: str, layers: int) -> tuple[bool, ...] | None:
        """Return yes or no per layer.

        Raises:
            HeaderError: fewer than layers, or something else.
        """
        value = self.own(key)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(isinstance(item, bool | int) for item in value):
            raise HeaderError(self.full(key), "not a list of yes and no")
        if len(value) < layers:
            raise HeaderError(self.full(key), f"{len(value)} values for {layers} layers")
        return tuple(bool(item) for item in value[:layers])

    def _whole(self, key: str, value: object, most: int) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            kind = "a skipped list" if isinstance(value, SkippedArray) else type(value).__name__
            raise HeaderError(self.full(key), f"not a whole number but {kind}")
        if not 0 <= value <= most:
            raise HeaderError(self.full(key), f"{value} is no possible value" if abs(value) < 1 << 70 else "too large")
        return value
