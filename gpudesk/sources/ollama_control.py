"""Telling an Ollama server what to do: load, unload, keep, download, delete, derive.

Nothing here decides anything or waits for an effect: every call is one order, and what became of it is observed by
the watch. Every rule names its place in ollama/ollama at v0.33.0-rc2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_channel import OllamaChannel, StatusError, decoded
from gpudesk.sources.ollama_create import derive
from gpudesk.sources.ollama_pull import pull
from gpudesk.sources.ollama_refusals import in_words
from gpudesk.sources.ollama_show import SHOW_BYTES, details_of, parse_show
from gpudesk.sources.ollama_values import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.ports import PullProgress
    from gpudesk.actions.values import Load
    from gpudesk.cancellation import Cancellation
    from gpudesk.config.settings import EngineAddress

LOAD_SECONDS = 1800.0
"""For a load. Ollama itself gives up when a runner makes no headway for 5 minutes (OLLAMA_LOAD_TIMEOUT), but one that
does may take its time, and waits until other loads and busy models are done."""
ORDER_SECONDS = 60.0
"""For an order that is carried out at once; it waits for the scheduler's locks, held while runners start and end
(server/sched.go:445)."""


class OllamaControl:
    """Implements `EngineControl` for one engine. Thread-safe."""

    def __init__(
        self,
        address: EngineAddress,
        *,
        clock: Clock = SYSTEM_CLOCK,
        load_seconds: float = LOAD_SECONDS,
        order_seconds: float = ORDER_SECONDS,
    ) -> None:
        self._channel = OllamaChannel(address)
        self._clock = clock
        self._load_seconds = load_seconds
        self._order_seconds = order_seconds
        self._trained: dict[str, int | None] = {}
        """Contexts by digest."""

    @property
    def url(self) -> str:
        """Which engine."""
        return self._channel.url

    def close(self) -> None:
        """Let go of everything; requests that are running are ended by their cancellation."""
        self._channel.close()

    def load(self, load: Load, cancel: Cancellation) -> None:
        """Load a model and return when the engine says it is resident (server/routes.go:478).

        A request with nothing to say loads; Ollama answers when it is done, and gives up when the connection closes.
        """
        if load.keep_alive is not None and load.keep_alive.wire == 0:
            message = "A keep-alive of 0 unloads a model instead of loading it"
            raise SourceError(FailureKind.INVALID, message, "Leave it out, or say for how long it shall stay")
        self._hold(load, cancel, "load")

    def unload(self, load: Load, cancel: Cancellation) -> None:
        """Ask for a model to go (server/routes.go:404); embedding models go by the same request."""
        self._post("/api/generate", {"model": load.name, "keep_alive": 0, "stream": False}, load, cancel, "unload")

    def keep_alive(self, load: Load, cancel: Cancellation) -> None:
        """Set how long a loaded model stays.

        `load.context_length` has to be the one it is loaded with: without it, a model that was loaded with another
        than the server's own is loaded anew (server/sched.go:1381 `needsReload`).
        """
        if load.keep_alive is not None and load.keep_alive.wire == 0:
            self.unload(load, cancel)
        else:
            self._hold(load, cancel, "keep")

    def trained_context(self, load: Load, cancel: Cancellation) -> int | None:
        """Return the context a model was trained for, as its header tells it (`/api/show`); asked once per digest."""
        key = load.digest or load.name
        if key not in self._trained:
            body = encoded({"model": load.name})
            try:
                answer = self._channel.order(
                    b"POST", "/api/show", body, cancel, timeout_seconds=self._order_seconds, max_body_bytes=SHOW_BYTES
                )
            except StatusError as error:
                raise in_words(error, self.url, load.name, "load") from None
            told = details_of(key, parse_show(answer.body, f"{self.url}/api/show"))
            self._trained[key] = told.context_length_trained
        return self._trained[key]

    def pull(
        self, name: str, progress: Callable[[PullProgress], None], cancel: Cancellation, *, insecure: bool = False
    ) -> None:
        """Download a model; goes on where an earlier try ended. `insecure` allows a registry behind plain http."""
        pull(self._channel, name, progress, cancel, self._clock, insecure=insecure)

    def delete(self, name: str, cancel: Cancellation) -> None:
        """Delete an installed model; what is loaded of it stays loaded (server/routes.go:1247)."""
        body, seconds = encoded({"model": name}), self._order_seconds
        try:
            self._channel.order(b"DELETE", "/api/delete", body, cancel, timeout_seconds=seconds)
        except StatusError as error:
            raise in_words(error, self.url, name, "delete") from None

    def derive(self, name: str, source: str, context_length: int, cancel: Cancellation) -> None:
        """Make a model out of an installed one that has its context baked in, and see that it has."""
        derive(self._channel, name, source, context_length, cancel)

    def _hold(self, load: Load, cancel: Cancellation, doing: str) -> None:
        """Send the request that loads, or that sets the timer of what is loaded."""
        fields: dict[str, Any] = {"model": load.name, "stream": False}
        if load.keep_alive is not None:
            fields["keep_alive"] = load.keep_alive.wire
        if load.context_length is not None:
            fields["options"] = {"num_ctx": load.context_length}
        if not load.embedding:
            try:
                self._post("/api/generate", fields, load, cancel, doing)
            except _OnlyEmbedsError:
                pass  # known only now
            else:
                return
        del fields["stream"]
        self._post("/api/embed", {**fields, "input": ""}, load, cancel, doing)

    def _post(self, path: str, fields: dict[str, Any], load: Load, cancel: Cancellation, doing: str) -> None:
        seconds = self._order_seconds if doing == "unload" else self._load_seconds
        try:
            answer = self._channel.order(b"POST", path, encoded(fields), cancel, timeout_seconds=seconds)
        except StatusError as error:
            if error.status == 400 and path == "/api/generate" and "does not support generate" in (error.said or ""):
                raise _OnlyEmbedsError(error.kind, error.message) from None
            raise in_words(error, self.url, load.name, doing) from None
        where = f"{self.url}{path}"
        said = decoded(answer.body, where)
        if not (said.get("done") is True or isinstance(said.get("embeddings"), list)):
            raise SourceError(FailureKind.INVALID, f"{where} did not say that it was done", "This is not Ollama's API")


class _OnlyEmbedsError(SourceError):
    """A model that only embeds was asked for text (server/routes.go:468)."""
