"""llama.vscode: completions (and chat) in VS Code's `settings.json`, under `llama-vscode.`.

Made for llama-server's /infill; with `use_openai_endpoint` it asks /completions below `endpoint` with a prompt of its
own making, so that Ollama can serve it: `endpoint` then ends with /v1, while `endpoint_chat` and `endpoint_tools` do
not, because `/v1/chat/completions` is added to them (src/configuration.ts `setOpenAiClient`, src/llama-server.ts).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import JsoncSettings, checked, line_of, place_before, place_of, removal
from gpudesk.exports.editors.vscode import user_folders
from gpudesk.exports.jsonc_tree import Document, KeyPath, Node
from gpudesk.exports.requests import Request, compatible_notes, required
from gpudesk.exports.values import Finding, Role, Severity, Way

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, Export

_EFFECT = "VS Code goes on with its defaults for what it cannot read"
_PREFIX = "llama-vscode."
_TEMPLATES = {
    "starcoder": "<fim_prefix>{inputPrefix}{prompt}<fim_suffix>{inputSuffix}<fim_middle>",
    "stable-code": "<fim_prefix>{inputPrefix}{prompt}<fim_suffix>{inputSuffix}<fim_middle>",
    "codellama": "<PRE> {inputPrefix}{prompt} <SUF>{inputSuffix} <MID>",
    "codestral": "[SUFFIX]{inputSuffix}[PREFIX]{inputPrefix}{prompt}",
    "deepseek": "<｜fim▁begin｜>{inputPrefix}{prompt}<｜fim▁hole｜>{inputSuffix}<｜fim▁end｜>",
}
"""Prompts by words in a model's name, as each family was trained; the default is that of qwen and codegemma."""


class LlamaVsCode:
    """The extension llama.vscode."""

    id = "llama-vscode"
    name = "llama.vscode"
    ways = (Way.MERGE, Way.PRINT)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return the settings of each VS Code."""
        paths = [folder / "settings.json" for folder in user_folders(around)]
        return tuple(Found(path, path.exists(), "settings.json") for path in paths)

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return the settings with the chosen models; raises ExportError when the file cannot be changed."""
        values: dict[KeyPath, Any] = {}
        chat, completing = chosen.of(Role.CHAT), chosen.of(Role.AUTOCOMPLETE)
        required(chat or completing, self.name)
        if completing is not None:
            values[_PREFIX + "use_openai_endpoint",] = True
            values[_PREFIX + "endpoint",] = f"{completing.engine_url}/v1"
            values[_PREFIX + "openai_client_model",] = completing.name
            template = next((text for word, text in _TEMPLATES.items() if word in completing.name.lower()), None)
            if template is not None:
                values[_PREFIX + "openai_prompt_template",] = template
            values[_PREFIX + "n_predict",] = completing.max_tokens or 128
        if chat is not None:
            values[_PREFIX + "endpoint_chat",] = chat.engine_url
            values[_PREFIX + "endpoint_tools",] = chat.engine_url
            values[_PREFIX + "ai_model",] = chat.name
        used = [model for model in (chat, completing) if model is not None]
        notes = [*chosen.warnings, *compatible_notes("llama.vscode", used)]
        if completing is not None and "base" not in completing.name:
            notes.append(
                f"Ollama puts the prompt into the template of {completing.name} before it completes; a -base model, "
                "whose template is the bare prompt, completes better here"
            )
        if chosen.of(Role.EMBED) is not None:
            notes.append("llama.vscode asks for an embedding model by the name GPT-4, which Ollama has not: left out")
        return _settings(into or user_folders(around)[0] / "settings.json").export(values, way, notes)

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        return checked([_settings(file.path) for file in self.files(around)], desk, _requests, _forgotten, fits=fits)

    def remove(self, around: Surroundings) -> Export:
        """Return the settings without gpudesk's."""
        return removal(self.id, around, [_settings(file.path) for file in self.files(around)])


def _settings(path: Path) -> JsoncSettings:
    return JsoncSettings("llama-vscode", "llama.vscode", path, _EFFECT, unit="    ")


def _node(document: Document, key: str) -> Node | None:
    return document.root.at((_PREFIX + key,)) if document.root is not None else None


def _text(document: Document, key: str) -> str:
    node = _node(document, key)
    return node.data if node is not None and isinstance(node.data, str) else ""


def _line(document: Document, key: str) -> int | None:
    node = _node(document, key)
    return None if node is None else line_of(document, node)


def _is_switched(document: Document) -> bool:
    node = _node(document, "use_openai_endpoint")
    return node is not None and node.data is True


def _forgotten(document: Document, path: Path) -> Iterable[Finding]:
    """Find a model that is named and never asked."""
    named, switch = "openai_client_model", "use_openai_endpoint"
    if not _text(document, named) or _is_switched(document) or document.root is None:
        return
    place = place_of(document, path, _PREFIX + switch, _node(document, switch))
    if _node(document, switch) is None:
        place = place_before(document, path, _PREFIX + named, document.root.child(_PREFIX + named), _PREFIX + switch)
    yield Finding(
        "model-not-used",
        Severity.ERROR,
        path,
        _line(document, named),
        _PREFIX + named,
        f"a model is named, and {switch} is not true",
        "llama.vscode asks /infill, which only llama-server has: no completion ever comes",
        f'Set "{_PREFIX}{switch}": true',
        () if place is None else place.edits("true"),
    )


def _requests(document: Document, path: Path) -> Iterable[Request]:
    model = _text(document, "openai_client_model")
    if model and _is_switched(document):
        yield _request(document, path, "endpoint", model, completes=True)
    chat = _text(document, "ai_model")
    for key in ("endpoint_chat", "endpoint_tools"):
        if chat and _text(document, key):
            yield _request(document, path, key, chat)


def _request(document: Document, path: Path, key: str, model: str, *, completes: bool = False) -> Request:
    return Request(
        "llama.vscode",
        path,
        _line(document, key),
        _PREFIX + key,
        model,
        _text(document, key) or "http://127.0.0.1:8012",
        compatible=True,
        completes=completes,
        wants_v1=completes,
        adds="/v1/chat/completions",
        url_place=place_of(document, path, _PREFIX + key, _node(document, key)),
    )
