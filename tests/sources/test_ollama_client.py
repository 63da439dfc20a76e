from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from gpudesk.config.settings import EngineAddress
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_address import parse_address
from gpudesk.sources.ollama_client import BODY_BYTES, OllamaClient
from tests.servers import (
    TLS_CERTIFICATE,
    UNRESOLVABLE_URL,
    Behavior,
    Exchange,
    close_silently,
    closed_port_url,
    drip,
    flood,
    hang,
    html,
    in_turn,
    json_body,
    misbehaving,
    raw_body,
    redirect,
    serving,
    slow_headers,
    status,
)

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def failure_of(address: EngineAddress | str, path: str = "/api/ps", timeout_seconds: float = 5.0) -> SourceError:
    """Ask once and return how that failed."""
    client = OllamaClient(
        EngineAddress(address) if isinstance(address, str) else address, timeout_seconds=timeout_seconds
    )
    try:
        with pytest.raises(SourceError) as raised:
            client.get(path)
    finally:
        client.close()
    error = raised.value
    assert client.url in error.message
    assert error.message.isprintable()
    assert not error.message.endswith(".")
    return error


@pytest.mark.parametrize(
    ("fault", "kind", "said", "advised"),
    [
        ("refuse", FailureKind.UNREACHABLE, "refused the connection", "ollama serve"),
        ("reset", FailureKind.UNREACHABLE, "without an answer", "not Ollama"),
        ("reset", FailureKind.UNREACHABLE, "without an answer", "It may have ended"),
        ("closed silently", FailureKind.UNREACHABLE, "without an answer", "not Ollama"),
        ("reset mid body", FailureKind.LOST, "broke off in the middle", "asked again"),
        ("too short", FailureKind.LOST, "broke off in the middle", "asked again"),
        ("401", FailureKind.DENIED, "answered 401: unauthorized", "wants a key"),
        ("403", FailureKind.DENIED, "answered 403: access denied", "OLLAMA_HOST=0.0.0.0"),
        ("404", FailureKind.MISSING, "answered 404: not found", ""),
        ("500", FailureKind.FAILED, "llama runner process has terminated", "log"),
        ("503", FailureKind.FAILED, "server busy", "busy"),
        ("garbage", FailureKind.INVALID, "does not speak HTTP", "not Ollama"),
        ("redirect loop", FailureKind.INVALID, "redirects elsewhere", "not followed"),
        ("redirect away", FailureKind.INVALID, "redirects elsewhere", "not followed"),
        ("100 MB", FailureKind.INVALID, "more than 16 MiB", "not Ollama"),
        ("100 MB declared", FailureKind.INVALID, "more than 16 MiB", "not Ollama"),
        ("endless", FailureKind.INVALID, "more than 16 MiB", "not Ollama"),
    ],
)
def test_every_fault_becomes_a_failure_in_plain_words(fault: str, kind: FailureKind, said: str, advised: str) -> None:
    with misbehaving(fault) as url:
        error = failure_of(url)
    assert error.kind is kind
    assert said in error.message
    assert advised in (error.hint or "")


def test_a_name_that_nobody_knows_is_told_as_such() -> None:
    error = failure_of(UNRESOLVABLE_URL)
    assert error.kind is FailureKind.UNREACHABLE
    assert "gpudesk-test.invalid" in error.message
    assert "resolved" in error.message


@pytest.mark.parametrize(
    "behavior", [drip(bytes_per_second=8), slow_headers(seconds_per_line=0.15), hang()], ids=["drip", "headers", "hang"]
)
def test_a_request_ends_at_its_deadline_however_slowly_bytes_come(behavior: Behavior) -> None:
    with serving(behavior) as server:
        began = time.monotonic()
        error = failure_of(server.url, timeout_seconds=0.3)
        took = time.monotonic() - began
    assert error.kind is FailureKind.TIMEOUT
    assert "within 0.3 s" in error.message
    assert 0.25 < took < 2.5, "drip alone would take 4 s, the headers 9 s"


@pytest.mark.slow
def test_one_byte_per_second_ends_too() -> None:
    with misbehaving("drip", bytes_per_second=1.0) as url:
        began = time.monotonic()
        error = failure_of(url, timeout_seconds=2.5)
        took = time.monotonic() - began
    assert error.kind is FailureKind.TIMEOUT
    assert 2.4 < took < 6


