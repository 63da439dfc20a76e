"""What a process takes on each card besides its buffers: the driver's context, libraries, workspaces.

Measured by others, in MiB over the engine's own buffers: CUDA 107 on an RTX 4060 Ti (34 multiprocessors) and 555 on an
RTX PRO 6000 (188) (llama.cpp PR 23604: it grows with them), 451 to 456 on an RTX 4090 (128; PR 15860), 120 to 550
(PR 20595), 612 on a B200 (148), 430 in ollama issue 9988; ROCm 130 to 490; Vulkan -13 to 31 after a load and 150 to
233 at its peak. Ollama's own constant is 457 (ml/device.go:359).
"""

from __future__ import annotations

from gpudesk.domain.engine import Era
from gpudesk.fit.card_table import find_card
from gpudesk.fit.values import CardBudget, EngineProfile
from gpudesk.units import GIBIBYTE, MEBIBYTE

CUDA_PER_MULTIPROCESSOR_MIB = (2.4, 3.3, 4.2)
CUDA_BASE_MIB = (20, 30, 120)
"""Low, expected, high: `base + multiprocessors * each`."""
CUDA_UNKNOWN_MIB = ((8, (90, 180, 480)), (16, (100, 300, 560)), (1 << 20, (110, 430, 680)))
"""For a card whose multiprocessors are unknown, by its memory in GiB up to which the row counts."""
BACKENDS_MIB = {
    "rocm": (100, 300, 560),
    "vulkan": (0, 60, 260),
    "metal": (0, 60, 260),
    "cpu": (0, 0, 0),
}
OLLAMA_EXTRA_MIB = 146
"""What Ollama 0.11.5 to 0.11.7 takes more, per process and card (reduced in 0.11.8)."""


def overhead(profile: EngineProfile, card: CardBudget) -> tuple[int, int, int]:
    """Return what a process takes on a card besides its buffers: low, expected and high, in bytes."""
    low, expected, high = BACKENDS_MIB.get(profile.backend) or _cuda(card)
    extra = OLLAMA_EXTRA_MIB if _has_extra(profile) else 0
    return low * MEBIBYTE, (expected + extra) * MEBIBYTE, (high + extra) * MEBIBYTE


def _cuda(card: CardBudget) -> tuple[int, int, int]:
    known = find_card(card.name)
    if known is not None and known.backend == "cuda":
        low, expected, high = (
            round(base + each * known.multiprocessors)
            for base, each in zip(CUDA_BASE_MIB, CUDA_PER_MULTIPROCESSOR_MIB, strict=True)
        )
        return low, expected, high
    for most, row in CUDA_UNKNOWN_MIB:
        if card.memory_total_bytes <= most * GIBIBYTE:
            return row
    return CUDA_UNKNOWN_MIB[-1][1]


def _has_extra(profile: EngineProfile) -> bool:
    if profile.kind != "ollama" or profile.era is not Era.ESTIMATE or profile.version is None:
        return False
    numbers = profile.version.lstrip("v").split("-")[0].split(".")
    return numbers[:2] == ["0", "11"] and len(numbers) > 2 and numbers[2] in {"5", "6", "7"}
