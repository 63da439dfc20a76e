"""Reading single values out of an engine's JSON without trusting any of it.

Whatever is missing, of another type or out of range is None, never an exception and never a made-up zero.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from gpudesk.errors import FailureKind, SourceError
from gpudesk.text import clean

LARGEST_INTEGER = (1 << 63) - 1
"""Go's int64; more is not a size."""
FOREVER = datetime.max.replace(tzinfo=UTC)
"""Stands for every time beyond year 9999."""

_TIME = re.compile(
    r"(\d{4,6})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,30}))?\s?(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DIGEST = re.compile(r"(?:sha256[:-])?([0-9a-fA-F]{64})", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def decoded_object(body: bytes, where: str) -> dict[str, Any]:
    """Decode a body that must be a JSON object.

    Bytes that are not UTF-8 become replacement characters: one odd name must not lose the rest.

    Args:
        body: as received.
        where: URL with path, for the error.

    Raises:
        SourceError: INVALID; says whether it is a web page, cut off, or something else.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff")
    hint = "This is not Ollama's API; check the address and the port (Ollama's own is 11434)"
    try:
        value = json.loads(text)
    except RecursionError:
        raise SourceError(FailureKind.INVALID, f"{where} answered JSON nested too deeply", hint) from None
    except ValueError as error:
        start = text[:200].lstrip()
        if start.startswith("<"):
            raise SourceError(FailureKind.INVALID, f"{where} answered with a web page, not JSON", hint) from None
        if not start:
            raise SourceError(FailureKind.INVALID, f"{where} answered with nothing", hint) from None
        if (start[0] in "{[" and getattr(error, "pos", 0) >= len(text.rstrip()) - 1) or "Unterminated" in str(error):
            message = f"{where} answered JSON that breaks off after {len(body)} bytes"
            raise SourceError(FailureKind.INVALID, message, "It is asked again") from None
        message = f"{where} answered something that is not JSON: {clean(start, 60)!r}"
        raise SourceError(FailureKind.INVALID, message, hint) from None
    if not isinstance(value, dict):
        raise SourceError(FailureKind.INVALID, f"{where} answered JSON that is not an object", hint)
    return value


def encoded(fields: dict[str, Any]) -> bytes:
    """Encode the body of a request."""
    return json.dumps(fields, separators=(",", ":")).encode()


def as_object(value: object) -> dict[str, Any]:
    """Return an object as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object, limit: int = 256) -> str | None:
    """Return cleaned text; None when there is none to show."""
    return (clean(value, limit) or None) if isinstance(value, str) else None


def as_count(value: object) -> int | None:
    """Return a whole number from 0 to 2**63-1, also from `"12"` and `12.0`; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = int(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and 0 <= value <= LARGEST_INTEGER else None


def as_positive(value: object) -> int | None:
    """Return a whole number above 0; 0 is how Go writes a field nobody set."""
    return as_count(value) or None


def as_digest(value: object) -> str | None:
    """Return 64 lower-case hex digits, with or without `sha256:` before them; None for anything else."""
    match = _DIGEST.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 100 else None
    return match[1].lower() if match else None


def as_texts(value: object, limit: int = 32) -> tuple[str, ...] | None:
    """Return the texts of a list, each once, in order; None when it is no list."""
    if not isinstance(value, list):
        return None
    return tuple(dict.fromkeys(text for item in value[:limit] if (text := as_text(item, 64)) is not None))


def as_time(value: object) -> datetime | None:
    """Read a time as Go writes it: RFC 3339 with up to nanoseconds and any offset; returned in UTC.

    Year 1, Go's zero time, is "not set" and gives None, and so does what is not a time. A year beyond 9999, which
    Go writes and Python cannot hold, is the last moment Python knows. Without an offset UTC is meant.
    """
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 80 else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[index]) for index in range(1, 7))
    if year <= 1:
        return None
    if year > 9999:
        return FOREVER
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0)) * (-1 if match[9] == "-" else 1)
    microsecond = int(((match[7] or "") + "000000")[:6])
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), microsecond, timezone(offset))
        return local.astimezone(UTC)
    except OverflowError:
        return FOREVER if year > 5000 else None
    except ValueError:
        return None


def as_http_date(value: str | None) -> datetime | None:
    """Read a `Date` header (RFC 9110's preferred form, the only one servers may send)."""
    match = _HTTP_DATE.fullmatch(value.strip()) if value and len(value) < 64 else None
    if match is None or match[2] not in _MONTHS:
        return None
    month = _MONTHS.index(match[2]) + 1
    try:
        return datetime(
            int(match[3]), month, int(match[1]), int(match[4]), int(match[5]), min(int(match[6]), 59), tzinfo=UTC
        )
    except ValueError:
        return None