def test_an_address_that_swallows_packets_is_a_timeout_of_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpcore

    def swallow(self: object, host: str, port: int, timeout: float | None = None, *rest: object) -> object:
        assert timeout is not None
        time.sleep(min(timeout, 1))
        raise httpcore.ConnectTimeout("timed out")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", swallow)
    began = time.monotonic()
    error = failure_of("http://192.0.2.1:11434", timeout_seconds=0.2)
    assert time.monotonic() - began < 0.9, "the second that this would block for was cut short"
    assert error.kind is FailureKind.TIMEOUT
    assert "did not accept a connection" in error.message
    assert "firewall" in (error.hint or "")


def test_a_flood_is_given_up_as_soon_as_it_is_too_much() -> None:
    with serving(flood(None)) as server:
        client = OllamaClient(EngineAddress(server.url), max_body_bytes=100_000)
        with pytest.raises(SourceError) as raised:
            client.get("/api/ps")
        assert raised.value.kind is FailureKind.INVALID
        with pytest.raises(SourceError):
            client.get("/api/ps", max_body_bytes=50)
        client.close()


def test_a_length_that_is_too_much_is_refused_before_a_byte_is_read() -> None:
    def promise(exchange: Exchange) -> None:
        exchange.send_head(200, {"Content-Length": "100000000"})
        exchange.wait(None)

    with serving(promise) as server:
        assert failure_of(server.url, timeout_seconds=5).kind is FailureKind.INVALID


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b"x" * 5000
    with serving(raw_body(body)) as server:
        client = OllamaClient(EngineAddress(server.url), max_body_bytes=5000)
        assert client.get("/x").body == body
        with pytest.raises(SourceError):
            client.get("/x", max_body_bytes=4999)
        client.close()
    assert BODY_BYTES == 16 << 20


def test_an_error_page_is_not_repeated_and_an_error_text_is_cleaned() -> None:
    with serving(html(code=502)) as server:
        error = failure_of(server.url)
    assert error.kind is FailureKind.FAILED
    assert "<" not in error.message
    with serving(status(500, "\x1b[31mbad\x07 [b]news[/b]\u202e" + "x" * 5000)) as server:
        error = failure_of(server.url)
    assert "\x1b" not in error.message
    assert "\u202e" not in error.message
    assert "[b]news[/b]" in error.message
    assert len(error.message) < 300


def test_the_advice_for_a_missing_page_names_a_path_in_the_address() -> None:
    with serving(raw_body(b"404 page not found", code=404, content_type="text/plain")) as server:
        assert "without /v1" in (failure_of(parse_address(f"{server.url}/v1")).hint or "")
        assert "0.1.33" in (failure_of(server.url).hint or "")
        assert server.requests[0].path == "/v1/api/ps"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (EngineAddress("http://a.example:1"), "https only"),
        (EngineAddress("https://a.example:1"), "set OLLAMA_API_KEY"),
        (EngineAddress("https://a.example:1", api_key="k"), "not accepted"),
    ],
)
def test_the_advice_for_401_depends_on_what_was_sent(address: EngineAddress, said: str) -> None:
    from gpudesk.sources.ollama_failures import from_status

    error = from_status(401, b"", address.url, "/api/ps", has_key=address.api_key is not None)
    assert said in (error.hint or "")


@pytest.mark.slow
def test_compression_that_was_not_asked_for_is_refused() -> None:
    def zipped(exchange: Exchange) -> None:
        exchange.send_head(200, {"Content-Encoding": "gzip", "Content-Length": "4"})
        exchange.send(b"\x1f\x8b\x08\x00")

    with serving(zipped) as server:
        assert failure_of(server.url).kind is FailureKind.INVALID
        assert server.requests[0].headers["accept-encoding"] == "identity"


# Keys and passwords


