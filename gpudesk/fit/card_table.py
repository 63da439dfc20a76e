"""Common cards by name: for planning without one.

Memory is what the driver reports (`nvidia-smi`, `rocm-smi`: VRAM total), which is less than the nominal size on many;
bandwidth and multiprocessors are nominal. Laptop cards share names with larger desktop cards and are told apart by the
word `Laptop`, as the driver does.

What is checked: the memory of the RTX 5090, 5080, 5070, 5060 Ti, 5060 8 GB, H200, RTX PRO 6000 and RX 7900 XTX, and
16376 MiB for 16 GB Ada cards, stand in public driver logs. The other totals, the bandwidths and the counts are the
vendors' nominal figures as commonly known, not read off a page; a card that is at hand is read from its driver, never
from here.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache

from gpudesk.errors import UsageError
from gpudesk.records import dataclass
from gpudesk.units import MEBIBYTE

_GIGABYTE = 1e9
_NVIDIA = "memory as nvidia-smi prints it; bandwidth and SM count nominal, unchecked"
_AMD = "memory as rocm-smi prints it; bandwidth and compute units nominal, unchecked"


@dataclass(frozen=True, slots=True)
class KnownCard:
    """One model of card."""

    name: str
    """As the driver writes it, without the vendor."""
    memory_total_bytes: int
    """As the driver reports it."""
    bandwidth_bytes_per_second: float
    multiprocessors: int
    """SMs (NVIDIA) or compute units (AMD)."""
    backend: str
    """`cuda` or `rocm`."""
    source: str


_NVIDIA_ROWS: tuple[tuple[str, int, float, int], ...] = (
    ("GeForce RTX 5090", 32607, 1792, 170),
    ("GeForce RTX 5080", 16303, 960, 84),
    ("GeForce RTX 5070 Ti", 16303, 896, 70),
    ("GeForce RTX 5070", 12227, 672, 48),
    ("GeForce RTX 5060 Ti", 16311, 448, 36),
    ("GeForce RTX 5060 Ti 8GB", 8151, 448, 36),
    ("GeForce RTX 5060", 8151, 448, 30),
    ("GeForce RTX 5090 Laptop GPU", 24463, 896, 82),
    ("GeForce RTX 5080 Laptop GPU", 16303, 896, 60),
    ("GeForce RTX 5070 Ti Laptop GPU", 12227, 672, 46),
    ("GeForce RTX 5070 Laptop GPU", 8151, 384, 36),
    ("GeForce RTX 5060 Laptop GPU", 8151, 384, 26),
    ("GeForce RTX 4090", 24564, 1008, 128),
    ("GeForce RTX 4080 SUPER", 16376, 736, 80),
    ("GeForce RTX 4080", 16376, 717, 76),
    ("GeForce RTX 4070 Ti SUPER", 16376, 672, 66),
    ("GeForce RTX 4070 Ti", 12282, 504, 60),
    ("GeForce RTX 4070 SUPER", 12282, 504, 56),
    ("GeForce RTX 4070", 12282, 504, 46),
    ("GeForce RTX 4060 Ti", 8188, 288, 34),
    ("GeForce RTX 4060 Ti 16GB", 16380, 288, 34),
    ("GeForce RTX 4060", 8188, 272, 24),
    ("GeForce RTX 4090 Laptop GPU", 16376, 576, 76),
    ("GeForce RTX 4080 Laptop GPU", 12282, 432, 58),
    ("GeForce RTX 4070 Laptop GPU", 8188, 256, 36),
    ("GeForce RTX 4060 Laptop GPU", 8188, 256, 24),
    ("GeForce RTX 4050 Laptop GPU", 6141, 192, 20),
    ("GeForce RTX 3090 Ti", 24564, 1008, 84),
    ("GeForce RTX 3090", 24576, 936, 82),
    ("GeForce RTX 3080 Ti", 12288, 912, 80),
    ("GeForce RTX 3080", 10240, 760, 68),
    ("GeForce RTX 3080 12GB", 12288, 912, 70),
    ("GeForce RTX 3070 Ti", 8192, 608, 48),
    ("GeForce RTX 3070", 8192, 448, 46),
    ("GeForce RTX 3060 Ti", 8192, 448, 38),
    ("GeForce RTX 3060", 12288, 360, 28),
    ("GeForce RTX 3050", 8192, 224, 20),
    ("GeForce RTX 3080 Ti Laptop GPU", 16384, 512, 58),
    ("GeForce RTX 3070 Laptop GPU", 8192, 448, 40),
    ("GeForce RTX 3060 Laptop GPU", 6144, 336, 30),
    ("GeForce RTX 2080 Ti", 11264, 616, 68),
    ("GeForce RTX 2080 SUPER", 8192, 496, 48),
    ("GeForce RTX 2080", 8192, 448, 46),
    ("GeForce RTX 2070", 8192, 448, 36),
    ("GeForce RTX 2060", 6144, 336, 30),
    ("GeForce GTX 1660 Ti", 6144, 288, 24),
    ("GeForce GTX 1080 Ti", 11264, 484, 28),
    ("GeForce GTX 1080", 8192, 320, 20),
    ("GeForce GTX 1070", 8192, 256, 15),
    ("RTX PRO 6000 Blackwell", 97887, 1792, 188),
    ("RTX 6000 Ada Generation", 49140, 960, 142),
    ("RTX 5000 Ada Generation", 32760, 576, 100),
    ("RTX 4000 Ada Generation", 20475, 360, 48),
    ("RTX 2000 Ada Generation", 16380, 224, 22),
    ("RTX A6000", 49140, 768, 84),
    ("RTX A5000", 24564, 768, 64),
    ("RTX A4500", 20470, 640, 56),
    ("RTX A4000", 16376, 448, 48),
    ("RTX A2000 12GB", 12282, 288, 26),
    ("A100-SXM4-80GB", 81920, 2039, 108),
    ("A100 80GB PCIe", 81920, 1935, 108),
    ("A100-SXM4-40GB", 40960, 1555, 108),
    ("A100-PCIE-40GB", 40960, 1555, 108),
    ("A10", 23028, 600, 72),
    ("H100 80GB HBM3", 81559, 3350, 132),
    ("H100 PCIe", 81559, 2000, 114),
    ("H200", 143771, 4800, 132),
    ("B200", 183359, 8000, 148),
    ("L4", 23034, 300, 58),
    ("L40", 46068, 864, 142),
    ("L40S", 46068, 864, 142),
    ("Tesla T4", 15360, 320, 40),
    ("Tesla V100-SXM2-16GB", 16384, 900, 80),
    ("Tesla V100-SXM2-32GB", 32768, 900, 80),
    ("Tesla P40", 24576, 347, 30),
)
"""Name, MiB, GB/s, SMs."""

_AMD_ROWS: tuple[tuple[str, int, float, int], ...] = (
    ("Radeon RX 9070 XT", 16304, 645, 64),
    ("Radeon RX 9070", 16304, 645, 56),
    ("Radeon RX 9060 XT", 16304, 322, 32),
    ("Radeon RX 7900 XTX", 24560, 960, 96),
    ("Radeon RX 7900 XT", 20464, 800, 84),
    ("Radeon RX 7900 GRE", 16368, 576, 80),
    ("Radeon RX 7800 XT", 16368, 624, 60),
    ("Radeon RX 7700 XT", 12272, 432, 54),
    ("Radeon RX 7600 XT", 16368, 288, 32),
    ("Radeon RX 7600", 8176, 288, 32),
    ("Radeon RX 6900 XT", 16368, 512, 80),
    ("Radeon RX 6800 XT", 16368, 512, 72),
    ("Radeon RX 6800", 16368, 512, 60),
    ("Radeon RX 6700 XT", 12272, 384, 40),
    ("Radeon PRO W7900", 46064, 864, 96),
    ("Instinct MI210", 65520, 1638, 104),
    ("Instinct MI300X", 196592, 5300, 304),
)

CARDS: tuple[KnownCard, ...] = tuple(
    KnownCard(name, size * MEBIBYTE, speed * _GIGABYTE, units, backend, source)
    for rows, backend, source in ((_NVIDIA_ROWS, "cuda", _NVIDIA), (_AMD_ROWS, "rocm", _AMD))
    for name, size, speed, units in rows
)
"""All known cards, by vendor and age."""

_DROPPED = frozenset(
    ("nvidia", "amd", "geforce", "radeon", "instinct", "tesla", "quadro", "generation", "gpu", "graphics", "rtx", "gtx",
     "rx", "ati", "workstation", "server", "edition", "sxm", "sxm2", "sxm4", "sxm5", "pcie", "hbm3", "nvl")
)  # fmt: skip
_WORD = re.compile(r"\d+\s*gi?b\b|[a-z]+\d+[a-z]*|\d+|[a-z]+")
_PREFIX = re.compile(r"^(geforce|nvidia|amd|radeon)?(rtx|gtx|rx)(?=\d)")


def _words(name: str) -> frozenset[str]:
    """Return what distinguishes a card in a loosely written name: `RTX4090 laptop` and `4090 Laptop GPU` agree."""
    found: set[str] = set()
    for word in re.split(r"[\s\-_/()]+", name.lower().replace("(tm)", "").replace("(r)", "")):
        bare = _PREFIX.sub("", word)
        for part in _split(bare):
            if part and part not in _DROPPED:
                found.add(part)
    return frozenset(found)


def _split(word: str) -> list[str]:
    """Part a number from a word glued to it: `4070ti` is `4070 ti`, `4080super` is `4080 super`, `7900xtx`."""
    match = re.fullmatch(r"(\d{3,5})(ti|super|tisuper|xt|xtx|gre|laptop|m)?(super|laptop)?", word)
    if match is None:
        return [word.replace("gib", "gb")]
    number, second, third = match.groups()
    if second == "tisuper":
        second, third = "ti", "super"
    return [part for part in (number, "laptop" if second == "m" else second, third) if part]


_BY_NAME = {card.name.lower(): card for card in CARDS}
_BY_WORDS: dict[frozenset[str], KnownCard] = {}
for _card in CARDS:
    _BY_WORDS.setdefault(_words(_card.name), _card)


@lru_cache(maxsize=256)
def find_card(name: str) -> KnownCard | None:
    """Return the card that a loosely written name means; None when nothing or more than one could be meant.

    Words that every card has (`NVIDIA`, `GeForce`, `RTX`) may be left out; words that distinguish cards (`Ti`,
    `Laptop`) may not, so that `4090 laptop` is never taken for the desktop card. A size in the name, `24GB`, has to
    agree with the card.
    """
    written = _BY_NAME.get(" ".join(name.lower().removeprefix("nvidia ").removeprefix("amd ").split()))
    if written is not None:
        return written
    words = _words(name)
    if not words:
        return None
    exact = _BY_WORDS.get(words)
    if exact is not None:
        return exact
    sizes = {int(word[:-2]) for word in words if re.fullmatch(r"\d+gb", word)}
    rest = words - {f"{size}gb" for size in sizes}
    matching = [
        card
        for key, card in _BY_WORDS.items()
        if {word for word in key if not re.fullmatch(r"\d+gb", word)} == rest and (not sizes or _nominal(card) in sizes)
    ]
    same = {(card.memory_total_bytes, card.backend) for card in matching}
    return matching[0] if len(same) == 1 else None


def _nominal(card: KnownCard) -> int:
    """Return the size on the box, in GB."""
    size = card.memory_total_bytes / (1024 * MEBIBYTE)
    return min(
        (4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 180, 192), key=lambda box: abs(box - size)
    )


def nearest_cards(name: str, count: int = 3) -> tuple[str, ...]:
    """Return names of known cards that resemble `name`, the best first."""
    words = _words(name)
    shared = sorted(
        (card for card in CARDS if words & _words(card.name)),
        key=lambda card: (-len(words & _words(card.name)), len(_words(card.name))),
    )
    found = [card.name for card in shared]
    by_text = {card.name.lower(): card.name for card in CARDS}
    by_text |= {re.sub(r"^(geforce|radeon) ", "", key): value for key, value in by_text.items()}
    found += [by_text[text] for text in get_close_matches(name.lower(), by_text, n=count, cutoff=0.4)]
    return tuple(dict.fromkeys(found))[:count]


def card_named(name: str) -> KnownCard:
    """Return the card that a name means.

    Raises:
        UsageError: no known card, or several; the hint names the nearest.
    """
    card = find_card(name)
    if card is not None:
        return card
    near = nearest_cards(name)
    hint = f"Did you mean {', '.join(near)}? Or give" if near else "Give"
    raise UsageError(f"no known card is named {name!r}", f"{hint} its memory: --vram 24GiB")
