"""VS Code's own chat: a group of models in `chatLanguageModels.json`.

`vendor: customendpoint` speaks the protocol of OpenAI to any URL (code.visualstudio.com,
docs/agent-customization/language-models; VS Code 1.122 and newer, no sign-in). VS Code's inline suggestions cannot use
a local model (same page); llama.vscode's can. VS Code writes the file anew when models are managed in it, without
comments, so the group is known by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import JsoncSettings, checked, line_of, place_of, removal
from gpudesk.exports.jsonc_tree import Document, KeyPath
from gpudesk.exports.requests import Request, compatible_notes, required
from gpudesk.exports.values import Role, Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, ChosenModel, Export, Finding

_EFFECT = "VS Code offers none of the models in it"
_GROUP: KeyPath = (("name", "gpudesk"),)
_PROGRAMS = ("Code", "Code - Insiders", "VSCodium")


class VsCode:
    """VS Code's own chat."""

    id = "vscode"
    name = "VS Code"
    ways = (Way.MERGE, Way.PRINT)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return the list of models of each VS Code."""
        paths = [folder / "chatLanguageModels.json" for folder in user_folders(around)]
        return tuple(Found(path, path.exists(), "chatLanguageModels.json") for path in paths)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the list with the chosen model; raises ExportError when the file cannot be changed."""
        path = into or user_folders(around)[0] / "chatLanguageModels.json"
        chat = required(chosen.of(Role.CHAT), self.name)
        notes = [*chosen.warnings, *compatible_notes("VS Code", [chat])]
        notes.append(f"Choose {chat.name} once in the list of models of the chat view")
        if chosen.of(Role.AUTOCOMPLETE) is not None:
            notes.append("VS Code's own inline suggestions cannot use a local model; llama.vscode's can")
        return _settings(path).export({_GROUP: _group(chat)}, way, notes)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        return checked([_settings(file.path) for file in self.files(around)], desk, _requests, fits=fits)

    def remove(self, around: Surroundings) -> Export:
        """Return the lists without gpudesk's group."""
        return removal(self.id, around, [_settings(file.path) for file in self.files(around)])


def user_folders(around: Surroundings) -> list[Path]:
    """Return the folders of user settings that are there, or the one of VS Code itself."""
    if around.platform == "win32":
        above = Path(around.environment.get("APPDATA") or around.home / "AppData" / "Roaming")
    elif around.platform == "darwin":
        above = around.home / "Library" / "Application Support"
    else:
        above = Path(around.environment.get("XDG_CONFIG_HOME") or around.home / ".config")
    folders = [above / program / "User" for program in _PROGRAMS]
    return [folder for folder in folders if folder.is_dir()] or folders[:1]


def _settings(path: Path) -> JsoncSettings:
    return JsoncSettings("vscode", "VS Code", path, _EFFECT, unit="\t", owned=frozenset({_GROUP}))


def _group(model: ChosenModel) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": model.name,
        "name": f"{model.name} (local)",
        "url": f"{model.engine_url}/v1/chat/completions",
        "toolCalling": model.capabilities is None or "tools" in model.capabilities,
        "vision": "vision" in (model.capabilities or ()),
    }
    if model.context_length is not None:
        answer = min(model.max_tokens or 4096, model.context_length // 2)
        told |= {"maxInputTokens": model.context_length - answer, "maxOutputTokens": answer}
    return {"name": "gpudesk", "vendor": "customendpoint", "apiType": "chat-completions", "models": [told]}


def _requests(document: Document, path: Path) -> Iterable[Request]:
    groups = document.root.children if document.root is not None and document.root.kind == "array" else []
    for place, group in enumerate(groups):
        models = group.node.child("models")
        for number, model in enumerate(models.node.children if models is not None else ()):
            data = model.node.data
            url = data.get("url") if isinstance(data, dict) else None
            name = data.get("id") if isinstance(data, dict) else None
            if isinstance(url, str) and isinstance(name, str):
                where = f"[{place}].models[{number}]"
                yield Request(
                    "VS Code",
                    path,
                    line_of(document, model.node),
                    where,
                    name,
                    url,
                    compatible=True,
                    wants_v1=True,
                    v1_path="/v1/chat/completions",
                    url_place=place_of(document, path, f"{where}.url", model.node.at(("url",))),
                )
