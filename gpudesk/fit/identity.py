"""What was worked out of a model once, found again by the value's identity.

Comparing two headers compares hundreds of tensors, which costs more than most of what is worked out of them. The memo
holds the value itself, so that its identity cannot pass to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from gpudesk.fit.metadata import ModelMetadata

REMEMBERED = 256
"""Models; a plan asks for the same few hundreds of times, a suggestion for all that are installed."""

Made = TypeVar("Made")


class ByIdentity(Generic[Made]):
    """A function of a model, worked out once for each value."""

    __slots__ = ("_found", "_make")

    def __init__(self, make: Callable[[ModelMetadata], Made]) -> None:
        """Take the function."""
        self._make = make
        self._found: dict[int, tuple[ModelMetadata, Made]] = {}

    def __call__(self, metadata: ModelMetadata) -> Made:
        """Return what the function returns."""
        found = self._found.get(id(metadata))
        if found is not None and found[0] is metadata:
            return found[1]
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        made = self._make(metadata)
        self._found[id(metadata)] = (metadata, made)
        return made
