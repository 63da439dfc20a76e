"""A network backend that ends a request at a fixed moment, however slowly the other side answers.

Timeouts of HTTP libraries count anew with every byte received: a server that sends one byte per second, header or
body, keeps them waiting for ever. Here every wait on the socket gets only what is left of the whole request's time.
Imports httpcore, so it is imported by whoever first connects.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import httpcore

from gpudesk.sources.ollama_address import is_own_address

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_MOST_ADDRESSES = 8
"""Addresses of one name that are tried."""


class Deadline(threading.local):
    """The end of the request that the current thread is making, and what was learned while making it."""

    ends_at: float = 0.0
    """On the monotonic clock."""
    connected: bool = False
    """A new connection was made for this request; otherwise an idle one is used, which may turn out dead."""

    def start(self, seconds: float) -> None:
        """Begin a request that may take so long."""
        self.ends_at = time.monotonic() + seconds
        self.connected = False

    def remaining(self, timeout: float | None, failure: type[httpcore.TimeoutException]) -> float:
        """Return how long the next wait may take, at most `timeout`; raise `failure` when the time is up."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise failure("the time for the whole request is up")
        return left if timeout is None else min(left, timeout)


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every wait is cut at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there, at least one byte; empty at the end."""
        return self._stream.read(max_bytes, self._deadline.remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write everything."""
        self._stream.write(buffer, self._deadline.remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Speak TLS from here on."""
        left = self._deadline.remaining(timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Tell about the socket below."""
        return self._stream.get_extra_info(info)


class DeadlineBackend(httpcore.NetworkBackend):
    """Makes connections that keep the deadline, and notes whether they stay on this computer."""

    def __init__(self) -> None:
        self.deadline = Deadline()
        self.stays_here: bool | None = None
        """The last connection led to an address of this computer; None before the first one."""
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that accepts. Looking up the name cannot be cut short."""
        try:
            found = socket.getaddrinfo(_quick(host), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError("the name has no address")
        for *_, address in found[:_MOST_ADDRESSES]:
            left = self.deadline.remaining(timeout, httpcore.ConnectTimeout)
            try:
                numeric = cast("str", _quick(str(address[0])))  # handed on to the socket, which takes both
                stream = self._backend.connect_tcp(numeric, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self.deadline.connected = True
            self.stays_here = _is_own(str(address[0]))
            return DeadlineStream(stream, self.deadline)
        raise failure


def _quick(host: str) -> str | bytes:
    """Spare a plain name Python's tables of international ones, which take 2 ms of the start to load."""
    return host.encode() if host.isascii() else host


def _is_own(text: str) -> bool:
    try:
        return is_own_address(ipaddress.ip_address(text))
    except ValueError:
        return False
