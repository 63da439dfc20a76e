"""Keys that Continue drops in silence: what was meant, and where it belongs.

The schema strips what it does not know, anywhere, without a message, so a key in the wrong place looks like one that
works (continuedev/continue #5721, #10378, #12544).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from gpudesk.exports.editors import continue_shapes as shapes
from gpudesk.exports.editors.continue_schema import Mismatch, MismatchKind
from gpudesk.exports.values import Edit, Severity
from gpudesk.records import dataclass
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_report import Report

_DROPPED = "Continue drops it without a word; nothing it says happens"
_GROUPS = (
    shapes.COMPLETION,
    shapes.AUTOCOMPLETE,
    shapes.REQUEST,
    shapes.EMBED,
    shapes.CHAT,
    shapes.TEMPLATES,
)
"""Mappings of a model in which a key of the model's may belong, the likeliest first."""


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_MEANT = {
    **dict.fromkeys(
        (
            "numctx",
            "nctx",
            "ctx",
            "ctxsize",
            "ctxlen",
            "contextsize",
            "contextwindow",
            "maxcontext",
            "maxcontextlength",
        ),
        ("defaultCompletionOptions", "contextLength"),
    ),
    **dict.fromkeys(
        ("numpredict", "npredict", "maxnewtokens", "maxoutputtokens", "maxcompletiontokens"),
        ("defaultCompletionOptions", "maxTokens"),
    ),
    **dict.fromkeys(("keepalive", "keepaliveseconds", "ollamakeepalive"), ("defaultCompletionOptions", "keepAlive")),
    **dict.fromkeys(
        ("completionoptions", "completionoption", "defaultoptions", "options", "modeloptions", "parameters", "params"),
        ("defaultCompletionOptions",),
    ),
    **dict.fromkeys(
        ("url", "baseurl", "apiurl", "endpoint", "host", "server", "base", "ollamahost", "ollamaurl"), ("apiBase",)
    ),
    **dict.fromkeys(("title", "displayname", "label"), ("name",)),
    **dict.fromkeys(("role",), ("roles",)),
    **dict.fromkeys(("tabautocompleteoptions", "tabautocomplete", "completion"), ("autocompleteOptions",)),
    **dict.fromkeys(("systemmessage", "systemprompt", "system"), ("chatOptions", "baseSystemMessage")),
    **dict.fromkeys(("template",), ("promptTemplates", "chat")),
    **dict.fromkeys(("requestheaders", "extraheaders"), ("requestOptions", "headers")),
    **dict.fromkeys(("extrabody",), ("requestOptions", "extraBodyProperties")),
    **dict.fromkeys(("debounce", "debouncems"), ("autocompleteOptions", "debounceDelay")),
    **dict.fromkeys(
        (
            *("apitype", "apiversion", "deployment", "deploymentid", "projectid", "region", "profile", "accesskeyid"),
            *("modelarn", "aigatewayslug", "accountid"),
        ),
        ("env",),
    ),
}
"""Other words for keys of a model: of Ollama, of config.json, of other programs."""
_BAKED = "Bake it into a model of its own: PARAMETER {parameter} in a Modelfile"
_NOT_THERE = {
    **dict.fromkeys(("numgpu", "gpulayers", "ngpulayers", "numgpulayers", "ngl"), _BAKED.format(parameter="num_gpu")),
    **dict.fromkeys(("numthread", "numthreads", "threads"), _BAKED.format(parameter="num_thread")),
    **dict.fromkeys(("usemmap", "mmap"), _BAKED.format(parameter="use_mmap")),
    **dict.fromkeys(("numbatch", "batchsize"), _BAKED.format(parameter="num_batch")),
    **dict.fromkeys(("repeatpenalty",), _BAKED.format(parameter="repeat_penalty")),
    **dict.fromkeys(("seed",), _BAKED.format(parameter="seed")),
    **dict.fromkeys(("mirostat", "mirostateta", "mirostattau"), _BAKED.format(parameter="mirostat")),
    **dict.fromkeys(("numparallel",), "Set OLLAMA_NUM_PARALLEL where Ollama starts"),
    **dict.fromkeys(("kvcachetype",), "Set OLLAMA_KV_CACHE_TYPE where Ollama starts"),
    **dict.fromkeys(("flashattention",), "Set OLLAMA_FLASH_ATTENTION where Ollama starts"),
    **dict.fromkeys(
        ("multilinecompletions", "disableinfiles"), "It is in Continue's settings (the gear), not in config.yaml"
    ),
}
"""What config.json, Ollama or other programs have, and config.yaml has not."""
_OLD_TOP = {
    "tabautocompletemodel": "An entry under models with roles: [autocomplete]",
    "embeddingsprovider": "An entry under models with roles: [embed]",
    "embeddingsmodel": "An entry under models with roles: [embed]",
    "reranker": "An entry under models with roles: [rerank]; Ollama cannot rerank",
    "contextproviders": "context, with provider in place of name",
    "systemmessage": "rules, a list",
    "customcommands": "prompts, with name, description and prompt",
    "slashcommands": "prompts, with name, description and prompt",
    "completionoptions": "defaultCompletionOptions of each model",
    "defaultcompletionoptions": "defaultCompletionOptions of each model",
    "tabautocompleteoptions": "autocompleteOptions of the model for autocomplete",
    "autocompleteoptions": "autocompleteOptions of the model for autocomplete",
    "experimental": "mcpServers; the rest is in Continue's settings (the gear)",
    "allowanonymoustelemetry": "Continue's settings (the gear)",
    "disableindexing": "Continue's settings (the gear)",
    "disablesessiontitles": "Continue's settings (the gear)",
    "ui": "Continue's settings (the gear)",
    "mcp": "mcpServers, a list",
    "model": "models, a list",
    "keepalive": "defaultCompletionOptions.keepAlive of each model",
    "numctx": "defaultCompletionOptions.contextLength of each model",
}
"""Keys of config.json and others at the top, and what they are now."""


