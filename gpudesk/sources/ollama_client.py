"""Asking an Ollama server over HTTP: bounded in time and size, every failure a `SourceError` in plain words.

Built on httpcore, the transport inside httpx, without httpx's client around it: cookies, redirects, content decoding
and environment lookups are what must not happen here, and they make up half the cost of a request and most of the
cost of the import. One pool per engine keeps one connection open; the sources of an engine share it.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpudesk import __version__
from gpudesk.errors import FailureKind, SourceError
from gpudesk.records import dataclass
from gpudesk.sources.ollama_address import is_local

if TYPE_CHECKING:
    import httpcore

    from gpudesk.config.settings import EngineAddress
    from gpudesk.sources.ollama_deadline import DeadlineBackend

TIMEOUT_SECONDS = 8.0
"""For a whole request. `/api/ps` may stall for some seconds while a model is loaded or unloaded, because the
scheduler holds its lock (ollama/ollama server/sched.go:445-460 at v0.33.0-rc2)."""
CONNECT_SECONDS = 3.0
"""For a connection: a computer that is switched off must not look busy."""
BODY_BYTES = 16 << 20
"""Most bytes of an answer; 500 installed models are about 0.3 MiB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    body: bytes
    date: str | None = None
    """The `Date` header as sent."""


class OllamaClient:
    """One engine's door. Thread-safe; connects at the first request; follows no redirect."""

    _kept = 1
    """The poll keeps one connection open; a second source asking at the same moment connects for itself."""

    def __init__(
        self,
        address: EngineAddress,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_body_bytes: int = BODY_BYTES,
    ) -> None:
        self.url = address.url
        self.timeout_seconds = timeout_seconds
        self.max_body_bytes = max_body_bytes
        self._address = address
        self._local = is_local(address.url)
        self._lock = threading.Lock()
        self._pool: httpcore.ConnectionPool | None = None
        self._asking: dict[httpcore.ConnectionPool, int] = {}
        """How many requests each pool carries now."""
        self._backend: DeadlineBackend | None = None
        self._proxied = False
        split = urlsplit(address.url)
        self._scheme = split.scheme.encode()
        self._host = (split.hostname or "").replace("%25", "%").encode()
        self._port = split.port
        self._base_path = split.path
        self._headers: list[tuple[bytes, bytes]] = []

    def __repr__(self) -> str:
        return f"OllamaClient({self.url!r})"

    @property
    def local(self) -> bool:
        """The engine runs on this computer: its address says so, or the connection never left it."""
        return self._local or (not self._proxied and self._backend is not None and self._backend.stays_here is True)

    def get(self, path: str, *, timeout_seconds: float | None = None, max_body_bytes: int | None = None) -> Answer:
        """Ask for `path`, such as `/api/ps`.

        Raises:
            SourceError: no answer, not a successful one, or too big a one.
        """
        return self._ask(b"GET", path, None, timeout_seconds, max_body_bytes)

    def post(
        self, path: str, body: bytes, *, timeout_seconds: float | None = None, max_body_bytes: int | None = None
    ) -> Answer:
        """Send JSON that only asks (`/api/show`): it is sent twice when a kept connection has died meanwhile.

        Raises:
            SourceError: no answer, not a successful one, or too big a one.
        """
        return self._ask(b"POST", path, body, timeout_seconds, max_body_bytes)

    def close(self) -> None:
        """Let go of the connections, of those in use when they no longer are; a later request connects again."""
        with self._lock:
            pool, self._pool = self._pool, None
            # A pool forgets a connection that is just being made when it is closed, and nobody would close that.
            in_use = pool is not None and pool in self._asking
        if pool is not None and not in_use:
            pool.close()

    def _ask(
        self, method: bytes, path: str, body: bytes | None, timeout_seconds: float | None, max_body_bytes: int | None
    ) -> Answer:
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        pool, backend = self._connected()
        with self._lock:
            self._asking[pool] = self._asking.get(pool, 0) + 1
        try:
            request = self._request(method, path, body, seconds)
            backend.deadline.start(seconds)
            response = self._send(pool, backend, request, seconds)
            limit = self.max_body_bytes if max_body_bytes is None else max_body_bytes
            return self._read(response, path, seconds, limit)
        finally:
            self._asked(pool)

    def _asked(self, pool: httpcore.ConnectionPool) -> None:
        """Count a request as ended, and close its pool when it was the last of one that nobody needs any more."""
        with self._lock:
            self._asking[pool] -= 1
            if self._asking[pool]:
                return
            del self._asking[pool]
            left = self._pool is not pool
        if left:
            pool.close()

    def _request(self, method: bytes, path: str, body: bytes | None, seconds: float) -> httpcore.Request:
        """Build a request; the client must have been connected, which makes the headers."""
        import httpcore

        headers = self._headers
        if body is not None:
            headers = [*headers, (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        return httpcore.Request(
            method,
            httpcore.URL(
                scheme=self._scheme, host=self._host, port=self._port, target=(self._base_path + path).encode()
            ),
            headers=headers,
            content=body,
            extensions={"timeout": {"connect": min(CONNECT_SECONDS, seconds), "pool": seconds}},
        )

    def _connected(self) -> tuple[httpcore.ConnectionPool, DeadlineBackend]:
        """Return the pool, made at the first call: the import and, for https, the certificates cost start-up time."""
        with self._lock:
            if self._pool is None or self._backend is None:
                from gpudesk.sources.ollama_transport import open_pool

                self._headers = _headers(self._address)
                self._backend = self._new_backend()
                self._pool, self._proxied = open_pool(self._address, self._backend, kept_connections=self._kept)
            return self._pool, self._backend

    def _new_backend(self) -> DeadlineBackend:
        from gpudesk.sources.ollama_deadline import DeadlineBackend

        return DeadlineBackend()

    def _broken(self, error: Exception, seconds: float, *, answered: bool) -> SourceError:
        """Say in words what the network threw."""
        from gpudesk.sources.ollama_failures import from_exception

        return from_exception(error, self.url, seconds, answered=answered)

    def _refused(self, status: int, body: bytes, path: str) -> SourceError:
        """Say in words what a status means that is not success."""
        from gpudesk.sources.ollama_failures import from_status

        has_key = bool(self._address.api_key or self._address.basic_auth)
        return from_status(status, body, self.url, path, has_key=has_key)

    def _send(
        self, pool: httpcore.ConnectionPool, backend: DeadlineBackend, request: httpcore.Request, seconds: float
    ) -> httpcore.Response:
        """Send and wait for the headers; once more when a connection kept from before turned out to be dead."""
        import httpcore

        from gpudesk.sources.ollama_failures import FAILURES

        for is_retry in (False, True):
            try:
                return pool.handle_request(request)
            except FAILURES as error:
                died = self._kept > 0 and isinstance(error, httpcore.NetworkError | httpcore.ProtocolError)
                if is_retry or backend.deadline.connected or not died:
                    raise self._broken(error, seconds, answered=False) from None
        raise AssertionError("the second attempt returns or raises")

    def _read(self, response: httpcore.Response, path: str, seconds: float, limit_bytes: int) -> Answer:
        """Read the body within its bounds; the connection is closed when it is not read to its end."""
        from gpudesk.sources.ollama_failures import FAILURES, too_big, unwanted_encoding

        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        length = headers.get(b"content-length", "")
        chunks: list[bytes] = []
        size_bytes = int(length) if length.isdecimal() and len(length) < 20 else 0
        try:
            if size_bytes > limit_bytes:
                raise too_big(self.url, path, limit_bytes)
            size_bytes = 0
            for chunk in response.iter_stream():
                size_bytes += len(chunk)
                if size_bytes > limit_bytes:
                    raise too_big(self.url, path, limit_bytes)
                chunks.append(chunk)
        except FAILURES as error:
            raise self._broken(error, seconds, answered=True) from None
        finally:
            response.close()
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if not 200 <= response.status < 300:
            raise self._refused(response.status, body, path)
        encoding = headers.get(b"content-encoding", "").strip().lower()
        if encoding not in {"", "identity"}:
            raise unwanted_encoding(self.url, encoding)
        return Answer(body, headers.get(b"date"))


def _headers(address: EngineAddress) -> list[tuple[bytes, bytes]]:
    """Build the headers every request carries.

    The interface name of a link-local address means nothing to the other side and is left out of `Host`; a key is
    preferred over a password.
    """
    host, zone, rest = urlsplit(address.url).netloc.partition("%25")
    headers = [
        (b"Host", (f"{host}]{rest.partition(']')[2]}" if zone else host).encode()),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"identity"),
        (b"User-Agent", f"gpudesk/{__version__}".encode()),
    ]
    key = (address.api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        message = f"The key for {address.url} has characters no key can have"
        raise SourceError(FailureKind.DENIED, message, "Copy it again; a line break may have slipped in")
    if key:
        headers.append((b"Authorization", b"Bearer " + key.encode()))
    elif address.basic_auth:
        headers.append((b"Authorization", b"Basic " + b64encode(address.basic_auth.encode())))
    return headers
