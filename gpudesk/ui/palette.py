"""From roles to styles: the only place that knows colors, built anew when the theme changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.color import Color, ColorParseError

from gpudesk.ui.marks import SHADE_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSI_SHADES = ("blue", "green", "yellow", "magenta", "cyan", "red", "bright_blue", "bright_magenta")
_FALLBACK_SHADES = ("primary", "success", "warning", "secondary", "accent", "error", "primary", "success")


READABLE_RATIO = 4.5
"""WCAG 2, level AA, for text."""
VISIBLE_RATIO = 3.0
"""WCAG 2 for graphs and glyphs."""


def contrast(one: Color, other: Color) -> float:
    """Return the WCAG 2 contrast ratio of two opaque colors, 1 to 21."""

    def luminance(color: Color) -> float:
        channels = [
            value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in color.normalized
        ]
        return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class Palette:
    """Styles by role, for one theme."""

    def __init__(self, variables: Mapping[str, str], *, dark: bool, ansi: bool) -> None:
        """Build the styles.

        Args:
            variables: the theme's CSS variables (`App.theme_variables`).
            dark: the theme is a dark one.
            ansi: use the terminal's own sixteen colors and its own ground.
        """
        self.ansi = ansi
        self._roles: dict[str, Style] = _ansi_roles() if ansi else _true_roles(variables, dark=dark)
        self._grounds: dict[str, Style] = {
            name.removeprefix("ground-"): style for name, style in self._roles.items() if name.startswith("ground-")
        }
        self._combined: dict[tuple[str, str], Style] = {}

    def style(self, role: str, ground: str = "") -> Style:
        """Return the style of a role on a ground (`""` or `cursor`); unknown roles are plain text."""
        key = (role, ground)
        style = self._combined.get(key)
        if style is None:
            own = self._roles.get(role, self._roles["text"])
            base = self._grounds.get(ground, self._grounds[""])
            # What has a ground of its own keeps it: a bar, or a warning that must not fade under the cursor.
            style = base + own
            if self.ansi and ground == "cursor" and not role.startswith(("fill-", "loud")):
                # Sixteen colors turned around are loud; one even bar is not.
                style = base + Style(bold=own.bold)
            self._combined[key] = style
        return style


def _hex(color: Color) -> str:
    return color.rgb[0:3] and f"#{color.r:02x}{color.g:02x}{color.b:02x}"


def _color(variables: Mapping[str, str], name: str, fallback: str) -> Color:
    try:
        return Color.parse(variables.get(name, fallback))
    except ColorParseError:
        return Color.parse(fallback)


def _true_roles(variables: Mapping[str, str], *, dark: bool) -> dict[str, Style]:
    """Build the styles of a theme with 24-bit colors."""
    background = _color(variables, "background", "#14171d" if dark else "#f7f6f2")
    text = _color(variables, "foreground", "#d5d9e2" if dark else "#23272f")
    accent = _color(variables, "accent", "#8fb8f6")
    good = _color(variables, "success", "#86c293")
    warn = _color(variables, "warning", "#e3b562")
    error = _color(variables, "error", "#f0807f")

    def mix(color: Color, amount: float) -> Color:
        """Return `color` at `amount` over the background."""
        return background.blend(color, amount, alpha=1.0)

    def ink(color: Color, *, bold: bool = False, ground: Color | None = None) -> Style:
        return Style(color=_hex(color), bgcolor=_hex(ground) if ground else None, bold=bold or None)

    def on(ground: Color) -> Color:
        """Return black or white, whichever reads better on a ground."""
        black, white = Color(12, 14, 18), Color(255, 255, 255)
        return black if contrast(ground, black) >= contrast(ground, white) else white

    cursor = mix(accent, 0.20 if dark else 0.12)
    head = mix(text, 0.06)
    end = Color(255, 255, 255) if dark else Color(0, 0, 0)

    def legible(color: Color, least: float = READABLE_RATIO) -> Color:
        """Return `color`, moved towards white or black until it reads on every ground a line can have."""
        for step in range(21):
            moved = color.blend(end, step / 20, alpha=1.0)
            if min(contrast(moved, ground) for ground in (background, cursor, head)) >= least:
                return moved
        return end

    def words(color: Color, *, bold: bool = False) -> Style:
        return ink(legible(color), bold=bold)

    def filled(ground: Color, *, bold: bool = False) -> Style:
        return ink(on(ground), bold=bold, ground=ground)

    free, unattributed, process = mix(text, 0.10), mix(text, 0.20), mix(text, 0.30)
    roles = {
        "ground-": Style(bgcolor=_hex(background)),
        "ground-cursor": Style(bgcolor=_hex(cursor)),
        "ground-head": Style(bgcolor=_hex(head)),
        "text": words(text),
        "dim": words(mix(text, 0.66 if dark else 0.72)),
        "faint": ink(mix(text, 0.40)),
        "strong": words(text, bold=True),
        "title": words(mix(text, 0.86), bold=True),
        "title-focus": words(accent, bold=True),
        "frame": ink(mix(text, 0.24)),
        "frame-focus": ink(mix(accent, 0.75)),
        "head": words(mix(text, 0.62 if dark else 0.70)),
        "head-sort": words(accent, bold=True),
        "accent": words(accent),
        "brand": words(accent, bold=True),
        "good": words(good),
        "warn": words(warn),
        "error": words(error),
        "loud": filled(error, bold=True),
        "key": words(accent, bold=True),
        "banner": filled(warn, bold=True),
        "graph-memory": ink(legible(mix(accent, 0.62), VISIBLE_RATIO)),
        "graph-utilization": ink(legible(mix(good, 0.72), VISIBLE_RATIO)),
        "thumb": ink(legible(mix(text, 0.45), VISIBLE_RATIO)),
        "fill-free": ink(mix(text, 0.80), ground=free),
        "fill-free-pattern": ink(mix(text, 0.25), ground=free),
        "fill-reserve": ink(mix(text, 0.90), ground=free),
        "fill-reserve-pattern": ink(mix(text, 0.45), ground=free),
        "fill-process": filled(process),
        "fill-process-pattern": ink(mix(text, 0.50), ground=process),
        "fill-unattributed": filled(unattributed),
        "fill-unattributed-pattern": ink(mix(text, 0.42), ground=unattributed),
    }
    for index in range(SHADE_COUNT):
        fallback = variables.get(_FALLBACK_SHADES[index], "#7aa2e3")
        shade = _color(variables, f"shade-{index}", fallback)
        roles[f"mark-{index}"] = words(shade, bold=True)
        roles[f"fill-{index}"] = filled(shade)
        roles[f"fill-{index}-pattern"] = ink(shade.blend(on(shade), 0.35, alpha=1.0), ground=shade)
    return roles


def _ansi_roles() -> dict[str, Style]:
    """Build the styles that use nothing but the terminal's sixteen colors and its default ground."""
    parse = Style.parse
    roles = {
        "ground-": Style.null(),
        "ground-cursor": parse("reverse"),
        "ground-head": parse("underline"),
        "text": Style.null(),
        "dim": parse("dim"),
        "faint": parse("dim"),
        "strong": parse("bold"),
        "title": parse("bold"),
        "title-focus": parse("bold cyan"),
        "frame": parse("dim"),
        "frame-focus": parse("cyan"),
        "head": parse("dim"),
        "head-sort": parse("bold cyan"),
        "accent": parse("cyan"),
        "brand": parse("bold cyan"),
        "good": parse("green"),
        "warn": parse("yellow"),
        "error": parse("red"),
        "loud": parse("bold reverse red"),
        "key": parse("bold cyan"),
        "banner": parse("bold reverse yellow"),
        "graph-memory": parse("cyan"),
        "graph-utilization": parse("green"),
        "thumb": parse("dim"),
        "fill-free": parse("dim"),
        "fill-free-pattern": parse("dim"),
        "fill-reserve": parse("dim"),
        "fill-reserve-pattern": parse("dim"),
        "fill-process": Style.null(),
        "fill-process-pattern": Style.null(),
        "fill-unattributed": parse("dim"),
        "fill-unattributed-pattern": parse("dim"),
    }
    for index, color in enumerate(_ANSI_SHADES):
        roles[f"mark-{index}"] = parse(f"bold {color}")
        roles[f"fill-{index}"] = parse(f"reverse {color}")
        roles[f"fill-{index}-pattern"] = parse(f"reverse {color}")
    return roles
