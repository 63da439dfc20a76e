"""Endpoints that change what is on the disk: pull, delete, copy, create, blobs.

Source: ollama server/routes.go:1102, :1247, :1647, :1700-1755, server/images.go:998-1122, server/create.go,
server/download.go:440 at v0.33.0-rc2.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_runner import EngineError
from gpudesk.sim.ollama_bodies import read_body
from gpudesk.sim.ollama_store import normalize, pullable, size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.ollama_server import OllamaServer

PULL_BYTES_PER_SECOND = 100_000_000
PULL_STEPS = 40
"""Progress lines per file; a real server writes one every 60 ms."""
NO_MANIFEST = "pull model manifest: file does not exist"


def _sleep(server: OllamaServer, exchange: Exchange, seconds: float) -> None:
    """Wait for simulated time to pass."""
    until = server.clock.elapsed() + seconds
    server.clock.call_later(seconds, server.clock.changed.notify_all)
    exchange.wait(lambda: server.clock.elapsed() >= until)


def pull(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/pull: progress as lines; what is not there is an error line with status 200."""
    body = read_body(exchange.body, "PullRequest")
    name = body.get("model") or body.get("name") or ""
    normal = normalize(name)
    if normal is None:
        raise EngineError(400, "invalid model name")
    model = pullable(normal)
    streams = body.get("stream") is not False
    if streams:
        exchange.line({"status": "pulling manifest"})
    if model is None:
        exchange.error(500, NO_MANIFEST)
        return
    digest, total = model.blob_digest, size_bytes(model)
    with server.clock.changed:
        present = server.store.has_blob(digest)
    steps = 1 if present else PULL_STEPS
    for step in range(0 if not present else 1, steps + 1):
        if step and not present:
            _sleep(server, exchange, total / PULL_BYTES_PER_SECOND / steps)
        if streams:
            progress: dict[str, Any] = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}"}
            progress["total"] = total
            if step:
                progress["completed"] = total * step // steps
            exchange.line(progress)
    with server.clock.changed:
        server.store.put(model)
    if streams:
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            exchange.line({"status": status})
    else:
        exchange.json(200, {"status": "success"})


def delete(server: OllamaServer, exchange: Exchange) -> None:
    """DELETE /api/delete: removes the name; a loaded model stays loaded."""
    body = read_body(exchange.body, "DeleteRequest")
    name = body.get("model") or body.get("name") or ""
    if normalize(name) is None:
        raise EngineError(400, f'name "{name}" is invalid')
    with server.clock.changed:
        model = server.store.find(name)
        if model is None:
            raise EngineError(404, f"model '{name}' not found")
        server.store.remove(model)
    exchange.send(200)


def copy(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/copy: a second name for the same files; an existing destination is replaced."""
    body = read_body(exchange.body, "CopyRequest")
    source, destination = body.get("source") or "", body.get("destination") or ""
    if normalize(source) is None:
        raise EngineError(400, f'source "{source}" is invalid')
    target = normalize(destination)
    if target is None:
        raise EngineError(400, f'destination "{destination}" is invalid')
    with server.clock.changed:
        model = server.store.find(source)
        if model is None:
            raise EngineError(404, f'model "{source}" not found')
        server.store.copy(model, target)
    exchange.send(200)


def create(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/create: from another model with other parameters, or from an uploaded file."""
    body = read_body(exchange.body, "CreateRequest")
    name = body.get("model") or body.get("name") or ""
    target = normalize(name)
    if target is None:
        raise EngineError(400, "invalid model name")
    lines = list(_create(server, body, target))
    if body.get("stream") is False:
        exchange.json(200, {"status": "success"})
        return
    for status in lines:
        exchange.line({"status": status})


def _create(server: OllamaServer, body: dict[str, Any], target: str) -> Iterator[str]:
    origin, files = body.get("from"), body.get("files") or {}
    if not origin and not files:
        raise EngineError(400, "neither 'from' or 'files' was specified")
    with server.clock.changed:
        if origin:
            base = server.store.find(str(origin)) or pullable(str(origin))
            if base is None:
                raise EngineError(400, f'pull model manifest: file does not exist: "{origin}"')
            model = replace(base, name=target, blob_key=base.blob_key or base.name, parent_model=base.name)
        else:
            digest = str(next(iter(files.values()))).removeprefix("sha256:")
            if digest not in server.store.blobs:
                raise EngineError(400, f"blob sha256:{digest} not found")
            yield "parsing GGUF"
            model = replace(_uploaded(server), name=target, blob_key=digest)
        parameters = {**model.parameter_values, **(body.get("parameters") or {})}
        model = replace(
            model,
            parameters=tuple(parameters.items()),
            template=body.get("template") or model.template,
            system=body.get("system") or model.system,
        )
        server.store.put(model)
    yield f"using existing layer sha256:{model.blob_digest}"
    yield f"creating new layer sha256:{sha256(repr(model.parameters).encode()).hexdigest()}"
    yield "writing manifest"
    yield "success"


def _uploaded(server: OllamaServer) -> SimulatedModel:
    """Return the shape an uploaded file is taken for: it is not parsed, any small chat model will do."""
    found = pullable("llama3.2:1b")
    assert found is not None
    assert server is not None
    return found


def blob(server: OllamaServer, exchange: Exchange) -> None:
    """HEAD or POST /api/blobs/sha256:<hex>: is it there, or here it is."""
    digest = exchange.path.rpartition("/")[2]
    if not digest.startswith("sha256:") or len(digest) != 71:
        raise EngineError(400, "invalid digest format")
    wanted = digest.removeprefix("sha256:")
    with server.clock.changed:
        present = server.store.has_blob(wanted)
    if exchange.method == "HEAD":
        exchange.send(200 if present else 404)
    elif present:
        exchange.send(200)
    else:
        found = sha256(exchange.body).hexdigest()
        if found != wanted:
            raise EngineError(400, f'digest mismatch, expected "{digest}", got "sha256:{found}"')
        with server.clock.changed:
            server.store.blobs.add(wanted)
        exchange.send(201)
