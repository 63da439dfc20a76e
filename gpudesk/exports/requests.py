"""What an editor will ask of an engine, as its configuration says, held against what the desk knows.

One set of rules for every editor: its module tells what would be sent, here it is told what that does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.errors import ExportError
from gpudesk.exports.values import Finding, Severity
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.values import ChosenModel

_LOCAL = re.compile(r"//(?:localhost|0\.0\.0\.0|\[::1?\])(?=[:/]|\Z)", re.IGNORECASE)
_MIDDLE_WORDS = (
    "coder",
    "codestral",
    "starcoder",
    "codegemma",
    "codellama",
    "deepseek-coder",
    "granite",
    "stable-code",
)
"""In names of models that fill in the middle, for engines that do not tell."""


@dataclass(frozen=True, slots=True)
class Request:
    """One use of a model in an editor's configuration."""

    editor: str
    """Its name, for sentences."""
    path: Path
    line: int | None
    where: str
    """Key path."""
    model: str
    url: str | None
    """Base URL as it is written; None: the editor's own default."""
    compatible: bool = False
    """Speaks the protocol of OpenAI, below /v1, or one like it; there is no keep-alive and no context in it."""
    context_length: int | None = None
    """The `num_ctx` that is sent; None: none is."""
    keep_alive: KeepAliveWish | None = None
    """What is sent; None: nothing is, and a pin is left alone."""
    completes: bool = False
    """Fills in the middle while somebody types."""
    own_context: bool = False
    """What is sent is a number of the editor's own choice."""
    wants_v1: bool | None = None
    """Whether the URL has to be one below /v1; None: either will do."""
    v1_path: str = "/v1"
    """What the URL has to end with then."""


def base_url(url: str) -> str:
    """Return an engine's URL such that two of one server are the same."""
    text = re.sub(r"(?i)/(?:v1|api)(?:/.*)?\Z", "", url.strip().rstrip("/")).rstrip("/")
    if "://" not in text:
        text = f"http://{text}"
    return _LOCAL.sub("//127.0.0.1", text)


