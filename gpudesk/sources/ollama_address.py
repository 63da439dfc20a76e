"""Where an Ollama server listens, in every form Ollama itself accepts.

The rules are those of Ollama's own client (ollama/ollama envconfig/config.go `Host` and `ConnectableHost` at
v0.33.0-rc2), except that what Ollama silently repairs is told to the user here: a typed address that is wrong is a
`UsageError`, a wrong OLLAMA_HOST falls back to the default with a `Problem`, because a monitor must start anyway.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gpudesk.config.settings import EngineAddress
from gpudesk.domain.problem import Problem
from gpudesk.errors import UsageError
from gpudesk.records import dataclass
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST_VARIABLE = "OLLAMA_HOST"
KEY_VARIABLE = "OLLAMA_API_KEY"
DEFAULT_URL = "http://127.0.0.1:11434"

_SCHEME_PORTS = {"http": 80, "https": 443}
_OLLAMA_PORT = 11434
"""Used when no scheme is written; with one, its own default port counts, exactly as in Ollama."""
_FORMS = "Write host, host:port, http://host:port or https://host"
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:%/-]*")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class _Parts:
    """An address taken apart; only the port is still as typed."""

    scheme: str
    host: str
    """Ready for a URL: IPv6 in brackets, names in lower case and punycode."""
    port: str
    """Empty when none was typed."""
    default_port: int
    path: str
    credentials: str | None

    def url(self, port: int) -> str:
        """Put the address together again, without the credentials."""
        return f"{self.scheme}://{self.host}:{port}" + (f"/{self.path}" if self.path else "")


def parse_address(text: str, *, variable: str = HOST_VARIABLE) -> EngineAddress:
    """Read an address as typed: `host`, `:11434`, `0.0.0.0`, `[::1]:11434`, `https://user:secret@host/path`.

    The URL of the result always has scheme, host and port, never a password or a trailing slash. An unspecified
    address (`0.0.0.0`, `::`), good for listening only, becomes the loopback address of its family.

    Args:
        text: what was typed; quotes and spaces around it are ignored, empty means Ollama's default.
        variable: what to call it in an error: `--ollama`, `OLLAMA_HOST`, a configuration key.

    Raises:
        UsageError: not an address; the message never repeats a password.
    """
    parts = _take_apart(text, variable)
    port = _port(parts.port, parts.default_port)
    if port is None:
        raise UsageError(f"{variable} has the port {clean(parts.port, 20)!r}, which is not one of 1 to 65535", _FORMS)
    return EngineAddress(url=parts.url(port), basic_auth=parts.credentials)


def address_from_environment(environ: Mapping[str, str]) -> tuple[EngineAddress, Problem | None]:
    """Read OLLAMA_HOST; what is wrong with it becomes a problem beside an address that can be used.

    A wrong port keeps the host and takes the default port, as Ollama does; anything else falls back to
    `http://127.0.0.1:11434`.
    """
    try:
        parts = _take_apart(environ.get(HOST_VARIABLE, ""), HOST_VARIABLE)
    except UsageError as error:
        address = EngineAddress(url=DEFAULT_URL)
        return address, Problem("config", f"{error.message}; using {address.url}", error.hint)
    port = _port(parts.port, parts.default_port)
    address = EngineAddress(url=parts.url(port or parts.default_port), basic_auth=parts.credentials)
    if port is not None:
        return address, None
    message = f"{HOST_VARIABLE} has the port {clean(parts.port, 20)!r}, which cannot be connected to"
    return address, Problem("config", f"{message}; using {address.url}", _FORMS)


def with_environment_key(address: EngineAddress, environ: Mapping[str, str]) -> EngineAddress:
    """Add OLLAMA_API_KEY to an address that has no key or password of its own, where it is safe.

    Only over https: a key from the environment was never meant for one plain-http server in particular, and would
    travel readable. Who wants that sets the key for that address in the configuration file.
    """
    key = environ.get(KEY_VARIABLE, "").strip()
    if not key or address.api_key or address.basic_auth or not address.url.startswith("https://"):
        return address
    return replace(address, api_key=key)


def is_local(url: str) -> bool:
    """Tell whether a URL leads to this computer: loopback, `localhost`, its own name or an own interface's address.

    No name is looked up, since that may block for long; a name that turns out to lead here is recognized by
    `OllamaClient` once it is connected.
    """
    host = urlsplit(url).hostname or ""
    if host in {"", "localhost"} or host.endswith(".localhost"):
        return True
    try:
        return is_own_address(ipaddress.ip_address(host.replace("%25", "%")))
    except ValueError:
        import socket

        own = socket.gethostname().lower()
        return bool(own) and host.rstrip(".") in {own, f"{own}.local", own.partition(".")[0]}


def is_loopback(url: str) -> bool:
    """Tell whether a URL never leaves this computer, so that a proxy must not be asked."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_own_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address belongs to one of this computer's interfaces.

    The kernel lets a socket bind only to its own addresses, which answers without listing interfaces. Multicast and
    broadcast may be bound too and are nobody's.
    """
    if address.is_loopback or address.is_unspecified:
        return True
    if address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    import socket  # late: an address is nearly always loopback and never gets here

    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(socket.getaddrinfo(str(address), 0, family, flags=socket.AI_NUMERICHOST)[0][4])
    except (OSError, ValueError):
        return False
    return True


def _take_apart(text: str, variable: str) -> _Parts:
    trimmed = text.strip().strip("\"'").strip()
    if len(trimmed) > _LONGEST:
        raise UsageError(f"{variable} is longer than {_LONGEST} characters", _FORMS)
    if any(character.isspace() or not character.isprintable() for character in trimmed):
        raise UsageError(f"{variable} has a space or a control character in it", _FORMS)
    scheme, separator, rest = trimmed.partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, rest = ("https", "ollama.com:443") if trimmed == "ollama.com" else ("http", trimmed)
    elif scheme not in _SCHEME_PORTS:
        name = "a file socket" if scheme == "unix" else f"{clean(scheme, 20)}://"
        raise UsageError(f"{variable} names {name}; only http and https are spoken", _FORMS)
    default_port = _SCHEME_PORTS[scheme] if separator else _OLLAMA_PORT
    authority, _, path = rest.partition("/")
    if not _PATH.fullmatch(path):
        hint = "Write a slash, question mark or number sign in a password as %2F, %3F, %23" if "@" in rest else _FORMS
        raise UsageError(f"{variable} is not the address of a server: its path has characters it cannot have", hint)
    credentials, at, hostport = authority.rpartition("@")
    host, port = _host_and_port(hostport, variable)
    return _Parts(scheme, host, port, default_port, path.strip("/"), unquote(credentials) if at else None)


def _host_and_port(hostport: str, variable: str) -> tuple[str, str]:
    """Take `host:port` apart like Go's net.SplitHostPort, with bare IPv6 addresses allowed as in Ollama."""
    if hostport.startswith("["):
        inside, bracket, after = hostport[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise UsageError(f"{variable} has a bracket that is not closed properly", "IPv6 is written [::1]:11434")
        return _literal(inside.replace("%25", "%"), variable), after[1:]
    if hostport.count(":") > 1:
        return _literal(hostport.replace("%25", "%"), variable), ""
    host, _, port = hostport.partition(":")
    if host in _SCHEME_PORTS and not port and ":" in hostport:
        raise UsageError(f"{variable} has a scheme without its two slashes", f"Write {host}://host:port")
    if not host:
        return "127.0.0.1", port
    return (_literal(host, variable) if host.replace(".", "").isdecimal() else _name(host, variable)), port


def _literal(text: str, variable: str) -> str:
    """Normalize an IP address for a URL, an unspecified one to the loopback address of its family."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{variable} has {clean(text, 60)!r}, which is not an IP address", _FORMS) from None
    if isinstance(address, ipaddress.IPv4Address):
        return "127.0.0.1" if address.is_unspecified else str(address)
    if address.ipv4_mapped is not None:
        return _literal(str(address.ipv4_mapped), variable)
    if address.is_unspecified:
        return "[::1]"
    if address.scope_id is not None and not _ZONE.fullmatch(address.scope_id):
        raise UsageError(f"{variable} has an interface name that cannot be one", _FORMS)
    return "[" + str(address).replace("%", "%25") + "]"


def _name(text: str, variable: str) -> str:
    """Check a host name and write it in lower-case ASCII (IDNA)."""
    try:
        name = text.lower() if text.isascii() else text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdecimal():
        raise UsageError(f"{variable} has {clean(text, 60)!r}, which is not a host name", _FORMS)
    return name


def _port(text: str, default: int) -> int | None:
    """Read a port; an empty one is the default, one that nobody can connect to (0 among them) None."""
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        return None
    port = int(text)
    return port if 1 <= port <= 65535 else None
