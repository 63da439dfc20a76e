"""Whether a model that shall complete code can, and whether Continue will ask it the right way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpudesk.exports.editors.continue_entries import AUTODETECT, Entry
from gpudesk.exports.editors.continue_names import fills_in_the_middle, guessed_template, needed_template
from gpudesk.exports.values import Severity
from gpudesk.text import clean

if TYPE_CHECKING:
    from gpudesk.exports.editors.continue_facts import Facts
    from gpudesk.exports.editors.continue_report import Report

_EMBEDS = re.compile(r"embed|bge-|bge:|minilm|\be5-|gte-|arctic-embed", re.I)
_CHATS = re.compile(
    r"llama-?[234]|mistral|mixtral|(?<!code)gemma|\bphi[-\d]|\bphi:|gpt-oss|qwen|qwq|deepseek-(?:r1|v\d)|command-[ra]"
    r"|\bglm-|granite-?[34](?!.*code)|hermes|vicuna|zephyr|instruct|-it\b|-chat\b|smollm|olmo|nemotron|aya\b",
    re.I,
)
_CODES = re.compile(
    r"cod(?:er|e)|codestral|starcoder|stable-code|mercury|refact|replit|granite-?4|sweep|instinct|-base\b|fim", re.I
)


def looks_like_embedding(entry: Entry, facts: Facts) -> bool:
    """It makes vectors, not text: as the engine says, or by its name."""
    told = facts.capabilities(entry)
    if told is not None:
        return "embedding" in told and "completion" not in told
    return _EMBEDS.search(entry.model or "") is not None


_STARCODER_TOKENS = re.compile(r"granite-?.*code|refact", re.I)
"""Names that tell Continue nothing, but whose tokens are those it takes then."""


def check_completion(report: Report, entry: Entry, facts: Facts) -> None:
    """Add what is wrong with a model for autocomplete."""
    model = entry.model
    if "autocomplete" not in entry.roles or not model or model == AUTODETECT or "${{" in model:
        return
    told = facts.capabilities(entry) or ()
    if "insert" in told or entry.get("autocompleteOptions", "template") or entry.get("promptTemplates", "autocomplete"):
        return
    name, family = clean(model, 60), facts.family(entry)
    place, where = entry.get("model") or entry.node, f"{entry.where}.model"
    if looks_like_embedding(entry, facts):
        what, effect = f"{name} makes vectors and completes nothing", "Every completion fails"
        report.add("chat-model-autocomplete", Severity.ERROR, place, where, what, effect, "Choose a model for code")
        return
    if _CHATS.search(model) and not _CODES.search(model):
        report.add(
            "chat-model-autocomplete",
            Severity.WARNING,
            place,
            where,
            f"{name} is a model for chat and was not trained to fill in the middle",
            "Completions are explanations, repetitions or noise",
            "Choose one for code: qwen2.5-coder:1.5b-base, starcoder2:3b, codestral",
        )
        return
    wrong = needed_template(model, family) is not None
    if wrong or not (
        _STARCODER_TOKENS.search(model) or guessed_template(model)[1] or fills_in_the_middle(model, family)
    ):
        report.add(
            "fim-template",
            Severity.WARNING,
            place,
            where,
            f"Continue guesses how to fill in the middle by the name, and {name} tells "
            + ("another family than the model is of" if guessed_template(model)[1] else "nothing"),
            "It sends the tokens of StarCoder or of that family, which the model reads as words",
            "Keep the family in the name (qwen2.5-coder-mine), or set autocompleteOptions.template",
        )
