"""The connections to one Ollama server: which certificates are trusted and which proxy is asked.

Imports httpcore, so it is imported by whoever first connects.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpcore

from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_address import is_local
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.config.settings import EngineAddress
    from gpudesk.sources.ollama_deadline import DeadlineBackend

_CONNECTIONS = 8
_KEPT_SECONDS = 60.0


def open_pool(
    address: EngineAddress, backend: DeadlineBackend, *, kept_connections: int
) -> tuple[httpcore.ConnectionPool, bool]:
    """Make the pool, connecting nowhere yet; also tell whether it goes through a proxy.

    A server on this computer is never asked through a proxy, whatever the environment says. No certificate store is
    read for plain http: that alone costs 20 ms and some megabytes.

    Raises:
        SourceError: the certificate file or the proxy address is of no use.
    """
    context = _tls_context(address) if address.url.startswith("https:") else None
    proxy = None if is_local(address.url) else _proxy_of(address.url)
    if proxy is None:
        pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=kept_connections,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=backend,
        )
        return pool, False
    url, credentials = proxy
    through = httpcore.HTTPProxy(
        proxy_url=url,
        proxy_auth=credentials,
        ssl_context=context,
        max_connections=_CONNECTIONS,
        max_keepalive_connections=kept_connections,
        keepalive_expiry=_KEPT_SECONDS,
        network_backend=backend,
    )
    return through, True


def _tls_context(address: EngineAddress) -> ssl.SSLContext:
    """Trust the system's authorities, certifi's, and the file named for this engine."""
    context = ssl.create_default_context()
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        import certifi

        context.load_verify_locations(certifi.where())
    except (ImportError, OSError):
        pass  # the system's own store has to do
    if address.ca_file is not None:
        try:
            context.load_verify_locations(address.ca_file)
        except (OSError, ValueError) as error:
            reason = "it holds no certificate"
            if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
                reason = error.strerror or str(error)
            message = f"The ca_file {clean(address.ca_file)} of {address.url} cannot be used: {clean(reason, 80)}"
            raise SourceError(FailureKind.MISSING, message, "Name a readable PEM file") from None
    return context


def _proxy_of(url: str) -> tuple[str, tuple[str, str] | None] | None:
    """Return the proxy the environment names for `url`, and its user and password; None for a direct connection."""
    from urllib.request import getproxies, proxy_bypass

    split = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(split.scheme) or proxies.get("all")
    if not proxy or ":" in (split.hostname or "") or proxy_bypass(split.netloc):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
        message = f"The proxy that the environment names for {url} cannot be used ({clean(parts.scheme, 20)})"
        hint = "Only http and https proxies are supported; name the server in NO_PROXY to go around it"
        raise SourceError(FailureKind.UNREACHABLE, message, hint)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'https' else 80)}"
    return where, (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
