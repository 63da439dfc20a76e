"""POST /api/create: a model from another one with its own parameters, or from an uploaded file.

Source: ollama server/create.go at v0.33.0-rc2; until v0.5.4 a Modelfile told it all (server/routes.go
`CreateHandler`, parser/parser.go at v0.5.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_options import FLOATS, INTEGERS
from gpudesk.sim.engine_runner import EngineError
from gpudesk.sim.ollama_bodies import read_body
from gpudesk.sim.ollama_manage import fetch
from gpudesk.sim.ollama_store import layers_of, normalize, pullable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.sim.models import SimulatedModel
    from gpudesk.sim.ollama_http import Exchange
    from gpudesk.sim.ollama_server import OllamaServer

    Tell = Callable[[dict[str, Any]], None]

FIRST_WITHOUT_MODELFILE = (0, 5, 5)
COMMANDS = ("from", "license", "template", "system", "adapter", "parameter", "message")
_COMMAND_ERROR = 'command must be one of "from", "license", "template", "system", "adapter", "parameter", or "message"'
_COMMAND = re.compile(r'[ \t]*(\S+)[ \t]+(?:"""(.*?)"""|([^\n]*))[ \t]*(?:\n|$)', re.DOTALL)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")


@dataclass(slots=True)
class Recipe:
    """What a model is to be made of."""

    origin: str = ""
    """A name, or `@sha256:` and the digest of an uploaded file."""
    parameters: dict[str, object] = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    broken: str | None = None
    """What is wrong with it and told only once the answer has begun."""


def create(server: OllamaServer, exchange: Exchange) -> None:
    """Make a model, telling the layers as lines."""
    body = read_body(exchange.body, "CreateRequest")
    target = normalize(body.get("model") or body.get("name") or "")
    if target is None:
        raise EngineError(400, "invalid model name")
    old = server.settings.version_key < FIRST_WITHOUT_MODELFILE
    recipe = _of_modelfile(body) if old else _of_fields(body)
    streams = body.get("stream") is not False

    def tell(line: dict[str, Any]) -> None:
        if streams:
            exchange.line(line)

    if recipe.broken is not None:
        _fail(exchange, recipe.broken, streams=streams)
        return
    try:
        base = _base(server, exchange, recipe, tell)
    except EngineError as error:
        _fail(exchange, error.text, streams=streams)
        return
    _write(server, base, recipe, target, tell)
    if not streams:
        exchange.json(200, {"status": "success"})


def _fail(exchange: Exchange, text: str, *, streams: bool) -> None:
    """Say what failed after the server had begun to work: a line in a stream, whose status is 200."""
    if streams:
        exchange.line({"error": text})
    else:
        exchange.error(500, text)


def _of_fields(body: dict[str, Any]) -> Recipe:
    origin, files = body.get("from") or "", body.get("files") or {}
    if not origin and not files:
        raise EngineError(400, "neither 'from' or 'files' was specified")
    if not origin:
        origin = "@" + str(next(iter(files.values())))
    return Recipe(str(origin), dict(body.get("parameters") or {}), body.get("template"), body.get("system"))


def _of_modelfile(body: dict[str, Any]) -> Recipe:
    text = body.get("modelfile") or ""
    if not text:
        raise EngineError(400, "path or Modelfile are required")
    recipe, position = Recipe(), 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        found = None if blank is not None else _COMMAND.match(text, position)
        if blank is not None:
            position = blank.end()
            continue
        line = text.count("\n", 0, position) + 1
        if found is None or found[1].lower() not in COMMANDS:
            raise EngineError(400, f"(line {line}): {_COMMAND_ERROR}")
        value = found[2] if found[2] is not None else found[3].strip().strip('"')
        _obey(recipe, found[1].lower(), value)
        position = found.end()
    if not recipe.origin:
        raise EngineError(400, "no FROM line")
    return recipe


def _obey(recipe: Recipe, command: str, value: str) -> None:
    if command == "from":
        recipe.origin = value
    elif command == "template":
        recipe.template = value
    elif command == "system":
        recipe.system = value
    elif command == "parameter":
        name, _space, text = value.partition(" ")
        try:
            recipe.parameters[name] = _typed(name, text.strip())
        except ValueError:
            kind = "int" if name in INTEGERS else "float"
            recipe.broken = f"invalid {kind} value [{text.strip()}]"


def _typed(name: str, text: str) -> object:
    if name in INTEGERS:
        return int(text)
    return float(text) if name in FLOATS else text.strip('"')


def _base(server: OllamaServer, exchange: Exchange, recipe: Recipe, tell: Tell) -> SimulatedModel:
    """Return what a model is derived from; a name that is not installed is pulled first."""
    if recipe.origin.startswith("@"):
        digest = recipe.origin.removeprefix("@").removeprefix("sha256:")
        if digest not in server.store.blobs:
            raise EngineError(400, f"blob sha256:{digest} not found")
        tell({"status": "parsing GGUF"})
        return replace(_uploaded(), blob_key=digest)
    with server.clock.changed:
        found = server.store.find(recipe.origin)
    if found is None:
        found = fetch(server, exchange, normalize(recipe.origin) or recipe.origin, tell)
    return replace(found, blob_key=found.blob_key or found.name, parent_model=normalize(recipe.origin) or "")


def _write(server: OllamaServer, base: SimulatedModel, recipe: Recipe, target: str, tell: Tell) -> None:
    with server.clock.changed:
        there = {digest for one, _modified in server.store.listed() for digest, _size in layers_of(one)}
        model = replace(
            base,
            name=target,
            parameters=tuple({**base.parameter_values, **recipe.parameters}.items()),
            template=recipe.template or base.template,
            capabilities=_capabilities(base, recipe),
            system=recipe.system or base.system,
        )
        server.store.put(model)
    for digest, _size in layers_of(model):
        known = digest in there or digest == model.blob_digest
        tell({"status": f"{'using existing' if known else 'creating new'} layer sha256:{digest}"})
    tell({"status": "writing manifest"})
    tell({"status": "success"})


def _capabilities(base: SimulatedModel, recipe: Recipe) -> tuple[str, ...]:
    """Return what a model can: filling in the middle is a matter of its template (server/images.go:107 at v0.5.4)."""
    if not recipe.template:
        return base.capabilities
    others = tuple(each for each in base.capabilities if each != "insert")
    return (*others, "insert") if ".Suffix" in recipe.template else others


def _uploaded() -> SimulatedModel:
    """Return the shape an uploaded file is taken for: it is not parsed, any small chat model will do."""
    found = pullable("llama3.2:1b")
    assert found is not None
    return found
