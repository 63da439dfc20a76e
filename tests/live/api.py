"""A plain client for tests: one request, one answer, nothing interpreted.

The program's own client is left out on purpose: the suite checks what is on the wire.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

REQUEST_SECONDS = 30.0
POLL_SECONDS = 0.02
PS_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its status, and its body as text and, line by line, as JSON."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The body as one JSON value."""
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """The body as NDJSON."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def error(self) -> str:
        """The text of Ollama's error form, which has nothing beside it."""
        (text,) = self.json.values()
        assert list(self.json) == ["error"]
        assert isinstance(text, str)
        return text


class Api:
    """Ollama's API at one address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(self, method: str, path: str, body: Any = None, content: bytes | None = None) -> Answer:
        """Send one request with a JSON body, or with these bytes."""
        data = content if content is not None else None if body is None else json.dumps(body).encode()
        response = self._client.request(method, path, content=data)
        return Answer(response.status_code, response.text)

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self.request("GET", path)

    def post(self, path: str, **body: Any) -> Answer:
        """POST these fields as JSON."""
        return self.request("POST", path, body)

    def stream(self, path: str, **body: Any) -> AbstractContextManager[httpx.Response]:
        """POST these fields and read the answer as it comes; leaving the block closes the connection."""
        return self._client.stream("POST", path, content=json.dumps(body).encode())

    def loaded(self) -> dict[str, dict[str, Any]]:
        """What `/api/ps` lists, by name.

        Asked again where it is 500 without a body: until v0.32.4 (ollama 6cd40001a) the list was read without a lock,
        and a model that is just being unloaded ends the request with a nil pointer (server/routes.go:1419 at v0.5.4).
        """
        answer = self.get("/api/ps")
        for _ in range(PS_ATTEMPTS):
            if (answer.status, answer.text) != (500, ""):
                break
            answer = self.get("/api/ps")
        return {model["name"]: model for model in answer.json["models"]}

    def installed(self) -> dict[str, dict[str, Any]]:
        """What `/api/tags` lists, by name."""
        return {model["name"]: model for model in self.get("/api/tags").json["models"]}

    def create_from_file(self, name: str, path: Path, version: tuple[int, ...]) -> None:
        """Upload a GGUF file and make a model of it, in the form this version takes."""
        content = path.read_bytes()
        digest = f"sha256:{sha256(content).hexdigest()}"
        uploaded = self.request("POST", f"/api/blobs/{digest}", content=content)
        assert uploaded.status in {200, 201}, uploaded
        if version < (0, 5, 5):
            made = self.post("/api/create", model=name, modelfile=f"FROM @{digest}", stream=False)
        else:
            made = self.post("/api/create", model=name, files={path.name: digest}, stream=False)
        assert made.status == 200, made

    def create_derived(self, name: str, origin: str, num_ctx: int, version: tuple[int, ...]) -> None:
        """Make a model that shares another's file and has its own context."""
        if version < (0, 5, 5):
            text = f"FROM {origin}\nPARAMETER num_ctx {num_ctx}\n"
            made = self.post("/api/create", model=name, modelfile=text, stream=False)
        else:
            parameters = {"num_ctx": num_ctx}
            made = self.post("/api/create", model=name, **{"from": origin}, parameters=parameters, stream=False)
        assert made.status == 200, made

    def unload(self, name: str) -> None:
        """Unload a model and wait until it is gone."""
        assert self.post("/api/generate", model=name, keep_alive=0).status == 200
        self.wait_until(lambda: name not in self.loaded(), f"{name} unloads")

    def wait_until(self, happened: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
        """Wait for a condition, and fail with its description when it does not come."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
            time.sleep(POLL_SECONDS)


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a version such as `0.5.4-ipexllm-20250407` or `0.33.0-rc2`."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))
