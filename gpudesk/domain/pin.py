"""gpudesk's wish that a model stays resident."""

from __future__ import annotations

from enum import StrEnum


class Pin(StrEnum):
    """Not the same as keep-alive "forever": Ollama evicts those too."""

    NONE = "none"
    HELD = "held"
    LOST = "lost"
