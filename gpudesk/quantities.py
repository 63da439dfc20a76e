"""Text to numbers, and only here: byte sizes, durations and keep-alives as people type them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from gpudesk.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.keep_alive import KeepAliveWish

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


KEEP_ALIVE_FORMS = "5m, 2h30m, 1d, forever, until 18:00, or 0 to leave when idle"
"""What `parse_keep_alive` reads, for help and messages."""

KEEP_ALIVE_SECONDS_MOST = 20 * 365 * 86400
"""Twenty years: Ollama's client, and so gpudesk, reads an expiry beyond that as forever (see FOREVER_THRESHOLD in
`domain.keep_alive`), so a longer wish could never be seen to hold. Go's durations end at 292 years."""

_TIMER_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_TIMER_WORDS = {
    **dict.fromkeys(("w", "week", "weeks"), "w"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "m"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    "ms": "ms",
}
_TIMER_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([a-z]{1,7}) ?")
_UNTIL = re.compile(r"until (?:([0-9]{4})-([0-9]{2})-([0-9]{2})[ t])?([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_FOREVER = frozenset({"forever", "always", "-1", "-1s", "-1m", "-1h"})
_BELOW_ZERO = re.compile(r"-\.?[0-9]")
_WHEN_IDLE = frozenset({"now", "idle"})


def parse_keep_alive(text: str, now: datetime) -> KeepAliveWish:
    """Read how long a model shall stay when nobody asks anything of it.

    `5m`, `2h30m`, `1d12h`, `90s` (larger units first, each once), `forever` or `-1` as Ollama has it, `until 18:00` or
    `until 2026-11-22 18:00` by the local clock, `0`, `now` or `idle` for as soon as it is idle. A bare number is
    refused: Ollama takes it for seconds, and who types 30 means minutes as often. So is a time below zero but `-1`,
    which Ollama takes for forever (api/types.go:1243 at v0.33.0-rc2) and hardly anybody means so. Fractions of a second
    are rounded up, as `KeepAliveWish.wire` would.

    Args:
        text: as typed, capitals and spaces do not matter.
        now: aware; what `until` counts from.

    Raises:
        UsageError: it is none of these; the hint says what is accepted.
    """
    from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
    from gpudesk.text import clean

    shown = clean(text, 40)
    word = " ".join(text.lower().split()) if len(text) <= 100 else ""
    if word in _FOREVER:
        return FOREVER
    if word in _WHEN_IDLE:
        return KeepAliveWish(0.0)
    if word.startswith("until"):
        seconds: float | None = _seconds_until(word, shown, now)
    elif re.fullmatch(r"[0-9]+(\.[0-9]*)?", word, re.ASCII) and float(word):
        number = clean(word, 12)
        raise UsageError(f"{shown} has no unit", f"Write {number}s, {number}m or {number}h")
    elif _BELOW_ZERO.match(word):
        raise UsageError(f"{shown} is a time below zero", f"Write {KEEP_ALIVE_FORMS}")
    else:
        seconds = 0.0 if word and not word.strip("0") else _timer_seconds(word)
    if seconds is None:
        raise UsageError(f"{shown or 'nothing'} is no keep-alive", f"Write {KEEP_ALIVE_FORMS}")
    if seconds > KEEP_ALIVE_SECONDS_MOST:
        raise UsageError(f"{shown} is longer than 20 years", "Write forever")
    return KeepAliveWish(float(math.ceil(seconds)))


def keep_alive_text(wish: KeepAliveWish) -> str:
    """Write a keep-alive so that `parse_keep_alive` reads the same back: `forever`, `0`, `2h30m`."""
    seconds = wish.wire
    if seconds < 0:
        return "forever"
    parts = []
    for unit in ("d", "h", "m", "s"):
        amount, seconds = divmod(seconds, int(_TIMER_UNITS[unit]))
        parts += [f"{amount}{unit}"] if amount else []
    return "".join(parts) or "0"


def _timer_seconds(word: str) -> float | None:
    """Add up `2h30m`; None when a unit is not known, comes twice or follows a smaller one."""
    units = list(_TIMER_UNITS)
    total, position, last = 0.0, 0, -1
    while position < len(word):
        match = _TIMER_PART.match(word, position)
        unit = _TIMER_WORDS.get(match[2]) if match else None
        if match is None or unit is None or units.index(unit) <= last:
            return None
        total += float(match[1]) * _TIMER_UNITS[unit]
        position, last = match.end(), units.index(unit)
    return total if word else None


def _seconds_until(word: str, shown: str, now: datetime) -> float:
    """Return how long it is until a time by the local clock: the next such time, or the one of a day that is named."""
    from datetime import datetime, timedelta

    match = _UNTIL.fullmatch(word)
    if match is None:
        raise UsageError(f"{shown} names no time", "Write until 18:00, or until 2026-11-22 18:00")
    hour, minute, second = int(match[4]), int(match[5]), int(match[6] or 0)
    today = now.astimezone()
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3])) if match[1] else today.replace(tzinfo=None)  # noqa: DTZ001 - local on purpose
        local = day.replace(hour=hour, minute=minute, second=second, microsecond=0)
        # A time that comes twice when summer ends is meant as the first one still ahead.
        ahead = [_seconds_between(now, local.replace(fold=fold)) for fold in (0, 1)]
        if not match[1] and max(ahead) <= 0:
            ahead = [_seconds_between(now, local + timedelta(days=1))]
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{shown} names no time there is", "Write until 18:00, or until 2026-11-22 18:00") from None
    coming = [seconds for seconds in ahead if seconds > 0]
    if not coming:
        raise UsageError(f"{shown} has passed", "Write a time to come, or 0 to leave when idle")
    return min(coming)


def _seconds_between(now: datetime, local: datetime) -> float:
    """Return the seconds to a time without zone, taken by the local clock."""
    return local.astimezone().timestamp() - now.timestamp()
