"""The values of the configuration file and of the command line: what each may be, and what is said when it is not."""

from __future__ import annotations

from gpudesk.config.settings import INTERVAL_SECONDS_MAX, INTERVAL_SECONDS_MIN, THEMES
from gpudesk.quantities import parse_bytes, parse_seconds
from gpudesk.toml_text import nearest as nearest


class UnusableError(ValueError):
    """A value that cannot be used; the text says what is expected instead."""


def theme_value(value: object) -> str:
    """Check a theme's name."""
    if not isinstance(value, str) or value not in THEMES:
        close = nearest(value, THEMES) if isinstance(value, str) else None
        raise UnusableError(f"the name of a theme, perhaps {close}" if close else f"one of {', '.join(THEMES)}")
    return value


def flag_value(value: object) -> bool:
    """Check a yes or no."""
    if not isinstance(value, bool):
        raise UnusableError("true or false")
    return value


def text_value(value: object) -> str:
    """Check a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise UnusableError("a text in quotes")
    return value.strip()


def interval_value(value: object) -> float:
    """Check how often to look: seconds, or text such as `500ms`."""
    seconds = None
    if isinstance(value, str):
        seconds = parse_seconds(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not INTERVAL_SECONDS_MIN <= seconds <= INTERVAL_SECONDS_MAX:
        raise UnusableError('seconds from 0.2 to 3600, such as 1 or "500ms"')
    return seconds


def reserve_value(value: object) -> int:
    """Check the reserve: bytes, or text such as `1GiB`."""
    amount = None
    if isinstance(value, str):
        amount = parse_bytes(value)
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62:
        amount = value
    if amount is None:
        raise UnusableError('a size such as "1GiB", "512 MiB" or "2 GB"')
    return amount
