"""The source on a real driver; skipped, with the reason, where there is none."""

from __future__ import annotations

import time

import pytest

from gpudesk.domain.card import ProcessAccounting
from gpudesk.sources.nvml import NvmlSource
from tests.sources.nvml_rig import EMPTY_DESK, NOWHERE

pytestmark = pytest.mark.gpu

TOLERANCE_BYTES = 16 << 20


def test_a_real_card_adds_up() -> None:
    source = NvmlSource(sysfs_root=NOWHERE)
    try:
        sample = source.read(EMPTY_DESK)
    finally:
        source.close()
    assert sample.cards
    assert sample.driver.version
    for card in sample.cards:
        assert card.error is None
        assert card.name
        assert card.uuid
        if card.unified_memory or card.memory_reserved_bytes is None:
            continue
        assert card.memory_total_bytes is not None
        assert card.memory_used_bytes is not None
        assert card.memory_free_bytes is not None
        parts = card.memory_used_bytes + card.memory_free_bytes + card.memory_reserved_bytes
        assert abs(card.memory_total_bytes - parts) <= TOLERANCE_BYTES
        if card.process_accounting is ProcessAccounting.FULL:
            held = sum(process.memory_bytes or 0 for process in card.processes)
            assert held <= card.memory_total_bytes
        assert card.utilization_ratio is None or 0 <= card.utilization_ratio <= 1
        assert card.temperature_celsius is None or 0 < card.temperature_celsius < 130


def test_a_real_driver_is_asked_five_times_per_card_and_pass() -> None:
    source = NvmlSource(sysfs_root=NOWHERE)
    try:
        cards = len(source.read(EMPTY_DESK).cards)
        time.sleep(0.2)
        sample = source.read(EMPTY_DESK)
    finally:
        source.close()
    assert sample.calls <= 8 * cards + sum(len(card.slices) for card in sample.cards)
