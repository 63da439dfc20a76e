"""One look of one source at the world: a value or a failure, never an exception."""

from __future__ import annotations

from datetime import datetime

from gpudesk.domain.card import CardsSample
from gpudesk.domain.engine import CatalogSample, DetailsSample, EngineSample
from gpudesk.domain.host import Host
from gpudesk.domain.pin import PinSample
from gpudesk.domain.process import ProcessSample
from gpudesk.errors import FailureKind
from gpudesk.records import dataclass

Sample = CardsSample | ProcessSample | Host | EngineSample | CatalogSample | DetailsSample | PinSample
"""Everything a source can give."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a source gave no value."""

    kind: FailureKind
    message: str
    hint: str | None = None
    http_status: int | None = None
    """The HTTP status, where an answer was the failure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look of one source. Exactly one of `value` and `failure` is set."""

    source: str
    """`nvml`, `processes`, `host`, `ollama <url>`, `ollama-catalog <url>`, `ollama-details <url>`, `pins`."""
    sequence: int
    """Counts up per source; a reading older than the newest one seen is dropped."""
    taken_at: datetime
    """Aware UTC."""
    value: Sample | None = None
    failure: Failure | None = None
    duration_seconds: float = 0.0
    """How long the source took."""
