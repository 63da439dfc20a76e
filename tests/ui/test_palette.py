from __future__ import annotations

import pytest
from rich.color import ColorType
from rich.style import Style
from textual.color import Color

from gpudesk.ui.marks import SHADE_COUNT
from gpudesk.ui.palette import Palette, contrast
from gpudesk.ui.themes import own_themes

READABLE = 4.5
"""WCAG 2, level AA, for text."""
VISIBLE = 3.0
"""WCAG 2 for what is not text: graphs, glyphs."""

TEXT_ROLES = (
    "text", "dim", "strong", "title", "title-focus", "head", "head-sort", "accent", "brand", "good", "warn", "error",
    "key", *(f"mark-{index}" for index in range(SHADE_COUNT)),
)  # fmt: skip
OWN_GROUND_ROLES = (
    "loud", "banner", "fill-process", "fill-unattributed", *(f"fill-{index}" for index in range(SHADE_COUNT)),
)  # fmt: skip


def palette_of(name: str) -> Palette:
    theme = next(theme for theme in own_themes() if theme.name == name)
    variables = {**theme.to_color_system().generate(), **theme.variables}
    return Palette(variables, dark=theme.dark, ansi=False)


def colors_of(style: Style) -> tuple[Color, Color]:
    assert style.color is not None
    assert style.bgcolor is not None
    return Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)


@pytest.mark.parametrize("theme", ["gpudesk-dark", "gpudesk-light"])
@pytest.mark.parametrize("ground", ["", "cursor", "head"])
@pytest.mark.parametrize("role", TEXT_ROLES)
def test_text_is_readable_on_every_ground(theme: str, role: str, ground: str) -> None:
    assert contrast(*colors_of(palette_of(theme).style(role, ground))) >= READABLE


@pytest.mark.parametrize("theme", ["gpudesk-dark", "gpudesk-light"])
@pytest.mark.parametrize("role", OWN_GROUND_ROLES)
@pytest.mark.parametrize("ground", ["", "cursor"])
def test_text_is_readable_where_it_brings_its_ground(theme: str, role: str, ground: str) -> None:
    assert contrast(*colors_of(palette_of(theme).style(role, ground))) >= READABLE


@pytest.mark.parametrize("theme", ["gpudesk-dark", "gpudesk-light"])
@pytest.mark.parametrize("role", ["graph-memory", "graph-utilization", "thumb"])
def test_graphs_are_visible(theme: str, role: str) -> None:
    assert contrast(*colors_of(palette_of(theme).style(role))) >= VISIBLE


@pytest.mark.parametrize("theme", ["gpudesk-dark", "gpudesk-light"])
def test_shades_differ_from_each_other(theme: str) -> None:
    palette = palette_of(theme)
    grounds = {palette.style(f"fill-{index}").bgcolor for index in range(SHADE_COUNT)}
    assert len(grounds) == SHADE_COUNT


def test_a_warning_keeps_its_ground_under_the_cursor() -> None:
    palette = palette_of("gpudesk-dark")
    assert palette.style("loud", "cursor").bgcolor == palette.style("loud").bgcolor
    assert palette.style("text", "cursor").bgcolor != palette.style("text").bgcolor


def test_ansi_styles_use_the_sixteen_colors_only() -> None:
    palette = Palette({}, dark=True, ansi=True)
    for role in (*TEXT_ROLES, *OWN_GROUND_ROLES, "graph-memory", "unknown-role"):
        for ground in ("", "cursor", "head"):
            style = palette.style(role, ground)
            for color in (style.color, style.bgcolor):
                assert color is None or color.type in (ColorType.STANDARD, ColorType.DEFAULT)


def test_contrast_is_the_wcag_ratio() -> None:
    black, white = Color(0, 0, 0), Color(255, 255, 255)
    assert contrast(black, white) == pytest.approx(21)
    assert contrast(white, white) == pytest.approx(1)
    assert contrast(Color.parse("#777777"), white) == pytest.approx(4.48, abs=0.01)