def full_name(name: str) -> str:
    """Return a model's name with its tag: `llama3` is `llama3:latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def findings(requests: Sequence[Request], desk: Desk | None) -> tuple[Finding, ...]:
    """Return what is wrong with what an editor would send."""
    found = [finding for request in requests for finding in _of_url(request)]
    found += _differing_contexts(requests)
    if desk is not None:
        found += [finding for request in requests for finding in _on_desk(request, desk)]
    return tuple(found)


def _finding(
    request: Request, code: str, severity: Severity, message: str, effect: str, fix: str | None = None
) -> Finding:
    return Finding(code, severity, request.path, request.line, request.where, message, effect, fix)


def _of_url(request: Request) -> Iterable[Finding]:
    if request.url is None or request.wants_v1 is None:
        return
    ends = re.search(r"(?i)/v1(?:/|\Z)", request.url) is not None
    if ends and not request.wants_v1:
        yield _finding(
            request,
            "v1-in-url",
            Severity.ERROR,
            f"{request.url} ends with /v1",
            f"{request.editor} adds /api/… to it, which is nowhere: every request fails",
            f"Write {base_url(request.url)}",
        )
    if not ends and request.wants_v1:
        yield _finding(
            request,
            "v1-missing",
            Severity.ERROR,
            f"{request.url} does not end with {request.v1_path}",
            f"{request.editor} speaks the protocol of OpenAI, which the engine answers below /v1 only: "
            "every request fails",
            f"Write {base_url(request.url)}{request.v1_path}",
        )


def _differing_contexts(requests: Sequence[Request]) -> Iterable[Finding]:
    first: dict[tuple[str, str], Request] = {}
    for request in requests:
        key = (base_url(request.url or ""), full_name(request.model))
        other = first.setdefault(key, request)
        if other.context_length == request.context_length:
            continue
        yield _finding(
            request,
            "context-differs",
            Severity.WARNING,
            f"{request.model} is asked for {_context(request)} here and {_context(other)} in {other.where}",
            "the engine loads it anew at every change from one to the other",
            "Give both the same context",
        )


def _context(request: Request) -> str:
    return "the engine's own context" if request.context_length is None else f"a context of {request.context_length}"


def _on_desk(request: Request, desk: Desk) -> Iterable[Finding]:
    name = full_name(request.model)
    engine = next((each for each in desk.engines if request.url and base_url(each.url) == base_url(request.url)), None)
    if engine is None and request.url is not None:
        return
    url = engine.url if engine is not None else desk.engines[0].url if desk.engines else None
    installed = [each for each in desk.installed if each.engine_url == url]
    model = next((each for each in installed if full_name(each.name) == name), None)
    if installed and model is None:
        yield _finding(
            request,
            "not-installed",
            Severity.ERROR,
            f"{request.model} is not installed",
            "every request is answered with 404",
            f"ollama pull {request.model}, or choose another one",
        )
        return
    if request.completes and model is not None and not _fills_in(name, model.capabilities):
        yield _finding(
            request,
            "chat-model-completes",
            Severity.WARNING,
            f"{request.model} was not made to fill in the middle",
            "completions are prose or nothing",
            "Choose one that was, such as qwen2.5-coder:1.5b-base",
        )
    yield from _on_loaded(request, desk, url, name)


def _fills_in(name: str, capabilities: Sequence[str] | None) -> bool:
    return "insert" in (capabilities or ()) or any(word in name.lower() for word in _MIDDLE_WORDS)


def _on_loaded(request: Request, desk: Desk, url: str | None, name: str) -> Iterable[Finding]:
    pin = next(
        (each.wish for each in desk.pins if each.wish.engine_url == url and full_name(each.wish.name) == name), None
    )
    loaded = next((each for each in desk.models if each.engine_url == url and full_name(each.name) == name), None)
    planned = pin.context_length if pin is not None and pin.context_length is not None else None
    what = "is pinned with"
    if planned is None and loaded is not None:
        planned, what = loaded.context_length, "is loaded with"
    if planned is not None and request.context_length not in (None, planned):
        yield _finding(
            request,
            "context-mismatch",
            Severity.WARNING,
            f"{request.model} {what} a context of {planned}; {request.editor} asks for {request.context_length}",
            "the first request loads it anew",
            f"Set it to {planned}",
        )
    if planned is not None and request.context_length is None and request.own_context:
        yield _finding(
            request,
            "context-unset",
            Severity.WARNING,
            f"{request.model} {what} a context of {planned}; {request.editor} is not told, and sends one of its own",
            "the first request loads it anew",
            f"Set it to {planned}",
        )
    elif planned is not None and request.context_length is None and not request.compatible:
        yield _finding(
            request,
            "context-not-sent",
            Severity.HINT,
            f"{request.model} {what} a context of {planned}; {request.editor} sends none",
            "where the engine's own default is another one, the first request loads it anew",
            f"Derive a model with num_ctx {planned} in its parameters: every client agrees then",
        )
    elif planned is not None and request.context_length is None:
        yield _finding(
            request,
            "context-cannot-be-sent",
            Severity.HINT,
            f"{request.model} {what} a context of {planned}; below /v1 none can be asked for",
            "where the engine's own default is another one, the first request loads it anew",
            f"Derive a model with num_ctx {planned} in its parameters, or set OLLAMA_CONTEXT_LENGTH={planned}",
        )
    if pin is None:
        return
    if request.keep_alive is not None and request.keep_alive.seconds is not None:
        yield _finding(
            request,
            "keep-alive-undoes-pin",
            Severity.WARNING,
            f"{request.model} is pinned; {request.editor} sends a keep-alive of {request.keep_alive.wire} s",
            "the first request turns the pin into that",
            "Set it to -1",
        )
    if request.keep_alive is None and loaded is None:
        yield _finding(
            request,
            "keep-alive-cannot-be-sent",
            Severity.HINT,
            f"{request.model} is pinned and not loaded; {request.editor} cannot send a keep-alive",
            "a request that loads it gives it the engine's default, five minutes",
            "Load it with gpudesk first: a request without a keep-alive leaves it as it is",
        )


def compatible_notes(editor: str, models: Sequence[ChosenModel]) -> list[str]:
    """Return what to say of an editor that asks below /v1, where neither context nor keep-alive can be sent."""
    notes = [
        f"{editor} cannot ask for a context of {model.context_length}: load {model.name} with gpudesk, or derive a "
        "model that has it in its parameters"
        for model in models
        if model.context_length is not None and not model.context_baked_in
    ]
    if models:
        notes.append(f"{editor} sends no keep-alive: a pin stays as it is")
    return notes


def required(model: ChosenModel | None, editor: str) -> ChosenModel:
    """Return a model that an editor cannot be set up without.

    Raises:
        ExportError: none is chosen.
    """
    if model is None:
        raise ExportError(f"no model is chosen for a role that {editor} has", "Choose one for chat")
    return model
