"""What the user may set, and its defaults. Values only: `file` reads them, `layers` decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from gpudesk.domain.alarm import AlarmLimits
from gpudesk.records import dataclass

DEFAULT_THEME = "gpudesk-dark"

THEMES = (
    "gpudesk-dark",
    "gpudesk-light",
    "ansi-dark",
    "ansi-light",
    "atom-one-dark",
    "atom-one-light",
    "catppuccin-frappe",
    "catppuccin-latte",
    "catppuccin-macchiato",
    "catppuccin-mocha",
    "dracula",
    "flexoki",
    "gruvbox",
    "monokai",
    "nord",
    "rose-pine",
    "rose-pine-dawn",
    "rose-pine-moon",
    "solarized-dark",
    "solarized-light",
    "textual-dark",
    "textual-light",
    "tokyo-night",
)
"""Our own two, then Textual's; written down here so that a wrong name is found without loading Textual."""

INTERVAL_SECONDS_MIN = 0.2
INTERVAL_SECONDS_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where an engine listens and how to get in."""

    url: str
    """Normalized base URL without a trailing slash or credentials: `http://127.0.0.1:11434`."""
    api_key: str | None = field(default=None, repr=False)
    """Sent as `Authorization: Bearer …`; never printed, logged or cached."""
    ca_file: str | None = None
    """PEM file to trust besides the system's."""
    verify: bool = True
    """False accepts any certificate (`insecure = true`)."""
    basic_auth: str | None = field(default=None, repr=False)
    """`user:password` taken out of the URL as typed, sent as `Authorization: Basic …`; never printed either."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its default."""

    engines: tuple[EngineAddress, ...] = ()
    """From `--ollama`, else the configuration file, else OLLAMA_HOST, else 127.0.0.1:11434."""
    interval_seconds: float = 1.0
    """How often memory and processes are read while the terminal has the focus."""
    reserve_bytes: int = 0
    """Memory the user wants left free on each card for the desktop."""
    theme: str = DEFAULT_THEME
    reduced_motion: bool = False
    ansi_colors: bool = False
    """Use the terminal's own sixteen colors (`--ansi`)."""
    alarms: AlarmLimits = field(default_factory=AlarmLimits)
    desktop_notifications: bool = True
    """Alarms and lost pins are shown by the desktop too, where it has a way."""
    read_only: bool = False
    """Nothing is changed anywhere: no action is offered (`--read-only`)."""
    restore_pins: bool = False
    """A new pin is put right when it is lost, unless it is said otherwise."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """Binding id to keys, comma separated: `{"filter": "slash,f3"}`."""
