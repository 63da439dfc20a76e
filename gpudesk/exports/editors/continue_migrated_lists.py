"""The lists of a migrated configuration beside its models: context, rules, prompts, docs, data and MCP servers."""

from __future__ import annotations

from typing import Any

from gpudesk.exports.editors import continue_shapes as shapes
from gpudesk.exports.editors.continue_carry import Carrier
from gpudesk.exports.editors.continue_migrated_models import Piece


def other_sections(old: dict[str, Any], general: Carrier) -> dict[str, list[Piece]]:
    """Return the entries of every list but `models`."""
    rules = [Piece(old["systemMessage"], ("systemMessage",))] if isinstance(old.get("systemMessage"), str) else []
    experimental = old.get("experimental")
    experimental = dict(experimental) if isinstance(experimental, dict) else {}
    servers = experimental.pop("modelContextProtocolServers", None)
    if not isinstance(servers, list):
        general.lose("experimental.modelContextProtocolServers", servers, "not understood")
    if isinstance(experimental.get("modelRoles"), dict):
        del experimental["modelRoles"]
    for key, value in experimental.items():
        general.lose(f"experimental.{key}", value, "config.yaml has no such key; look in Continue's settings")
    return {
        "context": _pieces(old, "contextProviders", "context", {"name": "provider"}, ("params",)),
        "rules": [piece for piece in rules if piece.value],
        "prompts": _pieces(old, "customCommands", "prompts", {}, ("name", "description", "prompt")),
        "docs": _pieces(
            old, "docs", "docs", {"title": "name"}, ("startUrl", "rootUrl", "faviconUrl", "useLocalCrawling")
        ),
        "data": _pieces(old, "data", "data", {}, tuple(_item("data").fields or {})),
        "mcpServers": [_server(server, index) for index, server in enumerate(listed(servers))],
    }


def _item(section: str) -> shapes.Shape:
    """Return the shape of an entry of a section."""
    wrapped = (shapes.CONFIG.fields or {})[section].item
    assert wrapped is not None
    assert wrapped.item is not None
    return wrapped.item


def _pieces(old: dict[str, Any], key: str, section: str, renamed: dict[str, str], kept: tuple[str, ...]) -> list[Piece]:
    shape, pieces = _item(section), []
    for index, value in enumerate(listed(old.get(key))):
        carrier = Carrier()
        if not isinstance(value, dict):
            pieces.append(_lost_piece(f"{key}[{index}]", value, "not a mapping", (key, index)))
            continue
        known: dict[str, Any] = {
            str(renamed.get(name, name)): item for name, item in value.items() if name in kept or name in renamed
        }
        made = carrier.fields(known, shape, f"{key}[{index}]")
        for name, item in value.items():
            if name not in kept and name not in renamed:
                carrier.lose(f"{key}[{index}].{name}", item, "config.yaml has no such key")
        if set(shape.required) <= set(made):
            pieces.append(Piece(made, (key, index), tuple(carrier.lost)))
        else:
            pieces.append(_lost_piece(f"{key}[{index}]", value, "incomplete", (key, index)))
    return pieces


def _lost_piece(where: str, value: Any, why: str, place: tuple[str | int, ...]) -> Piece:
    carrier = Carrier()
    carrier.lose(where, value, why)
    return Piece(None, place, tuple(carrier.lost))


def _server(server: Any, index: int) -> Piece:
    """Return one MCP server; a socket of the web has no place in config.yaml (schemas/mcp/index.ts)."""
    where, place = (
        f"experimental.modelContextProtocolServers[{index}]",
        ("experimental", "modelContextProtocolServers", index),
    )
    transport = server.get("transport") if isinstance(server, dict) else None
    if not isinstance(transport, dict) or transport.get("type") == "websocket":
        return _lost_piece(where, server, "config.yaml has no such server", place)
    name = server.get("name") or server.get("server_name") or transport.get("server_name") or f"MCP Server {index + 1}"
    shape = shapes.MCP_COMMAND if "command" in transport else shapes.MCP_URL
    told = {"name": name, **{key: value for key, value in transport.items() if key != "server_name"}}
    if isinstance(server.get("faviconUrl"), str):
        told["faviconUrl"] = server["faviconUrl"]
    carrier = Carrier()
    made = carrier.fields(told, shape, where)
    if not set(shape.required) <= set(made):
        return _lost_piece(where, server, "incomplete", place)
    return Piece(made, place, tuple(carrier.lost))


def listed(value: Any) -> list[Any]:
    """Return a list; nothing of whatever else stands there."""
    return value if isinstance(value, list) else []
