"""Zed: chat, inline assistant and edit predictions in its `settings.json`.

The keys are those of crates/settings_content/src/{agent,language,language_model}.rs. For chat Zed sends `num_ctx` =
`max_tokens` and a `keep_alive` of -1 unless told otherwise (crates/ollama/src/ollama.rs: `KeepAlive::default`); edit
predictions go to /api/generate with raw:true and carry neither (crates/edit_prediction/src/ollama.rs).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import JsoncSettings, line_of, removal
from gpudesk.exports.jsonc_tree import Document, KeyPath, Node
from gpudesk.exports.requests import Request, findings, required
from gpudesk.exports.values import Finding, Role, Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.values import Chosen, ChosenModel, Export

_EFFECT = "Zed shows an error and goes on with the settings it had, or its defaults"
_FORMATS = {
    "codellama": "code_llama",
    "starcoder": "star_coder",
    "deepseek": "deepseek_coder",
    "codegemma": "code_gemma",
    "codestral": "codestral",
    "qwen": "qwen",
    "glm": "glm",
}
"""Words in a model's name and `prompt_format` (enum EditPredictionPromptFormat of language.rs)."""


class Zed:
    """Zed."""

    id = "zed"
    name = "Zed"
    ways = (Way.MERGE, Way.PRINT)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return its settings file."""
        path = _path(around)
        return (Found(path, path.exists(), "settings.json"),)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the settings with the chosen models; raises ExportError when the file cannot be changed."""
        required(chosen.of(Role.CHAT) or chosen.of(Role.EDIT) or chosen.of(Role.AUTOCOMPLETE), self.name)
        values, notes = _values(chosen)
        return _settings(into or _path(around)).export(values, way, notes)

    def check(self, around: Surroundings, desk: Desk | None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        settings = _settings(_path(around))
        document = settings.read()
        if document is None or isinstance(document, Finding):
            return () if document is None else (document,)
        return findings(list(_requests(document, settings.path)), desk)

    def remove(self, around: Surroundings) -> Export:
        """Return the settings without gpudesk's."""
        return removal(self.id, around, [_settings(_path(around))])


def _path(around: Surroundings) -> Path:
    if around.platform == "win32":
        return Path(around.environment.get("APPDATA") or around.home / "AppData" / "Roaming") / "Zed" / "settings.json"
    folder = around.environment.get("XDG_CONFIG_HOME") if around.platform == "linux" else None
    return Path(folder or around.home / ".config") / "zed" / "settings.json"


def _settings(path: Path) -> JsoncSettings:
    return JsoncSettings("zed", "Zed", path, _EFFECT)


def _values(chosen: Chosen) -> tuple[dict[KeyPath, Any], list[str]]:
    values: dict[KeyPath, Any] = {}
    notes = list(chosen.warnings)
    chat, edit, completing = chosen.of(Role.CHAT), chosen.of(Role.EDIT), chosen.of(Role.AUTOCOMPLETE)
    if chat is not None:
        values["agent", "default_model"] = {"provider": "ollama", "model": chat.name}
    if edit is not None and edit != chat:
        values["agent", "inline_assistant_model"] = {"provider": "ollama", "model": edit.name}
    talking = list(dict.fromkeys(model for model in (chat, edit) if model is not None))
    if talking:
        values["language_models", "ollama", "api_url"] = talking[0].engine_url
    for model in talking:
        if model.context_length is None:
            notes.append(
                f"Zed sends a num_ctx with every chat, at most 16384 unless it is told; for {model.name} none is "
                "known here, so Zed's own is what it is loaded with"
            )
            continue
        values["language_models", "ollama", "available_models", ("name", model.name)] = _listed(model)
    if completing is not None:
        values["edit_predictions", "provider"] = "ollama"
        values["edit_predictions", "ollama"] = {
            "api_url": completing.engine_url,
            "model": completing.name,
            "prompt_format": _prompt_format(completing.name),
            "max_output_tokens": completing.max_tokens or 256,
        }
        notes.append(
            f"Zed sends neither context nor keep-alive with edit predictions: load {completing.name} with gpudesk, and "
            "it stays as it is"
        )
    if chosen.of(Role.EMBED) is not None:
        notes.append("Zed has no use for an embedding model")
    return values, notes


def _listed(model: ChosenModel) -> dict[str, Any]:
    told: dict[str, Any] = {"name": model.name, "max_tokens": model.context_length, "keep_alive": model.keep_alive.wire}
    if model.capabilities is not None:
        told["supports_tools"] = "tools" in model.capabilities
        told["supports_images"] = "vision" in model.capabilities
        told["supports_thinking"] = "thinking" in model.capabilities
    return told


def _prompt_format(name: str) -> str:
    return next((form for word, form in _FORMATS.items() if word in name.lower()), "infer")


def _requests(document: Document, path: Path) -> Iterable[Request]:
    root = document.root
    if root is None:
        return
    url = _text(root.at(("language_models", "ollama", "api_url")))
    for where in ("default_model", "inline_assistant_model", "commit_message_model", "thread_summary_model"):
        name = root.at(("agent", where, "model"))
        if name is None or _text(root.at(("agent", where, "provider"))) != "ollama":
            continue
        listed = root.at(("language_models", "ollama", "available_models", ("name", name.data)))
        told = listed.data if listed is not None else {}
        yield Request(
            "Zed",
            path,
            line_of(document, listed or name),
            f"agent.{where}",
            str(name.data),
            url or "http://localhost:11434",
            context_length=_context(told, root),
            own_context=True,
            keep_alive=_keep_alive(told.get("keep_alive")),
            wants_v1=False,
        )
    name = root.at(("edit_predictions", "ollama", "model"))
    if name is not None and _text(root.at(("edit_predictions", "provider"))) == "ollama":
        api_url = _text(root.at(("edit_predictions", "ollama", "api_url")))
        yield Request(
            "Zed",
            path,
            line_of(document, name),
            "edit_predictions.ollama.model",
            str(name.data),
            api_url or "http://localhost:11434",
            completes=True,
            wants_v1=False,
        )


def _context(told: dict[str, Any], root: Node) -> int | None:
    over = root.at(("language_models", "ollama", "context_window"))
    value = over.data if over is not None else told.get("max_tokens")
    return value if type(value) is int else None


def _keep_alive(value: Any) -> KeepAliveWish | None:
    """Return what is sent: -1 where nothing is written."""
    if value is None:
        return FOREVER
    if type(value) is int:
        return FOREVER if value < 0 else KeepAliveWish(float(value))
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    text = str(value)
    if text.startswith("-"):
        return FOREVER
    if text[-1:] in units and text[:-1].isdecimal():
        return KeepAliveWish(float(text[:-1]) * units[text[-1]])
    return None


def _text(node: Node | None) -> str | None:
    return node.data if node is not None and isinstance(node.data, str) else None
