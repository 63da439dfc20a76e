"""How sources are called, and what their names tell about them."""

from __future__ import annotations

from collections.abc import Sequence

CARDS = "nvml"
PROCESSES = "processes"
HOST = "host"
PINS = "pins"

_ENGINE = "ollama "
_CATALOG = "ollama-catalog "
_DETAILS = "ollama-details "


def engine_source(url: str) -> str:
    """Return the name of the source that asks the engine at `url` what is loaded."""
    return _ENGINE + url


def catalog_source(url: str) -> str:
    """Return the name of the source that asks the engine at `url` what is installed."""
    return _CATALOG + url


def details_source(url: str) -> str:
    """Return the name of the source that asks the engine at `url` about single models."""
    return _DETAILS + url


def engine_url(source: str) -> str | None:
    """Return the engine a source polls for loaded models; None for every other source."""
    return source.removeprefix(_ENGINE) if source.startswith(_ENGINE) else None


def engine_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return the engines among sources, in their order, which is the user's."""
    return tuple(url for name in names if (url := engine_url(name)) is not None)


def side_url(source: str) -> str | None:
    """Return the engine a catalog or details source belongs to; None for every other source."""
    for prefix in (_CATALOG, _DETAILS):
        if source.startswith(prefix):
            return source.removeprefix(prefix)
    return None


def is_catalog(source: str) -> bool:
    """Tell whether a source reads what is installed."""
    return source.startswith(_CATALOG)


def is_details(source: str) -> bool:
    """Tell whether a source reads about single models."""
    return source.startswith(_DETAILS)
