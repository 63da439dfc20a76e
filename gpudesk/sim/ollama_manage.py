"""Endpoints that change what is on the disk: pull, delete, copy, blobs.

Source: ollama server/routes.go:1102, :1247, :1647, :1700-1755, server/images.go:998-1122, server/download.go:440 at
v0.33.0-rc2.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_runner import EngineError
from gpudesk.sim.ollama_bodies import read_body
from gpudesk.sim.ollama_store import layers_of, normalize

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.ollama_server import OllamaServer

    Tell = Callable[[dict[str, Any]], None]

PULL_STEPS = 40
"""Progress lines per file; a real server writes one every 60 ms."""
SMALL_BYTES = 1 << 16
"""A file of so much comes in one piece."""
NO_HOST = "dial tcp: lookup registry.ollama.ai: no such host"
NO_MANIFEST = "pull model manifest: file does not exist"


def _sleep(server: OllamaServer, exchange: Exchange, seconds: float) -> None:
    """Wait for simulated time to pass."""
    until = server.clock.elapsed() + seconds
    server.clock.call_later(seconds, server.clock.changed.notify_all)
    exchange.wait(lambda: server.clock.elapsed() >= until)


def pull(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/pull: progress as lines; what is not there is an error line with status 200."""
    body = read_body(exchange.body, "PullRequest")
    normal = normalize(body.get("model") or body.get("name") or "")
    if normal is None:
        raise EngineError(400, "invalid model name")
    streams = body.get("stream") is not False
    tell: Tell = exchange.line if streams else _nobody
    fetch(server, exchange, normal, tell)
    tell({"status": "success"})
    if not streams:
        exchange.json(200, {"status": "success"})


def fetch(server: OllamaServer, exchange: Exchange, name: str, tell: Tell) -> SimulatedModel:
    """Bring a model from the registry, file by file; what is there of a file already is not brought again.

    Raises:
        EngineError: the registry does not have it, or is out of reach.
    """
    tell({"status": "pulling manifest"})
    with server.clock.changed:
        model = None if server.store.offline else server.store.available(name)
        before = server.store.find(name)
    if server.store.offline:
        raise EngineError(500, f'pull model manifest: Get "{_manifest_url(name)}": {NO_HOST}')
    if model is None:
        raise EngineError(500, NO_MANIFEST)
    files = layers_of(model)
    for digest, total in files:
        _fetch_file(server, exchange, digest, total, tell)
    tell({"status": "verifying sha256 digest"})
    tell({"status": "writing manifest"})
    with server.clock.changed:
        server.store.put(replace(model, name=name, blob_key=model.blob_key or model.name))
        unused = before is not None and not server.store.has_blob(before.blob_digest)
        server.store.blobs.difference_update(digest for digest, _total in files)
    if unused:
        tell({"status": "removing unused layers"})
    return model


def _fetch_file(server: OllamaServer, exchange: Exchange, digest: str, total: int, tell: Tell) -> None:
    store = server.store
    progress: dict[str, Any] = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": total}
    with server.clock.changed:
        done = total if store.has_blob(digest) else store.partial.get(digest, 0)
    tell({**progress, "completed": done} if done else progress)
    piece = max(SMALL_BYTES, -(-total // PULL_STEPS))
    while done < total:
        if done * 2 >= total:
            exchange.middle()
        size = min(piece, total - done)
        _sleep(server, exchange, size / server.settings.pull_bytes_per_second)
        done += size
        with server.clock.changed:
            store.partial[digest] = done
            if done >= total:
                del store.partial[digest]
                store.blobs.add(digest)
        tell({**progress, "completed": done})


def _nobody(_line: dict[str, Any]) -> None:
    """Tell nobody how far it is."""


def _manifest_url(name: str) -> str:
    """Return where the registry keeps the manifest of a name."""
    rest, _colon, tag = name.rpartition(":")
    path = rest if "/" in rest else f"library/{rest}"
    return f"https://registry.ollama.ai/v2/{path}/manifests/{tag}"


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
