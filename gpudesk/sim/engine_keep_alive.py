"""keep_alive as Ollama reads it, in nanoseconds like Go's time.Duration.

Source: ollama api/types.go:1243 (`Duration.UnmarshalJSON`), envconfig/config.go:122 (`KeepAlive`) at v0.33.0-rc2,
and Go's time.ParseDuration (src/time/format.go), whose error texts reach the client.
"""

from __future__ import annotations

SECOND = 1_000_000_000
FOREVER = (1 << 63) - 1
"""MaxInt64 nanoseconds, 292 years: what every negative keep_alive becomes."""
LOWEST = -(1 << 63)
DEFAULT = 5 * 60 * SECOND

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}


class KeepAliveError(ValueError):
    """A keep_alive the server answers with 400; the text is Go's own."""


def _quoted(text: str) -> str:
    """Quote like Go's time package does for its errors."""
    parts = []
    for byte in text:
        if byte in '"\\':
            parts.append("\\" + byte)
        elif ord(byte) >= 0x80 or ord(byte) < 0x20:
            parts.append("".join(f"\\x{value:02x}" for value in byte.encode("utf-8", "surrogateescape")))
        else:
            parts.append(byte)
    return '"' + "".join(parts) + '"'


def _leading_digits(text: str) -> int:
    length = 0
    while length < len(text) and text[length] in "0123456789":
        length += 1
    return length


def _part(rest: str, text: str) -> tuple[int, str]:
    """Take one number with its unit off the front of `rest`, which is the end of `text`."""
    if rest[0] not in ".0123456789":
        raise KeepAliveError(f"time: invalid duration {_quoted(text)}")
    length = _leading_digits(rest)
    whole, rest = rest[:length], rest[length:]
    fraction = ""
    if rest.startswith("."):
        length = _leading_digits(rest[1:])
        fraction, rest = rest[1 : 1 + length], rest[1 + length :]
    if not whole and not fraction:
        raise KeepAliveError(f"time: invalid duration {_quoted(text)}")
    length = 0
    while length < len(rest) and rest[length] not in ".0123456789":
        length += 1
    unit, rest = rest[:length], rest[length:]
    if not unit:
        raise KeepAliveError(f"time: missing unit in duration {_quoted(text)}")
    if unit not in _UNITS:
        raise KeepAliveError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
    nanoseconds = int(whole or "0") * _UNITS[unit]
    if fraction:
        nanoseconds += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
    return nanoseconds, rest


def parse_duration(text: str) -> int:
    """Parse `1h30m`, `300ms`, `-1s` or a bare `0` into nanoseconds, exactly as Go's time.ParseDuration.

    Raises:
        KeepAliveError: with Go's text, such as `time: missing unit in duration "300"`.
    """
    invalid = KeepAliveError(f"time: invalid duration {_quoted(text)}")
    rest = text
    negative = rest.startswith("-")
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        nanoseconds, rest = _part(rest, text)
        total += nanoseconds
        if total > 1 << 63:
            raise invalid
    if negative:
        return -total
    if total > FOREVER:
        raise invalid
    return total


def parse_keep_alive(value: object, *, whole_seconds: bool = False) -> int | None:
    """Turn the `keep_alive` of a request into nanoseconds; None when it is absent, which means "no change".

    A number too large for int64 nanoseconds becomes the lowest one on amd64, that is "unload when idle".

    Args:
        value: what the JSON body holds.
        whole_seconds: cut fractions off a number, and wrap around where it is too large, as before v0.11.8
            (ollama api/types.go:641 at v0.5.4: `int(t) * int(time.Second)`).

    Raises:
        KeepAliveError: the server answers 400 with this text.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        raise KeepAliveError("Unsupported type: 'bool'")
    if isinstance(value, int | float):
        if value < 0:
            return FOREVER
        if whole_seconds:
            return (int(value) * SECOND - LOWEST) % (1 << 64) + LOWEST
        nanoseconds = int(float(value) * SECOND)
        return nanoseconds if nanoseconds <= FOREVER else LOWEST
    if isinstance(value, str):
        nanoseconds = parse_duration(value)
        return FOREVER if nanoseconds < 0 else nanoseconds
    if isinstance(value, list):
        raise KeepAliveError("Unsupported type: '[]interface {}'")
    raise KeepAliveError("Unsupported type: 'map[string]interface {}'")


def keep_alive_from_environment(text: str) -> int:
    """Read OLLAMA_KEEP_ALIVE: a duration, else whole seconds, else silently five minutes; negative is forever."""
    text = text.strip().strip("\"'")
    if not text:
        return DEFAULT
    try:
        nanoseconds = parse_duration(text)
    except KeepAliveError:
        digits = text[1:] if text[:1] in ("-", "+") else text
        if not digits.isascii() or not digits.isdecimal():
            return DEFAULT
        nanoseconds = int(text) * SECOND
    return FOREVER if nanoseconds < 0 else nanoseconds
