"""What can be made to go wrong with the simulated server, step by step of what a client does.

Everything goes through one call::

    fault = workstation.server.fault("load", "hang", moment="middle")
    ...                       # the client loads; `fault.reached` is set once it is there
    fault.release()           # the request goes on as if nothing had been

A *step* is what the client wants, not the path it takes:

`version`, `tags`, `ps`, `show`
    what is only read;
`load`
    a request with nothing to say for a model that is not loaded, or not with these options;
`keep`
    the same for a model that is loaded and suits: the keep-alive is changed, nothing else happens;
`unload`
    nothing to say and a keep-alive of 0;
`ask`
    a request that is answered by a model (generate, chat, embed, the OpenAI forms);
`pull`, `delete`, `copy`, `create`
    what changes the disk;
`*`
    any of them.

A *kind* is what happens:

`hang`
    no answer until `release`; then the request goes on. The server itself keeps working.
`garbage`
    status 200 and `body` instead of the answer (an HTML page when none is given; `body=b"[]"` is JSON of the wrong
    kind); within a stream a line of it, and the stream ends.
`truncated`
    the first half of an answer, then the connection is closed.
`close`
    the connection is closed without a word.
`error`
    `status` and `{"error": text}`; within a stream that has begun an error line.
`stop`, `kill`
    the server ends at this step like a service, or by SIGKILL (its runners are left behind); `restart` brings it back.
`call`
    `action` is called, and the request goes on: somebody else loads in between, a runner is killed, a disk fills up.
`out-of-memory`, `cpu`, `stall`, `crash`
    of `load` only, and inside the engine: the card has no room though it was thought to have, the model comes to lie
    in host memory, the load never gets anywhere (the server gives up after five minutes), the runner dies half-way.
`late-memory`
    of `unload` only: the driver gives the memory of the next runners back after `seconds`; None is never. This
    also holds for runners that are evicted. `remove` ends it; what is kept already stays.

A *moment* is `before` (nothing has been done yet), `middle` (half of a load is on the card, half of a file is there,
and no more comes until it has happened; whatever has no middle takes it as before) or `after` (it is done, and the
answer does not arrive).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_keep_alive import KeepAliveError, parse_keep_alive
from gpudesk.sim.ollama_http import JSON_TYPE, ClientGoneError
from gpudesk.sim.ollama_store import normalize

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.engine_runner import EngineRequest, Runner
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.ollama_server import OllamaServer

STEPS = frozenset(
    ("version", "tags", "ps", "show", "load", "keep", "unload", "ask", "pull", "delete", "copy", "create", "*")
)
ANSWER_KINDS = frozenset(("hang", "garbage", "truncated", "close", "error", "stop", "kill", "call"))
LOAD_KINDS = frozenset(("out-of-memory", "cpu", "stall", "crash"))
MEMORY_KIND = "late-memory"
MOMENTS = frozenset(("before", "middle", "after"))
NO_JSON = b"<html><body>It works!</body></html>"

_PATHS = {
    "/api/version": "version", "/api/tags": "tags", "/api/ps": "ps", "/api/show": "show", "/api/pull": "pull",
    "/api/delete": "delete", "/api/copy": "copy", "/api/create": "create",
    "/v1/chat/completions": "ask", "/v1/completions": "ask",
}  # fmt: skip
_SAID = {"/api/generate": "prompt", "/api/chat": "messages", "/api/embed": "input", "/api/embeddings": "prompt"}
"""Path to the field that says something; without it the request only loads or unloads."""


class FaultAnsweredError(Exception):
    """A fault has ended the request, and nothing more is to be sent."""


@dataclass(slots=True)
class Fault:
    """Something wrong with one path of the server, until it is taken away."""

    status: int = 200
    body: bytes | None = None
    """Instead of the real answer; None lets the real one through."""
    content_type: str = JSON_TYPE
    wait_for: threading.Event | None = None
    """The answer is held back until this is set, in real time."""
    calls: int = field(default=0)


@dataclass(slots=True, eq=False)
class StepFault:
    """One thing that goes wrong at one step."""

    step: str
    kind: str
    moment: str = "before"
    times: int | None = 1
    """How often; None is until it is removed."""
    model: str | None = None
    """Only for this model; `qwen3` is `qwen3:latest`."""
    status: int = 500
    text: str = "boom"
    body: bytes = NO_JSON
    seconds: float | None = None
    action: Callable[[], object] | None = None
    calls: int = 0
    """How often it has happened."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Set as soon as a request has met it."""
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let a request that hangs go on, and the next ones as well."""
        self.released.set()

    def remove(self) -> None:
        """Let it happen no more; what hangs goes on."""
        self.times = 0
        self.released.set()

    @property
    def over(self) -> bool:
        """It has happened as often as it was to."""
        return self.times is not None and self.calls >= self.times

    def concerns(self, step: str, model: str) -> bool:
        """Tell whether a request meets it."""
        if self.over or self.step not in ("*", step):
            return False
        return self.model is None or (normalize(self.model) or self.model) == (normalize(model) or model)


class Faults:
    """All that is to go wrong with one server. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: list[StepFault] = []

    def __bool__(self) -> bool:
        return bool(self._listed)

    def add(self, fault: StepFault) -> StepFault:
        """Let something go wrong from now on.

        Raises:
            ValueError: there is no such step, kind or moment, or the kind does not go with the step.
        """
        kinds = ANSWER_KINDS
        if fault.step == "load":
            kinds |= LOAD_KINDS
        if fault.step == "unload":
            kinds |= {MEMORY_KIND}
        for given, known in ((fault.step, STEPS), (fault.kind, kinds), (fault.moment, MOMENTS)):
            if given not in known:
                raise ValueError(f"{given!r} is none of: {', '.join(sorted(known))}")
        with self._lock:
            self._listed.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything be well again."""
        with self._lock:
            listed, self._listed = self._listed, []
        for fault in listed:
            fault.remove()

    def met(self, step: str, model: str, kinds: frozenset[str]) -> StepFault | None:
        """Return what a request meets at this step, and count it."""
        with self._lock:
            self._listed = [fault for fault in self._listed if not fault.over]
            found = next((one for one in self._listed if one.kind in kinds and one.concerns(step, model)), None)
            if found is not None:
                found.calls += 1
                if found.kind not in ANSWER_KINDS:
                    found.reached.set()
        return found

    def load_trouble(self, request: EngineRequest) -> str:
        """Return which trouble a load gets into; empty is none."""
        met = self.met("load", request.model.name, LOAD_KINDS)
        return met.kind if met is not None else ""

    def memory_delay(self, runner: Runner) -> float | None:
        """Return after how many seconds the driver gives a runner's memory back; None is never."""
        met = self.met("unload", runner.model.name, frozenset((MEMORY_KIND,)))
        return met.seconds if met is not None else 0.0


