"""What a server can do wrong: each function makes a behavior for `serving`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from threading import Lock
from types import MappingProxyType
from typing import Any

from tests.servers.exchange import Behavior, Exchange

SAMPLE: Any = {"version": "0.33.0", "models": []}
CHUNK_BYTES = 256 * 1024


def encode(value: Any) -> bytes:
    """JSON as an engine would send it."""
    return json.dumps(value, ensure_ascii=False).encode()


def json_body(value: Any, *, code: int = 200) -> Behavior:
    """Answer every request with this value."""
    return raw_body(encode(value), code=code)


def raw_body(body: bytes, *, code: int = 200, content_type: str = "application/json; charset=utf-8") -> Behavior:
    """Answer every request with these bytes, whatever they are."""

    def behave(exchange: Exchange) -> None:
        exchange.respond(code, body, content_type)

    return behave


def json_lines(*values: Any, code: int = 200) -> Behavior:
    """Answer with NDJSON, as `/api/pull` does; an error after the first line still comes with status 200."""
    return raw_body(b"".join(encode(value) + b"\n" for value in values), code=code, content_type="application/x-ndjson")


def status(code: int, message: str | None = None) -> Behavior:
    """Answer with an error status and Ollama's error form, `{"error": "<text>"}`."""
    return json_body({"error": message or f"synthetic error {code}"}, code=code)


def html(code: int = 200) -> Behavior:
    """Answer with a web page, as a captive portal or a reverse proxy does."""
    page = b"<!DOCTYPE html><html><body><h1>Welcome</h1><p>Sign in to continue.</p></body></html>"
    return raw_body(page, code=code, content_type="text/html; charset=utf-8")


