"""What went wrong on the way to an Ollama server, in words for the user.

Every sentence names the address and what happened; every hint says what to do. Imports httpcore, so it is imported
by whoever first connects.
"""

from __future__ import annotations

import json
import socket
import ssl
from urllib.parse import urlsplit

import httpcore

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_address import KEY_VARIABLE, is_local
from gpudesk.text import clean

FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    OSError,
)
"""Everything a request may throw; httpcore has no common root for it."""
NOT_OLLAMA = "This is not Ollama's API; check the address and the port (Ollama's own is 11434)"
CLOSED = (
    "It may have ended: look at Ollama's log, or start it again. If it never answered, it is not Ollama that listens"
)
PROXY = "The proxy comes from HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; name the server in NO_PROXY to go around it"
_START = "Is Ollama running? Start it with `ollama serve`, or set OLLAMA_HOST or --ollama to where it listens"
_START_THERE = "Is Ollama running there, listening to other computers (OLLAMA_HOST=0.0.0.0), and no firewall between?"
BUSY = "It may be busy loading or unloading a model; it is asked again"
_BODY_SHOWN = 160
"""Characters of an error body that are repeated."""


def from_exception(error: Exception, url: str, seconds: float, *, answered: bool) -> SourceError:
    """Translate what the network threw.

    Args:
        error: an httpcore exception, or what is below it.
        url: the engine's base URL.
        seconds: how long was waited at most.
        answered: the headers of an answer had come already.
    """
    cause = _root(error)
    if isinstance(cause, ssl.SSLError):
        return _from_tls(cause, url)
    if isinstance(error, httpcore.ConnectTimeout):
        return SourceError(FailureKind.TIMEOUT, f"{url} did not accept a connection in time", _start_hint(url))
    if isinstance(error, httpcore.TimeoutException):
        what = "did not finish its answer" if answered else "did not answer"
        return SourceError(FailureKind.TIMEOUT, f"{url} {what} within {seconds:g} s", BUSY)
    if isinstance(error, httpcore.ProxyError):
        return SourceError(FailureKind.UNREACHABLE, f"The proxy would not connect to {url}: {_words(error)}", PROXY)
    if isinstance(cause, socket.gaierror | UnicodeError):
        host = urlsplit(url).hostname or url
        hint = "Check the spelling, or the network and its name server"
        return SourceError(FailureKind.UNREACHABLE, f"The name {host} of {url} could not be resolved", hint)
    if isinstance(cause, ConnectionRefusedError):
        return SourceError(
            FailureKind.UNREACHABLE, f"{url} refused the connection: nothing listens there", _start_hint(url)
        )
    if answered:
        return SourceError(FailureKind.LOST, f"{url} broke off in the middle of its answer", BUSY)
    if isinstance(cause, ConnectionError) or "disconnected" in str(error):
        message = f"{url} closed the connection without an answer"
        return SourceError(FailureKind.UNREACHABLE, message, CLOSED)
    if isinstance(error, httpcore.ProtocolError):
        return SourceError(FailureKind.INVALID, f"{url} does not speak HTTP", NOT_OLLAMA)
    return SourceError(FailureKind.UNREACHABLE, f"{url} cannot be reached: {_words(cause)}", _start_hint(url))


class SilentServerError(SourceError):
    """A 500 without a word: what a handler leaves that panicked, and usually gone when asked again."""


def from_status(status: int, body: bytes, url: str, path: str, *, has_key: bool) -> SourceError:
    """Translate an HTTP status that is not success. `body` is repeated only where it is Ollama's own error text."""
    error = _from_status(status, body, url, path, has_key=has_key)
    error.http_status = status
    return error


