"""What requests of editors do to what is installed, loaded and pinned: one set of rules for every editor.

An editor's module tells what would be sent and where the file says so; here it is told what that does, and which edit
of the file puts it right where that is safe: another URL of the same server, the context or the keep-alive of a pin.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.differences import masked
from gpudesk.exports.foresight import Planned
from gpudesk.exports.requests import bare_url, base_url, full_name
from gpudesk.exports.values import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.requests import Place, Request

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


def findings(requests: Sequence[Request], desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with what an editor would send.

    Args:
        requests: of one editor.
        desk: what is installed, loaded and pinned.
        fits: says why models do not fit together.
    """
    found = [finding for request in requests for finding in _of_url(request)]
    found += _differing_contexts(requests)
    if desk is not None:
        found += [finding for request in requests for finding in _on_desk(request, desk)]
        found += _not_fitting(requests, desk, fits) if fits is not None else ()
    return _once_each(found)


def _once_each(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings without those that another one says of the same place: a URL or a context that two uses share."""
    told: dict[tuple[object, ...], Finding] = {}
    for each in found:
        told.setdefault((each.code, each.path, each.where, each.message), each)
    return tuple(told.values())


def _finding(
    request: Request,
    code: str,
    severity: Severity,
    message: str,
    effect: str,
    fix: str | None = None,
    *,
    place: Place | None = None,
    text: str | None = None,
) -> Finding:
    """Return a finding.

    Args:
        request: what would be sent.
        code: of the finding.
        severity: how bad it is.
        message: what is wrong.
        effect: what comes of it.
        fix: what to do.
        place: where that is written; None: where the model is.
        text: what to put there, where that is safe.
    """
    if place is None:
        return Finding(code, severity, request.path, request.line, request.where, message, effect, fix)
    edits = () if text is None else place.edits(text)
    return Finding(code, severity, place.path, place.line, place.where, message, effect, fix, edits)


def _of_url(request: Request) -> Iterable[Finding]:
    if request.url is None or request.wants_v1 is None:
        return
    shown = masked(request.url)
    ends = re.search(r"(?i)/v1(?:/|\Z)", request.url) is not None
    if ends and not request.wants_v1:
        right = bare_url(request.url)
        yield _finding(
            request,
            "v1-in-url",
            Severity.ERROR,
            f"{shown} ends with /v1",
            f"{request.editor} adds {request.adds} to it, which is nowhere: every request fails",
            f"Write {masked(right)}",
            place=request.url_place,
            text=right,
        )
    if not ends and request.wants_v1:
        right = f"{bare_url(request.url)}{request.v1_path}"
        yield _finding(
            request,
            "v1-missing",
            Severity.ERROR,
            f"{shown} does not end with {request.v1_path}",
            f"{request.editor} speaks the protocol of OpenAI, which the engine answers below /v1 only: "
            "every request fails",
            f"Write {masked(right)}",
            place=request.url_place,
            text=right,
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


def _not_fitting(requests: Sequence[Request], desk: Desk, fits: Fits) -> Iterable[Finding]:
    """Ask whether the model that is talked to and the one that completes fit together."""
    talking = next((request for request in requests if not request.completes), None)
    completing = next((request for request in requests if request.completes), None)
    used = [request for request in (talking, completing) if request is not None]
    planned: dict[tuple[str, str], Planned] = {}
    for request in used:
        url = _engine_url(request, desk)
        model = next((each for each in desk.installed if each.engine_url == url and _is(each.name, request)), None)
        if url is not None and model is not None:
            loaded = next((each for each in desk.models if (each.engine_url, each.name) == (url, model.name)), None)
            context = request.context_length or (loaded.context_length if loaded is not None else None)
            planned.setdefault((url, model.name), Planned(model.name, url, context))
    for url in dict.fromkeys(url for url, _ in planned):
        together = tuple(each for each in planned.values() if each.engine_url == url)
        why = fits(together)
        if why is None:
            continue
        names = " and ".join(each.name for each in together)
        alone = len(together) == 1
        yield _finding(
            used[-1],
            "does-not-fit",
            Severity.WARNING,
            f"{names} {'does not fit' if alone else 'do not fit together'}: {why}",
            "part of it runs on the processor" if alone else "every key press unloads one for the other",
            "Choose smaller ones, or shorter contexts",
        )


def _engine_url(request: Request, desk: Desk) -> str | None:
    """Return the engine that a request goes to, as the desk names it; the first one where no URL is written."""
    if request.url is None:
        return desk.engines[0].url if desk.engines else None
    return next((each.url for each in desk.engines if base_url(each.url) == base_url(request.url)), None)


def _is(name: str, request: Request) -> bool:
    return full_name(name) == full_name(request.model)


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
    if pin is not None and pin.context_length is not None:
        yield from _of_context(request, pin.context_length, "is pinned with", text=str(pin.context_length))
    elif loaded is not None and loaded.context_length is not None:
        yield from _of_context(request, loaded.context_length, "is loaded with")
    if pin is not None:
        yield from _of_keep_alive(request, is_loaded=loaded is not None)


def _of_context(request: Request, planned: int, what: str, *, text: str | None = None) -> Iterable[Finding]:
    """Compare contexts; one that is pinned is a wish, so `text` is put in its place where somebody wants that."""
    has = f"{request.model} {what} a context of {planned}"
    set_it = f"Set {request.context_key or 'it'} to {planned}"
    if request.context_length not in (None, planned):
        yield _finding(
            request,
            "context-mismatch",
            Severity.WARNING,
            f"{has}; {request.editor} asks for {request.context_length}",
            "the first request loads it anew",
            set_it,
            place=request.context_place,
            text=text,
        )
    if request.context_length is not None:
        return
    if request.own_context:
        yield _finding(
            request,
            "context-unset",
            Severity.WARNING,
            f"{has}; {request.editor} is not told, and sends one of its own",
            "the first request loads it anew",
            set_it,
            place=request.context_place,
            text=text,
        )
        return
    derived = f"Derive a model with num_ctx {planned} in its parameters"
    effect = "where the engine's own default is another one, the first request loads it anew"
    if request.compatible:
        fix = f"{derived}, or set OLLAMA_CONTEXT_LENGTH={planned}"
        message = f"{has}; below /v1 none can be asked for"
        yield _finding(request, "context-cannot-be-sent", Severity.HINT, message, effect, fix)
    else:
        fix = f"{derived}: every client agrees then"
        yield _finding(request, "context-not-sent", Severity.HINT, f"{has}; {request.editor} sends none", effect, fix)


def _of_keep_alive(request: Request, *, is_loaded: bool) -> Iterable[Finding]:
    if request.keep_alive is not None and request.keep_alive.seconds is not None:
        yield _finding(
            request,
            "keep-alive-undoes-pin",
            Severity.WARNING,
            f"{request.model} is pinned; {request.editor} sends a keep-alive of {request.keep_alive.wire} s",
            "the first request turns the pin into that",
            "Set it to -1",
            place=request.keep_alive_place,
            text="-1",
        )
    if request.keep_alive is None and not is_loaded:
        yield _finding(
            request,
            "keep-alive-cannot-be-sent",
            Severity.HINT,
            f"{request.model} is pinned and not loaded; {request.editor} cannot send a keep-alive",
            "a request that loads it gives it the engine's default, five minutes",
            "Load it with gpudesk first: a request without a keep-alive leaves it as it is",
        )
