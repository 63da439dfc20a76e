"""The HTTP side of the simulated server: connections, bodies, streams, and clients that go away.

It behaves like Go's net/http with gin: HTTP/1.1 with connections kept, no Server header, errors as
`{"error": …}`, streams chunked as NDJSON, a Date header from the server's own clock.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import threading
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

from gpudesk.sim.engine_runner import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gpudesk.sim.clock import SimulatedClock

JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"
TEXT_TYPE = "text/plain; charset=utf-8"
MAX_BODY_BYTES = 64 << 20
_WATCH_SECONDS = 0.05
"""How often a waiting request looks whether its client is still there."""

_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 499: "status code 499", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


class ClientGoneError(Exception):
    """The client closed its connection while it was waited for."""


class Application(Protocol):
    """What answers requests."""

    clock: SimulatedClock

    @property
    def clock_skew_seconds(self) -> float:
        """The server's clock minus the workstation's."""
        ...

    def answer(self, exchange: Exchange) -> None:
        """Answer one request; may block."""
        ...


class Exchange:
    """One request and the answer that is being given to it."""

    def __init__(self, handler: _Handler, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self._handler = handler
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.answered = False
        self.at_middle: Callable[[], None] | None = None
        """Called once by whoever does something that has a middle, when half of it is done."""
        self._streaming = False
        self._withheld: list[tuple[int, bytes, str | None]] | None = None

    def json(self, status: int, value: object) -> None:
        """Answer with a JSON value."""
        self.send(status, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), JSON_TYPE)

    def error(self, status: int, text: str) -> None:
        """Answer with `{"error": text}`, or add that as a last line to a stream that has begun."""
        if self._streaming:
            self.line({"error": text})
        else:
            self.json(status, {"error": text})

    def withhold(self) -> None:
        """Keep what is answered from now on to oneself: a whole answer, or the last line of a stream."""
        self._withheld = []

    def middle(self) -> None:
        """Say that half is done."""
        called, self.at_middle = self.at_middle, None
        if called is not None:
            called()

    def give(self) -> None:
        """Send what was withheld after all."""
        withheld, self._withheld = self._withheld or [], None
        for status, body, content_type in withheld:
            if status:
                self.send(status, body, content_type)
            else:
                self.event(body, content_type or NDJSON_TYPE)

    def replace(self, status: int, body: bytes, content_type: str) -> None:
        """Answer with these bytes instead of what was to come; in a stream that has begun with one line of them."""
        self._withheld = None
        if self._streaming:
            self.event(body + b"\n", content_type)
        else:
            self.send(status, body, content_type)

    def break_off(self) -> None:
        """Send half of an answer; the connection must be closed then."""
        withheld, self._withheld = self._withheld or [(200, b'{"models":[{"name":"', JSON_TYPE)], None
        _status, body, content_type = withheld[-1]
        if self._streaming:
            self._handler.write_bytes(b"%x\r\n%s" % (len(body), body[: len(body) // 2]))
        else:
            headers = {"Content-Type": content_type or JSON_TYPE, "Content-Length": str(len(body) + 1)}
            self._handler.write_head(200, headers)
            self._handler.write_bytes(body[: len(body) // 2])

    def send(self, status: int, body: bytes = b"", content_type: str | None = None) -> None:
        """Answer with these bytes."""
        if self._withheld is not None:
            self._withheld = [(status, body, content_type)]
            return
        self.answered = True
        self._handler.write_answer(self.method, status, body, content_type)

    def line(self, value: object) -> None:
        """Add one line to a stream; the first one begins it with status 200."""
        self.event(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n", NDJSON_TYPE)

    def event(self, data: bytes, content_type: str) -> None:
        """Add one chunk to a stream of any type."""
        if self._withheld is not None:
            late, self._withheld = self._withheld, None
            for _status, body, kind in late:
                self.event(body, kind or content_type)
            self._withheld = [(0, data, content_type)]
            return
        if not self._streaming:
            self._streaming = self.answered = True
            self._handler.write_head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})
        self._handler.write_bytes(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        """End a stream."""
        if self._streaming:
            self._handler.write_bytes(b"0\r\n\r\n")

    def wait(self, happened: Callable[[], bool]) -> None:
        """Wait on simulated time until something has happened.

        Raises:
            ClientGoneError: the client went away first.
            EngineError: the server is being stopped.
        """
        changed = self._handler.application.clock.changed
        while True:
            with changed:
                if happened():
                    return
                changed.wait(_WATCH_SECONDS)
                if happened():
                    return
            if self._handler.client_gone():
                raise ClientGoneError


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    server: _Server

    @property
    def application(self) -> Application:
        return self.server.application

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ValueError):
            self.close_connection = True

    def _serve(self) -> None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self.close_connection = True
            self.write_answer(self.command, 400, b"400 Bad Request", TEXT_TYPE)
            return
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            body = self._chunked_body()
        else:
            body = self.rfile.read(length) if length else b""
        path = self.path.split("?", 1)[0]
        exchange = Exchange(self, self.command, path, dict(self.headers.items()), body)
        try:
            self.application.answer(exchange)
            exchange.finish()
        except EngineError as error:
            exchange.error(error.status, error.text)
            exchange.finish()
        except ClientGoneError:
            self.close_connection = True

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = do_PATCH = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def _chunked_body(self) -> bytes:
        parts = bytearray()
        while True:
            size = int(self.rfile.readline(64).split(b";")[0].strip() or b"0", 16)
            if size == 0:
                while self.rfile.readline(1024).strip():
                    continue
                return bytes(parts)
            if len(parts) + size > MAX_BODY_BYTES:
                raise ValueError("body too large")
            parts += self.rfile.read(size)
            self.rfile.readline(8)

    def client_gone(self) -> bool:
        """Tell whether the client has closed its end."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def write_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers."""
        self.write_bytes(self._head(status, headers))

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        application = self.application
        now = application.clock.now() + timedelta(seconds=application.clock_skew_seconds)
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"Date: {format_datetime(now, usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def write_answer(self, method: str, status: int, body: bytes, content_type: str | None) -> None:
        """Send a whole answer in one write."""
        headers: dict[str, Any] = {}
        if content_type is not None:
            headers["Content-Type"] = content_type
        if status != 204:
            headers["Content-Length"] = len(body)
        head = self._head(status, headers)
        self.write_bytes(head if method == "HEAD" or status == 204 else head + body)

    def write_bytes(self, data: bytes) -> None:
        """Send bytes to the client.

        Raises:
            ClientGoneError: it does not take them any more.
        """
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise ClientGoneError from error

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        super().__init__(address, _Handler)
        self.application = application
        self.connections: set[socket.socket] = set()

    def server_bind(self) -> None:
        """Bind without asking the resolver for our own name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about clients that hang up; everything else is a mistake in the simulation and must be seen."""
        if not isinstance(sys.exception(), ConnectionError | ClientGoneError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class HttpListener:
    """Listens on the loopback address and serves in daemon threads; costs nothing while nobody asks."""

    def __init__(self, application: Application, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), application)
        self.port: int = self._server.server_address[1]
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="simulated-server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._server.handle_request()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._stopped = True
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return
        finally:
            self._thread.join(timeout=2)
            self._server.server_close()
            for connection in list(self._server.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
