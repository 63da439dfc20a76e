"""opencode: an own configuration that `OPENCODE_CONFIG` names, or one in the variable itself.

opencode merges `~/.config/opencode/opencode.json(c)`, the file named in OPENCODE_CONFIG, the project's and
OPENCODE_CONFIG_CONTENT, later ones winning (opencode.ai/docs/config). It asks Ollama below /v1, through
`@ai-sdk/openai-compatible`, so neither context nor keep-alive is sent (anomalyco/opencode#3250).
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import (
    JsoncSettings,
    checked,
    line_of,
    own_file,
    place_of,
    printed,
    removal,
    without_own_files,
)
from gpudesk.exports.jsonc_tree import Document, KeyPath
from gpudesk.exports.requests import Request, compatible_notes, required
from gpudesk.exports.values import Export, Role, Way
from gpudesk.paths import shortened
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, Finding

_EFFECT = "opencode does not start"
_OWN = "gpudesk.json"
_SCHEMA = "https://opencode.ai/config.json"


class OpenCode:
    """opencode."""

    id = "opencode"
    name = "opencode"
    ways = (Way.OWN_FILE, Way.PRINT, Way.MERGE)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return gpudesk's own file and the user's."""
        folder = _folder(around)
        kinds = {_OWN: "own file of gpudesk", "opencode.json": "opencode.json", "opencode.jsonc": "opencode.jsonc"}
        return tuple(Found(folder / name, (folder / name).exists(), kind) for name, kind in kinds.items())

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the configuration with the chosen model; raises ExportError when a file cannot be changed."""
        values, notes = _values(chosen)
        if way is Way.MERGE:
            return _settings(into or _users(around)).export(values, way, notes)
        if way is Way.PRINT:
            data = json.dumps(json.loads(printed(values)), ensure_ascii=False, separators=(",", ":"))
            return Export(
                self.id, way, snippet=f"export OPENCODE_CONFIG_CONTENT={shlex.quote(data)}\n", notes=tuple(notes)
            )
        path = into or _folder(around) / _OWN
        notes.append(f"Start it with  OPENCODE_CONFIG={shortened(path)} opencode")
        text = printed({("$schema",): _SCHEMA, **values})
        return own_file(self.id, path, text, "the models of gpudesk", notes)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        return checked([_settings(file.path) for file in self.files(around)], desk, _requests, fits=fits)

    def remove(self, around: Surroundings) -> Export:
        """Return the user's files without gpudesk's values, and no file of gpudesk's."""
        folder = _folder(around)
        users = removal(self.id, around, [_settings(folder / name) for name in ("opencode.json", "opencode.jsonc")])
        own = without_own_files(self.id, around, [folder / _OWN])
        gone = {change.path for change in own}
        return replace(users, changes=own + tuple(change for change in users.changes if change.path not in gone))


def _folder(around: Surroundings) -> Path:
    return Path(around.environment.get("XDG_CONFIG_HOME") or around.home / ".config") / "opencode"


def _users(around: Surroundings) -> Path:
    path = _folder(around) / "opencode.jsonc"
    return path if path.exists() else path.with_suffix(".json")


def _settings(path: Path) -> JsoncSettings:
    return JsoncSettings("opencode", "opencode", path, _EFFECT)


def _values(chosen: Chosen) -> tuple[dict[KeyPath, Any], list[str]]:
    values: dict[KeyPath, Any] = {}
    chat = required(chosen.of(Role.CHAT), "opencode")
    notes = [*chosen.warnings, *compatible_notes("opencode", [chat])]
    told: dict[str, Any] = {"name": chat.name}
    if chat.context_length is not None:
        answer = min(chat.max_tokens or 8192, chat.context_length // 2)
        told["limit"] = {"context": chat.context_length, "output": answer}
    if chat.capabilities is not None:
        told["tool_call"] = "tools" in chat.capabilities
    values["provider", "ollama", "npm"] = "@ai-sdk/openai-compatible"
    values["provider", "ollama", "name"] = "Ollama"
    values["provider", "ollama", "options", "baseURL"] = f"{chat.engine_url}/v1"
    values["provider", "ollama", "models", chat.name] = told
    values["model",] = f"ollama/{chat.name}"
    # Titles and summaries by another model would put the chat model out of memory.
    values["small_model",] = f"ollama/{chat.name}"
    return values, notes


def _requests(document: Document, path: Path) -> Iterable[Request]:
    root = document.root
    for key in ("model", "small_model") if root is not None else ():
        node = root.at((key,)) if root is not None else None
        provider, _, model = str(node.data if node is not None else "").partition("/")
        base = root.at(("provider", provider, "options", "baseURL")) if root is not None and model else None
        if node is None or base is None or not isinstance(base.data, str):
            continue
        yield Request(
            "opencode",
            path,
            line_of(document, node),
            key,
            model,
            base.data,
            compatible=True,
            wants_v1=True,
            url_place=place_of(document, path, f"provider.{provider}.options.baseURL", base),
        )