def test_a_key_is_sent_and_shown_nowhere() -> None:
    with serving(json_body({})) as server:
        client = OllamaClient(EngineAddress(server.url, api_key=" s3cret "))
        client.get("/api/ps")
        client.close()
        assert server.requests[0].headers["authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(client)


def test_a_password_of_the_url_is_sent_and_shown_nowhere() -> None:
    with serving(status(401)) as server:
        address = parse_address(server.url.replace("http://", "http://user:s3cret@"))
        error = failure_of(address)
        assert server.requests[0].headers["authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert "s3cret" not in error.message + (error.hint or "")
    assert "dXNlc" not in error.message + (error.hint or "")
    assert "not accepted" in (error.hint or "")


@pytest.mark.parametrize("key", ["s3cret\r\nX-Evil: 1", "s3cret\x00", "sécret"])
def test_a_key_that_cannot_be_a_header_is_refused_without_repeating_it(key: str) -> None:
    with serving(json_body({})) as server:
        error = failure_of(EngineAddress(server.url, api_key=key))
        assert server.requests == []
    assert error.kind is FailureKind.DENIED
    assert "cret" not in error.message + (error.hint or "")


def test_a_redirect_takes_no_key_elsewhere() -> None:
    with serving(json_body({})) as elsewhere, serving(redirect(f"{elsewhere.url}/api/ps", 307)) as server:
        error = failure_of(EngineAddress(server.url, api_key="s3cret"))
        assert elsewhere.requests == []
    assert error.kind is FailureKind.INVALID


# TLS


def test_tls_with_the_right_authority_or_none_at_all() -> None:
    with serving(json_body({"ok": 1}), tls=True) as server:
        for address in (
            EngineAddress(server.url, ca_file=str(TLS_CERTIFICATE)),
            EngineAddress(server.url, verify=False),
        ):
            client = OllamaClient(address)
            assert client.get("/").body == b'{"ok": 1}'
            client.close()


def test_an_unknown_certificate_is_refused_with_what_to_do() -> None:
    with serving(json_body({}), tls=True) as server:
        error = failure_of(EngineAddress(server.url, api_key="s3cret"))
        assert server.requests == []
    assert "not trusted" in error.message
    assert "ca_file" in (error.hint or "")
    assert "insecure" in (error.hint or "")


@pytest.mark.parametrize(("file", "said"), [("missing.pem", "No such file"), ("empty.pem", "no certificate")])
def test_a_certificate_file_of_no_use_is_named(file: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    error = failure_of(EngineAddress("https://127.0.0.1:1", ca_file=str(tmp_path / file)))
    assert said in error.message
    assert file in error.message


def test_https_spoken_to_a_plain_server_is_told() -> None:
    from gpudesk.sources.ollama_failures import from_exception

    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as raised:
        context.wrap_bio(incoming, outgoing, server_hostname="host").do_handshake()
    error = from_exception(raised.value, "https://host:1", 5, answered=False)
    assert "does not speak https" in error.message
    assert "http://host:1" in (error.hint or "")


def test_http_spoken_to_a_go_server_with_tls_is_told() -> None:
    said = b"Client sent an HTTP request to an HTTPS server.\n"
    with serving(raw_body(said, code=400, content_type="text/plain")) as server:
        error = failure_of(server.url)
        assert server.url.replace("http:", "https:") in (error.hint or "")


def test_plain_http_reads_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **named: object) -> None:
        raise AssertionError("a TLS context was made")

    monkeypatch.setattr(ssl, "create_default_context", never)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", never)
    with serving(json_body({})) as server:
        client = OllamaClient(EngineAddress(server.url))
        assert client.get("/").body == b"{}"
        client.close()


# Proxies


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_never_asked_for_this_computer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, closed_port_url())
    with serving(json_body({})) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            client = OllamaClient(EngineAddress(url))
            assert client.get("/").body == b"{}"
            assert client.local
            client.close()


def test_a_proxy_is_asked_for_other_computers(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(json_body({"models": []})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://us%40er:pr0xy@"))
        client = OllamaClient(EngineAddress("http://gpu-box.invalid:11434", api_key="k"))
        assert client.get("/api/ps").body == b'{"models": []}'
        assert not client.local, "the proxy is here, the engine is not"
        client.close()
        request = proxy.requests[0]
        assert request.path == "http://gpu-box.invalid:11434/api/ps"
        assert request.headers["proxy-authorization"] == "Basic dXNAZXI6cHIweHk="
        assert request.headers["host"] == "gpu-box.invalid:11434"

        monkeypatch.setenv("no_proxy", "gpu-box.invalid")
        assert "resolved" in failure_of("http://gpu-box.invalid:11434").message
        assert len(proxy.requests) == 1


def test_a_proxy_that_refuses_or_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(status(407)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        error = failure_of("http://gpu-box.invalid:11434")
        assert error.kind is FailureKind.DENIED
        assert "NO_PROXY" in (error.hint or "")
        monkeypatch.setenv("https_proxy", proxy.url)
        error = failure_of("https://gpu-box.invalid:11434")
        assert "proxy" in error.message
    monkeypatch.setenv("http_proxy", "socks5://user:s3cret@127.0.0.1:1080")
    error = failure_of("http://gpu-box.invalid:11434")
    assert "socks5" in error.message
    assert "s3cret" not in error.message + (error.hint or "")


# Connections


class KeepAliveHandler(BaseHTTPRequestHandler):
    """A correct server that keeps connections open; `/drop` closes its connection after the answer, unannounced."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    connections: ClassVar[list[object]] = []
    rude: ClassVar[set[int]] = set()

    def setup(self) -> None:
        super().setup()
        self.connections.append(self.client_address)

    def do_GET(self) -> None:
        number = len(self.connections)
        if number in self.rude:
            self.rude.discard(number)
            self.close_connection = True
            return  # the request is read and the connection closed: the race of every kept connection
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.close_connection = self.path == "/drop"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def keep_alive_server() -> Iterator[tuple[str, type[KeepAliveHandler]]]:
    class Handler(KeepAliveHandler):
        connections: ClassVar[list[object]] = []
        rude: ClassVar[set[int]] = set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_one_connection_serves_every_poll() -> None:
    with keep_alive_server() as (url, handler):
        client = OllamaClient(EngineAddress(url))
        for _ in range(20):
            assert client.get("/api/ps").body == b"{}"
        client.close()
        assert len(handler.connections) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_unnoticed() -> None:
    with keep_alive_server() as (url, handler):
        client = OllamaClient(EngineAddress(url))
        client.get("/drop")
        assert client.get("/api/ps").body == b"{}"
        assert len(handler.connections) == 2
        handler.rude.add(2)  # closes the kept connection upon the next request, without an answer
        assert client.get("/api/ps").body == b"{}"
        assert len(handler.connections) == 3
        client.close()


def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    with serving(in_turn(close_silently(), json_body({}))) as server:
        assert failure_of(server.url).kind is FailureKind.UNREACHABLE
        assert server.connections == 1


def test_a_slow_answer_does_not_hold_up_the_other_sources() -> None:
    release = threading.Event()

    def slow_show(exchange: Exchange) -> None:
        if exchange.request.path == "/api/show":
            release.wait(5)
        exchange.respond(200, b"{}")

    with serving(slow_show) as server:
        client = OllamaClient(EngineAddress(server.url))
        slow = threading.Thread(target=client.post, args=("/api/show", b"{}"))
        slow.start()
        try:
            for _ in range(3):
                assert client.get("/api/ps", timeout_seconds=2).body == b"{}"
            assert slow.is_alive()
        finally:
            release.set()
            slow.join(5)
        client.close()


def test_an_ipv6_address_is_connected_to_and_named_in_brackets() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback on this computer")
    received: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with listener:
        port = listener.getsockname()[1]
        client = OllamaClient(parse_address(f"[::]:{port}"), timeout_seconds=5)
        assert client.get("/").body == b"{}"
        client.close()
        thread.join(5)
    assert f"Host: [::1]:{port}\r\n".encode() in received[0]


def test_a_closed_client_connects_again() -> None:
    with serving(json_body({})) as server:
        client = OllamaClient(EngineAddress(server.url))
        client.close()
        client.get("/")
        client.close()
        client.close()
        assert client.get("/").body == b"{}"
        client.close()


def test_a_post_carries_its_json() -> None:
    with serving(json_body({})) as server:
        client = OllamaClient(parse_address(f"{server.url}/base"))
        client.post("/api/show", b'{"model":"a"}')
        client.close()
        request = server.requests[0]
    assert (request.method, request.path, request.json) == ("POST", "/base/api/show", {"model": "a"})
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == server.url.removeprefix("http://")
    assert request.headers["user-agent"].startswith("gpudesk/")


def test_a_name_that_leads_here_makes_the_engine_local_once_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def hosts_file(host: bytes, *arguments: object, **named: object) -> object:
        return real("127.0.0.1" if host == b"my-alias.example" else host, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hosts_file)
    with serving(json_body({})) as server:
        client = OllamaClient(EngineAddress(server.url.replace("127.0.0.1", "my-alias.example")))
        assert (client.local, client.get("/").body, client.local) == (False, b"{}", True)
        client.close()


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    program = (
        "import sys\n"
        "from gpudesk.sources.ollama import OllamaSource\n"
        "from gpudesk.sources.ollama_client import OllamaClient\n"
        "from gpudesk.config.settings import EngineAddress\n"
        "OllamaSource(OllamaClient(EngineAddress('http://127.0.0.1:1')))\n"
        "heavy = {'httpx', 'httpcore', 'ssl', 'h11', 'certifi', 'urllib.request', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=30)


def test_httpx_is_never_imported(tmp_path: Path) -> None:
    with serving(json_body({})) as server:
        program = (
            "import sys\n"
            "from gpudesk.sources.ollama_client import OllamaClient\n"
            "from gpudesk.config.settings import EngineAddress\n"
            f"assert OllamaClient(EngineAddress({server.url!r})).get('/').body == b'{{}}'\n"
            "assert 'httpx' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
