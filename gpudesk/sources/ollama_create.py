"""Deriving a model: the same weights under another name, with its own context.

A context baked in is the one thing that makes every client agree: requests over `/v1` cannot name one, and a request
that names none reloads a model that was loaded with one (ollama/ollama server/sched.go:1381 at v0.33.0-rc2).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from gpudesk.domain.model_name import is_model_name
from gpudesk.errors import FailureKind, SourceError
from gpudesk.sources.ollama_channel import StatusError, decoded
from gpudesk.sources.ollama_refusals import in_words
from gpudesk.sources.ollama_values import as_text, encoded

if TYPE_CHECKING:
    from gpudesk.cancellation import Cancellation
    from gpudesk.sources.ollama_channel import OllamaChannel

SHOW_SECONDS = 30.0
SHOW_BYTES = 64 << 20
STALL_SECONDS = 300.0
"""Without a line; nothing is read or written but a manifest, unless a very old version copies the file."""
_RULE = "A name is model:tag, or namespace/model:tag, of letters, digits, `_`, `-` and `.`"


def derive(channel: OllamaChannel, name: str, source: str, context_length: int, cancel: Cancellation) -> None:
    """Make `name` out of `source`, and see that it has the context.

    `source` is looked up first: Ollama would download what it does not have (server/create.go `parseFromModel`).

    Raises:
        CanceledError: `cancel` was.
        SourceError: it failed, in plain words.
    """
    for text in (name, source):
        if not is_model_name(text):
            raise SourceError(FailureKind.INVALID, f"{text!r} is no name for a model", _RULE)
    if _canonical(name) == _canonical(source):
        message = f"{name} cannot be derived from itself"
        raise SourceError(FailureKind.INVALID, message, "Give the new model another name or tag")
    _parameters(channel, source, cancel)
    try:
        _create(channel, {"model": name, "from": source, "parameters": {"num_ctx": context_length}}, cancel)
    except StatusError as error:
        if not (error.status == 400 and "modelfile" in (error.said or "").lower()):
            raise in_words(error, channel.url, name, "derive") from None
        _create_old(channel, name, source, context_length, cancel)
    baked = _parameters(channel, name, cancel).get("num_ctx")
    if baked != str(context_length):
        message = f"{channel.url} made {name}, but with a context of {baked or 'no length of its own'}"
        raise SourceError(FailureKind.FAILED, f"{message}, not {context_length}", "Delete it and derive it again")


def _create_old(channel: OllamaChannel, name: str, source: str, context_length: int, cancel: Cancellation) -> None:
    """Use the form of versions before 0.5.5, which know no `from` and answer it with `path or Modelfile are required`.

    Both names have been checked, so that neither can add a line to the file.
    """
    modelfile = f"FROM {source}\nPARAMETER num_ctx {context_length}\n"
    try:
        _create(channel, {"model": name, "modelfile": modelfile}, cancel)
    except StatusError as error:
        raise in_words(error, channel.url, name, "derive") from None


def _create(channel: OllamaChannel, fields: dict[str, Any], cancel: Cancellation) -> None:
    status = ""
    lines = channel.lines("/api/create", encoded(fields), cancel, patience=lambda: STALL_SECONDS)
    with closing(lines):
        for line in lines:
            status = as_text(line.get("status")) or status
    if status != "success":
        message = f"{channel.url} ended without saying that {fields['model']} was made"
        raise SourceError(FailureKind.LOST, message, "Its log says more: `journalctl -u ollama`, or ~/.ollama/logs")


def _parameters(channel: OllamaChannel, name: str, cancel: Cancellation) -> dict[str, str]:
    """Return the parameters of an installed model, as text by name: lines of a name, spaces and a value."""
    path = "/api/show"
    body = encoded({"model": name})
    try:
        answer = channel.order(b"POST", path, body, cancel, timeout_seconds=SHOW_SECONDS, max_body_bytes=SHOW_BYTES)
    except StatusError as error:
        raise in_words(error, channel.url, name, "show") from None
    text = decoded(answer.body, f"{channel.url}{path}").get("parameters")
    lines = text.splitlines() if isinstance(text, str) else []
    pairs = (line.split(None, 1) for line in lines)
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def _canonical(name: str) -> str:
    """Return a name without what may be left out; names that differ only in case are one (server/routes.go)."""
    name = name.casefold()
    name = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    return name.removeprefix("https://").removeprefix("registry.ollama.ai/").removeprefix("library/")
