"""What Continue asks of Ollama for one entry of its configuration.

After core/llm/llms/Ollama.ts, core/llm/index.ts and core/autocomplete/ of continuedev/continue at d0a3c0b626
(2026-06-18, the last commit), bundled and recorded against a server that writes requests down. What llm-info guesses
from the names of well-known models is left out: no name of a test is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import httpx

from tests.live.api import Api

DEFAULT_CONTEXT = 8192
DEFAULT_TOKENS = 4096
DEFAULT_KEEP_ALIVE = 1800
AUTOCOMPLETE_TEMPERATURE = 0.01
STAR_TEMPLATE = "<fim_prefix>{{{prefix}}}<fim_suffix>{{{suffix}}}<fim_middle>"
"""Of every model whose name tells nothing (core/autocomplete/templating/AutocompleteTemplate.ts)."""
STAR_STOPS = (
    *("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<|endoftext|>", "</fim_middle>", "</code>"),
    *("/src/", "#- coding: utf-8", "```"),
)
READ_LINES = 3
"""How much of an answer is read before somebody types on."""


class ContinueModel:
    """One entry, as Continue uses it from its start on.

    Attributes:
        sent: Every request so far: path and body.
    """

    def __init__(self, entry: Mapping[str, Any], *, knows_keep_alive: bool = True) -> None:
        """Read an entry.

        Args:
            entry: of `models:`.
            knows_keep_alive: False plays a version before 1.2.19, which drops `keepAlive` and a model's
                `contextLength` (b85c82103e, d6259a7304).
        """
        assert entry["provider"] == "ollama"
        options = entry.get("defaultCompletionOptions", {})
        newer = entry if knows_keep_alive else {}
        self.name = entry["model"]
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._api = Api(entry.get("apiBase", "http://localhost:11434"))
        self._extra = entry.get("requestOptions", {}).get("extraBodyProperties", {})
        self._keep_alive = options.get("keepAlive") if knows_keep_alive else None
        self._context = newer.get("contextLength", options.get("contextLength"))
        self._context_is_explicit = self._context is not None
        self._options = options
        self._stops: list[str] = list(options.get("stop", []))
        self._template = entry.get("autocompleteOptions", {}).get("template", STAR_TEMPLATE)
        self._template_has_suffix = False
        self._asked = False

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def chat(self, *, until_end: bool = True) -> None:
        """Ask one question, and read the answer to its end or until somebody presses stop."""
        self._ask_once()
        options = self._file_options(self._options.get("temperature"), self._stops)
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": "What does this function do?"}],
            "options": options,
            "keep_alive": self._kept_alive(),
            "stream": True,
        }
        self._stream("/api/chat", body, until_end=until_end)

    def complete(self, prefix: str = "def add(a, b):\n    ", suffix: str = "\n", *, until_end: bool = True) -> None:
        """Complete at one key press, to the end or until the next one.

        The way is chosen before the model is asked about, so the first completion is always a raw one.
        """
        by_template = self._template_has_suffix
        self._ask_once()
        temperature = self._options.get("temperature", AUTOCOMPLETE_TEMPERATURE)
        options = self._file_options(temperature, [*self._stops, *STAR_STOPS])
        if by_template:
            asked: dict[str, Any] = {"prompt": prefix, "suffix": suffix}
        else:
            text = self._template.replace("{{{prefix}}}", prefix).replace("{{{suffix}}}", suffix)
            asked = {"prompt": text, "raw": True}
        body = {"model": self.name, **asked, "options": options, "keep_alive": self._kept_alive(), "stream": True}
        self._stream("/api/generate", body, until_end=until_end)

    def embed(self, *chunks: str) -> None:
        """Embed parts of a file: neither options nor a keep-alive are said."""
        self._post("/api/embed", {"model": self.name, "input": list(chunks)})

    def _ask_once(self) -> None:
        """Ask about the model before the first request: its own context and stops."""
        if self._asked:
            return
        self._asked = True
        answer = self._post("/api/show", {"name": self.name})
        for line in answer.get("parameters", "").split("\n"):
            found = re.match(r'^(\S+)\s+("(?:.*)"|\S+)$', line)
            if found and found[1] == "num_ctx" and not self._context_is_explicit:
                self._context = int(found[2])
            elif found and found[1] == "stop":
                self._stops.append(found[2].strip('"'))
        self._template_has_suffix = ".Suffix" in answer.get("template", "")

    def _file_options(self, temperature: float | None, stops: list[str]) -> dict[str, Any]:
        asked = {
            "temperature": temperature,
            "top_p": self._options.get("topP"),
            "top_k": self._options.get("topK"),
            "num_predict": self._options.get("maxTokens", DEFAULT_TOKENS),
            "stop": stops or None,
            "num_ctx": DEFAULT_CONTEXT if self._context is None else self._context,
            "min_p": self._options.get("minP"),
        }
        return {name: value for name, value in asked.items() if value is not None}

    def _kept_alive(self) -> int:
        return DEFAULT_KEEP_ALIVE if self._keep_alive is None else int(self._keep_alive)

    def _body(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what goes over the wire: `extraBodyProperties` win over everything (packages/fetch/src/fetch.ts)."""
        body = {**body, **self._extra}
        self.sent.append((path, body))
        return body

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._api.post(path, **self._body(path, body))
        assert answer.status == 200, answer
        return answer.json

    def _stream(self, path: str, body: dict[str, Any], *, until_end: bool) -> None:
        with self._api.stream(path, **self._body(path, body)) as response:
            assert response.status_code == httpx.codes.OK, response.read()
            lines = list(islice(response.iter_lines(), None if until_end else READ_LINES))
            assert lines
            assert '"error"' not in lines[-1]
