"""A threaded TCP server on a free loopback port that hands every request to a behavior."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from tests.servers.behaviors import BEHAVIORS
from tests.servers.exchange import Behavior, Exchange, Request, read_request

FIXTURES = Path(__file__).parent.parent / "fixtures" / "tls"
TLS_CERTIFICATE = FIXTURES / "loopback.cert.pem"
TLS_KEY = FIXTURES / "loopback.key.pem"
UNRESOLVABLE_URL = "http://gpudesk-test.invalid:11434"
"""A name that no resolver knows: `.invalid` is reserved by RFC 2606."""


class Server:
    """The running server: its address and what it was asked.

    Attributes:
        url: `http://127.0.0.1:<port>`, or https.
        port: The port, chosen by the system.
        requests: Every request read so far, in order of arrival.
        connections: How many connections were accepted.
    """

    def __init__(self, behavior: Behavior, *, tls: bool = False) -> None:
        self._behavior = behavior
        self._context = _tls_context() if tls else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._closing = Event()
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._answering: set[Thread] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = Thread(target=self._accept, name=f"test server {self.port}", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening, break every open connection and end the waits of all behaviors."""
        self._closing.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass  # wakes accept(), which closing the socket alone does not do on every system
        self._acceptor.join(timeout=2)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            answering = tuple(self._answering)
        for thread in answering:
            thread.join(timeout=2)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._closing.is_set():
                connection.close()
                return
            thread = Thread(target=self._answer, args=(connection,), name=f"test answer {self.port}", daemon=True)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                self._answering = {one for one in self._answering if one.is_alive()} | {thread}
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        stream = connection
        with suppress(OSError, ValueError):
            connection.settimeout(60)
            if self._context is not None:
                stream = self._context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(stream)
            request = read_request(stream)
            if request is not None:
                with self._lock:
                    self.requests.append(request)
                self._behavior(Exchange(request, stream, self._closing))
        with self._lock:
            self._open.discard(stream)
            self._open.discard(connection)
        with suppress(OSError):
            stream.close()
        connection.close()


def _tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_CERTIFICATE, TLS_KEY)
    return context


def closed_port_url() -> str:
    """An address on which nothing listens: a port that was just free, so connecting is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(behavior: Behavior, *, tls: bool = False) -> Iterator[Server]:
    """Run a server with this behavior; with `tls` it shows the certificate of `TLS_CERTIFICATE`."""
    server = Server(behavior, tls=tls)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def misbehaving(fault: str, *, tls: bool = False, **options: Any) -> Iterator[str]:
    """Run a server with a fault from `BEHAVIORS`, or none at all for "refuse", and give its address.

    Args:
        fault: A key of `BEHAVIORS`, or "refuse".
        tls: Speak https.
        **options: Arguments for the behavior, such as `bytes_per_second` for "drip".
    """
    if fault == "refuse":
        yield closed_port_url()
        return
    with serving(BEHAVIORS[fault](**options), tls=tls) as server:
        yield server.url