def step_of(server: OllamaServer, exchange: Exchange) -> tuple[str, str]:
    """Return what a request wants, and which model it is about; ("", "") for what is no step."""
    try:
        body: Any = json.loads(exchange.body or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    model = str(body.get("model") or body.get("name") or body.get("source") or "")
    field_name = _SAID.get(exchange.path)
    if field_name is None:
        return _PATHS.get(exchange.path, ""), model
    if body.get(field_name):
        return "ask", model
    try:
        keep_alive = parse_keep_alive(body.get("keep_alive"), whole_seconds=False)
    except KeepAliveError:
        return "", model
    if keep_alive == 0 and not exchange.path.startswith("/api/embed"):
        return "unload", model
    return ("keep" if server.suits(model, body) else "load"), model


def happen(fault: StepFault, server: OllamaServer, exchange: Exchange) -> None:
    """Let it happen to a request that has come so far.

    Raises:
        FaultAnsweredError: the request has been answered by it.
        ClientGoneError: the connection is to be closed.
    """
    fault.reached.set()
    match fault.kind:
        case "hang":
            exchange.wait(fault.released.is_set)
        case "call":
            if fault.action is not None:
                fault.action()
        case "garbage":
            exchange.replace(200, fault.body, JSON_TYPE)
            raise FaultAnsweredError
        case "error":
            exchange.replace(fault.status, json.dumps({"error": fault.text}).encode(), JSON_TYPE)
            raise FaultAnsweredError
        case "truncated":
            exchange.break_off()
            raise ClientGoneError
        case "stop" | "kill":
            server.stop_soon() if fault.kind == "stop" else server.kill()
            raise ClientGoneError
        case _:
            raise ClientGoneError
