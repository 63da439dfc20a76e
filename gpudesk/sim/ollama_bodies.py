"""Request bodies as Go reads them: missing, malformed and mistyped ones get Go's own error texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_keep_alive import KeepAliveError, parse_keep_alive
from gpudesk.sim.engine_runner import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpudesk.sim.engine_settings import EngineSettings

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "string"), "name": (str, "string"), "prompt": (str, "string"), "suffix": (str, "string"),
    "system": (str, "string"), "template": (str, "string"), "source": (str, "string"), "destination": (str, "string"),
    "from": (str, "string"), "stream": (bool, "bool"), "verbose": (bool, "bool"), "raw": (bool, "bool"),
    "shift": (bool, "bool"), "insecure": (bool, "bool"),
    "options": (dict, "map[string]interface {}"), "messages": (list, "[]api.Message"), "tools": (list, "api.Tools"),
    "files": (dict, "map[string]string"), "parameters": (dict, "map[string]interface {}"),
}  # fmt: skip
"""Field to the type it must have and what Go calls that."""


def _go_kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _literal_error(text: str, literal: str) -> str:
    """Say where a word stops being the literal it began as."""
    for found, expected in zip(text, literal, strict=False):
        if found != expected:
            return f"invalid character '{found}' in literal {literal} (expecting '{expected}')"
    return "unexpected EOF"


def _syntax_error(body: bytes, error: json.JSONDecodeError) -> str:
    text = body.decode("utf-8", "replace")
    position = error.pos
    if position >= len(text.rstrip()):
        return "unexpected EOF"
    for literal in ("null", "true", "false"):
        if text[position] == literal[0]:
            return _literal_error(text[position:], literal)
    character = text[position].replace("'", "\\'")
    if "property name" in error.msg:
        return f"invalid character '{character}' looking for beginning of object key string"
    if "',' delimiter" in error.msg or "Extra data" in error.msg:
        return f"invalid character '{character}' after object key:value pair"
    if "':' delimiter" in error.msg:
        return f"invalid character '{character}' after object key"
    return f"invalid character '{character}' looking for beginning of value"


def read_body(body: bytes, struct: str) -> dict[str, Any]:
    """Decode a request body into the struct the server calls `struct`.

    Raises:
        EngineError: 400 with the text of gin or encoding/json (ollama server/routes.go:248 at v0.33.0-rc2).
    """
    if not body.strip():
        raise EngineError(400, "missing request body")
    try:
        value, _end = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip())
    except json.JSONDecodeError as error:
        raise EngineError(400, _syntax_error(body, error)) from error
    except RecursionError as error:
        raise EngineError(400, "exceeded max depth") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EngineError(400, f"json: cannot unmarshal {_go_kind(value)} into Go value of type api.{struct}")
    for name, (kind, called) in _KINDS.items():
        field = value.get(name)
        if field is not None and not isinstance(field, kind):
            raise EngineError(
                400, f"json: cannot unmarshal {_go_kind(field)} into Go struct field {struct}.{name} of type {called}"
            )
    return value


def keep_alive_of(body: Mapping[str, Any], settings: EngineSettings) -> int | None:
    """Read `keep_alive`; None when the request does not carry one.

    Raises:
        EngineError: 400 with Go's text.
    """
    try:
        return parse_keep_alive(body.get("keep_alive"), whole_seconds=settings.version_key < (0, 11, 8))
    except KeepAliveError as error:
        raise EngineError(400, str(error)) from error
