"""The faults are what they claim to be, and closing a server never waits for them."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time

import httpx
import pytest

from tests.servers import (
    BEHAVIORS,
    TLS_CERTIFICATE,
    by_path,
    flood,
    hang,
    html,
    in_turn,
    json_body,
    json_by_path,
    json_lines,
    misbehaving,
    serving,
    status,
)


def fetch(url: str, path: str = "/api/ps", timeout: float = 2.0) -> httpx.Response:
    with httpx.Client(base_url=url, timeout=timeout, trust_env=False) as client:
        return client.get(path)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse", httpx.ConnectError),
        ("reset", httpx.ReadError),
        ("reset mid body", httpx.ReadError),
        ("closed silently", httpx.RemoteProtocolError),
        ("too short", httpx.RemoteProtocolError),
        ("garbage", httpx.RemoteProtocolError),
        ("hang", httpx.ReadTimeout),
        ("drip", httpx.ReadTimeout),
        ("slow headers", httpx.ReadTimeout),
    ],
)
def test_transport_faults_fail_the_way_they_are_named(fault: str, error: type[Exception]) -> None:
    with misbehaving(fault) as url, pytest.raises(error):
        fetch(url, timeout=0.2)


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
def test_error_statuses_carry_the_error_form(code: int) -> None:
    with misbehaving(str(code)) as url:
        response = fetch(url)
    assert response.status_code == code
    assert set(response.json()) == {"error"}


@pytest.mark.parametrize("fault", ["html", "empty", "truncated", "too long", "not utf-8"])
def test_content_faults_come_with_status_200_and_are_not_json(fault: str) -> None:
    with misbehaving(fault) as url:
        response = fetch(url)
    assert response.status_code == 200
    with pytest.raises(ValueError):  # noqa: PT011 -- JSON and UTF-8 errors share only this base
        json.loads(response.content)


def test_drip_takes_its_time_but_arrives_whole() -> None:
    with misbehaving("drip", bytes_per_second=2000, value=[1, 2]) as url:
        assert fetch(url).json() == [1, 2]


def test_flood_has_exactly_its_size_and_is_valid_json() -> None:
    with serving(flood(1_000_000)) as server:
        response = fetch(server.url)
    assert len(response.content) == 1_000_000
    assert response.json()["models"] == []


def test_the_declared_flood_names_its_length() -> None:
    with (
        misbehaving("100 MB declared") as url,
        httpx.Client(trust_env=False) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-length"] == "100000000"


def test_canned_answers_by_path_and_a_record_of_the_requests() -> None:
    with serving(json_by_path({"/api/version": {"version": "0.5.4"}})) as server:
        assert fetch(server.url, "/api/version?x=1").json() == {"version": "0.5.4"}
        assert fetch(server.url, "/api/other").status_code == 404
        httpx.post(
            server.url + "/api/show", json={"model": "a"}, headers={"Authorization": "Bearer k"}, trust_env=False
        )
    assert [(one.method, one.path) for one in server.requests] == [
        ("GET", "/api/version?x=1"),
        ("GET", "/api/other"),
        ("POST", "/api/show"),
    ]
    assert server.requests[2].json == {"model": "a"}
    assert server.requests[2].headers["authorization"] == "Bearer k"


def test_behaviors_in_turn_repeat_the_last_or_start_over() -> None:
    with serving(in_turn(status(500), json_body(1), json_body(2))) as server:
        assert [fetch(server.url).status_code for _ in range(4)] == [500, 200, 200, 200]
        assert fetch(server.url).json() == 2
    with serving(in_turn(json_body(1), json_body(2), repeat_last=False)) as server:
        assert [fetch(server.url).json() for _ in range(4)] == [1, 2, 1, 2]


def test_one_path_may_hang_while_another_answers() -> None:
    with serving(by_path({"/api/ps": hang()}, otherwise=html())) as server:
        with pytest.raises(httpx.ReadTimeout):
            fetch(server.url, "/api/ps", timeout=0.1)
        assert fetch(server.url, "/").headers["content-type"].startswith("text/html")


def test_lines_after_status_200_may_hold_an_error() -> None:
    with serving(json_lines({"status": "pulling manifest"}, {"error": "x"})) as server:
        lines = fetch(server.url).text.splitlines()
    assert [json.loads(line) for line in lines] == [{"status": "pulling manifest"}, {"error": "x"}]


def test_redirects_never_end() -> None:
    with (
        misbehaving("redirect loop") as url,
        httpx.Client(trust_env=False, follow_redirects=True) as client,
        pytest.raises(httpx.TooManyRedirects),
    ):
        client.get(url + "/api/ps")


def test_tls_is_trusted_with_its_certificate_only() -> None:
    with serving(json_body({"version": "1"}), tls=True) as server:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(server.url)
        context = ssl.create_default_context(cafile=str(TLS_CERTIFICATE))
        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.get(server.url).json() == {"version": "1"}


@pytest.mark.parametrize("fault", ["hang", "drip", "endless", "slow headers"])
def test_closing_ends_the_fault_at_once(fault: str) -> None:
    with contextlib.ExitStack() as stack:
        with misbehaving(fault) as url:
            port = int(url.rpartition(":")[2])
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            started = time.monotonic()
        assert time.monotonic() - started < 1
        with contextlib.suppress(ConnectionError):
            while client.recv(1 << 20):
                pass  # a timeout here fails the test: the connection would still be open


def test_a_closed_server_refuses() -> None:
    with serving(json_body(1)) as server:
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_reset_is_a_reset_and_not_an_orderly_end() -> None:
    with misbehaving("reset") as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 2) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_every_named_behavior_can_be_made_with_its_defaults() -> None:
    for name, make in BEHAVIORS.items():
        assert callable(make()), name
