"""Endpoints that use a model: generate, chat, embed, and their OpenAI shapes.

Source: ollama server/routes.go (`GenerateHandler` :248, `EmbedHandler` :795, `ChatHandler` :2430,
`handleScheduleError` :3107) at v0.33.0-rc2, and the same functions at v0.5.4 where they differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_options import Defaults, OptionError, RunnerOptions, read_options
from gpudesk.sim.engine_runner import EngineError, EngineRequest, RequestState
from gpudesk.sim.ollama_bodies import keep_alive_of, read_body
from gpudesk.sim.ollama_faults import FaultAnsweredError
from gpudesk.sim.ollama_http import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.ollama_server import OllamaServer

WORDS = ("The", "card", "holds", "what", "it", "holds", "and", "says", "so.")
"""What every simulated model answers, over and over."""
DEFAULT_TOKENS = 48
"""How much a model says when nobody limits it."""


def _text(first: int, last: int) -> str:
    return "".join(WORDS[number % len(WORDS)] + " " for number in range(first, last))


def options_for(server: OllamaServer, model: SimulatedModel, body: dict[str, Any]) -> RunnerOptions:
    """Merge a request's options with the Modelfile's and the server's.

    Raises:
        EngineError: 500, an option has the wrong type (ollama api/types.go:1004).
    """
    settings = server.settings
    newest = settings.version_key >= (0, 30, 0)
    shift = body.get("shift")
    defaults = Defaults(
        context=settings.default_context(sum(server.cards.total_bytes(card) for card in server.cards.indexes)),
        context_is_automatic=settings.context_length <= 0,
        trained_context=model.shape.context_length if settings.version_key >= (0, 9, 3) else None,
        vision=model.can("vision") and settings.version_key >= (0, 6, 4),
        embedding=not model.can("completion") and newest,
        context_shift=shift if isinstance(shift, bool) and newest else model.shape.architecture != "deepseek2",
    )
    try:
        return read_options(body.get("options") or {}, model.parameter_values, defaults)
    except OptionError as error:
        raise EngineError(500, str(error)) from error


def run(
    server: OllamaServer, exchange: Exchange, request: EngineRequest, produced: Callable[[int, int], None] | None = None
) -> None:
    """Hand a request to the scheduler and wait for its end, telling what was produced on the way.

    Raises:
        EngineError: it failed.
        ClientGoneError: nobody waits for it any more; it has been cancelled.
    """
    request.stops_halfway = exchange.at_middle is not None
    with server.clock.changed:
        server.scheduler.submit(request)
    seen = 0

    def moved() -> bool:
        return request.over or request.tokens_done > seen

    try:
        if exchange.at_middle is not None:
            exchange.wait(lambda: request.over or server.scheduler.half_loaded(request))
            if not request.over:
                exchange.middle()
                server.scheduler.go_on(request)
        while not request.over or request.tokens_done > seen:
            exchange.wait(moved)
            done = request.tokens_done
            if produced is not None and done > seen and request.error is None:
                produced(seen, done)
                request.tokens_told = done
            seen = done
    except (ClientGoneError, FaultAnsweredError):
        with server.clock.changed:
            server.scheduler.cancel(request)
        raise
    if request.error is not None:
        raise request.error
    if request.state is RequestState.CANCELED:
        raise EngineError(499, "request canceled")


def _timings(request: EngineRequest) -> dict[str, int]:
    total = request.finished_seconds - request.submitted_seconds
    load = request.ready_seconds - request.submitted_seconds
    return {
        "total_duration": int(total * 1e9) + 1,
        "load_duration": int(load * 1e9) + 1,
        "prompt_eval_count": max(1, request.prompt_tokens),
        "prompt_eval_duration": int((total - load) * 0.1e9) + 1,
        "eval_count": request.tokens,
        "eval_duration": int((total - load) * 0.9e9) + 1,
    }


def _wanted_tokens(body: dict[str, Any], model: SimulatedModel) -> tuple[int, str]:
    options = {**model.parameter_values, **(body.get("options") or {})}
    limit = options.get("num_predict")
    if isinstance(limit, int | float) and 0 < limit < DEFAULT_TOKENS:
        return int(limit), "length"
    return DEFAULT_TOKENS, "stop"


def _wants_unload(server: OllamaServer, keep_alive: int | None) -> bool:
    """Tell whether this keep_alive with nothing to do means "go"; old servers cut fractions of a second off."""
    if keep_alive is None:
        return False
    if server.settings.version_key < (0, 11, 8):
        return int(keep_alive / 1e9) == 0
    return keep_alive == 0


def _check_capabilities(server: OllamaServer, model: SimulatedModel, body: dict[str, Any], verb: str) -> None:
    name = body["model"]
    think = body.get("think")
    if think and server.settings.version_key >= (0, 9, 0) and not model.can("thinking"):
        raise EngineError(400, f'"{name}" does not support thinking')
    if not model.can("completion"):
        raise EngineError(400, f'"{name}" does not support {verb}')
    if body.get("suffix") and not model.can("insert"):
        raise EngineError(400, f"{_full_name(model)} does not support insert")
    if body.get("tools") and not model.can("tools"):
        raise EngineError(400, f"{_full_name(model)} does not support tools")


def _full_name(model: SimulatedModel) -> str:
    name = model.name
    if "/" not in name:
        name = "library/" + name
    return name if name.count("/") > 1 else "registry.ollama.ai/" + name


def generate(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/generate: load, unload, or say something."""
    body = read_body(exchange.body, "GenerateRequest")
    keep_alive = keep_alive_of(body, server.settings)
    name = body.get("model") or ""
    body["model"] = name
    model = server.find(name, EngineError(404, f"model '{name}' not found"))
    prompt = body.get("prompt") or ""
    head = {"model": name, "created_at": server.created_at()}
    if model.remote:
        _remote(server)
    if not prompt and _wants_unload(server, keep_alive):
        with server.clock.changed:
            server.scheduler.expire(model)
        exchange.json(200, {**head, "response": "", "done": True, "done_reason": "unload"})
        return
    if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
        raise EngineError(400, "raw mode does not support template, system, or context")
    _check_capabilities(server, model, body, "generate")
    tokens, reason = _wanted_tokens(body, model) if prompt else (0, "load")
    request = EngineRequest(model, options_for(server, model, body), keep_alive, tokens, len(prompt) // 4)
    streams = body.get("stream") is not False and bool(prompt)

    def say(first: int, last: int) -> None:
        exchange.line({"model": name, "created_at": server.created_at(), "response": _text(first, last), "done": False})

    run(server, exchange, request, say if streams else None)
    last: dict[str, Any] = {"model": name, "created_at": server.created_at(), "response": "", "done": True}
    last["done_reason"] = reason
    if prompt:
        last |= {"response": "" if streams else _text(0, tokens), "context": [1, 2, 3], **_timings(request)}
    if streams:
        exchange.line(last)
    else:
        exchange.json(200, last)


def chat(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/chat: the same with messages."""
    body = read_body(exchange.body, "ChatRequest")
    keep_alive = keep_alive_of(body, server.settings)
    name = body.get("model") or ""
    body["model"] = name
    if not name:
        raise EngineError(400, "model is required")
    model = server.find(name, EngineError(404, _unknown_for_chat(server, name)))
    messages = body.get("messages") or []
    empty = {"role": "assistant", "content": ""}
    if not messages and _wants_unload(server, keep_alive):
        with server.clock.changed:
            server.scheduler.expire(model)
        head = {"model": name, "created_at": server.created_at(), "message": empty}
        exchange.json(200, {**head, "done": True, "done_reason": "unload"})
        return
    if model.remote:
        _remote(server)
    _check_capabilities(server, model, body, "chat")
    tokens, reason = _wanted_tokens(body, model) if messages else (0, "load")
    length = sum(len(str(message.get("content", ""))) for message in messages if isinstance(message, dict))
    request = EngineRequest(model, options_for(server, model, body), keep_alive, tokens, length // 4)
    streams = body.get("stream") is not False and bool(messages)

    def say(first: int, last: int) -> None:
        message = {"role": "assistant", "content": _text(first, last)}
        exchange.line({"model": name, "created_at": server.created_at(), "message": message, "done": False})

    run(server, exchange, request, say if streams else None)
    content = _text(0, tokens) if tokens and not streams else ""
    last: dict[str, Any] = {"model": name, "created_at": server.created_at()}
    last |= {"message": {"role": "assistant", "content": content}, "done_reason": reason, "done": True}
    if messages:
        last |= _timings(request)
    if streams:
        exchange.line(last)
    else:
        exchange.json(200, last)


def _unknown_for_chat(server: OllamaServer, name: str) -> str:
    """Return how this version says that there is no such model; before v0.12 it advises to pull it."""
    if server.settings.version_key >= (0, 12, 0):
        return f"model '{name}' not found"
    return f'model "{name}" not found, try pulling it first'


def _remote(server: OllamaServer) -> None:
    """Answer for a cloud stub: such requests leave the computer, and here there is nowhere to go."""
    if server.settings.cloud_disabled:
        raise EngineError(403, "ollama cloud is disabled: remote inference is unavailable")
    raise EngineError(401, "unauthorized")


def _vector(width: int, text: str) -> list[float]:
    seed = sum(text.encode()) + len(text)
    return [round(((seed * (number + 7)) % 199 - 99) / 1000, 6) for number in range(width)]


def embed(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/embed: vectors; with nothing to embed it only loads, whatever keep_alive says."""
    body = read_body(exchange.body, "EmbedRequest")
    keep_alive = keep_alive_of(body, server.settings)
    name = body.get("model") or ""
    given = body.get("input")
    if isinstance(given, str):
        texts = [given] if given else []
    elif isinstance(given, list) and all(isinstance(item, str) for item in given):
        texts = list(given)
    elif given is None:
        texts = []
        if server.settings.version_key < (0, 5, 0):
            raise EngineError(400, "invalid input type")
    else:
        raise EngineError(400, "invalid input type")
    model = server.find(name, EngineError(404, f'model "{name}" not found, try pulling it first'))
    length = sum(len(text) for text in texts) // 4
    request = EngineRequest(model, options_for(server, model, body), keep_alive, len(texts), length)
    run(server, exchange, request)
    width = model.shape.embedding_length
    answer: dict[str, Any] = {"model": name, "embeddings": [_vector(width, text) for text in texts]}
    if texts:
        timings = _timings(request)
        answer |= {key: timings[key] for key in ("total_duration", "load_duration", "prompt_eval_count")}
    exchange.json(200, answer)


def embeddings(server: OllamaServer, exchange: Exchange) -> None:
    """POST /api/embeddings: the old form, one prompt and one vector."""
    body = read_body(exchange.body, "EmbeddingRequest")
    keep_alive = keep_alive_of(body, server.settings)
    name = body.get("model") or ""
    if not name:
        raise EngineError(400, "model is required")
    model = server.find(name, EngineError(404, f'model "{name}" not found, try pulling it first'))
    prompt = body.get("prompt") or ""
    request = EngineRequest(model, options_for(server, model, body), keep_alive, 1 if prompt else 0, len(prompt) // 4)
    run(server, exchange, request)
    exchange.json(200, {"embedding": _vector(model.shape.embedding_length, prompt) if prompt else []})


# -- OpenAI ------------------------------------------------------------------------------------------------------------


def _openai_error(error: EngineError) -> dict[str, Any]:
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    return {"error": {"message": error.text, "type": kinds.get(error.status, "api_error"), "param": None, "code": None}}


def openai(server: OllamaServer, exchange: Exchange, *, chats: bool) -> None:
    """POST /v1/chat/completions or /v1/completions: neither keep_alive nor num_ctx can be said here."""
    try:
        body = read_body(exchange.body, "ChatCompletionRequest")
        name = body.get("model") or ""
        model = server.find(name, EngineError(404, f"model '{name}' not found"))
        if not model.can("completion"):
            raise EngineError(400, f'"{name}" does not support {"chat" if chats else "generate"}')
        messages = body.get("messages") if chats else body.get("prompt")
        if chats and not messages:
            raise EngineError(400, "[] is too short - 'messages'")
        limit = body.get("max_tokens")
        tokens = min(DEFAULT_TOKENS, limit) if isinstance(limit, int) and limit > 0 else DEFAULT_TOKENS
        request = EngineRequest(model, options_for(server, model, {}), None, tokens, len(str(messages)) // 4)
        _openai_answer(server, exchange, request, name, chats=chats, streams=body.get("stream") is True)
    except EngineError as error:
        if exchange.answered:
            exchange.event(f"data: {json.dumps(_openai_error(error))}\n\n".encode(), "text/event-stream")
        else:
            exchange.json(error.status, _openai_error(error))


def _openai_answer(
    server: OllamaServer, exchange: Exchange, request: EngineRequest, name: str, *, chats: bool, streams: bool
) -> None:
    kind = "chat.completion" if chats else "text_completion"
    base = {"id": "chatcmpl-1", "object": kind, "created": int(server.clock.now().timestamp()), "model": name}

    def choice(text: str, key: str, reason: str | None) -> dict[str, Any]:
        said: dict[str, Any] = {key: {"role": "assistant", "content": text}} if chats else {"text": text}
        return {"index": 0, **said, "finish_reason": reason}

    def say(first: int, last: int) -> None:
        data = {**base, "object": f"{kind}.chunk" if chats else kind}
        data["choices"] = [choice(_text(first, last), "delta", None)]
        exchange.event(f"data: {json.dumps(data)}\n\n".encode(), "text/event-stream")

    run(server, exchange, request, say if streams else None)
    if streams:
        data = {**base, "object": f"{kind}.chunk" if chats else kind, "choices": [choice("", "delta", "stop")]}
        exchange.event(f"data: {json.dumps(data)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")
        return
    usage = {"prompt_tokens": request.prompt_tokens, "completion_tokens": request.tokens}
    usage["total_tokens"] = request.prompt_tokens + request.tokens
    exchange.json(200, {**base, "choices": [choice(_text(0, request.tokens), "message", "stop")], "usage": usage})
