"""What Ollama's answers mean: `/api/version`, `/api/ps` and `/api/tags` as values.

Field by field from ollama/ollama api/types.go:822 (tags) and :835 (ps) at v0.33.0-rc2; older versions lack
`context_length` (before 0.9.7) and, in tags, `capabilities` (before 0.30). Nothing here does I/O. One entry that
cannot be used is left out and counted; only an answer that as a whole is something else is an error.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from gpudesk.domain.keep_alive import keep_alive_from_expiry
from gpudesk.domain.model import EngineModel, InstalledModel
from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.sources.ollama_values import (
    as_count,
    as_digest,
    as_object,
    as_positive,
    as_text,
    as_texts,
    as_time,
    decoded_object,
)

MODELS_READ = 5000
"""Entries of one answer that are looked at; the rest is counted as left out."""
SKEW_NOTICED_SECONDS = 2.5
"""A smaller difference of clocks is not told apart from the Date header's whole seconds and the time on the way."""

_Model = TypeVar("_Model", EngineModel, InstalledModel)


@dataclass(frozen=True, slots=True)
class Listing(Generic[_Model]):
    """The models of an answer."""

    models: tuple[_Model, ...]
    left_out: int = 0
    """Entries that could not be used: no object, no name, or beyond `MODELS_READ`."""


def parse_version(body: bytes, where: str) -> str | None:
    """Read `{"version": "0.33.0"}`; None when the object does not tell.

    Raises:
        SourceError: not a JSON object.
    """
    return as_text(decoded_object(body, where).get("version"), 64)


def parse_ps(body: bytes, url: str, now: datetime, skew_seconds: float | None = None) -> Listing[EngineModel]:
    """Read the loaded models.

    Args:
        body: as received.
        url: the engine's base URL.
        now: our clock.
        skew_seconds: the engine's clock minus ours; taken out of every expiry.

    Raises:
        SourceError: not what `/api/ps` answers.
    """
    entries, left_out = _entries(body, f"{url}/api/ps")
    models = [_loaded(entry, name, url, now, skew_seconds) for entry, name in entries]
    return Listing(_distinct(models), left_out)


def parse_tags(body: bytes, url: str) -> Listing[InstalledModel]:
    """Read the installed models.

    Raises:
        SourceError: not what `/api/tags` answers.
    """
    entries, left_out = _entries(body, f"{url}/api/tags")
    return Listing(_distinct([_installed(entry, name, url) for entry, name in entries]), left_out)


def clock_skew(server_date: datetime | None, now: datetime, in_use: float | None) -> float | None:
    """Tell how far the engine's clock is ahead of ours, from the Date header of an answer that just came.

    The header has whole seconds, so half a second is added, and what is in use is kept as long as it explains the
    header: otherwise every expiry would wander by a second from sample to sample.

    Returns:
        Seconds, None when too small to be told from rounding or when there is no header.
    """
    if server_date is None:
        return None
    measured = (server_date - now).total_seconds() + 0.5
    if in_use is not None and abs(measured - in_use) < 1.5:
        return in_use
    return measured if abs(measured) >= SKEW_NOTICED_SECONDS else None


def _entries(body: bytes, where: str) -> tuple[list[tuple[dict[str, Any], str]], int]:
    """Return the entries of `{"models": […]}` that have a name, and how many have not."""
    answer = decoded_object(body, where)
    if "models" not in answer:
        message = f"{where} answered JSON without a list of models"
        raise SourceError(FailureKind.INVALID, message, "This is not Ollama's API; check the address and the port")
    listed = answer["models"]
    if listed is None:  # an empty Go slice that was never made
        return [], 0
    if not isinstance(listed, list):
        raise SourceError(FailureKind.INVALID, f"{where} answered models that are not a list", None)
    usable: list[tuple[dict[str, Any], str]] = []
    for entry in listed[:MODELS_READ]:
        known = as_object(entry)
        name = as_text(known.get("name")) or as_text(known.get("model"))
        if name is not None:
            usable.append((known, name))
    return usable, len(listed) - len(usable)


def _loaded(entry: dict[str, Any], name: str, url: str, now: datetime, skew_seconds: float | None) -> EngineModel:
    details = as_object(entry.get("details"))
    expires_at = as_time(entry.get("expires_at"))
    if expires_at is not None and skew_seconds is not None and expires_at.year < 9000:
        expires_at -= timedelta(seconds=skew_seconds)
    return EngineModel(
        name=name,
        engine_url=url,
        digest=as_digest(entry.get("digest")),
        size_bytes=as_count(entry.get("size")),
        size_vram_bytes=as_count(entry.get("size_vram")),
        context_length=as_positive(entry.get("context_length")),
        keep_alive=keep_alive_from_expiry(expires_at, now),
        parameter_size=as_text(details.get("parameter_size"), 32),
        quantization=as_text(details.get("quantization_level"), 32),
        family=as_text(details.get("family"), 64),
    )


def _installed(entry: dict[str, Any], name: str, url: str) -> InstalledModel:
    details = as_object(entry.get("details"))
    return InstalledModel(
        name=name,
        engine_url=url,
        digest=as_digest(entry.get("digest")),
        size_bytes=as_count(entry.get("size")),
        parameter_size=as_text(details.get("parameter_size"), 32),
        quantization=as_text(details.get("quantization_level"), 32),
        family=as_text(details.get("family"), 64),
        capabilities=as_texts(entry.get("capabilities")),
        modified_at=as_time(entry.get("modified_at")),
        remote_host=as_text(entry.get("remote_host"), 128),
    )


def _distinct(models: list[_Model]) -> tuple[_Model, ...]:
    """Keep the first of entries with the same name and digest.

    The same name with another digest stays: after a pull the older version remains loaded until it expires.
    """
    first: dict[tuple[str, str | None], _Model] = {}
    for model in models:
        first.setdefault((model.name, model.digest), model)
    return tuple(first.values())
