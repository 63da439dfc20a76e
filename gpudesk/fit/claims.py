"""Published figures beside the right ones.

Budgets in articles count GB as 10**9 and cards by the size on the box; they are checked in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gpudesk.fit.budget import Claim
from gpudesk.fit.pipeline import GIGABYTE, Budget, gb_text
from gpudesk.records import dataclass
from gpudesk.units import GIBIBYTE


@dataclass(frozen=True, slots=True)
class ClaimedFigure:
    """A figure somebody published beside the right one."""

    source: str
    what: str
    """`idle`, `peak`, `headroom`, `memory`."""
    claimed_bytes: int
    actual_bytes: int
    right: bool
    note: str


def check_claims(
    claims: Sequence[Claim], result: Budget, memory_of: Callable[[str], int | None]
) -> tuple[ClaimedFigure, ...]:
    """Put what was published beside what it comes to.

    Args:
        claims: the published figures.
        result: the budget.
        memory_of: memory of a card by product name in bytes; None for one nobody knows.
    """
    return tuple(figure for claim in claims for figure in _claim_figures(claim, result, memory_of))


def _claim_figures(claim: Claim, result: Budget, memory_of: Callable[[str], int | None]) -> list[ClaimedFigure]:
    figures = []
    for what, claimed, actual in (
        ("idle", claim.idle_bytes, result.idle_bytes),
        ("peak", claim.peak_bytes, result.peak_bytes),
    ):
        if claimed is not None:
            figures.append(_figure(claim, what, claimed, actual, f"the parts add up to {gb_text(actual)}"))
    driver_bytes = memory_of(claim.card) if claim.card else None
    real = vendor_bytes(driver_bytes) if driver_bytes else claim.memory_bytes
    if claim.memory_bytes is not None and driver_bytes and real is not None:
        note = f"{article(claim.card or '')} has {gb_text(real)}"
        figures.append(_figure(claim, "memory", claim.memory_bytes, real, note))
    if claim.headroom_bytes is not None and real is not None:
        left = real - result.peak_bytes
        note = f"{gb_text(real)} less {gb_text(result.peak_bytes)} leaves {gb_text(left)}"
        if claim.memory_bytes is not None and claim.memory_bytes != real:
            small = claim.memory_bytes - result.peak_bytes
            note += f"; on a card of {gb_text(claim.memory_bytes)} it would be {gb_text(small)}"
        figures.append(_figure(claim, "headroom", claim.headroom_bytes, left, note))
    return figures


def _figure(claim: Claim, what: str, claimed: int, actual: int, note: str) -> ClaimedFigure:
    """Compare as printed: to a tenth of a GB."""
    right = round(claimed / GIGABYTE, 1) == round(actual / GIGABYTE, 1)
    return ClaimedFigure(claim.source, what, claimed, actual, right, note)


_BOXES = (4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 180, 192, 256, 288)
"""Sizes vendors sell, in GB."""


def vendor_bytes(driver_bytes: int) -> int:
    """Return the size a vendor prints on the box, as published budgets count it: 24 GB are 24 * 10**9.

    The driver of such a card has 24564 MiB, or 23028 where error correction takes its part.
    """
    size = driver_bytes / GIBIBYTE
    return next((box for box in _BOXES if box >= size - 0.5), round(size)) * GIGABYTE


def article(name: str) -> str:
    """Put `a` or `an` before a product name: `an RTX 5090`, `a GeForce`."""
    letters = re.match(r"[A-Z][A-Z0-9]", name)
    sound = "AEFHILMNORSX" if letters else "AEIOaeio"
    return f"{'an' if name[:1] in sound else 'a'} {name}" if name else "the card"
