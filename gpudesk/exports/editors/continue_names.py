"""What Continue guesses from a model's name, so that a block says it only where the guess is wrong.

All of it is frozen: the last commit of continuedev/continue is d0a3c0b626 (2026-06-18).
"""

from __future__ import annotations

import re

_NO_TOOLS = ("vision", "math", "guard", "mistrallite", "mistral-openorca")
_TOOLS = (
    *("cogito", "llama3.3", "qwq", "llama3.2", "llama3.1", "qwen2", "qwen3", "mixtral", "command-r", "command-a"),
    *("smollm2", "hermes3", "athene-v2", "nemotron", "llama3-groq", "granite3", "granite-3", "granite4", "granite-4"),
    *("aya-expanse", "firefunction-v2", "mistral", "devstral", "exaone", "gpt-oss", "glm-4", "glm-5", "deepseek"),
    "dolphin",
)
_NO_CLOUD_TOOLS = (
    *("cogito-2.1", "deepseek-v3.2", "gemini-3-flash-preview", "glm-4.6", "glm-4.7", "glm-5", "kimi-k2.5"),
    "minimax-m2",
)
_IMAGES = re.compile(
    r"vision|llava|gpt-4-turbo|gpt-4o|claude-3|gemini-ultra|gemini-1\.5-pro|gemini-1\.5-flash|sonnet|opus|haiku|pixtral"
    r"|llama-?3\.2|llama-?4|\bgemma-?[34](?!n)|\b(?:pali|med)gemma|qwen.*vl|mistral-small|mistral-medium"
)

_QWEN = "<|fim_prefix|>{{{prefix}}}<|fim_suffix|>{{{suffix}}}<|fim_middle|>"
_STARCODER = "<fim_prefix>{{{prefix}}}<fim_suffix>{{{suffix}}}<fim_middle>"
_DEEPSEEK = "<｜fim▁begin｜>{{{prefix}}}<｜fim▁hole｜>{{{suffix}}}<｜fim▁end｜>"
_CODELLAMA = "<PRE> {{{prefix}}} <SUF>{{{suffix}}} <MID>"
_CODESTRAL = "[SUFFIX]{{{suffix}}}[PREFIX]{{{prefix}}}"
_OTHER = "other"
"""A template of Continue's that is for one model alone, or a chat prompt."""

_BY_ARCHITECTURE = {
    "qwen2": _QWEN,
    "qwen2moe": _QWEN,
    "qwen3": _QWEN,
    "qwen3moe": _QWEN,
    "qwen3next": _QWEN,
    "gemma": _QWEN,
    "granitehybrid": _QWEN,
    "starcoder": _STARCODER,
    "starcoder2": _STARCODER,
    "stablelm": _STARCODER,
    "deepseek2": _DEEPSEEK,
}
"""Fill-in-the-middle tokens of the architectures that have only one kind; `llama` has all of them."""
_GUESSES: tuple[tuple[str, str], ...] = (
    (r"mercury", _OTHER),
    (r"qwen.*coder|coder.*qwen", _QWEN),
    (r"granite.*4|4.*granite", _QWEN),
    (r"seed.*coder|coder.*seed", _OTHER),
    (r"star-?coder|starchat|octocoder|stable|qwen", _STARCODER),
    (r"codestral", _CODESTRAL),
    (r"codegemma", _QWEN),
    (r"codellama", _CODELLAMA),
    (r"deepseek", _DEEPSEEK),
    (r"codegeex", _OTHER),
    (r"gpt|davinci-002|claude|granite-?3", _OTHER),
)


def guesses_tools(model: str) -> bool:
    """Continue takes a model of Ollama for one that uses tools (core/llm/toolSupport.ts `ollama`)."""
    name = model.rsplit("/", 1)[-1].lower()
    if ":cloud" in name and name.startswith(_NO_CLOUD_TOOLS):
        return False
    return not any(part in name for part in _NO_TOOLS) and any(part in name for part in _TOOLS)


def guesses_images(model: str, title: str) -> bool:
    """Continue takes a model for one that sees (core/llm/autodetect.ts `modelSupportsImages`)."""
    return any(_IMAGES.search(text.lower()) is not None for text in (model, title))


def guessed_template(model: str) -> tuple[str, bool]:
    """Return the template Continue fills in the middle with, and whether the name told it.

    When nothing in the name tells, it takes StarCoder's, whose tokens are words like others to most models
    (core/autocomplete/templating/AutocompleteTemplate.ts `getTemplateForModel`).
    """
    name = model.lower()
    for pattern, template in _GUESSES:
        if re.search(pattern, name):
            return template, True
    return _STARCODER, False


def needed_template(model: str, architecture: str | None) -> str | None:
    """Return the template that has to be written because Continue's guess by name is wrong; None when it is right."""
    wanted = _BY_ARCHITECTURE.get(architecture or "")
    if wanted is None:
        return None
    return None if guessed_template(model)[0] == wanted else wanted


def fills_in_the_middle(model: str, architecture: str | None) -> bool:
    """The name or the architecture tells a template that the model was trained with."""
    return architecture in _BY_ARCHITECTURE or guessed_template(model)[1]
