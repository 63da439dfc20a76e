"""The details of each model (`/api/show`), asked once per digest: loaded models first, the others behind them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.domain.engine import DetailsSample
from gpudesk.domain.problem import Problem
from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.sources.ollama_cache import DetailsCache, load_cached_details
from gpudesk.sources.ollama_show import SHOW_BYTES, details_of, parse_show

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.model import InstalledModel, ModelDetails
    from gpudesk.sources.ollama_client import OllamaClient

SHOW_SECONDS = 30.0
"""For one answer: the server decodes the whole header of the file, perhaps from a cold disk."""
HURRIED_SECONDS = 0.1
"""Between passes while a loaded model can be asked for: until then its process has no name."""
UNHURRIED_SECONDS = 3.0
"""Between passes while no loaded model waits: an answer of several megabytes costs a tenth of a second to read."""
RETRY_SECONDS = 30.0
RETRY_SECONDS_MOST = 3600.0
"""A model's failure is tried again after 30 s, then twice as long each time."""
ENGINE_RETRY_SECONDS = 5.0
ENGINE_RETRY_SECONDS_MOST = 30.0
MODELS_WANTED = 2000
_CACHE_READS = 50
"""Files looked for in one pass; the rest waits for the next."""
_ENGINE_FAILED = frozenset({FailureKind.UNREACHABLE, FailureKind.LOST})


@dataclass(frozen=True, slots=True)
class _Failed:
    """A model whose details could not be had."""

    message: str
    hint: str | None
    count: int
    again_at: float
    """On the monotonic clock."""


class OllamaDetailsSource:
    """Never fails: what cannot be had now is not in the sample, and is tried again later.

    That the engine does not answer is for `OllamaSource` to say.
    """

    def __init__(
        self,
        client: OllamaClient,
        clock: Clock = SYSTEM_CLOCK,
        *,
        cache_directory: Path | None = None,
        interval_seconds: float = 1.0,
    ) -> None:
        self.name = f"ollama-details {client.url}"
        self.interval_seconds = interval_seconds
        self._usual_seconds = interval_seconds
        self._client = client
        self._clock = clock
        self._cache_directory = cache_directory
        self._cache = DetailsCache(cache_directory)
        self._known: dict[str, ModelDetails] | None = None
        self._looked_up: set[str] = set()
        self._failed: dict[str, _Failed] = {}
        self._engine_again_at = float("-inf")
        self._engine_failures = 0
        self._installed: tuple[tuple[InstalledModel, ...], dict[str, str]] = ((), {})
        self._sample = DetailsSample(client.url)

    def read(self, desk: Desk) -> DetailsSample:
        """Ask for the details of at most one model of the desk; the same object as before when nothing is new."""
        if self._known is None:
            self._known = {details.digest: details for details in load_cached_details(self._cache_directory)}
        loaded = {
            model.digest: model.name
            for model in desk.models
            if model.engine_url == self._client.url and model.digest is not None
        }
        wanted = loaded | {digest: name for digest, name in self._on_disk(desk).items() if digest not in loaded}
        self._look_up(wanted, self._known)
        digest = self._next([digest for digest in wanted if digest not in self._known])
        if digest is not None:
            self._ask(digest, wanted[digest], self._known)
        waiting = [digest for digest in loaded if digest not in self._known]
        if self._next(waiting) is not None:
            self.interval_seconds = HURRIED_SECONDS
        else:
            self.interval_seconds = self._usual_seconds if waiting else max(self._usual_seconds, UNHURRIED_SECONDS)
        return self._collected(wanted, loaded, self._known)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _on_disk(self, desk: Desk) -> dict[str, str]:
        """Return name by digest of what this engine has installed; a cloud model has nothing to tell."""
        if self._installed[0] is not desk.installed:
            names = {
                model.digest: model.name
                for model in reversed(desk.installed)
                if model.engine_url == self._client.url and model.digest is not None and model.remote_host is None
            }
            newest_first = dict(reversed(list(names.items())[-MODELS_WANTED:]))
            self._installed = (desk.installed, newest_first)
        return self._installed[1]

    def _look_up(self, wanted: dict[str, str], known: dict[str, ModelDetails]) -> None:
        """Take from disk what was not among the preloaded, each digest once."""
        unseen = [digest for digest in wanted if digest not in known and digest not in self._looked_up]
        for digest in unseen[:_CACHE_READS]:
            self._looked_up.add(digest)
            details = self._cache.details(digest)
            if details is not None:
                known[digest] = details

    def _next(self, missing: list[str]) -> str | None:
        """Return the first missing digest whose time has come; none while the engine is left alone."""
        now = self._clock.monotonic()
        if now < self._engine_again_at:
            return None
        return next((digest for digest in missing if digest in self._looked_up and self._is_due(digest, now)), None)

    def _is_due(self, digest: str, now: float) -> bool:
        return digest not in self._failed or self._failed[digest].again_at <= now

    def _ask(self, digest: str, name: str, known: dict[str, ModelDetails]) -> None:
        body = json.dumps({"model": name, "verbose": True}).encode()
        try:
            answer = self._client.post("/api/show", body, timeout_seconds=SHOW_SECONDS, max_body_bytes=SHOW_BYTES)
            reduced = parse_show(answer.body, f"{self._client.url}/api/show")
        except SourceError as error:
            self._remember_failure(digest, error)
            return
        self._engine_failures = 0
        self._failed.pop(digest, None)
        details = details_of(digest, reduced)
        known[digest] = details
        self._cache.store(details, reduced)

    def _remember_failure(self, digest: str, error: SourceError) -> None:
        """Leave the model alone for a while, and the engine too when it was the engine that failed.

        A refused connection is no model's fault; one that breaks off may be, and must not hold up the others.
        """
        now = self._clock.monotonic()
        if error.kind in _ENGINE_FAILED:
            self._engine_failures = min(self._engine_failures + 1, 10)
            pause = ENGINE_RETRY_SECONDS * 2 ** (self._engine_failures - 1)
            self._engine_again_at = now + min(pause, ENGINE_RETRY_SECONDS_MOST)
        if error.kind is not FailureKind.UNREACHABLE:
            count = self._failed[digest].count + 1 if digest in self._failed else 1
            pause = min(RETRY_SECONDS * 2 ** min(count - 1, 10), RETRY_SECONDS_MOST)
            self._failed[digest] = _Failed(error.message, error.hint, count, now + pause)

    def _collected(
        self, wanted: dict[str, str], loaded: dict[str, str], known: dict[str, ModelDetails]
    ) -> DetailsSample:
        """Gather what is known of the models on the desk, of all models while the desk is still empty."""
        for digest in [digest for digest in self._failed if digest not in wanted]:
            del self._failed[digest]
        details = tuple(known[digest] for digest in wanted if digest in known) if wanted else tuple(known.values())
        problems = [
            Problem(self.name, f"The details of {name} could not be read: {failed.message}", failed.hint)
            for digest, name in loaded.items()
            if (failed := self._failed.get(digest)) is not None
        ]
        if self._cache.failure is not None:
            message = f"The details of models cannot be kept in {self._cache_directory}: {self._cache.failure}"
            problems.append(
                Problem(self.name, message, "They are asked again at every start; make the folder writable")
            )
        sample = DetailsSample(self._client.url, details, tuple(problems))
        if sample != self._sample:
            self._sample = sample
        return self._sample
