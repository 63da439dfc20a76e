"""What is wrong with one entry, whatever is installed."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_completion import check_completion, looks_like_embedding
from gpudesk.exports.editors.continue_entries import AUTODETECT, DEFAULT_PROMPT_TOKENS, TALKING, Entry
from gpudesk.exports.editors.continue_known import DEFAULT_CONTEXT
from gpudesk.exports.editors.continue_shapes import PROVIDERS
from gpudesk.exports.values import Severity
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_facts import Facts
    from gpudesk.exports.editors.continue_report import Report
    from gpudesk.exports.values import Edit
    from gpudesk.exports.yaml_tree import Node

_LEAST_ROOM = 1000
"""Continue itself warns below this (packages/config-yaml/src/validation.ts)."""
_TOKENS = 256


def check_entry(report: Report, entry: Entry, facts: Facts) -> None:
    """Add what is wrong with one entry."""
    _check_provider(report, entry)
    _check_roles(report, entry, facts)
    _check_base(report, entry)
    _check_room(report, entry, facts)
    check_completion(report, entry, facts)
    _check_context_by_name(report, entry)
    if entry.model == AUTODETECT:
        report.add(
            "autodetect",
            Severity.HINT,
            entry.get("model") or entry.node,
            f"{entry.where}.model",
            "AUTODETECT stands for every installed model",
            "Each becomes a model of its own in Continue, with the same settings, whether it fits or not",
            "Name the models that are meant",
        )


def _check_provider(report: Report, entry: Entry) -> None:
    node, provider = entry.get("provider"), entry.provider
    if provider is None or provider in PROVIDERS or node is None or "${{" in provider:
        return
    same = next((name for name in PROVIDERS if name.lower() == provider.strip().lower()), None)
    near = same or next(iter(difflib.get_close_matches(provider.lower(), PROVIDERS, n=1, cutoff=0.75)), None)
    edits = report.source.fixes.replace(node, same) if same and entry.owns(node) else ()
    report.add(
        "unknown-provider",
        Severity.ERROR,
        node,
        f"{entry.where}.provider",
        f"{clean(provider, 40)} is no provider of Continue's",
        "Continue leaves the model out without a word",
        f"Write {near}" if near else "For Ollama write ollama, for other servers openai with apiBase",
        edits,
    )


def _check_roles(report: Report, entry: Entry, facts: Facts) -> None:
    model, where = entry.model or "", f"{entry.where}.roles"
    embeds = looks_like_embedding(entry, facts)
    if not entry.has_roles and embeds:
        edits = () if entry.shared else report.source.fixes.put(entry.node, ("roles",), "[embed]")
        report.add(
            "roles-missing",
            Severity.ERROR,
            entry.node,
            where,
            f"{entry.title} has no roles, so it is for chat, edit, apply and summarize",
            "Continue offers it for chat, which it cannot, and never embeds with it",
            "Add roles: [embed]",
            edits,
        )
    elif not entry.has_roles and re.search(r"-base\b|starcoder|stable-code", model, re.I):
        edits = () if entry.shared else report.source.fixes.put(entry.node, ("roles",), "[autocomplete]")
        report.add(
            "roles-missing",
            Severity.WARNING,
            entry.node,
            where,
            f"{entry.title} has no roles, so it is for chat, edit, apply and summarize",
            "Continue never completes with it, and offers it for chat, which it was not trained for",
            "Add roles: [autocomplete]",
            edits,
        )
    roles = entry.get("roles")
    if roles is not None and roles.kind == "sequence" and not roles.items():
        report.add(
            "roles-empty",
            Severity.WARNING,
            roles,
            where,
            f"{entry.title} has no role",
            "Continue never uses it",
            "Name its roles, or leave the key out for chat, edit and apply",
        )
    if "rerank" in entry.roles and entry.is_ollama:
        report.add(
            "rerank-unsupported",
            Severity.ERROR,
            entry.get("roles") or entry.node,
            where,
            "Continue cannot rerank with Ollama",
            "Every request for it fails",
            "Take rerank out, or use another provider for it",
        )


def _check_base(report: Report, entry: Entry) -> None:
    node, where = entry.get("apiBase"), f"{entry.where}.apiBase"
    value = entry.source.reader.value(node)
    if not entry.is_ollama or node is None or not isinstance(value, str):
        return
    text = entry.source.document.text[node.start : node.end]
    found = re.search(r"/(?:v1|api)/*(?=[\"']?\Z)", text)
    if found is not None and re.search(r"/(?:v1|api)/*\Z", value):
        wrong = found[0].rstrip("/")
        right = text[: found.start()] + text[found.end() :]
        edits = report.source.fixes.replace(node, right) if entry.owns(node) else ()
        report.add(
            "api-base-path",
            Severity.ERROR,
            node,
            where,
            f"apiBase of Ollama ends in {wrong}",
            f"Continue adds api/chat itself: every request goes to {wrong}/api/chat and is answered with 404",
            f"Take {wrong} off",
            edits,
        )
    elif re.match(r"[\w.-]+:\d{1,5}/*\Z", value):
        quote = text[:1] if text[:1] in "\"'" else ""
        right = f"{quote}http://{value}{quote}"
        edits = report.source.fixes.replace(node, right) if entry.owns(node) else ()
        message = "apiBase has no http:// before it"
        report.add(
            "api-base-scheme",
            Severity.ERROR,
            node,
            where,
            message,
            "It is no URL, and every request fails",
            "Put http:// before it",
            edits,
        )


def _check_room(report: Report, entry: Entry, facts: Facts) -> None:
    context = facts.context(entry)
    place = entry.get("defaultCompletionOptions", "maxTokens") or entry.get("contextLength")
    place = place or entry.get("defaultCompletionOptions", "contextLength") or entry.node
    if "autocomplete" in entry.roles:
        told = entry.source.reader.value(entry.get("autocompleteOptions", "maxPromptTokens"))
        wanted = told if isinstance(told, (int, float)) and not isinstance(told, bool) else DEFAULT_PROMPT_TOKENS
        room = int(context - entry.max_tokens - min(1000, context * 0.02))
        if room < wanted:
            _report_room(report, entry, place, context, room, int(wanted))
    elif entry.says_max_tokens and entry.context_length and set(entry.roles) & TALKING:
        left = context - entry.max_tokens
        if left < _LEAST_ROOM:
            report.add(
                "no-room-for-prompt",
                Severity.WARNING,
                place,
                f"{entry.where}.defaultCompletionOptions.maxTokens",
                f"the context of {context} less an answer of {entry.max_tokens} leaves {max(0, left)} tokens",
                "What is asked is cut off before it is sent",
                "Make maxTokens smaller, or the context longer",
            )


def _report_room(report: Report, entry: Entry, place: Node, context: int, room: int, wanted: int) -> None:
    edits: tuple[Edit, ...] = ()
    if not entry.says_max_tokens and context * 0.98 - _TOKENS >= wanted and not entry.shared:
        edits = report.source.fixes.put(entry.node, ("defaultCompletionOptions", "maxTokens"), str(_TOKENS))
    answer = f"an answer of {entry.max_tokens}" + ("" if entry.says_max_tokens else " (the default)")
    report.add(
        "no-room-for-prompt",
        Severity.ERROR if room <= 0 else Severity.WARNING,
        place,
        f"{entry.where}.defaultCompletionOptions.maxTokens",
        f"the context of {context} less {answer} leaves {max(0, room)} tokens of the {wanted} for the prompt",
        "Completions are made of an empty prompt" if room <= 0 else "The prompt of every completion is cut short",
        f"Write maxTokens: {_TOKENS}" if context * 0.98 - _TOKENS >= wanted else "Make the context longer",
        edits,
    )


def _check_context_by_name(report: Report, entry: Entry) -> None:
    if not entry.is_ollama or entry.context_length is not None:
        return
    if not set(entry.roles) - {"embed", "rerank"} or entry.asked_context <= DEFAULT_CONTEXT:
        return
    report.add(
        "context-by-name",
        Severity.WARNING,
        entry.get("model") or entry.node,
        f"{entry.where}.model",
        f"without contextLength Continue asks for {entry.asked_context}: the limit of a cloud's model of that name",
        "It is loaded with that context unless its Modelfile says another, and may not fit",
        "Write defaultCompletionOptions.contextLength",
    )
