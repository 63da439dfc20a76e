"""The simple planner: a table of sizes times 1.18, by priority, whole models to host memory.

It is the script that guides on running several local models print, kept because people compare with it and because it
answers when no header can be read. It knows neither context nor KV cache nor layers; `fit.estimate` is the real
answer. Its sizes are GB (10**9 bytes), as printed there. Table, factor and order are
that script's.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from enum import StrEnum

from gpudesk.records import dataclass

FACTOR = 1.18
"""On top of the file for KV cache and buffers."""

FACTOR_RANGE = (1.15, 1.20)
"""What the guides call the usual overhead; true for short contexts only."""

PARAMETER_CLASSES = (4.0, 7.0, 13.0, 34.0)
"""Billions of parameters."""

SIZES_GB: dict[str, tuple[float, float, float, float]] = {
    "Q4": (2.3, 4.2, 7.9, 20.0),
    "Q5": (2.8, 5.1, 9.4, 23.8),
    "Q8": (4.0, 7.7, 13.5, 35.0),
}
"""File size in GB per quantization and parameter class."""

_TABLE_BITS = {"Q4": 4.0, "Q5": 5.0, "Q8": 8.0}
_OTHER_BITS = {"Q2": 2.0, "Q3": 3.0, "Q6": 6.0, "MXFP4": 4.0, "NVFP4": 4.0, "AWQ": 4.0, "GPTQ": 4.0, "FP8": 8.0}
_WIDE = {"F16": 2.0, "FP16": 2.0, "BF16": 2.0, "F32": 4.0, "FP32": 4.0}
"""Bytes per parameter of what is not quantized."""

OFFLOAD_WARNING = "runs from host memory: expect it 3 to 10 times slower"
"""The guides' own words: about 3 times with a quarter of the layers, 10 times and more with all."""


class Place(StrEnum):
    """Where the simple planner puts a model; it never splits one."""

    CARD = "card"
    HOST = "host memory"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class SimpleSize:
    """The size of a file, looked up or interpolated."""

    size_gb: float
    note: str | None = None
    """Said when the table does not hold it."""


@dataclass(frozen=True, slots=True)
class SimpleModel:
    """One model as the simple planner knows it."""

    name: str
    parameters_billion: float
    quantization: str
    priority: int
    """1 comes first."""


@dataclass(frozen=True, slots=True)
class SimplePlacement:
    """Where one model went."""

    model: SimpleModel
    need_gb: float
    place: Place
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SimplePlan:
    """The simple planner's answer; sizes in GB, exact: round when showing."""

    placements: tuple[SimplePlacement, ...]
    """In the order of priority."""
    card_gb: float
    host_gb: float
    warnings: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether everything is on the card."""
        return all(placement.place is Place.CARD for placement in self.placements)


def table_row(quantization: str) -> str | None:
    """Return the row of the table a quantization belongs to: `Q4_K_M` is `Q4`; None when it has none."""
    match = re.match(r"I?Q([458])(?![0-9])", quantization.strip().upper())
    return f"Q{match[1]}" if match else None


def _bits(quantization: str) -> float | None:
    """Return the nominal bits per weight of a quantization the table lacks; None when it is not known."""
    name = quantization.strip().upper()
    match = re.match(r"I?Q([2368])(?![0-9])", name)
    return _OTHER_BITS.get(f"Q{match[1]}" if match else name)


def _between(points: Sequence[tuple[float, float]], wanted: float) -> float:
    """Interpolate linearly between points in order; proportional outside them."""
    for left, size in points:
        if wanted == left:
            return size
    first, last = points[0], points[-1]
    if wanted < first[0]:
        return first[1] * wanted / first[0]
    for (left, low), (right, high) in itertools.pairwise(points):
        if wanted < right:
            return low + (high - low) * (wanted - left) / (right - left)
    return last[1] * wanted / last[0]


def file_size(parameters_billion: float, quantization: str) -> SimpleSize:
    """Look a file's size up, or interpolate it and say so.

    Raises:
        ValueError: parameters that are no positive number, or a quantization nobody can place.
    """
    if not (math.isfinite(parameters_billion) and 0 < parameters_billion <= 10_000):
        raise ValueError(f"parameters {parameters_billion!r}, expected billions above 0, such as 7")
    wide = _WIDE.get(quantization.strip().upper())
    if wide is not None:
        return SimpleSize(
            parameters_billion * wide, f"{quantization}: {wide:g} bytes per parameter, not from the table"
        )
    row = table_row(quantization)
    if row is not None:
        size = _between(list(zip(PARAMETER_CLASSES, SIZES_GB[row], strict=True)), parameters_billion)
        known = parameters_billion in PARAMETER_CLASSES
        return SimpleSize(size, None if known else f"{parameters_billion:g}B is not in the table: interpolated")
    bits = _bits(quantization)
    if bits is None:
        raise ValueError(f"quantization {quantization!r}, expected one such as Q4_K_M, Q5_K_M, Q8_0 or F16")
    rows = [
        (width, _between(list(zip(PARAMETER_CLASSES, SIZES_GB[name], strict=True)), parameters_billion))
        for name, width in _TABLE_BITS.items()
    ]
    return SimpleSize(_between(rows, bits), f"{quantization} is not in the table: interpolated")


def need_range_gb(sizes_gb: Sequence[float]) -> tuple[float, float]:
    """Apply the guides' rule of thumb, 15 to 20 % on top of the files."""
    total = sum(sizes_gb)
    return total * FACTOR_RANGE[0], total * FACTOR_RANGE[1]


def simple_plan(models: Sequence[SimpleModel], card_gb: float, host_gb: float, *, factor: float = FACTOR) -> SimplePlan:
    """Place models by priority: on the card while there is room, else whole in host memory.

    A model too large for what is left is skipped, and a less important one may still get the card: that is how the
    script works, and its printed results depend on it.
    """
    used_card = used_host = 0.0
    placements: list[SimplePlacement] = []
    warnings: list[str] = []
    for model in sorted(models, key=lambda model: model.priority):
        size = file_size(model.parameters_billion, model.quantization)
        need = size.size_gb * factor
        if used_card + need <= card_gb:
            place, used_card = Place.CARD, used_card + need
        elif used_host + need <= host_gb:
            place, used_host = Place.HOST, used_host + need
            warnings.append(f"{model.name} {OFFLOAD_WARNING}")
        else:
            place = Place.NOWHERE
            warnings.append(f"{model.name} fits neither on the card nor in host memory")
        placements.append(SimplePlacement(model, need, place, size.note))
    return SimplePlan(tuple(placements), used_card, used_host, tuple(warnings))


def how_many(card_gb: float, parameters_billion: float = 7.0, quantization: str = "Q4_K_M") -> int:
    """Count how many equal models the simple planner puts on a card of that size."""
    return int(card_gb / (file_size(parameters_billion, quantization).size_gb * FACTOR))
