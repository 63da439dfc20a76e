"""Cards by name."""

from __future__ import annotations

import pytest

from gpudesk.errors import UsageError
from gpudesk.fit.card_table import CARDS, card_named, find_card, nearest_cards
from gpudesk.units import MEBIBYTE


@pytest.mark.parametrize(
    ("name", "found", "mebibytes"),
    [
        ("rtx 4090", "GeForce RTX 4090", 24564),
        ("4090", "GeForce RTX 4090", 24564),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090", 24564),
        ("RTX4090 laptop", "GeForce RTX 4090 Laptop GPU", 16376),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "GeForce RTX 4090 Laptop GPU", 16376),
        ("4070ti super", "GeForce RTX 4070 Ti SUPER", 16376),
        ("4070 Ti", "GeForce RTX 4070 Ti", 12282),
        ("4060 ti 16gb", "GeForce RTX 4060 Ti 16GB", 16380),
        ("RTX 4060 Ti", "GeForce RTX 4060 Ti", 8188),
        ("3090 24GB", "GeForce RTX 3090", 24576),
        ("RTX 5090", "GeForce RTX 5090", 32607),
        ("RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell", 97887),
        ("7900xtx", "Radeon RX 7900 XTX", 24560),
        ("AMD Radeon RX 7900 XT", "Radeon RX 7900 XT", 20464),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB", 40960),
        ("Tesla T4", "Tesla T4", 15360),
        ("l40s", "L40S", 46068),
    ],
)
def test_loose_names(name: str, found: str, mebibytes: int) -> None:
    card = find_card(name)
    assert card is not None
    assert (card.name, card.memory_total_bytes) == (found, mebibytes * MEBIBYTE)


@pytest.mark.parametrize(
    "name", ["", "rtx", "NVIDIA", "4090 48GB", "a100", "rtx 9999", "4090 super", "3050 laptop", "x"]
)
def test_a_doubtful_name_is_no_card(name: str) -> None:
    assert find_card(name) is None


def test_an_unknown_card_names_the_nearest() -> None:
    with pytest.raises(UsageError) as raised:
        card_named("RTX 4080 Ti")
    assert "RTX 4080 Ti" in raised.value.message
    assert raised.value.hint is not None
    assert "RTX 4080" in raised.value.hint
    assert "A100-SXM4-40GB" in nearest_cards("a100")
    assert nearest_cards("qqqq") == ()


def test_an_rtx_5090_has_32_gb() -> None:
    """An article gives it 24."""
    assert round(card_named("5090").memory_total_bytes / 1e9) == 34


def test_every_card_is_found_by_its_own_name_and_has_plausible_figures() -> None:
    for card in CARDS:
        for name in (card.name, card.name.upper(), f"NVIDIA {card.name}", card.name.replace("GeForce ", "")):
            assert find_card(name) is card, name
        assert 4 << 30 < card.memory_total_bytes < 200 << 30
        assert 1e11 < card.bandwidth_bytes_per_second < 1e13
        assert card.multiprocessors > 10
        assert card.source
    assert len({card.name for card in CARDS}) == len(CARDS)
