"""Aider: an own configuration and own model settings, which `aider --config` takes.

Aider sets `num_ctx` anew for each request, as large as it needs, so that Ollama loads the model again and again,
unless the model's settings name one (aider.chat/docs/llms/ollama.html). The address goes by the environment, which
`set-env` reaches (Aider-AI/aider#3017). A second model for commit messages (`weak-model`) would put the first out of
memory, so it is the same one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.editor import Found
from gpudesk.exports.editors.jsonc_file import own_file, unreadable, without_own_files
from gpudesk.exports.request_rules import findings
from gpudesk.exports.requests import Place, Request, place_within, required, sent_keep_alive
from gpudesk.exports.text_file import line_and_column, read_text
from gpudesk.exports.values import Export, Finding, Role, Way
from gpudesk.paths import shortened
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.domain.desk import Desk
    from gpudesk.exports.editor import Surroundings
    from gpudesk.exports.foresight import Fits
    from gpudesk.exports.values import Chosen, ChosenModel
    from gpudesk.exports.yaml_tree import Document, Node

_EFFECT = "Aider does not start"
_VARIABLE = "OLLAMA_API_BASE"
_CONFIG, _SETTINGS = ".aider.gpudesk.conf.yml", ".aider.gpudesk.model.settings.yml"


class Aider:
    """Aider."""

    id = "aider"
    name = "Aider"
    ways = (Way.OWN_FILE, Way.PRINT)

    def files(self, around: Surroundings) -> tuple[Found, ...]:
        """Return gpudesk's own files and the user's."""
        kinds = {
            _CONFIG: "own file of gpudesk",
            _SETTINGS: "own file of gpudesk",
            ".aider.conf.yml": ".aider.conf.yml",
            ".aider.model.settings.yml": ".aider.model.settings.yml",
        }
        return tuple(Found(around.home / name, (around.home / name).exists(), kind) for name, kind in kinds.items())

    def export(self, chosen: Chosen, around: Surroundings, way: Way, *, into: Path | None = None) -> Export:
        """Return both files; raises ExportError when one cannot be read."""
        chat = required(chosen.of(Role.CHAT), self.name)
        notes = list(chosen.warnings)
        path = into or around.home / _CONFIG
        settings = path.with_name(_SETTINGS)
        config_text, settings_text = _config(chat, settings), _model_settings(chat)
        if chat.context_length is None:
            notes.append(
                f"Aider sends a num_ctx of its own choice with every request; the context of {chat.name} is not known "
                "here, so it is not held to it"
            )
        if way is Way.PRINT:
            snippet = f"# {path.name}\n{config_text}\n# {settings.name}\n{settings_text}"
            return Export(self.id, way, snippet=snippet, notes=tuple(notes))
        notes.append(f"Start it with  aider --config {shortened(path)}")
        first = own_file(self.id, settings, settings_text, "the context and the keep-alive of the model", notes)
        second = own_file(self.id, path, config_text, "the model of gpudesk", notes)
        return replace(second, changes=(*first.changes, *second.changes))

    def check(self, around: Surroundings, desk: Desk | None, fits: Fits | None = None) -> tuple[Finding, ...]:
        """Find what is silently wrong."""
        found: list[Finding] = []
        for config, settings in ((_CONFIG, _SETTINGS), (".aider.conf.yml", ".aider.model.settings.yml")):
            path = around.home / config
            if not path.exists():
                continue
            try:
                requests = list(_requests(path, around.home / settings))
            except ExportError as error:
                found.append(unreadable(path, error, _EFFECT))
            else:
                found += findings(requests, desk, fits)
        return tuple(found)

    def remove(self, around: Surroundings) -> Export:
        """Return no files of gpudesk's; the user's were never changed."""
        own = without_own_files(self.id, around, [around.home / name for name in (_CONFIG, _SETTINGS)])
        return Export(self.id, Way.OWN_FILE, own)


def _config(chat: ChosenModel, settings: Path) -> str:
    model = json.dumps(f"ollama_chat/{chat.name}")
    return (
        f"model: {model}\n"
        f"weak-model: {model}\n"
        f"editor-model: {model}\n"
        f"set-env:\n  - {json.dumps(f'{_VARIABLE}={chat.engine_url}')}\n"
        f"model-settings-file: {json.dumps(str(settings), ensure_ascii=False)}\n"
    )


def _model_settings(chat: ChosenModel) -> str:
    context = "" if chat.context_length is None else f"    num_ctx: {chat.context_length}\n"
    name = json.dumps(f"ollama_chat/{chat.name}")
    return f"- name: {name}\n  extra_params:\n{context}    keep_alive: {chat.keep_alive.wire}\n"


def _requests(path: Path, settings: Path) -> Iterable[Request]:
    """Read both files with the parser for Continue's, which takes all of the YAML that people write."""
    from gpudesk.exports.yaml_tree import read

    document = read(read_text(path).text)
    root = document.root
    if root is None or root.kind != "mapping":
        return
    url, url_place = _address(path, document)
    extra = _extra_params(settings)
    for key in ("model", "weak-model", "editor-model"):
        node = root.get(key)
        full = str(document.data(node) or "")
        provider, _, name = full.partition("/")
        if node is None or provider not in {"ollama", "ollama_chat"} or not name:
            continue
        told, params = extra.get(full, (None, None))
        context = told.data(params.get("num_ctx")) if told is not None and params is not None else None
        stays = told.data(params.get("keep_alive")) if told is not None and params is not None else None
        yield Request(
            "Aider",
            path,
            line_and_column(document.text, node.start)[0],
            key,
            name,
            url,
            context_length=context if type(context) is int else None,
            keep_alive=None if stays is None else sent_keep_alive(stays),
            own_context=True,
            wants_v1=False,
            url_place=url_place,
            context_place=_param_place(settings, told, params, full, "num_ctx"),
            context_key=f"extra_params.num_ctx of {full} in {settings.name}",
            keep_alive_place=_param_place(settings, told, params, full, "keep_alive"),
        )


def _address(path: Path, document: Document) -> tuple[str, Place | None]:
    """Return the address that `set-env` sets, and where."""
    given = document.root.get("set-env") if document.root is not None else None
    for node in [] if given is None else given.items() or [given]:
        name, found, url = str(document.data(node)).partition("=")
        if found and name == _VARIABLE:
            return url, place_within(path, f"set-env.{name}", document.text, node.start, node.end, url)
    return "http://127.0.0.1:11434", None


def _extra_params(settings: Path) -> dict[str, tuple[Document, Node]]:
    """Return what the settings of models say is sent with each request, by the model's name."""
    from gpudesk.exports.yaml_tree import read

    document = read(read_text(settings).text)
    told = {}
    for entry in document.root.items() if document.root is not None else ():
        params = entry.get("extra_params")
        if params is not None and params.kind == "mapping":
            told[str(document.data(entry.get("name")))] = (document, params)
    return told


def _param_place(path: Path, document: Document | None, params: Node | None, model: str, key: str) -> Place | None:
    """Return where a parameter is written, when that is on one line and nowhere else used."""
    node = params.get(key) if params is not None else None
    if document is None or node is None or node.kind != "scalar" or node.anchor or node.tag or node.style in {"|", ">"}:
        return None
    line = line_and_column(document.text, node.start)[0]
    return Place(path, line, f"{model}.extra_params.{key}", node.start, node.end)
