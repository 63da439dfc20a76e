"""What measured loads teach the arithmetic, robustly: one odd point changes nothing.

Weights, KV cache and projector are known exactly from the file's header; what differs from card to card and from
build to build is the overhead of a process and the compute buffer. Those two are corrected, from points of the same
kind of card and engine:

- overhead: plus the median of the residuals (measured minus calculated), per card;
- compute: times the slope of the residuals over the compute term (Theil-Sen), or times the median of the engine's
  own figures where it logs them, between 0.5 and 2.

Loads under equal conditions count once, points further than 3.5 deviations from the median are dropped, and three
different loads must remain. A load that was measured under exactly the asked conditions is told as measured.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any

from gpudesk.fit.points import ARITHMETIC_VERSION, Conditions, MeasuredPoint, deviation, median, same_load
from gpudesk.fit.values import Basis, Estimate, Parts
from gpudesk.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.fit.values import CardBudget, EngineProfile, Wanted

LEAST_POINTS = 3
"""Different loads that must agree before anything is corrected."""
LEAST_FOR_SLOPE = 5
LEAST_COMPUTE_SPAN_BYTES = 128 << 20
"""Compute terms must differ by this much before a slope over them means anything."""
MOST_POINTS = 60
"""Newest loads a correction is made of: the cost of the slope grows with their square."""
COMPUTE_RATIO_MIN, COMPUTE_RATIO_MAX = 0.5, 2.0
ODD_DEVIATIONS = 3.5
"""Iglewicz and Hoaglin's limit for the modified z-score."""
ODD_BYTES_MIN = 64 << 20
"""Nothing nearer than this to the median is odd, however well the others agree."""
FLOOR_BYTES = 64 << 20
"""Half the band of a calibrated estimate is never smaller: workspaces come with the first request."""
MEASURED_FLOOR_BYTES = 32 << 20
CONSISTENT_RATIO = 0.02
"""Measurements of one load agree within this share of it (and `ODD_BYTES_MIN`)."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What the points of one kind of card and engine say."""

    points: int = 0
    """Different loads behind it; 0 = nothing is corrected."""
    overhead_shift_bytes: int = 0
    """Added per card."""
    compute_ratio: float = 1.0
    spread_bytes: float = 0.0
    """Standard deviation of what remains."""


NONE = Correction()


