"""What of a model does not depend on how it is loaded, worked out once and remembered."""

from __future__ import annotations

from dataclasses import field

from gpudesk.fit import projector
from gpudesk.fit.architectures import ArchitectureRules, rules
from gpudesk.fit.kv_cache import KvLayout
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.weights import WeightLayout, weights
from gpudesk.records import dataclass

REMEMBERED = 256
"""Models whose tensors are not summed anew; a plan asks for the same few hundreds of times."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What of a model does not depend on how it is loaded, and what was worked out for loads of it."""

    metadata: ModelMetadata
    rules: ArchitectureRules
    weights: WeightLayout
    projector_bytes: int
    """Weights of the projector."""
    caches: dict[tuple[object, ...], KvLayout] = field(default_factory=dict)
    """By everything that a cache hangs on."""
    computed: dict[tuple[object, ...], dict[int, int]] = field(default_factory=dict)
    """Compute buffers by context, by everything else that they hang on."""


_prepared: dict[int, Prepared] = {}


def prepare(metadata: ModelMetadata) -> Prepared:
    """Sum a model's tensors, once for each metadata value.

    Values are told apart by identity, since comparing hundreds of tensors costs more than summing them; the memo holds
    the value itself, so its identity cannot pass to another.
    """
    found = _prepared.get(id(metadata))
    if found is not None and found.metadata is metadata:
        return found
    if len(_prepared) >= REMEMBERED:
        _prepared.clear()
    made = Prepared(metadata, rules(metadata), weights(metadata), projector.weights_bytes(metadata))
    _prepared[id(metadata)] = made
    return made
