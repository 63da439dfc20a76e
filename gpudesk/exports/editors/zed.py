"""Zed: chat, inline assistant and edit predictions in its `settings.json`.

The keys are those of crates/settings_content/src/{agent,language,language_model}.rs. For chat Zed sends `num_ctx` =
`max_tokens` and a `keep_alive` of -1 unless told otherwise (crates/ollama/src/ollama.rs: `KeepAlive::default`); edit
predictions go to /api/generate with raw:true and carry neither (crates/edit_prediction/src/ollama.rs).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.domain.keep_alive import FOREVER
from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import JsoncSettings, checked, line_of, place_before, place_of, removal
from gpudesk.exports.jsonc_tree import Document, KeyPath, Node
from gpudesk.exports.requests import Place, Request, required, sent_keep_alive
from gpudesk.exports.values import Role, Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, ChosenModel, Export, Finding

_EFFECT = "Zed shows an error and goes on with the settings it had, or its defaults"
_DEFAULT_URL = "http://localhost:11434"
_LISTED = "language_models.ollama.available_models"
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

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        return checked([_settings(_path(around))], desk, _requests, fits=fits)

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
    url = root.at(("language_models", "ollama", "api_url"))
    url_place = place_of(document, path, "language_models.ollama.api_url", url)
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
            _text(url) or _DEFAULT_URL,
            context_length=_context(told, root),
            own_context=True,
            # Zed sends -1 where nothing is written.
            keep_alive=FOREVER if told.get("keep_alive") is None else sent_keep_alive(told["keep_alive"]),
            wants_v1=False,
            url_place=url_place,
            context_place=_context_place(document, path, listed),
            context_key=f"max_tokens of {name.data} in {_LISTED}",
            keep_alive_place=place_of(
                document, path, f"{_LISTED}[{name.data}].keep_alive", listed.at(("keep_alive",)) if listed else None
            ),
        )
    name = root.at(("edit_predictions", "ollama", "model"))
    if name is not None and _text(root.at(("edit_predictions", "provider"))) == "ollama":
        url = root.at(("edit_predictions", "ollama", "api_url"))
        yield Request(
            "Zed",
            path,
            line_of(document, name),
            "edit_predictions.ollama.model",
            str(name.data),
            _text(url) or _DEFAULT_URL,
            completes=True,
            wants_v1=False,
            url_place=place_of(document, path, "edit_predictions.ollama.api_url", url),
        )


def _context_place(document: Document, path: Path, listed: Node | None) -> Place | None:
    """Return where the context of a model is written, or would be: the general one counts over that of the model."""
    over = document.root.at(("language_models", "ollama", "context_window")) if document.root is not None else None
    if over is not None:
        return place_of(document, path, "language_models.ollama.context_window", over)
    if listed is None or listed.kind != "object":
        return None
    where = f"{_LISTED}[{listed.data.get('name')}].max_tokens"
    written = listed.at(("max_tokens",))
    if written is not None:
        return place_of(document, path, where, written)
    return place_before(document, path, where, listed.children[0], "max_tokens")


def _context(told: dict[str, Any], root: Node) -> int | None:
    over = root.at(("language_models", "ollama", "context_window"))
    value = over.data if over is not None else told.get("max_tokens")
    return value if type(value) is int else None


def _text(node: Node | None) -> str | None:
    return node.data if node is not None and isinstance(node.data, str) else None
