"""What a GGUF header holds, and the error of one that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.fit.metadata import Tensor


class HeaderError(SourceError):
    """A model's header is not what the format says; `field` names the place."""

    def __init__(self, field: str, problem: str, hint: str | None = None, *, file: str | None = None) -> None:
        self.field = clean(field, 80) or "a name that cannot be shown"
        self.problem = problem
        where = self.field if file is None else f"{clean(file, 120)}: {self.field}"
        super().__init__(FailureKind.INVALID, f"{where}: {problem}", hint)

    def in_file(self, file: str) -> HeaderError:
        """Return the same error with the name of the file in front."""
        return HeaderError(self.field, self.problem, self.hint, file=file)


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that was not kept because no formula needs its elements: tokens, merges, scores."""

    kind: str
    """Type of its elements as gguf names it: `STRING`, `FLOAT32`, …"""
    length: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Everything before the weights."""

    version: int
    key_values: Mapping[str, object]
    """Numbers, booleans, texts, tuples of numbers, `SkippedArray`."""
    tensors: tuple[Tensor, ...]
    tensor_bytes: int
    """Sum over the tensors of this file, without padding between them."""
    header_bytes: int
    """Where the weights begin."""
    split_count: int = 1
    split_index: int = 0
    """From 0."""