def card_key(name: str) -> str:
    """Return what two names of one kind of card have in common: `NVIDIA GeForce RTX 4090` and `rtx 4090`."""
    return " ".join(word for word in name.lower().split() if word not in ("nvidia", "geforce"))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Every measured point, oldest first, and what follows from them."""

    points: tuple[MeasuredPoint, ...] = ()
    _known: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def with_point(self, point: MeasuredPoint) -> Calibration:
        """Return the calibration with one more point; a newer figure of the same load replaces the older."""
        return Calibration((*(old for old in self.points if old.load != point.load), point))

    def correction(self, card_name: str, profile: EngineProfile) -> Correction:
        """Return what the points say of this kind of card under this engine."""
        key = ("correction", card_key(card_name), profile.backend, profile.kind, profile.era.value)
        if key not in self._known:
            self._known[key] = _correction(self._alike(key[1:]))
        found: Correction = self._known[key]
        return found

    def corrected(
        self, estimate: Estimate, wanted: Wanted, profile: EngineProfile, cards: Sequence[CardBudget]
    ) -> Estimate:
        """Return a calculated estimate as the points correct it: measured, calibrated, or as it was."""
        used = [position for position, parts in enumerate(estimate.by_card) if parts.total_bytes]
        names = {card_key(cards[position].name) for position in used if position < len(cards)}
        if not self.points or len(names) != 1 or not used:
            return estimate
        (name,) = names
        measured = self._measured(estimate, wanted, profile, name, len(used))
        if measured:
            return _as_measured(estimate, measured)
        correction = self.correction(name, profile)
        return _as_calibrated(estimate, correction) if correction.points else estimate

    def _alike(self, kind: tuple[str, ...]) -> list[MeasuredPoint]:
        return [
            point for point in self.points if point.arithmetic == ARITHMETIC_VERSION and _kind(point.conditions) == kind
        ]

    def _by_digest(self, digest: str) -> list[MeasuredPoint]:
        key = ("digest", digest)
        if key not in self._known:
            self._known[key] = [point for point in self.points if point.conditions.digest == digest]
        found: list[MeasuredPoint] = self._known[key]
        return found

    def _measured(
        self, estimate: Estimate, wanted: Wanted, profile: EngineProfile, card: str, card_count: int
    ) -> list[float]:
        """Return the figures of loads under exactly these conditions, when they can be believed.

        Within the calculated band one is enough; outside of it three must agree, and none may lie below what the
        file itself takes.
        """
        options = wanted.options
        if wanted.blob_digest is None or estimate.layers_on_gpu < estimate.layers_total:
            return []
        if options.draft is not None or options.lora or options.swa_full:
            return []
        asked = Conditions(
            card_name=card, digest=wanted.blob_digest, context_length=estimate.context_length,
            parallel=estimate.parallel, kv_cache_type_k=options.kv_cache_type_k,
            kv_cache_type_v=options.kv_cache_type_v, card_count=card_count, backend=profile.backend,
            engine_kind=profile.kind, engine_version=profile.version, era=profile.era, batch_size=options.batch_size,
            flash_attention=_attention(options.flash_attention),
        )  # fmt: skip
        same = [
            float(point.measured_bytes)
            for point in self._by_digest(wanted.blob_digest)
            if same_load(replace(point.conditions, card_name=card_key(point.conditions.card_name)), asked)
        ]
        if not same:
            return []
        middle = median(same)
        near = [value for value in same if abs(value - middle) <= max(ODD_BYTES_MIN, CONSISTENT_RATIO * middle)]
        fixed = estimate.parts.weights_bytes + estimate.parts.kv_cache_bytes + estimate.parts.projector_bytes
        if 2 * len(near) <= len(same) or middle < fixed:
            return []
        inside = estimate.low_bytes <= median(near) <= estimate.high_bytes
        return near if inside or len(near) >= LEAST_POINTS else []


def _attention(flash_attention: bool | None) -> str | None:
    return None if flash_attention is None else "on" if flash_attention else "off"


def _kind(conditions: Conditions) -> tuple[str, ...]:
    """Return what loads must have in common to correct each other."""
    return (
        card_key(conditions.card_name),
        conditions.backend,
        conditions.engine_kind,
        conditions.era.value,
    )


def _merged(points: Iterable[MeasuredPoint]) -> list[MeasuredPoint]:
    """Make one point of all loads under equal conditions, so that no model weighs more for being loaded often."""
    groups: dict[Conditions, list[MeasuredPoint]] = {}
    for point in points:
        groups.setdefault(replace(point.conditions, engine_version=None), []).append(point)
    merged = []
    for group in groups.values():
        last = group[-1]
        shift = round(median([float(point.residual_bytes) for point in group])) - last.residual_bytes
        merged.append(replace(last, measured_bytes=last.measured_bytes + shift))
    return merged[-MOST_POINTS:]


def _correction(points: Sequence[MeasuredPoint]) -> Correction:
    merged = _merged(points)
    if len(merged) < LEAST_POINTS:
        return NONE
    ratio = _compute_ratio(merged)
    inliers, residuals = _without_odd(merged, _residuals(merged, ratio))
    if len(inliers) < len(merged) and len(inliers) >= LEAST_POINTS:
        ratio = _compute_ratio(inliers)
        inliers, residuals = _without_odd(inliers, _residuals(inliers, ratio))
    if len(inliers) < LEAST_POINTS:
        return NONE
    shift = median(residuals)
    overheads = [point.overhead_bytes / point.conditions.card_count for point in inliers]
    return Correction(
        points=len(inliers),
        overhead_shift_bytes=round(max(shift, -median(overheads))),
        compute_ratio=ratio,
        spread_bytes=deviation(residuals),
    )


def _residuals(points: Sequence[MeasuredPoint], ratio: float) -> list[float]:
    """Return what is left per card once the compute term is corrected."""
    return [
        (point.residual_bytes - (ratio - 1) * point.compute_bytes) / point.conditions.card_count for point in points
    ]


def _without_odd(
    points: Sequence[MeasuredPoint], residuals: Sequence[float]
) -> tuple[list[MeasuredPoint], list[float]]:
    middle = median(list(residuals))
    limit = max(ODD_BYTES_MIN, ODD_DEVIATIONS * deviation(list(residuals)))
    kept = [(point, value) for point, value in zip(points, residuals, strict=True) if abs(value - middle) <= limit]
    return [point for point, _ in kept], [value for _, value in kept]


def _compute_ratio(points: Sequence[MeasuredPoint]) -> float:
    """Return how much larger the compute buffer really is; 1 when the points cannot tell."""
    told = [
        (point.engine_buffers_bytes - point.fixed_bytes) / point.compute_bytes
        for point in points
        if point.engine_buffers_bytes is not None and point.compute_bytes
    ]
    if len(told) >= LEAST_POINTS:
        return _bounded(median(told))
    computes = [float(point.compute_bytes) for point in points]
    if len(points) < LEAST_FOR_SLOPE or max(computes) - min(computes) < LEAST_COMPUTE_SPAN_BYTES:
        return 1.0
    slopes = [
        (other.residual_bytes - one.residual_bytes) / (other.compute_bytes - one.compute_bytes)
        for position, one in enumerate(points)
        for other in points[position + 1 :]
        if abs(other.compute_bytes - one.compute_bytes) >= LEAST_COMPUTE_SPAN_BYTES // 8
    ]
    return _bounded(1 + median(slopes)) if slopes else 1.0


def _bounded(ratio: float) -> float:
    return min(COMPUTE_RATIO_MAX, max(COMPUTE_RATIO_MIN, ratio))


def _as_calibrated(estimate: Estimate, correction: Correction) -> Estimate:
    """Correct the parts card by card; the band shrinks with the points, but not below what they scatter.

    How far a model of unknown architecture may be off is nothing that points of other models tell.
    """
    by_card = tuple(_corrected(parts, correction) for parts in estimate.by_card)
    parts = _sum(by_card)
    scatter = 2 * correction.spread_bytes * math.sqrt(1 + 1.57 / correction.points)
    share = 1.0 if _is_unknown(estimate) else min(1.0, LEAST_POINTS / correction.points)
    total = estimate.parts.total_bytes
    low, high = (
        max(FLOOR_BYTES, half * share, scatter) for half in (total - estimate.low_bytes, estimate.high_bytes - total)
    )
    return replace(
        estimate, parts=parts, by_card=by_card, low_bytes=max(0, round(parts.total_bytes - low)),
        high_bytes=round(parts.total_bytes + high), basis=Basis.CALIBRATED, points=correction.points,
    )  # fmt: skip


def _is_unknown(estimate: Estimate) -> bool:
    return any("unknown architecture" in note for note in estimate.notes)


def _corrected(parts: Parts, correction: Correction) -> Parts:
    if not parts.total_bytes:
        return parts
    return replace(
        parts,
        compute_bytes=round(parts.compute_bytes * correction.compute_ratio),
        overhead_bytes=max(0, parts.overhead_bytes + correction.overhead_shift_bytes),
    )


def _as_measured(estimate: Estimate, measured: list[float]) -> Estimate:
    """Put the measured figure in place of the sum; what differs goes to overhead and compute, the unsure parts."""
    total = round(median(measured))
    used = [position for position, parts in enumerate(estimate.by_card) if parts.total_bytes]
    left = total - estimate.parts.total_bytes
    by_card = list(estimate.by_card)
    for number, position in enumerate(used):
        share = left // (len(used) - number)
        by_card[position] = _adjusted(by_card[position], share)
        left -= by_card[position].total_bytes - estimate.by_card[position].total_bytes
    parts = _sum(tuple(by_card))
    half = max(MEASURED_FLOOR_BYTES, round(2 * deviation(measured)))
    return replace(
        estimate, parts=parts, by_card=tuple(by_card), low_bytes=max(0, parts.total_bytes - half),
        high_bytes=parts.total_bytes + half, basis=Basis.MEASURED, points=len(measured),
    )  # fmt: skip


def _adjusted(parts: Parts, change: int) -> Parts:
    """Change a sum by its overhead, and by its compute where the overhead is not enough."""
    overhead = max(0, parts.overhead_bytes + change)
    rest = change - (overhead - parts.overhead_bytes)
    return replace(parts, overhead_bytes=overhead, compute_bytes=max(0, parts.compute_bytes + rest))


def _sum(by_card: tuple[Parts, ...]) -> Parts:
    return Parts(
        weights_bytes=sum(parts.weights_bytes for parts in by_card),
        kv_cache_bytes=sum(parts.kv_cache_bytes for parts in by_card),
        compute_bytes=sum(parts.compute_bytes for parts in by_card),
        projector_bytes=sum(parts.projector_bytes for parts in by_card),
        overhead_bytes=sum(parts.overhead_bytes for parts in by_card),
    )
