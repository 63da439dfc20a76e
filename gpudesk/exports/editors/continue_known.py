"""What Continue takes for known of a model by its name: limits, and the name Ollama has for it."""

from __future__ import annotations

import re

DEFAULT_CONTEXT = 8192
"""What Continue asks Ollama for when neither it nor the Modelfile says (core/llm/llms/Ollama.ts `contextLength`)."""
DEFAULT_MAX_TOKENS = 4096
_KNOWN_CONTEXTS = (
    (re.compile(r"mistral-(?:large|medium|small)|open-mistral-7b|open-mixtral-8x7b", re.I), 32768, None),
    (re.compile(r"mistral-nemo|(?:devstral|magistral|ministral)-(?:small|3b|8b)", re.I), 128000, 128000),
    (re.compile(r"devstral-medium", re.I), 262144, 262144),
    (re.compile(r"magistral-medium", re.I), 128000, 16384),
    (re.compile(r"codestral-mamba", re.I), 256000, None),
    (re.compile(r"codestral", re.I), 32768, None),
    (re.compile(r"glm-5|glm-4\.7|glm-4-plus|glm-4\.5"), 128000, None),
    (re.compile(r"starcoder2:3b\Z"), 8192, None),
)
"""Limits of clouds that Continue takes for those of local models of such names (packages/llm-info/src/providers)."""
_ALIASES = {
    "llama2": ("7b", "13b"),
    "codellama": ("7b", "13b", "34b", "70b"),
    "llama3": ("8b", "70b"),
    "llama3.1": ("8b", "70b", "405b"),
    "llama3.2": ("1b", "3b", "11b", "90b"),
    "qwen2.5-coder": ("0.5b", "1.5b", "3b", "7b", "14b", "32b"),
    "mistral": ("7b",),
    "mixtral": ("8x7b",),
    "starcoder": ("1b", "3b"),
    "starcoder2": ("3b",),
    "stable-code": ("3b",),
    "granite-code": ("3b", "8b", "20b", "34b"),
}
_OTHER_ALIASES = {
    "phi-2": "phi:2.7b",
    "phind-codellama-34b": "phind-codellama:34b-v2",
    "wizardcoder-7b": "wizardcoder:7b-python",
    "wizardcoder-13b": "wizardcoder:13b-python",
    "wizardcoder-34b": "wizardcoder:34b-python",
    "zephyr-7b": "zephyr:7b",
    "codeup-13b": "codeup:13b",
    "deepseek-1b": "deepseek-coder:1.3b",
    "deepseek-7b": "deepseek-coder:6.7b",
    "deepseek-33b": "deepseek-coder:33b",
    "neural-chat-7b": "neural-chat:7b-v3.3",
}


def known_context(model: str) -> int | None:
    """Return the context Continue asks for because of a name."""
    return next((context for name, context, _ in _KNOWN_CONTEXTS if name.search(model)), None)


def max_tokens(model: str | None, context: int | None) -> int:
    """Return the longest answer when nothing says one (core/llm/index.ts `BaseLLM`)."""
    for name, known, most in _KNOWN_CONTEXTS:
        if name.search(model or ""):
            return DEFAULT_MAX_TOKENS if most is None else min(most, (context or known) // 4)
    return DEFAULT_MAX_TOKENS


def installed_name(model: str) -> str:
    """Return the name Ollama is asked for: some are Continue's own words (core/llm/llms/Ollama.ts `modelMap`)."""
    family, _, size = model.rpartition("-")
    if size in _ALIASES.get(family, ()):
        model = f"{family}:{size}"
    model = _OTHER_ALIASES.get(model, model)
    return model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"
