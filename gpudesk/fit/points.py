"""Measured points: what the driver said a load took, beside what had been calculated for it."""

from __future__ import annotations

import math
from dataclasses import fields, replace

from gpudesk.domain.engine import Era
from gpudesk.errors import GpudeskError
from gpudesk.records import dataclass

ARITHMETIC_VERSION = 1
"""Counted up when the formulas change, so that points calculated by older ones no longer correct the newer."""

_MOST_BYTES = 1 << 50
_MOST_TOKENS = 1 << 32
_MOST_TEXT = 256


class PointError(GpudeskError):
    """A point that cannot be true; names the field."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a model was loaded: two loads with equal conditions take the same memory."""

    card_name: str
    """As the driver names it; all cards of one load are of one kind."""
    digest: str
    """64 hex digits of the weights."""
    context_length: int
    """Per slot."""
    parallel: int
    kv_cache_type_k: str = "f16"
    kv_cache_type_v: str = "f16"
    card_count: int = 1
    backend: str = "cuda"
    engine_kind: str = "ollama"
    engine_version: str | None = None
    era: Era = Era.LLAMA_SERVER
    batch_size: int | None = None
    """None = nobody told."""
    flash_attention: str | None = None
    """`on`, `off`, `auto`; None = nobody told."""


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """One load that was watched. All sizes are of all its cards together, in bytes."""

    load: str
    """Names the very load, so that a later and better figure of it takes the place of an earlier one."""
    taken_at: str
    """RFC 3339 in UTC."""
    conditions: Conditions
    measured_bytes: int
    """By the driver, over all processes of the runner."""
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    projector_bytes: int
    overhead_bytes: int
    """The five parts as calculated at that time, before any correction."""
    engine_buffers_bytes: int | None = None
    """What the engine says it allocated, where it says so completely: weights, KV and compute."""
    arithmetic: int = ARITHMETIC_VERSION

    @property
    def fixed_bytes(self) -> int:
        """What arithmetic knows exactly: weights, KV and projector."""
        return self.weights_bytes + self.kv_cache_bytes + self.projector_bytes

    @property
    def residual_bytes(self) -> int:
        """Measured minus calculated."""
        return self.measured_bytes - self.fixed_bytes - self.compute_bytes - self.overhead_bytes

    def to_row(self) -> dict[str, str | int | None]:
        """Return the point as one flat row, for the store and for export."""
        row: dict[str, str | int | None] = {"load": self.load, "taken_at": self.taken_at}
        row |= {field.name: getattr(self.conditions, field.name) for field in fields(Conditions)}
        row["era"] = self.conditions.era.value
        row |= {name: getattr(self, name) for name in _SIZES}
        return row | {"engine_buffers_bytes": self.engine_buffers_bytes, "arithmetic": self.arithmetic}


_SIZES = (
    "measured_bytes", "weights_bytes", "kv_cache_bytes", "compute_bytes", "projector_bytes", "overhead_bytes",
)  # fmt: skip

COLUMNS = ("load", "taken_at", *(field.name for field in fields(Conditions)), *_SIZES, "engine_buffers_bytes",
           "arithmetic")  # fmt: skip
"""Every field of a row, in its order."""


def from_row(row: dict[str, object]) -> MeasuredPoint:
    """Read a row back, believing nothing of it.

    Raises:
        PointError: a field is missing, of the wrong type, or out of every bound.
    """
    era = _text(row, "era")
    if era not in {known.value for known in Era}:
        raise PointError(f"era: {era!r} is none")
    conditions = Conditions(
        card_name=_text(row, "card_name"),
        digest=_text(row, "digest"),
        context_length=_number(row, "context_length", _MOST_TOKENS),
        parallel=_number(row, "parallel", 4096, least=1),
        kv_cache_type_k=_text(row, "kv_cache_type_k"),
        kv_cache_type_v=_text(row, "kv_cache_type_v"),
        card_count=_number(row, "card_count", 1024, least=1),
        backend=_text(row, "backend"),
        engine_kind=_text(row, "engine_kind"),
        engine_version=_optional_text(row, "engine_version"),
        era=Era(era),
        batch_size=_optional_number(row, "batch_size", _MOST_TOKENS),
        flash_attention=_optional_text(row, "flash_attention"),
    )
    return MeasuredPoint(
        load=_text(row, "load"),
        taken_at=_text(row, "taken_at"),
        conditions=conditions,
        measured_bytes=_number(row, "measured_bytes", _MOST_BYTES, least=1),
        weights_bytes=_number(row, "weights_bytes", _MOST_BYTES),
        kv_cache_bytes=_number(row, "kv_cache_bytes", _MOST_BYTES),
        compute_bytes=_number(row, "compute_bytes", _MOST_BYTES),
        projector_bytes=_number(row, "projector_bytes", _MOST_BYTES),
        overhead_bytes=_number(row, "overhead_bytes", _MOST_BYTES),
        engine_buffers_bytes=_optional_number(row, "engine_buffers_bytes", _MOST_BYTES),
        arithmetic=_number(row, "arithmetic", 1 << 31),
    )


def same_load(one: Conditions, other: Conditions) -> bool:
    """Tell whether two loads should take the same memory; what nobody told is equal to anything."""
    batches = {one.batch_size, other.batch_size} - {None}
    attentions = {one.flash_attention, other.flash_attention} - {None, "auto"}
    if len(batches) > 1 or len(attentions) > 1 or one.engine_version is None:
        return False
    return replace(one, batch_size=None, flash_attention=None) == replace(other, batch_size=None, flash_attention=None)


def median(values: list[float]) -> float:
    """Return the middle value; of two middle ones their mean. Kept here: `statistics` costs 10 ms to import."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def deviation(values: list[float]) -> float:
    """Return the standard deviation as the median absolute deviation tells it (x 1.4826): deaf to odd values."""
    middle = median(values)
    return 1.4826 * median([abs(value - middle) for value in values])


def _text(row: dict[str, object], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value or len(value) > _MOST_TEXT:
        raise PointError(f"{name}: no text, or none of sensible length")
    return value


def _optional_text(row: dict[str, object], name: str) -> str | None:
    return None if row.get(name) is None else _text(row, name)


def _number(row: dict[str, object], name: str, most: int, *, least: int = 0) -> int:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most or not math.isfinite(value):
        raise PointError(f"{name}: no whole number from {least} to {most}")
    return value


def _optional_number(row: dict[str, object], name: str, most: int) -> int | None:
    return None if row.get(name) is None else _number(row, name, most)