def truncated(value: Any = SAMPLE) -> Behavior:
    """Send only the first half of the JSON text, with a Content-Length that agrees with it."""
    body = encode(value)
    return raw_body(body[: len(body) // 2])


def wrong_content_length(difference: int = 100, value: Any = SAMPLE) -> Behavior:
    """Promise `difference` bytes more (or, if negative, fewer) than are sent."""

    def behave(exchange: Exchange) -> None:
        body = encode(value)
        length = str(max(0, len(body) + difference))
        exchange.send_head(200, {"Content-Type": "application/json", "Content-Length": length})
        exchange.send(body)

    return behave


def drip(bytes_per_second: float = 1.0, value: Any = SAMPLE) -> Behavior:
    """Send the headers at once and then the body byte by byte."""

    def behave(exchange: Exchange) -> None:
        body = encode(value)
        exchange.send_head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        for index in range(len(body)):
            exchange.send(body[index : index + 1])
            if exchange.wait(1 / bytes_per_second):
                return

    return behave


def flood(size_bytes: int | None = 100_000_000, *, declare_length: bool = False) -> Behavior:
    """Send valid JSON with one huge string, or one that never ends (`size_bytes=None`), from one small buffer.

    With `declare_length` a Content-Length is sent, so that a client can refuse before it reads.
    """

    def behave(exchange: Exchange) -> None:
        opening, closing = b'{"version": "', b'", "models": []}'
        headers = {"Content-Type": "application/json"}
        if declare_length and size_bytes is not None:
            headers["Content-Length"] = str(size_bytes)
        exchange.send_head(200, headers)
        exchange.send(opening)
        rest = None if size_bytes is None else size_bytes - len(opening) - len(closing)
        chunk = b"x" * CHUNK_BYTES
        while rest is None or rest > 0:
            part = chunk if rest is None or rest >= CHUNK_BYTES else chunk[:rest]
            exchange.send(part)
            rest = None if rest is None else rest - len(part)
            if exchange.wait(0):
                return
        exchange.send(closing)

    return behave


def slow_headers(seconds_per_line: float = 1.0, lines: int = 60, value: Any = SAMPLE) -> Behavior:
    """Send the status line, then one header at a time with a pause before each."""

    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(lines):
            if exchange.wait(seconds_per_line):
                return
            exchange.send(f"X-Padding-{number}: slow\r\n".encode())
        body = encode(value)
        exchange.send(f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    return behave


def hang() -> Behavior:
    """Take the request and never answer, until the client or the server closes."""

    def behave(exchange: Exchange) -> None:
        exchange.wait(None)

    return behave


def reset() -> Behavior:
    """Break the connection with a TCP reset instead of an answer."""
    return Exchange.reset


def reset_mid_body(value: Any = SAMPLE) -> Behavior:
    """Send headers and half of the body, then a TCP reset."""

    def behave(exchange: Exchange) -> None:
        body = encode(value)
        exchange.send_head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        exchange.send(body[: len(body) // 2])
        exchange.wait(0.02)  # a reset discards unread bytes, so let the client read the first half
        exchange.reset()

    return behave


def close_silently() -> Behavior:
    """Close in an orderly way without sending a byte."""

    def behave(exchange: Exchange) -> None:
        exchange.connection.close()

    return behave


def garbage(data: bytes = b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe not HTTP at all\r\n\r\n") -> Behavior:
    """Answer with something that is not HTTP: another service listens on the port."""

    def behave(exchange: Exchange) -> None:
        exchange.send(data)

    return behave


def redirect(location: str | None = None, code: int = 302) -> Behavior:
    """Redirect to `location`; by default to the same path, which never ends."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(code, {"Location": location or exchange.request.path, "Content-Length": "0"})

    return behave


def by_path(behaviors: Mapping[str, Behavior], otherwise: Behavior | None = None) -> Behavior:
    """Choose the behavior by path (without the query); others get `otherwise`, by default a plain 404."""

    def behave(exchange: Exchange) -> None:
        path = exchange.request.path.partition("?")[0]
        chosen = behaviors.get(path) or otherwise
        if chosen is None:
            exchange.respond(404, b"404 page not found", "text/plain")
        else:
            chosen(exchange)

    return behave


def json_by_path(values: Mapping[str, Any]) -> Behavior:
    """Answer each path with its JSON value."""
    return by_path({path: json_body(value) for path, value in values.items()})


def in_turn(*behaviors: Behavior, repeat_last: bool = True) -> Behavior:
    """Use one behavior per request, in order; then the last again, or from the first with `repeat_last=False`."""
    numbers, lock = count(), Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            number = next(numbers)
        last = len(behaviors) - 1
        behaviors[min(number, last) if repeat_last else number % len(behaviors)](exchange)

    return behave


BEHAVIORS: Mapping[str, Any] = MappingProxyType(
    {
        "reset": reset,
        "reset mid body": reset_mid_body,
        "closed silently": close_silently,
        "401": lambda: status(401, "unauthorized"),
        "403": lambda: status(403, "access denied"),
        "404": lambda: status(404, "not found"),
        "500": lambda: status(500, "llama runner process has terminated: signal: killed"),
        "503": lambda: status(503, "server busy, please try again.  maximum pending requests exceeded"),
        "html": html,
        "empty": lambda: raw_body(b""),
        "null": lambda: json_body(None),
        "list": lambda: json_body([]),
        "not utf-8": lambda: raw_body(b'{"version": "\xff\xfe\xfa", "models": []}'),
        "deep": lambda: raw_body(b"[" * 100_000 + b"]" * 100_000),
        "truncated": truncated,
        "too short": wrong_content_length,
        "too long": lambda: wrong_content_length(-10),
        "drip": drip,
        "100 MB": flood,
        "100 MB declared": lambda: flood(declare_length=True),
        "endless": lambda: flood(None),
        "slow headers": slow_headers,
        "hang": hang,
        "garbage": garbage,
        "redirect loop": redirect,
        "redirect away": lambda: redirect("http://gpudesk-test.invalid/elsewhere"),
    }
)
"""Every fault by name, made with its defaults; "refuse" (nothing listens) is known to `misbehaving` alone."""
