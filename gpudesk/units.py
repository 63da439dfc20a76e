"""Numbers to text, and only here: bytes, ratios, durations.

Memory is shown in GiB (2**30 bytes) with one decimal everywhere, because NVML, llama.cpp and Ollama's
scheduler count in binary units while vendors print decimal ones; unknown is shown as a dash.
"""

from __future__ import annotations

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

UNKNOWN = "–"
"""What stands where a value is unknown or unsupported. Never 0, never "N/A"."""


def gibibytes(memory_bytes: int | None, *, unit: bool = True) -> str:
    """Format bytes as GiB with one decimal, keeping the sign: `9.8 GiB`.

    Anything but zero below 0.05 GiB is written in MiB (`38 MiB`), so that a small model never reads as nothing.
    """
    if memory_bytes is None:
        return UNKNOWN
    if memory_bytes and abs(memory_bytes) * 20 < GIBIBYTE:
        return f"{memory_bytes / MEBIBYTE:.0f} MiB" if unit else f"{memory_bytes / MEBIBYTE:.0f}M"
    text = f"{memory_bytes / GIBIBYTE:.1f}"
    return f"{text} GiB" if unit else text


def percent(ratio: float | None) -> str:
    """Format a ratio (0..1) as whole percent: `48 %`."""
    return UNKNOWN if ratio is None else f"{ratio * 100:.0f} %"


def duration(seconds: float | None) -> str:
    """Format a duration by its two largest units: `4m 32s`, `2h 05m`, `3d 4h`, `12s`; negative reads as `0s`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}h"
    if hours:
        return f"{hours}h {minute:02d}m"
    if minutes:
        return f"{minutes}m {second:02d}s"
    return f"{second}s"


def age(seconds: float) -> str:
    """Format how long ago something was: `just now`, `7s ago`, `4m ago`."""
    whole = max(0, int(seconds))
    if whole < 2:
        return "just now"
    if whole < 60:
        return f"{whole}s ago"
    if whole < 3600:
        return f"{whole // 60}m ago"
    if whole < 86400:
        return f"{whole // 3600}h ago"
    return f"{whole // 86400}d ago"


def watts(power_watts: float | None) -> str:
    """Format a power: `210 W`."""
    return UNKNOWN if power_watts is None else f"{power_watts:.0f} W"


def celsius(temperature: float | None) -> str:
    """Format a temperature: `61 °C`."""
    return UNKNOWN if temperature is None else f"{temperature:.0f} °C"
