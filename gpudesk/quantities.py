"""Text to numbers, and only here: byte sizes and durations as people type them."""

from __future__ import annotations

import re

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*")

_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
"""GB is decimal and GiB is binary, as IEC 80000-13 says; the bare letter is binary, as in `ls -h` and `dd`."""

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


_AMOUNT_LIMIT = 1 << 62


def _split(text: str) -> tuple[int | float, str] | None:
    match = _QUANTITY.fullmatch(text) if len(text) < 100 else None
    if match is None or not match[1].isascii():
        return None
    return (float(match[1]) if "." in match[1] else int(match[1])), match[2].lower()


def parse_bytes(text: str) -> int | None:
    """Read a size such as `1GiB`, `512 MiB`, `2 GB` or plain bytes; None when it is not one."""
    parts = _split(text)
    if parts is None or parts[1] not in _BYTES:
        return None
    amount = parts[0] * _BYTES[parts[1]]
    return round(amount) if amount < _AMOUNT_LIMIT else None


def parse_seconds(text: str) -> float | None:
    """Read a duration such as `2`, `500ms`, `1.5s` or `2m` as seconds; None when it is not one."""
    parts = _split(text)
    if parts is None or parts[1] not in _SECONDS:
        return None
    seconds = float(parts[0]) * _SECONDS[parts[1]]
    return seconds if seconds < _AMOUNT_LIMIT else None


def bytes_text(amount: int) -> str:
    """Write a size so that `parse_bytes` reads the same number back: `1GiB`, `512MiB`, `1000`."""
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if amount and amount % size == 0:
            return f"{amount // size}{unit}"
    return str(amount)
