"""The simulated Ollama server: routes, lists, and what the simulation can do to it."""

from __future__ import annotations

import ipaddress
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from gpudesk.sim import ollama_create, ollama_inference, ollama_manage
from gpudesk.sim.engine_runner import EngineError, EngineRequest
from gpudesk.sim.engine_scheduler import Scheduler
from gpudesk.sim.ollama_bodies import read_body
from gpudesk.sim.ollama_faults import (
    ANSWER_KINDS,
    NO_JSON,
    Fault,
    FaultAnsweredError,
    Faults,
    StepFault,
    happen,
    step_of,
)
from gpudesk.sim.ollama_http import TEXT_TYPE, ClientGoneError, HttpListener
from gpudesk.sim.ollama_show import details, go_time, show
from gpudesk.sim.ollama_store import ModelStore, normalize, size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gpudesk.sim.clock import SimulatedClock
    from gpudesk.sim.engine_cards import EngineCards
    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.processes import SimulatedProcessTable


CLOSE_SECONDS = 5.0


class OllamaServer:
    """One server: `start`, `stop` and `restart` like a service, `kill` like the out-of-memory killer.

    `fault` lets a step of a client's go wrong; `Fault` in `faults` replaces the answers of a whole path.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        cards: EngineCards,
        processes: SimulatedProcessTable,
        settings: EngineSettings,
        models: Iterable[SimulatedModel],
    ) -> None:
        self.clock = clock
        self.cards = cards
        self.processes = processes
        self.settings = settings
        self.store = ModelStore(clock, models)
        self.scheduler = Scheduler(clock, cards, processes, settings)
        self.faults: dict[str, Fault] = {}
        """Path to what is wrong with it; `*` is every path."""
        self.step_faults = Faults()
        """What goes wrong at a step of a client's; see `fault`."""
        self.scheduler.trouble = self.step_faults.load_trouble
        self.scheduler.residents.memory_delay = self.step_faults.memory_delay
        self.requests: dict[str, int] = {}
        """How often each path was asked for."""
        self._listener: HttpListener | None = None
        self._closing: threading.Thread | None = None
        self._port = 0

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> None:
        """Begin to listen on a loopback port; after a stop, on the same one again."""
        if self._listener is not None:
            return
        if self._closing is not None:
            self._closing.join(CLOSE_SECONDS)
        self.start_process()
        self._listener = HttpListener(self, port or self._port)
        self._port = self._listener.port
        self.processes.listen(self.scheduler.server_pid, "127.0.0.1", self._port)

    def start_process(self) -> None:
        """Let `ollama serve` appear in the process table."""
        if not self.scheduler.server_pid:
            self.scheduler.server_pid = self.processes.spawn(
                name="ollama",
                argv=(self.settings.executable, "serve"),
                user="ollama",
                age_seconds=0 if self._port else 86_000,
                resident_bytes=96 << 20,
            )

    def stop(self) -> None:
        """End like a service that is told to stop: its runners go with it, every client is cut off."""
        listener = self._die()
        if listener is not None:
            listener.close()

    def stop_soon(self) -> None:
        """Stop from inside a timer: everything ends now, the socket is closed by a thread that may wait for it."""
        listener = self._die()
        self._close_soon(listener)

    def kill(self) -> None:
        """End by SIGKILL: every client is cut off, and its runners stay behind with all they hold.

        So does `ollama runner` of 0.5.4 on Linux unless something ends the whole group, as systemd does. A new server
        knows nothing of them.
        """
        listener = self._die(leaves_runners=True)
        self._close_soon(listener)

    def _close_soon(self, listener: HttpListener | None) -> None:
        if listener is not None:
            self._closing = threading.Thread(target=listener.close, name="simulated-server-stop", daemon=True)
            self._closing.start()

    def _die(self, *, leaves_runners: bool = False) -> HttpListener | None:
        with self.clock.changed:
            self.scheduler.close(leaves_runners=leaves_runners)
            self.processes.end(self.scheduler.server_pid)
            self.scheduler.server_pid = 0
            listener, self._listener = self._listener, None
        return listener

    def restart(self) -> None:
        """Come back after a stop, on the same port if it ever listened on one."""
        self.start_process()
        if self._port:
            self.start()

    @property
    def running(self) -> bool:
        """There is a server process."""
        return self.scheduler.server_pid != 0

    @property
    def url(self) -> str:
        """Where it listens, or did."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def clock_skew_seconds(self) -> float:
        """The server's clock minus the workstation's."""
        return self.settings.clock_skew_seconds

    # -- answers -------------------------------------------------------------------------------------------------

    def created_at(self) -> str:
        """Return the time an answer carries: UTC."""
        moment = self.clock.now() + timedelta(seconds=self.clock_skew_seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def find(self, name: str, missing: EngineError) -> SimulatedModel:
        """Return the installed model of that name.

        Raises:
            EngineError: `missing`, when there is none.
        """
        with self.clock.changed:
            model = self.store.find(name) if name else None
        if model is None:
            raise missing
        return model

    def answer(self, exchange: Exchange) -> None:
        """Answer one request like gin would: host check, route, method."""
        if not self.running:
            raise ClientGoneError
        path = exchange.path
        self.requests[path] = self.requests.get(path, 0) + 1
        fault = self.faults.get(path) or self.faults.get("*")
        if fault is not None and self._faulty(exchange, fault):
            return
        step, model = step_of(self, exchange) if self.step_faults else ("", "")
        met = self.step_faults.met(step, model, ANSWER_KINDS) if step else None
        if met is None:
            self._route(exchange)
            return
        try:
            self._route_with(met, step, exchange)
        except FaultAnsweredError:
            return

    def _route_with(self, fault: StepFault, step: str, exchange: Exchange) -> None:
        """Answer one request to which something happens."""
        if fault.moment == "after":
            exchange.withhold()
            self._route(exchange)
            happen(fault, self, exchange)
            exchange.give()
        elif fault.moment == "middle" and step in ("load", "pull"):
            exchange.at_middle = partial(happen, fault, self, exchange)
            self._route(exchange)
        else:
            happen(fault, self, exchange)
            self._route(exchange)

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path
        if not _is_local_host(exchange.headers.get("Host", "")):
            exchange.send(403)
            return
        methods = self._methods(path)
        handler = methods.get(exchange.method)
        if handler is not None:
            handler(self, exchange)
        elif methods and self.settings.version_key >= (0, 6, 9):
            exchange.send(405, b"405 method not allowed", TEXT_TYPE)
        else:
            exchange.send(404, b"404 page not found", TEXT_TYPE)

    def suits(self, name: str, body: dict[str, Any]) -> bool:
        """Tell whether a request would find its model loaded as it wants it."""
        with self.clock.changed:
            model = self.store.find(name) if name else None
            if model is None:
                return False
            try:
                options = ollama_inference.options_for(self, model, body)
            except EngineError:
                return False
            return self.scheduler.suits(EngineRequest(model, options, None))

    # -- faults --------------------------------------------------------------------------------------------------

    def fault(
        self,
        step: str,
        kind: str,
        *,
        moment: str = "before",
        times: int | None = 1,
        model: str | None = None,
        status: int = 500,
        text: str = "boom",
        body: bytes = NO_JSON,
        seconds: float | None = None,
        action: Callable[[], object] | None = None,
    ) -> StepFault:
        """Let something go wrong at a step; `gpudesk.sim.ollama_faults` says what there is.

        Raises:
            ValueError: there is no such step, kind or moment.
        """
        return self.step_faults.add(StepFault(step, kind, moment, times, model, status, text, body, seconds, action))

    def _faulty(self, exchange: Exchange, fault: Fault) -> bool:
        fault.calls += 1
        if fault.wait_for is not None:
            exchange.wait(fault.wait_for.is_set)
        if fault.body is None:
            return False
        exchange.send(fault.status, fault.body, fault.content_type)
        return True

    def _methods(self, path: str) -> dict[str, Callable[[OllamaServer, Exchange], None]]:
        if path.startswith("/api/blobs/"):
            return {"HEAD": ollama_manage.blob, "POST": ollama_manage.blob}
        if path == "/api/status" and self.settings.version_key < (0, 16, 2):
            return {}
        return ROUTES.get(path, {})


def _is_local_host(header: str) -> bool:
    """Tell whether a Host header may be served on loopback (ollama server/routes.go:1803 at v0.33.0-rc2)."""
    host = header.rsplit(":", 1)[0] if not header.endswith("]") and header.count(":") != 0 else header
    host = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def _root(_server: OllamaServer, exchange: Exchange) -> None:
    exchange.send(200, b"Ollama is running", TEXT_TYPE)


def _version(server: OllamaServer, exchange: Exchange) -> None:
    exchange.json(200, {"version": server.settings.version})


def _status(server: OllamaServer, exchange: Exchange) -> None:
    disabled = server.settings.cloud_disabled
    exchange.json(200, {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})


def _modified_at(server: OllamaServer, seconds: float) -> str:
    return go_time(server.clock.start_at + timedelta(seconds=seconds), server.settings)


def _tags(server: OllamaServer, exchange: Exchange) -> None:
    with server.clock.changed:
        listed = server.store.listed()
    newest = server.settings.version_key >= (0, 30, 0)
    rows = []
    for model, modified in listed:
        row: dict[str, Any] = {"name": model.name, "model": model.name}
        if model.remote:
            row |= {"remote_model": model.remote_model, "remote_host": model.remote_host}
        row |= {
            "modified_at": _modified_at(server, modified),
            "size": size_bytes(model),
            "digest": model.digest,
            "details": details(model),
        }
        if newest:
            row["details"] |= {
                "context_length": model.shape.context_length,
                "embedding_length": model.shape.embedding_length,
            }
            row["capabilities"] = list(model.capabilities)
        rows.append(row)
    exchange.json(200, {"models": rows})


def _ps(server: OllamaServer, exchange: Exchange) -> None:
    exchange.wait(lambda: server.clock.elapsed() >= server.scheduler.residents.ps_blocked_until)
    with server.clock.changed:
        visible = server.scheduler.visible()
        rows = [_ps_row(server, runner, expires_at) for runner, expires_at in visible]
    exchange.json(200, {"models": rows})


def _ps_row(server: OllamaServer, runner: Any, expires_at: Any) -> dict[str, Any]:
    row = {
        "name": runner.model.name,
        "model": runner.model.name,
        "size": runner.claim.size,
        "digest": runner.model.digest,
        "details": details(runner.model, parent=False),
        "expires_at": go_time(expires_at, server.settings),
        "size_vram": runner.claim.size_vram,
    }
    if server.settings.version_key >= (0, 9, 7):
        row["context_length"] = runner.run.context_length
    return row


def _show(server: OllamaServer, exchange: Exchange) -> None:
    body = read_body(exchange.body, "ShowRequest")
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise EngineError(400, "model is required")
    whole = normalize(name)
    if whole is None:
        raise EngineError(400, "invalid model name")
    # Since llama-server (0.30) the name is completed before it is looked for; seen on 0.33.0-rc2.
    asked = whole if server.settings.version_key >= (0, 30, 0) else name
    model = server.find(name, EngineError(404, f"model '{asked}' not found"))
    if model.remote and server.settings.cloud_disabled:
        raise EngineError(403, "ollama cloud is disabled: remote model details are unavailable")
    modified = _modified_at(server, server.store.modified_seconds(model))
    exchange.json(200, show(model, server.settings, modified, verbose=bool(body.get("verbose"))))


def _openai_models(server: OllamaServer, exchange: Exchange) -> None:
    with server.clock.changed:
        listed = server.store.listed()
    created = int(server.clock.start_at.timestamp())
    rows = [
        {"id": model.name, "object": "model", "created": created + int(modified), "owned_by": "library"}
        for model, modified in listed
    ]
    exchange.json(200, {"object": "list", "data": rows})


ROUTES: dict[str, dict[str, Callable[[OllamaServer, Exchange], None]]] = {
    "/": {"GET": _root, "HEAD": _root},
    "/api/version": {"GET": _version, "HEAD": _version},
    "/api/status": {"GET": _status},
    "/api/tags": {"GET": _tags, "HEAD": _tags},
    "/api/ps": {"GET": _ps},
    "/api/show": {"POST": _show},
    "/api/generate": {"POST": ollama_inference.generate},
    "/api/chat": {"POST": ollama_inference.chat},
    "/api/embed": {"POST": ollama_inference.embed},
    "/api/embeddings": {"POST": ollama_inference.embeddings},
    "/api/pull": {"POST": ollama_manage.pull},
    "/api/delete": {"DELETE": ollama_manage.delete},
    "/api/copy": {"POST": ollama_manage.copy},
    "/api/create": {"POST": ollama_create.create},
    "/v1/models": {"GET": _openai_models},
    "/v1/chat/completions": {"POST": lambda server, exchange: ollama_inference.openai(server, exchange, chats=True)},
    "/v1/completions": {"POST": lambda server, exchange: ollama_inference.openai(server, exchange, chats=False)},
}
"""Path to what each method does (ollama server/routes.go:1885-1925 at v0.33.0-rc2)."""
