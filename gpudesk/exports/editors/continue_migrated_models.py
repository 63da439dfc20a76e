"""The models of a migrated configuration, whichever of five places of `config.json` they stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.exports.editors import continue_shapes as shapes
from gpudesk.exports.editors.continue_carry import NOTHING, Carrier
from gpudesk.exports.editors.continue_names import guesses_images, guesses_tools
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

Place = tuple["str | int", ...]

_OLLAMA_ONLY = {"numGpu": "num_gpu", "numThreads": "num_thread", "useMmap": "use_mmap", "mirostat": "mirostat"}
_ENV = (
    *("region", "profile", "accessKeyId", "secretAccessKey", "modelArn", "apiType", "apiVersion", "deployment"),
    *("deploymentId", "projectId", "accountId", "aiGatewaySlug"),
)
_SAME = (
    *("apiKey", "apiBase", "maxStopWords", "cacheBehavior", "useLegacyCompletionsEndpoint", "useResponsesApi"),
    *("requestOptions", "promptTemplates"),
)
_TRANSFORMERS = "all-MiniLM-L6-v2"
"""What transformers.js embeds with whatever is written (core/llm/llms/TransformersJsEmbeddingsProvider.ts)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a list, with what of it has no place."""

    value: Any
    """None: all of it is lost."""
    place: Place
    """Where it stood in config.json."""
    lost: tuple[str, ...] = ()


def filled(value: Any, names: Sequence[str]) -> Any:
    """Put `${{ secrets.NAME }}` where config.json has the name of a variable listed in `env` (core/config/load.ts)."""
    if isinstance(value, dict):
        return {key: item if key == "env" else filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return f"${{{{ secrets.{value} }}}}" if isinstance(value, str) and value in names else value


def model_pieces(old: dict[str, Any], general: Carrier) -> list[Piece]:
    """Return the entries of `models`: in their order, then autocomplete, embed and rerank."""
    experimental = old.get("experimental")
    wished = experimental.get("modelRoles") if isinstance(experimental, dict) else None
    wished = wished if isinstance(wished, dict) else {}
    options = old.get("completionOptions") if isinstance(old.get("completionOptions"), dict) else {}
    pieces = []
    listed = old.get("models") if isinstance(old.get("models"), list) else []
    for index, model in enumerate(listed or []):
        roles = _talking_roles(model, wished)
        pieces.append(_model(model, roles, options, ("models", index), f"models[{index}]"))
    pieces += _completing(old, options, general)
    if isinstance(old.get("embeddingsProvider"), dict):
        pieces.append(_embedding(old["embeddingsProvider"]))
    if isinstance(old.get("reranker"), dict):
        pieces.append(_reranking(old["reranker"]))
    for role in set(wished) - {"inlineEdit", "applyCodeBlock"}:
        general.lose(f"experimental.modelRoles.{role}", wished[role], "there is no such role any more")
    return _unique(pieces)


def _talking_roles(model: Any, wished: dict[str, Any]) -> list[str]:
    """Return the roles of a model for chat: all of them, less those that another is named for."""
    title = model.get("title") if isinstance(model, dict) else None
    roles = ["chat"]
    for role, key in (("edit", "inlineEdit"), ("apply", "applyCodeBlock")):
        if wished.get(key) in (None, title):
            roles.append(role)
    return [*roles, "summarize"]


def _completing(old: dict[str, Any], options: Any, general: Carrier) -> list[Piece]:
    told, wanted = old.get("tabAutocompleteModel"), old.get("tabAutocompleteOptions")
    many = isinstance(told, list)
    models = told if isinstance(told, list) else [told] if told is not None else []
    carrier = Carrier()
    complete = carrier.value(wanted, shapes.AUTOCOMPLETE, "tabAutocompleteOptions")
    if not models:
        general.lose("tabAutocompleteOptions", wanted, "there is no model for autocomplete")
    else:
        general.lost += carrier.lost
    pieces = []
    for index, model in enumerate(models):
        place: Place = ("tabAutocompleteModel", index) if many else ("tabAutocompleteModel",)
        where = f"tabAutocompleteModel[{index}]" if many else "tabAutocompleteModel"
        piece = _model(model, ["autocomplete"], options, place, where)
        if piece.value is not None and complete is not NOTHING and complete:
            piece.value["autocompleteOptions"] = dict(complete)
        pieces.append(piece)
    return pieces


def _model(model: Any, roles: list[str], general_options: Any, place: Place, where: str) -> Piece:
    carrier = Carrier()
    name = model.get("title") or model.get("model") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not all(isinstance(model.get(key), str) for key in ("provider", "model")):
        carrier.lose(where, model, "no provider or no model")
        return Piece(None, place, tuple(carrier.lost))
    made: dict[str, Any] = {"name": str(name), "provider": model["provider"], "model": model["model"]}
    fields = shapes.MODEL.fields or {}
    for key in _SAME:
        value = carrier.value(model.get(key), fields[key], f"{where}.{key}")
        if value is not NOTHING and value != {}:
            made[key] = value
    made["roles"] = roles
    _add_capabilities(made, model, carrier, where)
    _add_options(made, model, general_options, carrier, where)
    _add_words(made, model, carrier, where)
    env = {key: model[key] for key in _ENV if isinstance(model.get(key), (str, int, float))}
    for key in _ENV:
        if key not in env:
            carrier.lose(f"{where}.{key}", model.get(key), "not a text")
    if env:
        made["env"] = env
    known = {*_SAME, *_ENV, "title", "provider", "model", "capabilities", "completionOptions", "contextLength"}
    for key, value in model.items():
        if key not in known | {"systemMessage", "template"}:
            carrier.lose(f"{where}.{key}", value, "config.yaml has no such key")
    return Piece(made, place, tuple(carrier.lost))


def _add_capabilities(made: dict[str, Any], model: dict[str, Any], carrier: Carrier, where: str) -> None:
    """Say what was said; the list is all or nothing, so what was left to a guess is guessed as Continue does."""
    told = model.get("capabilities")
    if not isinstance(told, dict) or not any(isinstance(told.get(key), bool) for key in ("tools", "uploadImage")):
        carrier.lose(f"{where}.capabilities", told, "not understood")
        return
    guesses = {
        "tools": guesses_tools(model["model"]) if model["provider"] == "ollama" else False,
        "uploadImage": guesses_images(model["model"], str(model.get("title") or "")),
    }
    words = {"tools": "tool_use", "uploadImage": "image_input"}
    made["capabilities"] = [word for key, word in words.items() if (told[key] if key in told else guesses[key])]
    for key in set(told) - set(words):
        carrier.lose(f"{where}.capabilities.{key}", told[key], "config.yaml has no such capability")


def _add_options(made: dict[str, Any], model: dict[str, Any], general: Any, carrier: Carrier, where: str) -> None:
    own = model.get("completionOptions")
    if not isinstance(own, dict):
        carrier.lose(f"{where}.completionOptions", own, "not understood")
    told = {
        **general,
        **{key: value for key, value in (own if isinstance(own, dict) else {}).items() if value is not None},
    }
    if model.get("contextLength") is not None:
        told = {"contextLength": model["contextLength"], **told}
    for key, parameter in _OLLAMA_ONLY.items():
        carrier.lose(
            f"{where}.completionOptions.{key}", told.pop(key, None), f"bake it into a model: PARAMETER {parameter}"
        )
    options = carrier.fields(told, shapes.COMPLETION, f"{where}.completionOptions")
    if options:
        made["defaultCompletionOptions"] = options
    if "keepAlive" in options and model["provider"] == "ollama":
        request = made.setdefault("requestOptions", {})
        extra = request.setdefault("extraBodyProperties", {})
        extra.setdefault("keep_alive", options["keepAlive"])  # versions before 1.2.19 drop keepAlive


def _add_words(made: dict[str, Any], model: dict[str, Any], carrier: Carrier, where: str) -> None:
    system, template = model.get("systemMessage"), model.get("template")
    if isinstance(system, str) and system:
        made["chatOptions"] = {"baseSystemMessage": system}
    elif not isinstance(system, str):
        carrier.lose(f"{where}.systemMessage", system, "not a text")
    if template in shapes.CHAT_TEMPLATES:
        made["promptTemplates"] = {"chat": template, **made.get("promptTemplates", {})}
    else:
        carrier.lose(f"{where}.template", template, "Continue has no such template any more")


def _embedding(told: dict[str, Any]) -> Piece:
    carrier, place = Carrier(), ("embeddingsProvider",)
    if not isinstance(told.get("provider"), str):
        carrier.lose("embeddingsProvider", told, "no provider")
        return Piece(None, place, tuple(carrier.lost))
    model = told.get("model")
    if not isinstance(model, str) or not model:
        model = _TRANSFORMERS if told["provider"] == "transformers.js" else "UNSPECIFIED"
    sizes = {new: told[old] for new, olds in _SIZES.items() for old in olds if told.get(old) is not None}
    rest = {key: value for key, value in told.items() if key not in {*_SIZE_KEYS, "title", "model"}}
    title = told.get("title") or "Embeddings"
    piece = _model({**rest, "title": title, "model": model}, ["embed"], {}, place, "embeddingsProvider")
    if sizes:
        options = carrier.fields(sizes, shapes.EMBED, "embeddingsProvider")
        piece.value["embedOptions"] = options
    return Piece(piece.value, place, (*piece.lost, *carrier.lost))


_SIZES = {
    "maxChunkSize": ("maxEmbeddingChunkSize", "maxChunkSize"),
    "maxBatchSize": ("maxEmbeddingBatchSize", "maxBatchSize"),
}
_SIZE_KEYS = [name for names in _SIZES.values() for name in names]


def _reranking(told: dict[str, Any]) -> Piece:
    carrier, place = Carrier(), ("reranker",)
    parameters = told.get("params") if isinstance(told.get("params"), dict) else {}
    if not isinstance(told.get("name"), str) or told["name"] == "llm":
        carrier.lose("reranker", told, "config.yaml has no reranker made of a model for chat")
        return Piece(None, place, tuple(carrier.lost))
    model = {**(parameters or {}), "title": "Reranker", "provider": told["name"]}
    model["model"] = model.get("model") if isinstance(model.get("model"), str) else "UNSPECIFIED"
    return _model(model, ["rerank"], {}, place, "reranker")


def _unique(pieces: list[Piece]) -> list[Piece]:
    """Number titles that are there twice: config.json allows it, and config.yaml drops the second in silence."""
    seen: set[str] = set()
    for piece in pieces:
        if piece.value is None:
            continue
        name = title = piece.value["name"]
        if name in seen and piece.value["roles"] == ["autocomplete"]:
            name = title = f"{title} (autocomplete)"
        number = 1
        while name in seen:
            number += 1
            name = f"{title} ({number})"
        seen.add(name)
        piece.value["name"] = name
    return pieces
