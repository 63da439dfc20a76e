"""gpudesk's own two themes: calm grounds, few colors, and text at 4.5:1 or better on every ground it stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.theme import Theme

DARK_NAME = "gpudesk-dark"
LIGHT_NAME = "gpudesk-light"

DARK_SHADES = ("#7aa2e3", "#7fb99c", "#d0a663", "#b690d6", "#5fb0bf", "#d98c8c", "#a3b567", "#d18fb8")
LIGHT_SHADES = ("#2f6bc0", "#2b7a55", "#8f6210", "#7b4bab", "#14717f", "#b04545", "#5f7014", "#a23f7e")
"""One shade per model: even in lightness, so that none shouts; apart in hue; each also has its letter."""


def own_themes() -> tuple[Theme, Theme]:
    """Return the dark and the light theme."""
    from textual.theme import Theme

    dark = Theme(
        name=DARK_NAME,
        primary="#7aa2e3",
        secondary="#5fb0bf",
        accent="#8fb8f6",
        foreground="#d5d9e2",
        background="#14171d",
        surface="#1a1e26",
        panel="#232935",
        success="#86c293",
        warning="#e3b562",
        error="#f0807f",
        dark=True,
        variables={f"shade-{index}": color for index, color in enumerate(DARK_SHADES)},
    )
    light = Theme(
        name=LIGHT_NAME,
        primary="#2f6bc0",
        secondary="#14717f",
        accent="#1d57ab",
        foreground="#23272f",
        background="#f7f6f2",
        surface="#efeee8",
        panel="#e2e1d9",
        success="#276a41",
        warning="#835500",
        error="#b3261e",
        dark=False,
        variables={f"shade-{index}": color for index, color in enumerate(LIGHT_SHADES)},
    )
    return dark, light
