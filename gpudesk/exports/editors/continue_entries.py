"""The models of a configuration as Continue takes them, with what it will send for each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_edits import Fixes
from gpudesk.exports.editors.continue_known import DEFAULT_CONTEXT, known_context, max_tokens
from gpudesk.exports.editors.continue_schema import Reader
from gpudesk.exports.editors.continue_shapes import DEFAULT_ROLES, ROLES
from gpudesk.exports.requests import seconds_of
from gpudesk.records import dataclass
from gpudesk.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.exports.yaml_tree import Document, Node

AUTODETECT = "AUTODETECT"
DEFAULT_URL = "http://127.0.0.1:11434"
DEFAULT_KEEP_ALIVE_SECONDS = 1800
DEFAULT_PROMPT_TOKENS = 1024
TALKING = frozenset({"chat", "edit", "apply", "summarize", "subagent"})


class Source:
    """One file that was read and can be parsed."""

    __slots__ = ("document", "fixes", "is_block", "path", "reader")

    def __init__(self, path: Path, document: Document, *, is_block: bool) -> None:
        self.path = path
        self.document = document
        self.reader = Reader(document)
        self.fixes = Fixes(self.reader)
        self.is_block = is_block


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry under `models`."""

    source: Source
    index: int
    node: Node
    """As written: the mapping, or what an alias stands for."""
    shared: bool
    """Written elsewhere, or used elsewhere too."""
    name: str | None
    provider: str | None
    model: str | None
    roles: tuple[str, ...]
    has_roles: bool
    url: str | None
    """Base URL as the desk names engines; None when it cannot be told."""
    context_length: int | None
    """What the entry says itself, or what its `extraBodyProperties` say in its place."""
    max_tokens: int
    says_max_tokens: bool
    keep_alive: float | None
    """Seconds that chat and completions ask for, negative is forever; None: nothing is sent."""
    says_keep_alive: bool
    extra_keep_alive: bool
    """`keep_alive` stands in `extraBodyProperties`: for embeddings and old versions too."""

    @property
    def where(self) -> str:
        """Key path."""
        return f"models[{self.index}]"

    @property
    def is_ollama(self) -> bool:
        """Its requests go to Ollama's own API."""
        return self.provider == "ollama"

    @property
    def title(self) -> str:
        """How it is called in a sentence."""
        return clean(self.name or self.model or self.where, 60)

    @property
    def asked_context(self) -> int:
        """`num_ctx` of its requests, as long as the model has none of its own (core/llm/index.ts `BaseLLM`)."""
        if self.context_length is not None:
            return self.context_length
        return known_context(self.model or "") or DEFAULT_CONTEXT

    def owns(self, node: Node) -> bool:
        """A value is written in this entry and counts for no other."""
        return not self.shared and self.node.start <= node.start < self.node.end

    def get(self, *names: str) -> Node | None:
        """Return a value of it."""
        return self.source.reader.get(self.node, *names)


def entries_of(source: Source) -> list[Entry]:
    """Return the entries that are models; what is taken from elsewhere by `uses` is unknown here."""
    reader = source.reader
    found = []
    for index, item in enumerate(reader.items(reader.get(source.document.root, "models"))):
        node = reader.resolved(item)
        if node is None or node.kind != "mapping" or not reader.step():
            continue
        names = {key.value for key, _ in reader.pairs(node)}
        if "uses" in names and not {"name", "provider", "model"} <= names:
            continue
        found.append(_entry(source, index, item, node))
    return found


def _entry(source: Source, index: int, item: Node, node: Node) -> Entry:
    reader = source.reader

    def text(*names: str) -> str | None:
        value = reader.value(reader.get(node, *names))
        return value if isinstance(value, str) else None

    def number(*names: str) -> float | None:
        value = reader.value(reader.get(node, *names))
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    roles_node = reader.get(node, "roles")
    told = [reader.value(role) for role in reader.items(roles_node)]
    context = number("contextLength")
    context = number("defaultCompletionOptions", "contextLength") if context is None else context
    extra = reader.get(node, "requestOptions", "extraBodyProperties")
    if extra is None:
        extra = reader.get(source.document.root, "requestOptions", "extraBodyProperties")
    options = reader.get(extra, "options")
    if options is not None:
        sent = reader.value(reader.get(options, "num_ctx"))
        context = sent if isinstance(sent, int) and not isinstance(sent, bool) else None
    model = text("model")
    maximum = number("defaultCompletionOptions", "maxTokens")
    says, seconds = _keep_alive(
        reader.value(reader.get(extra, "keep_alive")), reader.get(extra, "keep_alive") is not None
    )
    own = number("defaultCompletionOptions", "keepAlive")
    whole = int(context) if context is not None and 0 < context < 1 << 31 else None
    return Entry(
        source=source,
        index=index,
        node=node,
        shared=item.kind == "alias" or reader.is_shared(node),
        name=text("name"),
        provider=text("provider"),
        model=model,
        roles=tuple(role for role in told if role in ROLES) if roles_node is not None else DEFAULT_ROLES,
        has_roles=roles_node is not None,
        url=_url(text("apiBase"), reader.get(node, "apiBase") is not None),
        context_length=whole,
        max_tokens=int(maximum) if maximum is not None and abs(maximum) < 1 << 31 else max_tokens(model, whole),
        says_max_tokens=maximum is not None,
        keep_alive=seconds if says else DEFAULT_KEEP_ALIVE_SECONDS if own is None else own,
        says_keep_alive=says or own is not None,
        extra_keep_alive=says,
    )


def _keep_alive(value: object, there: bool) -> tuple[bool, float | None]:
    """Return whether `keep_alive` is sent as an own property, and its seconds; None when they cannot be told."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return True, value
    if isinstance(value, str):
        return True, seconds_of(value)
    return there, None


def _url(text: str | None, there: bool) -> str | None:
    """Return the base URL as the desk names engines; Continue writes `localhost` as 127.0.0.1."""
    if text is None:
        return None if there else DEFAULT_URL
    if "${{" in text:
        return None
    found = re.match(
        r"(?P<scheme>https?)://(?:[^/@\s]*@)?(?P<host>\[[^\]]+\]|[^/:\s]+)(?::(?P<port>\d{1,5}))?", text.strip()
    )
    if found is None:
        return None
    host = found["host"].lower()
    host = "127.0.0.1" if host == "localhost" else host
    port = found["port"] or ("443" if found["scheme"] == "https" else "80")
    return f"{found['scheme']}://{host}:{port}"
