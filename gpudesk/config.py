"""What the user may set, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its default."""

    engines: tuple[EngineAddress, ...] = ()
    """From `--ollama`, else the configuration file, else OLLAMA_HOST, else 127.0.0.1:11434."""
    interval_seconds: float = 1.0
    """How often memory and processes are read while the terminal has the focus."""
    reserve_bytes: int = 0
    """Memory the user wants left free on each card for the desktop."""
    theme: str = "gpudesk-dark"
    reduced_motion: bool = False
    ansi_colors: bool = False
    """Use the terminal's own sixteen colors (`--ansi`)."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """Binding id to keys, comma separated: `{"filter": "slash,ctrl+f"}`."""
