"""A model's tensors by block: most blocks have the same tensors as others, and are looked at once for all of them."""

from __future__ import annotations

from gpudesk.fit.identity import ByIdentity
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.records import dataclass

BLOCK_PREFIX = "blk."
MOST_DIGITS = 9
"""Of the number of a block; one with more is after the last one in any case."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The tensors of a file."""

    kinds: tuple[tuple[Tensor, ...], ...]
    """What a block of each kind has; the names are without the number of a block."""
    kind_of: dict[int, int]
    """Block to its place in `kinds`; a block without tensors is not there."""
    others: tuple[Tensor, ...]
    """What is in no block."""


def _blocks_of(metadata: ModelMetadata) -> Blocks:
    listed: dict[str, list[tuple[str, str, tuple[int, ...]]]] = {}
    others: list[Tensor] = []
    for tensor in metadata.tensors:
        name = tensor.name
        number, dot, rest = name[4:].partition(".") if name.startswith(BLOCK_PREFIX) else ("", "", "")
        if dot and (number in listed or (number.isdecimal() and number.isascii())):
            listed.setdefault(number, []).append((rest, tensor.kind, tensor.shape))
        else:
            others.append(tensor)
    by_block: dict[int, list[tuple[str, str, tuple[int, ...]]]] = {}
    for number, found in listed.items():
        block = int(number[:MOST_DIGITS])
        by_block[block] = [*by_block[block], *found] if block in by_block else found
    places: dict[tuple[tuple[str, str, tuple[int, ...]], ...], int] = {}
    kind_of = {block: places.setdefault(tuple(found), len(places)) for block, found in by_block.items()}
    kinds = tuple(tuple(Tensor(*each) for each in found) for found in places)
    return Blocks(kinds, kind_of, tuple(others))


blocks_of = ByIdentity(_blocks_of)
"""Return the tensors of a model by block."""
