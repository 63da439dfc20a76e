"""Connections that another thread can break off at any moment, also while they are being made.

A load or a download ends when its connection does: that is how Ollama learns that nobody waits any more
(ollama/ollama server/routes.go: the request's context). Closing a socket that another thread reads from wakes nobody;
shutting it down does, on every platform, and through TLS as well. Imports httpcore, so it is imported by whoever first
connects.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import httpcore

from gpudesk.sources.ollama_deadline import DeadlineBackend

if TYPE_CHECKING:
    from collections.abc import Iterable


class Lifeline:
    """What one request hangs on. Thread-safe, final."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.changed = threading.Event()
        """Set when it is cut, and when a connection was made or could not be."""
        self.is_cut = False

    def hold(self, connection: socket.socket) -> bool:
        """Hang on a connection; False when the line is cut already.

        A second descriptor of it is held, because wrapping it in TLS takes the first one away.
        """
        with self._lock:
            if self.is_cut:
                return False
            self._socket = connection.dup()
            return True

    def cut(self) -> None:
        """Break the connection off, now or as soon as there is one."""
        with self._lock:
            self.is_cut = True
            if self._socket is not None:
                with suppress(OSError):  # the other side was quicker
                    self._socket.shutdown(socket.SHUT_RDWR)
        self.changed.set()

    def release(self) -> None:
        """Let go of the connection: it is closed only when both descriptors are."""
        with self._lock:
            held, self._socket = self._socket, None
            self.is_cut = True
        if held is not None:
            held.close()


class _Current(threading.local):
    line: Lifeline | None = None


class LifelineBackend(DeadlineBackend):
    """Makes connections that hang on the line of the thread that makes the request."""

    def __init__(self) -> None:
        super().__init__()
        self._current = _Current()

    def hang_on(self, line: Lifeline | None) -> None:
        """Let the next connection of this thread hang on a line."""
        self._current.line = line

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect in a thread of its own, which is left behind when the line is cut: nothing ends a name lookup."""
        line = self._current.line
        if line is None:
            return super().connect_tcp(host, port, timeout, local_address, socket_options)
        line.changed.clear()
        ends_at, left = self.deadline.ends_at, self.deadline.remaining(None, httpcore.ConnectTimeout)
        made: list[httpcore.NetworkStream | Exception] = []

        def connect() -> None:
            self.deadline.ends_at = ends_at
            try:
                stream = DeadlineBackend.connect_tcp(self, host, port, timeout, local_address, socket_options)
                held = line.hold(stream.get_extra_info("socket"))
                made.append(stream)
                if not held or line.is_cut:
                    stream.close()
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                made.append(error)
            line.changed.set()

        threading.Thread(target=connect, name="gpudesk connect", daemon=True).start()
        if not line.is_cut:
            line.changed.wait(left)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        if line.is_cut:
            failure = httpcore.ConnectError("canceled")
        elif not made:
            line.cut()
            failure = httpcore.ConnectTimeout("the name could not be looked up in time")
        if failure is not None:
            for each in made:  # just before the line was cut: the thread left it open
                if not isinstance(each, Exception):
                    each.close()
            raise failure
        self.deadline.connected = True
        (found,) = made
        if isinstance(found, Exception):
            self.deadline.connected = False
            raise found
        return found
