"""A stepped clock, a desk and a tiny Ollama for the tests of its sources."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gpudesk.clock import Clock
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.model import InstalledModel
from tests.servers import Behavior, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)


@dataclass
class Steps:
    """Time that only moves when told to."""

    seconds: float = 0.0

    def step(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: START + timedelta(seconds=self.seconds), monotonic=lambda: 100.0 + self.seconds)


@dataclass
class TinyOllama:
    """Answers as told; every part may be changed while it runs."""

    version: Any = "0.33.0"
    loaded: list[Any] = field(default_factory=list)
    installed: list[Any] = field(default_factory=list)
    show: Callable[[str], Any] = field(default_factory=lambda: show_of)
    date: str | None = None
    broken: dict[str, Behavior] = field(default_factory=dict)
    """Another behavior by path."""

    def __call__(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path in self.broken:
            self.broken[path](exchange)
            return
        value = self._answer(path, exchange)
        code = 200
        if isinstance(value, int):
            code, value = value, {"error": f"synthetic error {value}"}
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        exchange.send_head(code, headers | ({"Date": self.date} if self.date else {}))
        exchange.send(body)

    def _answer(self, path: str, exchange: Exchange) -> Any:
        if path == "/api/show":
            return self.show(exchange.request.json["model"])
        listed = {"/api/ps": self.loaded, "/api/tags": self.installed}
        return {"models": listed[path]} if path in listed else {"version": self.version}


def digest_of(name: str) -> str:
    """A digest that looks like one."""
    return name.encode().hex().ljust(64, "0")[:64]


def show_of(name: str) -> dict[str, Any]:
    """A verbose answer for a model whose weights are `digest_of("weights of <name>")`."""
    return {
        "modelfile": f"# FROM {name}\n\nFROM /m/blobs/sha256-{digest_of('weights of ' + name)}\nTEMPLATE x\n",
        "details": {"family": "qwen3", "format": "gguf"},
        "model_info": {
            "general.architecture": "qwen3",
            "qwen3.block_count": 40,
            "qwen3.context_length": 40960,
            "qwen3.attention.head_count_kv": [8] * 40,
            "tokenizer.ggml.tokens": ["a", "b]", '"'],
        },
        "tensors": [{"name": "blk.0.attn_k.weight", "type": "Q4_K", "shape": [5120, 1024]}],
        "capabilities": ["completion", "tools"],
    }


def desk_of(url: str, loaded: tuple[str, ...] = (), installed: tuple[str, ...] = ()) -> Desk:
    """A desk that shows these models of one engine."""
    return Desk(
        START,
        models=tuple(LoadedModel(name, url, digest_of(name)) for name in loaded),
        installed=tuple(InstalledModel(name, url, digest_of(name)) for name in installed),
    )
