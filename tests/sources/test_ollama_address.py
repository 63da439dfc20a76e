from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpudesk.config.settings import EngineAddress
from gpudesk.errors import UsageError
from gpudesk.sources.ollama_address import (
    address_from_environment,
    is_local,
    is_loopback,
    is_own_address,
    parse_address,
    with_environment_key,
)

# What Ollama itself makes of each form: envconfig/config_test.go TestHost and TestConnectableHost at v0.33.0-rc2,
# with the empty host written out as the loopback address it connects to.
OLLAMA_FORMS = [
    ("", "http://127.0.0.1:11434"),
    ("1.2.3.4", "http://1.2.3.4:11434"),
    (":1234", "http://127.0.0.1:1234"),
    ("1.2.3.4:1234", "http://1.2.3.4:1234"),
    ("example.com", "http://example.com:11434"),
    ("example.com:1234", "http://example.com:1234"),
    ("[::1]", "http://[::1]:11434"),
    ("::1", "http://[::1]:11434"),
    ("[::1]:1337", "http://[::1]:1337"),
    (" 1.2.3.4 ", "http://1.2.3.4:11434"),
    ('"1.2.3.4"', "http://1.2.3.4:11434"),
    (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
    ("'1.2.3.4'", "http://1.2.3.4:11434"),
    ("http://1.2.3.4", "http://1.2.3.4:80"),
    ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
    ("https://1.2.3.4", "https://1.2.3.4:443"),
    ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
    ("https://example.com/ollama", "https://example.com:443/ollama"),
    ("ollama.com", "https://ollama.com:443"),
    ("0.0.0.0", "http://127.0.0.1:11434"),
    ("0.0.0.0:1234", "http://127.0.0.1:1234"),
    ("[::]", "http://[::1]:11434"),
    ("[::]:1234", "http://[::1]:1234"),
    ("https://0.0.0.0:4321", "https://127.0.0.1:4321"),
]

MORE_FORMS = [
    ("::", "http://[::1]:11434"),
    ("1.2.3.4:", "http://1.2.3.4:11434"),
    ("http://", "http://127.0.0.1:80"),
    ("host/path/", "http://host:11434/path"),
    ("https://host:443/", "https://host:443"),
    ("https://host///", "https://host:443"),
    ("HTTPS://Host.Example/Path", "https://host.example:443/Path"),
    ("my_box-2:80", "http://my_box-2:80"),
    ("host.", "http://host.:11434"),
    ("münchen.example", "http://xn--mnchen-3ya.example:11434"),
    ("::ffff:1.2.3.4", "http://1.2.3.4:11434"),
    ("[2001:DB8:0:0::1]", "http://[2001:db8::1]:11434"),
    ("fe80::1%eth0", "http://[fe80::1%25eth0]:11434"),
    ("http://[fe80::1%25eth0]:80", "http://[fe80::1%25eth0]:80"),
    ("localhost:65535", "http://localhost:65535"),
    ("localhost:1", "http://localhost:1"),
]


@pytest.mark.parametrize(("text", "url"), OLLAMA_FORMS + MORE_FORMS)
def test_every_form_gives_one_normal_url(text: str, url: str) -> None:
    address = parse_address(text)
    assert address == EngineAddress(url=url)
    assert parse_address(url) == address, "a normal URL is its own normal form"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (":0", "port '0'"),
        (":66000", "port '66000'"),
        (":-1", "port '-1'"),
        ("host:abc", "port 'abc'"),
        ("host:١٢", "port"),
        ("unix:///run/ollama.sock", "file socket"),
        ("ftp://host", "ftp://"),
        ("http:/host", "two slashes"),
        ("https:host", "port 'host'"),
        ("[::1", "bracket"),
        ("[::1]11434", "bracket"),
        ("[hello]", "'hello'"),
        ("::1:99999", "'::1:99999'"),
        ("fe80::1%a$b", "interface name"),
        ("127.1", "'127.1'"),
        ("1.2.3.4.5", "'1.2.3.4.5'"),
        ("999.1.1.1", "'999.1.1.1'"),
        ("a b", "space"),
        ("a\x1b[31m", "control"),
        ("host\x00", "control"),
        ("-host", "'-host'"),
        ("host..example", "host name"),
        ("host?x=1", "host name"),
        ("http://host/?x=1", "path"),
        ("http://host/#x", "path"),
        ("x" * 64, "host name"),
        ("host/" + "p" * 3000, "longer"),
        ("a." * 200 + "example", "host name"),
    ],
)
def test_what_is_no_address_says_so_and_names_where_it_was_typed(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_address(text, variable="--ollama")
    assert raised.value.message.startswith("--ollama ")
    assert said in raised.value.message
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("text", "url", "credentials"),
    [
        ("http://user:secret@host:1", "http://host:1", "user:secret"),
        ("user:secret@host", "http://host:11434", "user:secret"),
        ("https://us%40er:se%2Fcr%3Aet@host/p", "https://host:443/p", "us@er:se/cr:et"),
        ("http://user:s@cret@host:1", "http://host:1", "user:s@cret"),
        ("http://token@[::1]:1", "http://[::1]:1", "token"),
    ],
)
def test_credentials_leave_the_url_and_are_never_shown(text: str, url: str, credentials: str) -> None:
    address = parse_address(text)
    assert address.url == url
    assert address.basic_auth == credentials
    assert "secret" not in repr(address)
    assert credentials not in repr(address)


