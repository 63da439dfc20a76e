"""Which server process answers for which engine, and so which runners can be an engine's.

Several servers may run on one computer and hold copies of the same weights. A runner is started by its server and
belongs to that server's engine alone, so its parent tells them apart; where nobody may see who listens on an engine's
port, the parent of a runner whose model only one engine lists tells the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gpudesk.domain.process import Process, ServerProcess
from gpudesk.records import replace

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - an address that is listened on, not one to bind


class WatchedEngine(Protocol):
    """What is needed of an engine here."""

    @property
    def url(self) -> str:
        """Its normalized address."""
        ...

    @property
    def local(self) -> bool:
        """It runs on this computer."""
        ...


class Serving:
    """What is known of servers and engines; `learn` adds what clear cases tell."""

    def __init__(self, servers: Sequence[ServerProcess] = (), engines: Iterable[WatchedEngine] = ()) -> None:
        self._servers = tuple(servers)
        self._engines_of: dict[int, list[str]] = {}
        self._server_of: dict[str, int] = {}
        self._learned: dict[int, str] = {}
        for url in dict.fromkeys(engine.url for engine in engines if engine.local):
            found = [server for server in servers if answers_at(server, url)]
            found = [server for server in found if server.exists] or found[-1:]
            if len(found) == 1:
                self._server_of[url] = found[0].pid
                self._engines_of.setdefault(found[0].pid, []).append(url)

    def allows(self, process: Process, url: str) -> bool:
        """Tell whether nothing that was seen speaks against a runner being an engine's.

        An engine whose server is known has only children of that server. One whose server is not known may be
        reached through a forwarded port, so any server that is no other engine's may be its.
        """
        if process.orphaned:
            return False
        if process.parent_pid is None:
            return True
        engines = self._engines_of.get(process.parent_pid)
        return url in engines if engines else url not in self._server_of

    def learn(self, process: Process, url: str) -> None:
        """Note that a runner is an engine's, because no other engine lists its model."""
        if process.parent_pid is not None:
            self._learned.setdefault(process.parent_pid, url)

    def learned(self, process: Process) -> str | None:
        """Return the engine for which the runner's parent was seen to work."""
        return self._learned.get(process.parent_pid) if process.parent_pid is not None else None

    def is_others(self, process: Process, url: str) -> bool:
        """Tell whether a runner's parent works for another engine, or the engine has another server."""
        if process.parent_pid is None:
            return False
        known = self._learned.get(process.parent_pid)
        return known != url if known is not None else url in self._learned.values()

    def servers(self) -> tuple[ServerProcess, ...]:
        """Return the servers with the engines they answer for."""
        return tuple(replace(server, engine_urls=self._urls(server)) for server in self._servers)

    def _urls(self, server: ServerProcess) -> tuple[str, ...]:
        if urls := self._engines_of.get(server.pid):
            return tuple(urls)
        learned = self._learned.get(server.pid)
        return (learned,) if learned is not None else ()


def answers_at(server: ServerProcess, url: str) -> bool:
    """Tell whether a server listens where a URL leads, or did."""
    host, port = _host_and_port(url)
    return any(number == port and _leads_to(host, address) for address, number in server.listens or ())


def may_be_watched(process: Process, servers: Iterable[ServerProcess], engines: Iterable[WatchedEngine]) -> bool:
    """Tell whether a runner may belong to an engine that is watched.

    Not when it was left behind, and not when every local engine has a server and none of them is its parent.
    """
    if process.orphaned:
        return False
    of_parent = [server for server in servers if server.pid == process.parent_pid and server.engine_urls]
    if of_parent or process.parent_pid is None:
        return True
    served = {url for server in servers for url in server.engine_urls}
    return any(engine.local and engine.url not in served for engine in engines)


def _host_and_port(url: str) -> tuple[str, int | None]:
    """Take a normalized URL apart: it has a scheme, a port and no credentials (`sources.ollama_address`)."""
    authority = url.partition("://")[2].partition("/")[0]
    host, _, port = authority.rpartition(":")
    return host.strip("[]").lower(), int(port) if port.isdecimal() else None


def _leads_to(host: str, address: str) -> bool:
    """Tell whether a connection to a host that is this computer may end at a listening address."""
    if address in WILDCARDS or host == address:
        return True
    if host == "localhost" or host.endswith(".localhost"):
        return address == "::1" or address.startswith("127.")
    return not any(character in host for character in ".:") and not address.startswith("127.")
