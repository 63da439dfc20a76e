"""Requests that change something on an Ollama server, or take long: each on a connection of its own, each cancelable.

Polling is never held up behind one of them, and none is ever sent twice: a fresh connection cannot turn out dead.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_client import Answer, OllamaClient
from gpudesk.sources.ollama_values import decoded_object
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import httpcore

    from gpudesk.cancellation import Cancellation
    from gpudesk.sources.ollama_deadline import DeadlineBackend

ANSWER_BYTES = 1 << 20
"""Most bytes of an answer to an order; `/api/show` is asked with a limit of its own."""
LINE_BYTES = 64 << 10
"""Most bytes of one line of a stream; Ollama's progress lines have some 150."""
STREAM_BYTES = 2 << 30
"""Most bytes of a stream: at 16 progress lines per second some ten days."""
SAID_CHARACTERS = 20_000
"""Kept of an error text to find out what it is about; the part that tells is often at its end."""
SHOWN_CHARACTERS = 200
"""Of an error text that are repeated."""
_GONE = "Was it stopped, or did it crash? Its log says more: `journalctl -u ollama`, or ~/.ollama/logs"
_GARBLED = "This is not Ollama's answer; does something between here and there change it?"
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

    def lines(
        self, path: str, body: bytes, cancel: Cancellation, *, patience: Callable[[], float]
    ) -> Generator[dict[str, Any], None, None]:
        """Send a POST and yield the objects of its answer, one a line, as they come.

        Whoever stops before the end closes the generator, and with it the connection.

        Args:
            path: such as `/api/pull`.
            body: JSON.
            cancel: breaks it off.
            patience: asked before each line: how many seconds it may take.

        Raises:
            CanceledError: `cancel` was; the connection is closed.
            SourceError: no answer, not a successful one or a line that is an error (then a `StatusError`), one that is
                no JSON object, too much, or none in time.
        """
        with self._cancelable(cancel):
            pool, backend = self._connected()
            seconds = patience()
            backend.deadline.start(seconds)
            response = self._send(pool, backend, self._request(b"POST", path, body, seconds), seconds)
            if not 200 <= response.status < 300:
                self._read(response, path, seconds, ANSWER_BYTES)
            for line in self._split(response, path, backend, patience):
                value = decoded(line, f"{self.url}{path}")
                if isinstance(value.get("error"), str):
                    raise self._error_line(line, path)
                yield value

    def _split(
        self, response: httpcore.Response, path: str, backend: DeadlineBackend, patience: Callable[[], float]
    ) -> Iterator[bytes]:
        """Yield the lines of a body that are not empty, each within its bounds of time and size."""
        from gpudesk.sources.ollama_failures import FAILURES

        pending, size_bytes = b"", 0
        try:
            for chunk in response.iter_stream():
                size_bytes += len(chunk)
                *complete, pending = (pending + chunk).split(b"\n")
                if size_bytes > STREAM_BYTES or any(len(line) > LINE_BYTES for line in (*complete, pending)):
                    raise SourceError(FailureKind.INVALID, f"{self.url}{path} sends lines without end; given up")
                yield from filter(bytes.strip, complete)
                if complete:
                    backend.deadline.start(patience())
        except FAILURES as error:
            raise self._broken(error, patience(), answered=True) from None
        finally:
            response.close()
        if pending.strip():
            yield pending

    def _error_line(self, line: bytes, path: str) -> StatusError:
        """Say what an error means that came after the answer had begun, and so with a good status."""
        said = said_in(line)
        message = f"{self.url}{path} failed: {clean(said or 'it did not say why', SHOWN_CHARACTERS)}"
        return StatusError(SourceError(FailureKind.FAILED, message), 200, said)

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
            cancel.check()  # a body that ends with its connection looks complete
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
        from gpudesk.sources.ollama_failures import BUSY

        error = super()._refused(status, body, path)
        if error.hint == BUSY:
            error = SourceError(error.kind, error.message, "Try again in a moment")
        return StatusError(error, status, said_in(body))


def decoded(body: bytes, where: str) -> dict[str, Any]:
    """Decode a JSON object. Unlike what is polled, an order is not given again when its answer cannot be read."""
    try:
        return decoded_object(body, where)
    except SourceError as error:
        raise SourceError(error.kind, error.message, _GARBLED) from None


def said_in(body: bytes) -> str | None:
    """Return the whole error text of a body `{"error": "…"}`, cleaned; None for any other body."""
    import json

    try:
        said = json.loads(body.decode("utf-8", "replace"))["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (clean(said, SAID_CHARACTERS) or None) if isinstance(said, str) else None