@dataclass(frozen=True, slots=True)
class _Advice:
    code: str
    message: str
    fix: str | None
    rename: str | None = None
    move: tuple[str, ...] = ()


def report_unknown(report: Report, found: Mismatch) -> None:
    """Add the finding of a key that Continue does not know."""
    fixes = report.source.fixes
    if found.kind is MismatchKind.MERGE:
        report.add(
            "merge-key",
            Severity.ERROR,
            found.place,
            found.where,
            "<< merges nothing: the file is not YAML 1.1",
            "Continue drops it; what it should bring in is missing",
            "Put %YAML 1.1 and --- at the top, or write the keys out",
        )
        return
    if found.kind is MismatchKind.WORD:
        _report_word(report, found)
        return
    if found.shape.name == "config" and report.source.reader.is_used(found.value):
        return  # a place for what is used elsewhere
    advice = _advice(found)
    edits: tuple[Edit, ...] = ()
    if found.value is not None and advice.rename is not None:
        edits = fixes.rename(found.owner, found.place, advice.rename)
    elif found.value is not None and advice.move:
        edits = fixes.move(found.owner, found.place, found.value, advice.move)
    severity = Severity.WARNING if advice.code == "unknown-key" else Severity.ERROR
    report.add(advice.code, severity, found.place, found.where, advice.message, _DROPPED, advice.fix, edits)


def _report_word(report: Report, found: Mismatch) -> None:
    """Report a key that is true or false in YAML 1.1; the parser makes the name "true" or "false" of it."""
    key, word = clean(found.key, 20), report.source.reader.word(found.place)
    is_dropped = found.shape.fields is not None
    report.add(
        "key-is-boolean",
        Severity.ERROR,
        found.place,
        found.where,
        f"the key {key} is {word}: under %YAML 1.1 such a word is no text",
        _DROPPED if is_dropped else f"Continue reads it as {word}; what needs {key} does not get it",
        f'Put it in quotes: "{key}"',
        report.source.fixes.quote(found.owner, found.place),
    )


def _advice(found: Mismatch) -> _Advice:
    key, plain, owner = clean(found.key, 60) or "this key", _plain(found.key), found.shape.name
    fields = found.shape.fields or {}
    same = next((name for name in fields if _plain(name) == plain), None)
    if same is not None:
        return _Advice("misspelled-key", f"{key} is spelled {same}", f"Rename it to {same}", same)
    if owner == "config":
        now = _OLD_TOP.get(plain)
        if now is not None:
            return _Advice("misplaced-key", f"{key} is no key of config.yaml", f"It is now: {now}")
        if any(_plain(name) == plain for name in (shapes.MODEL.fields or {})):
            return _Advice("misplaced-key", f"{key} belongs to a model", f"Put it in an entry under models: {key}")
    elif owner in _MODEL_PARTS:
        advice = _model_advice(key, plain, owner)
        if advice is not None:
            return advice
    near = difflib.get_close_matches(plain, [_plain(name) for name in fields], n=1, cutoff=0.8)
    if near:
        right = next(name for name in fields if _plain(name) == near[0])
        return _Advice("misspelled-key", f"{key} is no key here; {right} is", f"Rename it to {right}", right)
    return _Advice("unknown-key", f"{key} is no key here", "Remove it")


_MODEL_PARTS = {"model": (), **{group.name: (group.name,) for group in _GROUPS}}


def _model_advice(key: str, plain: str, owner: str) -> _Advice | None:
    if owner == "requestOptions" and plain == "options":
        fix = "Put num_ctx as defaultCompletionOptions.contextLength; what has no key there into a Modelfile"
        return _Advice("misplaced-key", "options is no key of requestOptions", fix)
    if owner == "requestOptions" and plain == "keepalive":
        move = ("extraBodyProperties", "keep_alive")
        fix = "It is requestOptions.extraBodyProperties.keep_alive"
        return _Advice("misplaced-key", f"{key} is no key of requestOptions", fix, move=move)
    if plain in _NOT_THERE:
        return _Advice("no-such-setting", f"{key} is no setting of config.yaml", _NOT_THERE[plain])
    path = _MEANT.get(plain) or _belongs(plain)
    if path is None:
        return None
    if path == (owner,):
        return None
    here = _MODEL_PARTS[owner]
    inside = path[len(here) :] if path[: len(here)] == here else ()
    full = ".".join(path)
    if len(inside) == 1:
        if inside == ("env",):
            return _Advice("misplaced-key", f"{key} is no key of a model", f"It is env.{key}", move=("env", key))
        return _Advice("misspelled-key", f"{key} is no key here; {inside[0]} is", f"Rename it to {full}", inside[0])
    message = f"{key} is no key of {'a model' if owner == 'model' else owner}"
    return _Advice("misplaced-key", message, f"It is {full} of the model", move=inside)


def _belongs(plain: str) -> tuple[str, ...] | None:
    """Return the place of a key that a model has, but elsewhere."""
    for group in _GROUPS:
        for name in group.fields or ():
            if _plain(name) == plain:
                return group.name, name
    return next(((name,) for name in shapes.MODEL.fields or () if _plain(name) == plain), None)
