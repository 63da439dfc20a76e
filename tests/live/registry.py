"""A registry on loopback with one model: what a real server pulls from without leaving the machine.

Source: ollama server/download.go at v0.5.4: a file's address must redirect to another host name, from where it is
fetched with `Range`.
"""

from __future__ import annotations

import json
import re
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

HOLD_SECONDS = 30.0
SMALL_BYTES = 100_000
REPOSITORY = "gpudesk-test/pulled"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Registry(Protocol):
    """Where one model can be pulled from, and made to come slowly."""

    @property
    def name(self) -> str:
        """What to pull."""
        ...

    @property
    def unknown(self) -> str:
        """A name it does not have."""
        ...

    @property
    def installed_name(self) -> str:
        """What the pulled model is called."""
        ...

    @property
    def starts(self) -> list[int]:
        """Where in the weights each request for them began; empty where that cannot be seen."""
        ...

    def hold(self) -> None:
        """Stop half-way through the weights until `let_go`."""
        ...

    def let_go(self) -> None:
        """Send everything at once."""
        ...


class LoopbackRegistry:
    """The real thing for a real server: HTTP, manifests, files by digest."""

    def __init__(self, weights: Path) -> None:
        content = weights.read_bytes()
        config = {
            "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "4M",
            "file_type": "F16", "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []},
        }  # fmt: skip
        parts = {
            "application/vnd.docker.container.image.v1+json": json.dumps(config).encode(),
            "application/vnd.ollama.image.model": content,
            "application/vnd.ollama.image.template": b"{{ .Prompt }}",
        }
        self.files = {f"sha256:{sha256(part).hexdigest()}": part for part in parts.values()}
        listed = [
            {"mediaType": kind, "digest": digest, "size": len(part)}
            for (kind, part), digest in zip(parts.items(), self.files, strict=True)
        ]
        self.manifest = json.dumps(
            {
                "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": listed[0], "layers": listed[1:],
            }
        ).encode()  # fmt: skip
        self.starts: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="test-registry", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def name(self) -> str:
        """What to pull."""
        return f"http://{self.installed_name}"

    @property
    def unknown(self) -> str:
        """A name it does not have."""
        return f"http://127.0.0.1:{self.port}/gpudesk-test/nowhere:latest"

    @property
    def installed_name(self) -> str:
        """What the pulled model is called."""
        return f"127.0.0.1:{self.port}/{REPOSITORY}:latest"

    def hold(self) -> None:
        """Stop half-way through the weights until `let_go`."""
        self.gate.clear()

    def let_go(self) -> None:
        """Send everything at once."""
        self.gate.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, registry: LoopbackRegistry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registry = registry

    def handle_error(self, request: object, client_address: object) -> None:
        """A server that cancels a pull hangs up in the middle."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        registry = self.server.registry
        digest = self.path.rpartition("/")[2]
        if self.path == f"/v2/{REPOSITORY}/manifests/latest":
            self._send(200, registry.manifest)
        elif self.path.startswith("/data/"):
            self._send_part(registry.files[digest])
        elif digest in registry.files and self.command == "GET":
            self._send(307, b"", Location=f"http://localhost:{registry.port}/data/{digest}")
        elif digest in registry.files:
            self._send(200, registry.files[digest])
        else:
            self._send(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_part(self, content: bytes) -> None:
        asked = _RANGE.fullmatch(self.headers.get("Range") or "bytes=0-")
        assert asked is not None
        first = int(asked[1])
        part = content[first : int(asked[2]) + 1 if asked[2] else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        registry = self.server.registry
        if len(content) > SMALL_BYTES:
            registry.starts.append(first)
            if not registry.gate.is_set():
                half = len(part) // 2
                self.wfile.write(part[:half])
                self.wfile.flush()
                registry.gate.wait(HOLD_SECONDS)
                part = part[half:]
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Keep quiet."""
