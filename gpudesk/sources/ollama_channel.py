"""Requests that change something on an Ollama server, or take long: each on a connection of its own, each cancelable.

Polling is never held up behind one of them, and none is ever sent twice: a fresh connection cannot turn out dead.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_client import Answer, OllamaClient
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.cancellation import Cancellation
    from gpudesk.sources.ollama_deadline import DeadlineBackend

ANSWER_BYTES = 1 << 20
"""Most bytes of an answer to an order; `/api/show` is asked with a limit of its own."""
LINE_BYTES = 64 << 10
"""Most bytes of one line of a stream; Ollama's progress lines have some 150."""
STREAM_BYTES = 2 << 30
"""Most bytes of a stream: at 16 progress lines per second some ten days."""
SAID_CHARACTERS = 2000
"""Kept of an error text to find out what it is about; the part that tells is often at its end."""
_GONE = "Was it stopped, or did it crash? Its log says more: `journalctl -u ollama`, or ~/.ollama/logs"
_SLOW = "Its log says what it is busy with: `journalctl -u ollama`, or ~/.ollama/logs"


class StatusError(SourceError):
    """A request was answered with an error status, or with an error in a stream that had begun well."""

    def __init__(self, error: SourceError, status: int, said: str | None) -> None:
        super().__init__(error.kind, error.message, error.hint)
        self.status = status
        self.said = said
        """Ollama's own words, cleaned."""


class OllamaChannel(OllamaClient):
    """One engine's door for orders. Thread-safe; any number of requests at a time."""

    _kept = 0

    def order(
        self,
        method: bytes,
        path: str,
        body: bytes | None,
        cancel: Cancellation,
        *,
        timeout_seconds: float,
        max_body_bytes: int = ANSWER_BYTES,
    ) -> Answer:
        """Send a request and wait for the whole answer.

        Raises:
            CanceledError: `cancel` was; the connection is closed.
            SourceError: no answer, not a successful one (then a `StatusError`), or too big a one.
        """
        with self._cancelable(cancel):
            return self._ask(method, path, body, timeout_seconds, max_body_bytes)

    def lines(self, path: str, body: bytes, cancel: Cancellation, *, stall_seconds: float) -> Iterator[bytes]:
        """Send a POST and yield the lines of its answer as they come.

        Whoever stops before the end closes the generator, and with it the connection.

        Raises:
            CanceledError: `cancel` was; the connection is closed.
            SourceError: no answer, not a successful one, a line or the whole too long, or none for `stall_seconds`.
        """
        from gpudesk.sources.ollama_failures import FAILURES

        with self._cancelable(cancel):
            pool, backend = self._connected()
            backend.deadline.start(stall_seconds)
            response = self._send(pool, backend, self._request(b"POST", path, body, stall_seconds), stall_seconds)
            if not 200 <= response.status < 300:
                self._read(response, path, stall_seconds, ANSWER_BYTES)
            pending, size_bytes = b"", 0
            try:
                for chunk in response.iter_stream():
                    size_bytes += len(chunk)
                    *complete, pending = (pending + chunk).split(b"\n")
                    if size_bytes > STREAM_BYTES or any(len(line) > LINE_BYTES for line in (*complete, pending)):
                        message = f"{self.url}{path} sends lines without end; given up"
                        raise SourceError(FailureKind.INVALID, message)
                    yield from complete
                    if complete:
                        backend.deadline.start(stall_seconds)
            except FAILURES as error:
                raise self._broken(error, stall_seconds, answered=True) from None
            finally:
                response.close()
            if pending:
                yield pending

    @contextmanager
    def _cancelable(self, cancel: Cancellation) -> Iterator[None]:
        """Let `cancel` break off the connection that is made inside."""
        from gpudesk.sources.ollama_lifeline import Lifeline, LifelineBackend

        cancel.check()
        _, backend = self._connected()
        assert isinstance(backend, LifelineBackend)
        line = Lifeline()
        backend.hang_on(line)
        withdraw = cancel.on_cancel(line.cut)
        try:
            yield
        except SourceError:
            cancel.check()
            raise
        finally:
            withdraw()
            backend.hang_on(None)
            line.release()

    def _new_backend(self) -> DeadlineBackend:
        from gpudesk.sources.ollama_lifeline import LifelineBackend

        return LifelineBackend()

    def _broken(self, error: Exception, seconds: float, *, answered: bool) -> SourceError:
        import httpcore

        failure = super()._broken(error, seconds, answered=answered)
        if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout | httpcore.ProxyError):
            return failure
        if isinstance(error, httpcore.TimeoutException):
            what = "sent nothing more" if answered else "did not answer"
            return SourceError(FailureKind.TIMEOUT, f"{self.url} {what} for {seconds:g} s", _SLOW)
        if (
            failure.kind is FailureKind.LOST
            or isinstance(error.__context__, ConnectionError)
            or ("disconnected" in str(error))
        ):
            return SourceError(FailureKind.LOST, f"{self.url} broke off the connection before it was done", _GONE)
        return failure

    def _refused(self, status: int, body: bytes, path: str) -> SourceError:
        return StatusError(super()._refused(status, body, path), status, said_in(body))


def said_in(body: bytes) -> str | None:
    """Return the whole error text of a body `{"error": "…"}`, cleaned; None for any other body."""
    import json

    try:
        said = json.loads(body.decode("utf-8", "replace"))["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (clean(said, SAID_CHARACTERS) or None) if isinstance(said, str) else None