def _from_status(status: int, body: bytes, url: str, path: str, *, has_key: bool) -> SourceError:
    where = f"{url}{path}"
    said = error_text(body)
    because = f": {said}" if said else ""
    if 300 <= status < 400:
        hint = "Redirects are not followed; set OLLAMA_HOST or --ollama to the address it points to"
        return SourceError(FailureKind.INVALID, f"{where} redirects elsewhere ({status})", hint)
    if status == 407:
        return SourceError(FailureKind.DENIED, f"The proxy on the way to {url} wants a password (407)", PROXY)
    if status in {401, 403}:
        return SourceError(
            FailureKind.DENIED, f"{where} answered {status}{because}", _denied_hint(status, url, has_key)
        )
    if status == 404 and said:
        return SourceError(FailureKind.MISSING, f"{where} answered 404{because}")
    if status in {404, 405}:
        base = urlsplit(url).path
        hint = f"Try the address without {clean(base, 60)}" if base else NOT_OLLAMA + ", or an Ollama older than 0.1.33"
        return SourceError(FailureKind.INVALID, f"{where} answered {status}: there is no such page", hint)
    if status == 400 and b"HTTPS server" in body[:200]:
        hint = f"Use https{url.removeprefix('http')}"
        return SourceError(FailureKind.INVALID, f"{url} speaks https, not http", hint)
    if status >= 500 or status == 429:
        hint = BUSY if status in {429, 503} else "Its log says more: `journalctl -u ollama`, or ~/.ollama/logs"
        failure = SilentServerError if status == 500 and not body else SourceError
        return failure(FailureKind.FAILED, f"{where} answered {status}{because}", hint)
    return SourceError(FailureKind.INVALID, f"{where} answered {status}{because}", NOT_OLLAMA if not said else None)


def too_big(url: str, path: str, limit_bytes: int) -> SourceError:
    """Say that an answer was given up because of its size."""
    message = f"{url}{path} answered with more than {limit_bytes >> 20} MiB; given up"
    return SourceError(FailureKind.INVALID, message, NOT_OLLAMA)


def unwanted_encoding(url: str, encoding: str) -> SourceError:
    """Say that an answer came compressed although that was not asked for."""
    message = f"{url} answered with {clean(encoding, 20)!r} compression, which was not asked for"
    return SourceError(FailureKind.INVALID, message, "A proxy in between may do this; go around it")


def error_text(body: bytes) -> str | None:
    """Return Ollama's own error text out of a body `{"error": "…"}`, cleaned; None for any other body."""
    try:
        said = json.loads(body.decode("utf-8", "replace"))["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return (clean(said, _BODY_SHOWN) or None) if isinstance(said, str) else None


def _from_tls(cause: ssl.SSLError, url: str) -> SourceError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = f"The certificate of {url} is not trusted: {clean(cause.verify_message or str(cause), 120)}"
        hint = "Name its certificate authority with ca_file in the configuration, or accept any with insecure = true"
        return SourceError(FailureKind.UNREACHABLE, message, hint)
    if "WRONG_VERSION_NUMBER" in str(cause) or "RECORD_LAYER" in str(cause):
        hint = f"Use http{url.removeprefix('https')}"
        return SourceError(FailureKind.INVALID, f"{url} does not speak https", hint)
    reason = clean(cause.reason or str(cause), 120).replace("_", " ").lower()
    return SourceError(FailureKind.UNREACHABLE, f"No secure connection to {url}: {reason}", "Is this an https port?")


def _denied_hint(status: int, url: str, has_key: bool) -> str:
    if has_key:
        return "The key or password was not accepted; check it"
    if status == 403:
        return (
            "Ollama bound to loopback refuses other host names (use 127.0.0.1, or start it with OLLAMA_HOST=0.0.0.0); "
            "behind a proxy it may want a key"
        )
    if url.startswith("http:"):
        return f"It wants a key; {KEY_VARIABLE} is sent over https only, for http set api_key_env of this engine"
    return f"It wants a key: set {KEY_VARIABLE}, or api_key_env of this engine in the configuration"


def _start_hint(url: str) -> str:
    return _START if is_local(url) else _START_THERE


def _root(error: BaseException) -> BaseException:
    """Return what is at the bottom of a chain of exceptions."""
    for _ in range(10):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    return error


def _words(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return clean(said, _BODY_SHOWN) or type(error).__name__
