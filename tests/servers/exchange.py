"""One request and the raw socket it came on: what a behavior works with."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeAlias

LARGEST_REQUEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is empty."""
        return json.loads(self.body) if self.body else None


@dataclass(slots=True)
class Exchange:
    """A connection with its parsed request; every wait ends when the server is closed."""

    request: Request
    connection: socket.socket
    closing: Event

    def send(self, data: bytes) -> None:
        """Send raw bytes; an `OSError` means that the client went away and ends the behavior."""
        self.connection.sendall(data)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Send a status line and headers; the connection is never kept alive."""
        lines = [f"HTTP/1.1 {status} {'OK' if status < 300 else 'Not OK'}"]
        lines += [f"{name}: {value}" for name, value in {**headers, "Connection": "close"}.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def respond(self, status: int, body: bytes, content_type: str = "application/json; charset=utf-8") -> None:
        """Send a whole, correct response."""
        self.send_head(status, {"Content-Type": content_type, "Content-Length": str(len(body))})
        self.send(body)

    def wait(self, seconds: float | None) -> bool:
        """Wait (None: until the server closes); True when the server is closing and the behavior must end."""
        return self.closing.wait(seconds)

    def reset(self) -> None:
        """Close so that the client sees a TCP reset and not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Behavior: TypeAlias = Callable[[Exchange], None]


def read_request(connection: socket.socket) -> Request | None:
    """Read one request with its body; None when the client closed or sent too much."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        data += chunk
        if not chunk or len(data) > LARGEST_REQUEST_BYTES:
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = min(int(headers.get("content-length", "0")), LARGEST_REQUEST_BYTES)
    while len(body) < length:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        body += chunk
    method, path, *_ = [*first.split(" "), "", ""]
    return Request(method, path, headers, body)
