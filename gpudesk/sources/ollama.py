"""An Ollama server as sources: what is loaded, every pass; what is installed, now and then; its details, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.domain.engine import CatalogSample, EngineKind, EngineSample
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.problem import Problem
from gpudesk.errors import SourceError
from gpudesk.sources.ollama_details import OllamaDetailsSource
from gpudesk.sources.ollama_values import as_http_date
from gpudesk.sources.ollama_wire import clock_skew, parse_ps, parse_tags, parse_version

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import EngineModel
    from gpudesk.sources.ollama_client import Answer, OllamaClient

__all__ = ["OllamaCatalogSource", "OllamaDetailsSource", "OllamaSource"]

VERSION_SECONDS = 60.0
"""How often the version is asked again while all is well: a server may be upgraded between two polls."""
VERSION_RETRY_SECONDS = 10.0
VERSION_TIMEOUT_SECONDS = 2.0
"""Little, because what is loaded is known by then and waits for it."""


class OllamaSource:
    """The loaded models of one engine (`/api/ps`) and its version."""

    def __init__(self, client: OllamaClient, clock: Clock = SYSTEM_CLOCK, *, interval_seconds: float = 2.0) -> None:
        self.name = f"ollama {client.url}"
        self.interval_seconds = interval_seconds
        self._client = client
        self._clock = clock
        self._version: str | None = None
        self._version_due_at: float | None = None
        """On the monotonic clock; None asks at once."""
        self._skew_seconds: float | None = None
        self._last: tuple[bytes, float | None, EngineSample] | None = None

    def read(self, desk: Desk) -> EngineSample:  # noqa: ARG002 - the protocol's
        """Ask what is loaded.

        Raises:
            SourceError: no usable answer; the version is asked anew at the next success.
        """
        try:
            sample = self._sample(self._asked_models())
        except SourceError:
            self._version_due_at = None
            raise
        return sample

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _asked_models(self) -> Answer:
        """Ask once more after a 500 without a body: older servers panic over a model that is just being unloaded.

        `PsHandler` reads a runner without holding its lock (ollama/ollama server/routes.go:1419 at v0.5.4).
        """
        from gpudesk.sources.ollama_failures import SilentServerError

        try:
            return self._client.get("/api/ps")
        except SilentServerError:
            return self._client.get("/api/ps")

    def _asked_version(self) -> str | None:
        """Return the version, asked anew when it is due; an engine that lists its models but not it is still read."""
        now = self._clock.monotonic()
        if self._version_due_at is None or now >= self._version_due_at:
            try:
                answer = self._client.get("/api/version", timeout_seconds=VERSION_TIMEOUT_SECONDS)
                self._version = parse_version(answer.body, f"{self._client.url}/api/version")
                self._version_due_at = now + VERSION_SECONDS
            except SourceError:
                self._version = None
                self._version_due_at = now + VERSION_RETRY_SECONDS
        return self._version

    def _sample(self, answer: Answer) -> EngineSample:
        now = self._clock.now()
        self._skew_seconds = clock_skew(as_http_date(answer.date), now, self._skew_seconds)
        models, problems = self._models(answer, now)
        return EngineSample(
            url=self._client.url,
            kind=EngineKind.OLLAMA,
            version=self._asked_version(),
            local=self._client.local,
            models=models,
            clock_skew_seconds=self._skew_seconds,
            problems=problems,
        )

    def _models(self, answer: Answer, now: datetime) -> tuple[tuple[EngineModel, ...], tuple[Problem, ...]]:
        """Parse the answer, or take the last result when the very same bytes mean the same at `now`."""
        if self._last is not None:
            body, skew_seconds, sample = self._last
            if body == answer.body and skew_seconds == self._skew_seconds and not _ran_out(sample.models, now):
                return sample.models, sample.problems
        listing = parse_ps(answer.body, self._client.url, now, self._skew_seconds)
        problems = _left_out(self.name, listing.left_out)
        self._last = (
            answer.body,
            self._skew_seconds,
            EngineSample(self._client.url, models=listing.models, problems=problems),
        )
        return listing.models, problems


class OllamaCatalogSource:
    """The installed models of one engine (`/api/tags`)."""

    def __init__(self, client: OllamaClient, clock: Clock = SYSTEM_CLOCK, *, interval_seconds: float = 30.0) -> None:
        self.name = f"ollama-catalog {client.url}"
        self.interval_seconds = interval_seconds
        self._client = client
        self._clock = clock
        self._last_body: bytes | None = None
        self._last: CatalogSample | None = None

    def read(self, desk: Desk) -> CatalogSample:  # noqa: ARG002 - the protocol's
        """Ask what is installed; the same bytes give the same object, so that nobody compares 500 models.

        Raises:
            SourceError: no usable answer.
        """
        body = self._client.get("/api/tags").body
        if self._last is None or body != self._last_body:
            listing = parse_tags(body, self._client.url)
            self._last = CatalogSample(self._client.url, listing.models, _left_out(self.name, listing.left_out))
            self._last_body = body
        return self._last

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def _ran_out(models: tuple[EngineModel, ...], now: datetime) -> bool:
    """Tell whether a timer that was running has run out by `now`, or the clock went back before its expiry."""
    return any(
        model.keep_alive is not None
        and model.keep_alive.expires_at is not None
        and (model.keep_alive.state is KeepAliveState.TIMED) != (model.keep_alive.expires_at > now)
        for model in models
    )


def _left_out(source: str, count: int) -> tuple[Problem, ...]:
    if not count:
        return ()
    entries = "1 entry" if count == 1 else f"{count} entries"
    return (Problem(source, f"{entries} of the answer could not be used and are left out"),)
