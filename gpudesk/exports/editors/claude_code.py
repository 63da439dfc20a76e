"""Claude Code: variables for the shell, or an own settings file that `claude --settings` takes.

Ollama answers the protocol of Anthropic at its base URL since 0.14 (ollama/ollama docs/integrations/claude-code.mdx);
Claude Code adds /v1/messages itself. Its settings files are plain JSON, so gpudesk puts nothing into the user's.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import (
    JsoncSettings,
    checked,
    line_of,
    own_file,
    place_before,
    place_of,
    without_own_files,
)
from gpudesk.exports.requests import Request, compatible_notes, required
from gpudesk.exports.values import Export, Finding, Role, Severity, Way
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.jsonc_tree import Document
    from gpudesk.exports.values import Chosen

_EFFECT = "Claude Code leaves all of it out"
_CHAT_MODELS = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL")
_MODELS = tuple(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("OPUS", "SONNET", "HAIKU"))


class ClaudeCode:
    """Claude Code."""

    id = "claude-code"
    name = "Claude Code"
    ways = (Way.PRINT, Way.OWN_FILE)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return gpudesk's own settings and the user's."""
        folder = _folder(around)
        kinds = {"gpudesk.json": "own file of gpudesk", "settings.json": "user settings"}
        return tuple(Found(folder / name, (folder / name).exists(), kind) for name, kind in kinds.items())

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the variables or the file; raises ExportError when the file cannot be read."""
        chat = required(chosen.of(Role.CHAT), self.name)
        notes = [*chosen.warnings, *compatible_notes("Claude Code", [chat])]
        told = {"ANTHROPIC_BASE_URL": chat.engine_url, "ANTHROPIC_AUTH_TOKEN": "ollama", "ANTHROPIC_API_KEY": ""}
        # All three sizes are the one model: another one for small tasks would put it out of memory.
        told |= dict.fromkeys(_MODELS, chat.name)
        if way is Way.PRINT:
            lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in told.items())
            return Export(self.id, way, snippet=lines, notes=tuple(notes))
        path = into or _folder(around) / "gpudesk.json"
        notes.append(f"Start it with  claude --settings {shortened(path)}")
        return own_file(self.id, path, json.dumps({"env": told}, indent=2) + "\n", "the models of gpudesk", notes)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        settings = [JsoncSettings(self.id, self.name, file.path, _EFFECT) for file in self.files(around)]
        return checked(settings, desk, _requests, _missing_models, fits=fits)

    def remove(self, around: Surroundings) -> Export:
        """Return no file of gpudesk's; the user's were never changed."""
        return Export(self.id, Way.OWN_FILE, without_own_files(self.id, around, [_folder(around) / "gpudesk.json"]))


def _folder(around: Surroundings) -> Path:
    return Path(around.environment.get("CLAUDE_CONFIG_DIR") or around.home / ".claude")


def _requests(document: Document, path: Path) -> Iterable[Request]:
    root = document.root
    base = root.at(("env", "ANTHROPIC_BASE_URL")) if root is not None else None
    if root is None or base is None or not isinstance(base.data, str):
        return
    for name in ("ANTHROPIC_MODEL", *_MODELS, "ANTHROPIC_SMALL_FAST_MODEL"):
        node = root.at(("env", name))
        if node is not None and isinstance(node.data, str) and node.data:
            yield Request(
                "Claude Code",
                path,
                line_of(document, node),
                f"env.{name}",
                node.data,
                base.data,
                compatible=True,
                wants_v1=False,
                adds="/v1/messages",
                url_place=place_of(document, path, "env.ANTHROPIC_BASE_URL", base),
            )


def _missing_models(document: Document, path: Path) -> Iterable[Finding]:
    root = document.root
    base = root.at(("env", "ANTHROPIC_BASE_URL")) if root is not None else None
    if root is None or base is None or "anthropic.com" in str(base.data):
        return
    nodes = [node for name in _CHAT_MODELS if (node := root.at(("env", name))) is not None]
    known = [node.data for node in nodes if isinstance(node.data, str) and node.data]
    environment = root.at(("env",))
    for name in _MODELS:
        if root.at(("env", name)) is None and environment is not None:
            # Another model for one of the sizes would put the first out of memory.
            place = place_before(document, path, f"env.{name}", environment.child("ANTHROPIC_BASE_URL"), name)
            edits = () if place is None or not known else place.edits(json.dumps(known[0]))
            yield Finding(
                "model-missing",
                Severity.WARNING,
                path,
                line_of(document, base),
                f"env.{name}",
                f"{name} is not set",
                "Claude Code asks the engine for a model of Anthropic's, which it does not have",
                f"Set it to {known[0]}" if known else "Set it to the chat model",
                edits,
            )
