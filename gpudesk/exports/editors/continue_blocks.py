"""The entries under `models:` that Continue gets, such that what it sends is what is resident.

Every choice has its reason in Continue's source, frozen at d0a3c0b626 (2026-06-18):

- `contextLength` stands in `defaultCompletionOptions`: at the model itself, versions before 1.2.19 drop it in silence
  (continuedev/continue d6259a7304). It becomes `num_ctx`, which is sent with every request.
- `keepAlive` is a number of seconds, and stands in `requestOptions.extraBodyProperties` as well: older versions drop
  the first, and `/api/embed` gets only the second (#4671, #5721). Without either, every request says 1800.
- `maxTokens` for autocomplete: 4096 by default, which leaves nothing of a small context for the prompt
  (core/autocomplete/templating/index.ts `pruneLength`).
- `capabilities` replace the guess as a whole once they are there (core/config/yaml/models.ts), so all or none.
- A model for embeddings has no `defaultCompletionOptions`: none of them is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpudesk.exports.editors.continue_names import (
    fills_in_the_middle,
    guesses_images,
    guesses_tools,
    needed_template,
)
from gpudesk.exports.values import Role
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpudesk.exports.values import Chosen, ChosenModel

Block = dict[str, Any]

NAME_PREFIX = "gpudesk "
"""Of the names of gpudesk's entries. Continue remembers a choice by name, so they stay the same whatever the model."""
CHAT_TOKENS = 4096
AUTOCOMPLETE_TOKENS = 256
_PROMPT_TOKENS = 1024
_TALKING = (Role.CHAT, Role.EDIT, Role.APPLY)


def blocks(chosen: Chosen) -> tuple[Block, ...]:
    """Return the entries, one per model and kind of use: a model that chats and completes gets two."""
    made: list[Block] = []
    for model in chosen.models:
        talking = tuple(role for role in _TALKING if role in model.roles)
        if talking:
            made.append(_talking(model, talking))
        if Role.AUTOCOMPLETE in model.roles:
            made.append(_completing(model))
        if Role.EMBED in model.roles:
            made.append(_embedding(model))
    _make_unique(made)
    return tuple(made)


def is_ours(entry: Any) -> str | None:
    """Return the name of an entry that gpudesk wrote."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name.startswith(NAME_PREFIX) else None


def notes(chosen: Chosen) -> tuple[str, ...]:
    """Return what the choice means in Continue."""
    said: list[str] = []
    for model in chosen.models:
        name = clean(model.name)
        if Role.RERANK in model.roles:
            said.append(f"{name} is left out for rerank: Continue cannot rerank with Ollama")
        if model.context_length is None and not model.context_baked_in and set(model.roles) - {Role.EMBED, Role.RERANK}:
            said.append(f"The context of {name} is not known: Continue asks for what its Modelfile says, or for 8192")
        if Role.AUTOCOMPLETE in model.roles and not _can_complete(model):
            said.append(f"{name} is not known to fill in the middle: completions may be explanations or noise")
    return tuple(said)


def _can_complete(model: ChosenModel) -> bool:
    if model.template_has_suffix or "insert" in (model.capabilities or ()):
        return True
    return fills_in_the_middle(model.name, model.family)


def _head(model: ChosenModel, role: Role, roles: Iterable[Role]) -> Block:
    return {
        "name": NAME_PREFIX + role.value,
        "provider": "ollama",
        "model": model.name,
        "apiBase": model.engine_url,
        "roles": [each.value for each in roles],
    }


def _options(model: ChosenModel, most: int) -> Block:
    """Return `defaultCompletionOptions`: an answer takes at most a quarter of the context, the prompt has the rest."""
    context = model.context_length
    tokens = model.max_tokens or (most if context is None else max(1, min(most, context // 4)))
    options: Block = {} if context is None or model.context_baked_in else {"contextLength": context}
    return {**options, "maxTokens": tokens, "keepAlive": model.keep_alive.wire}


def _kept(model: ChosenModel) -> Block:
    return {"extraBodyProperties": {"keep_alive": model.keep_alive.wire}}


def _talking(model: ChosenModel, roles: tuple[Role, ...]) -> Block:
    block = _head(model, roles[0], roles)
    capabilities = _capabilities(model, block["name"])
    if capabilities is not None:
        block["capabilities"] = capabilities
    return {**block, "defaultCompletionOptions": _options(model, CHAT_TOKENS), "requestOptions": _kept(model)}


def _completing(model: ChosenModel) -> Block:
    block = _head(model, Role.AUTOCOMPLETE, (Role.AUTOCOMPLETE,))
    options = _options(model, AUTOCOMPLETE_TOKENS)
    block |= {"defaultCompletionOptions": options, "requestOptions": _kept(model)}
    complete: Block = {}
    if model.context_length is not None and model.context_length < 2 * _PROMPT_TOKENS:
        complete["maxPromptTokens"] = max(1, model.context_length // 2)
    template = needed_template(model.name, model.family)
    if template is not None:
        complete["template"] = template
    if complete:
        block["autocompleteOptions"] = complete
    return block


def _embedding(model: ChosenModel) -> Block:
    return {**_head(model, Role.EMBED, (Role.EMBED,)), "requestOptions": _kept(model)}


def _capabilities(model: ChosenModel, title: str) -> list[str] | None:
    """Return what has to be said because Continue's guess by name is wrong; None when it is right or nobody knows."""
    if model.capabilities is None:
        return None
    tools, images = "tools" in model.capabilities, "vision" in model.capabilities
    if (tools, images) == (guesses_tools(model.name), guesses_images(model.name, title)):
        return None
    return [name for name, has in (("tool_use", tools), ("image_input", images)) if has]


def _make_unique(made: list[Block]) -> None:
    """Number names that would be there twice: Continue drops the second in silence (blockDuplicationDetector.ts)."""
    count: dict[str, int] = {}
    for block in made:
        name = block["name"]
        count[name] = count.get(name, 0) + 1
        if count[name] > 1:
            block["name"] = f"{name} {count[name]}"