@pytest.mark.parametrize(
    "text", ["http://u:hunter2/x@host", "http://u:hunter2@host:port", "http://u:hunter2@ho st", "u:hunter2@[::"]
)
def test_an_error_never_repeats_a_password(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_address(text)
    assert "hunter2" not in raised.value.message + (raised.value.hint or "")
    _, problem = address_from_environment({"OLLAMA_HOST": text})
    assert problem is not None
    assert "hunter2" not in problem.message + (problem.hint or "")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (":66000", "http://127.0.0.1:11434"),
        ("http://host:0", "http://host:80"),
        ("https://host:x/ollama", "https://host:443/ollama"),
        ("gpu-box:-1", "http://gpu-box:11434"),
        ("unix:///run/x", "http://127.0.0.1:11434"),
        ("a b", "http://127.0.0.1:11434"),
    ],
)
def test_a_wrong_environment_still_gives_an_address_and_a_problem(text: str, url: str) -> None:
    address, problem = address_from_environment({"OLLAMA_HOST": text})
    assert address.url == url
    assert problem is not None
    assert "OLLAMA_HOST" in problem.message
    assert url in problem.message


def test_a_sound_environment_has_no_problem() -> None:
    assert address_from_environment({}) == (EngineAddress(url="http://127.0.0.1:11434"), None)
    assert address_from_environment({"OLLAMA_HOST": "0.0.0.0:8080"}) == (EngineAddress("http://127.0.0.1:8080"), None)


def test_the_environments_key_goes_over_https_only() -> None:
    environ = {"OLLAMA_API_KEY": " key "}
    assert with_environment_key(parse_address("https://host"), environ).api_key == "key"
    assert with_environment_key(parse_address("http://host"), environ).api_key is None
    assert with_environment_key(parse_address("http://127.0.0.1"), environ).api_key is None
    assert with_environment_key(parse_address("https://u:p@host"), environ).api_key is None
    own = EngineAddress("https://host:443", api_key="own")
    assert with_environment_key(own, environ) is own
    assert with_environment_key(parse_address("https://host"), {"OLLAMA_API_KEY": " "}).api_key is None
    assert "key" not in repr(with_environment_key(parse_address("https://host"), {"OLLAMA_API_KEY": "key"})).replace(
        "api_key", ""
    )


@pytest.mark.parametrize(
    ("url", "local", "loopback"),
    [
        ("http://127.0.0.1:11434", True, True),
        ("http://127.8.9.1:1", True, True),
        ("http://[::1]:11434", True, True),
        ("http://localhost:1", True, True),
        ("http://ollama.localhost:1", True, True),
        ("http://192.0.2.1:1", False, False),
        ("http://[2001:db8::1]:1", False, False),
        ("http://224.0.0.1:1", False, False),
        ("http://255.255.255.255:1", False, False),
        ("https://example.com:443", False, False),
        ("http://notlocalhost:1", False, False),
        ("http://[fe80::1%25nosuchif]:1", False, False),
    ],
)
def test_local_is_told_from_the_address_alone(
    url: str, local: bool, loopback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "workstation")
    real = socket.getaddrinfo

    def only_numeric(*arguments: Any, **named: Any) -> Any:
        assert named.get("flags", 0) & socket.AI_NUMERICHOST, "a name was looked up"
        return real(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", only_numeric)
    assert is_local(url) is local
    assert is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("own", "host", "local"),
    [
        ("Box", "box", True),
        ("box", "box.local", True),
        ("box.lan", "box.lan", True),
        ("box.lan", "box", True),
        ("box", "box.elsewhere.example", False),
        ("box", "sandbox", False),
        ("", "box", False),
    ],
)
def test_the_own_host_name_is_local(own: str, host: str, local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: own)
    assert is_local(f"http://{host}:11434") is local


def test_the_address_of_an_own_interface_is_local() -> None:
    import psutil

    own = {
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    }
    assert own
    for text in own:
        assert is_own_address(ipaddress.ip_address(text)), text
        assert is_local(f"http://{text}:1"), text


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"(https?://)?[a-z0-9:@\[\]./%-]{0,40}", fullmatch=True))
@example("http://[")
@example("[]")
@example("@")
@example("%")
def test_whatever_is_typed_gives_a_normal_url_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert parse_address(address.url).url == address.url
    assert "@" not in address.url
    assert address.url.isascii()
    assert not address.url.endswith("/")
    is_local(address.url)
