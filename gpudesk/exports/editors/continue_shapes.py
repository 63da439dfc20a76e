"""What Continue's `config.yaml` may hold: its schema, frozen with the project.

Taken from packages/config-yaml/src/schemas/{index,models,mcp/index,data/index}.ts of continuedev/continue at d0a3c0b626
(2026-06-18, the last commit). The schema strips every key it does not know, in silence, and refuses the whole file for
one value of a wrong type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value may be."""

    kind: str
    """`text`, `number`, `positive`, `flag`, `version`, `scalar` (any of them), `choice`, `anything`, and of several:
    `list`, `text or texts`, `record`, `object`, `entry`."""
    words: str
    """As said: `a text`, `a number`."""
    fields: Mapping[str, Shape] | None = None
    """Of an object."""
    required: tuple[str, ...] = ()
    item: Shape | None = None
    """Of a list or a record."""
    choices: tuple[str, ...] = ()
    """The words of a choice, or the keys of a record that has only these."""
    name: str = ""
    """Of an object, as the advice on keys knows it."""


TEXT = Shape("text", "a text")
NUMBER = Shape("number", "a number")
FLAG = Shape("flag", "true or false")
SCALAR = Shape("scalar", "a text, a number, true or false")
ANYTHING = Shape("anything", "anything")
TEXTS = Shape("list", "a list of texts", item=TEXT)
TEXT_OR_TEXTS = Shape("text or texts", "a text or a list of texts", item=TEXT)
TEXT_RECORD = Shape("record", "a mapping of texts", item=TEXT)
SCALAR_RECORD = Shape("record", "a mapping of texts, numbers and flags", item=SCALAR)

ROLES = ("chat", "autocomplete", "embed", "rerank", "edit", "apply", "summarize", "subagent")
DEFAULT_ROLES = ("chat", "summarize", "apply", "edit")
"""Of an entry without `roles` (core/config/yaml/loadYaml.ts)."""
CHAT_TEMPLATES = (
    *("llama2", "alpaca", "zephyr", "phi2", "phind", "anthropic", "chatml", "none", "openchat", "deepseek"),
    *("xwin-coder", "neural-chat", "codellama-70b", "llava", "gemma", "granite", "llama3", "codestral"),
)
PROVIDERS = (
    *("anthropic", "askSage", "azure", "bedrock", "bedrockimport", "cerebras", "clawrouter"),
    *("cloudflare", "cohere", "cometapi", "deepinfra", "deepseek", "docker", "fireworks", "flowise"),
    *("function-network", "gemini", "groq", "huggingface-inference-api", "huggingface-tei"),
    *("huggingface-tgi", "inception", "kindo", "lemonade", "llama.cpp", "llamafile", "llamastack"),
    *("llmReranker", "lmstudio", "mimo", "minimax", "mistral", "mock", "moonshot", "msty"),
    *("ncompass", "nebius", "nous", "novita", "nvidia", "ollama", "openai", "openrouter", "ovhcloud"),
    *("relace", "replicate", "sagemaker", "sambanova", "scaleway", "siliconflow", "tars", "tensorix"),
    *("test", "text-gen-webui", "together", "transformers.js", "venice", "vertexai", "vllm"),
    *("voyage", "watsonx", "xAI", "zAI"),
)
"""`providerName` of core/llm/llms/*.ts; any other gives no model and no message (core/config/yaml/models.ts)."""


def _object(name: str, fields: Mapping[str, Shape], *required: str) -> Shape:
    return Shape("object", "a mapping of keys", fields=fields, required=required, name=name)


def _all(shape: Shape, names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), shape)


def _transport(*names: str) -> Shape:
    return Shape("choice", f"one of {', '.join(names)}", choices=names)


_CERTIFICATE = _object("certificate", _all(TEXT, "cert key passphrase"), "cert", "key")
REQUEST = _object(
    "requestOptions",
    {
        "timeout": NUMBER,
        "verifySsl": FLAG,
        "caBundlePath": TEXT_OR_TEXTS,
        "proxy": TEXT,
        "headers": TEXT_RECORD,
        "extraBodyProperties": Shape("record", "a mapping of keys", item=ANYTHING),
        "noProxy": TEXTS,
        "clientCertificate": _CERTIFICATE,
    },
)
COMPLETION = _object(
    "defaultCompletionOptions",
    _all(NUMBER, "contextLength maxTokens temperature topP topK minP presencePenalty frequencyPenalty n")
    | {"stop": TEXTS}
    | _all(FLAG, "reasoning promptCaching stream")
    | _all(NUMBER, "reasoningBudgetTokens keepAlive"),
)
AUTOCOMPLETE = _object(
    "autocompleteOptions",
    _all(NUMBER, "maxPromptTokens debounceDelay modelTimeout maxSuffixPercentage prefixPercentage")
    | {"template": TEXT}
    | _all(FLAG, "disable transform onlyMyCode useCache useImports useRecentlyEdited useRecentlyOpened")
    | _all(
        FLAG,
        "experimental_includeClipboard experimental_includeRecentlyVisitedRanges "
        "experimental_includeRecentlyEditedRanges experimental_includeDiff experimental_enableStaticContextualization",
    ),
)
EMBED = _object(
    "embedOptions",
    _all(NUMBER, "maxChunkSize maxBatchSize")
    | {"embeddingPrefixes": Shape("record", "a mapping of chunk and query", item=TEXT, choices=("chunk", "query"))},
)
CHAT = _object(
    "chatOptions",
    _all(TEXT, "baseSystemMessage baseAgentSystemMessage basePlanSystemMessage")
    | {
        "toolOverrides": Shape(
            "record",
            "a mapping of tools",
            item=_object(
                "toolOverride",
                _all(TEXT, "description displayTitle wouldLikeTo isCurrently hasAlready")
                | {"systemMessageDescription": ANYTHING, "disabled": FLAG},
            ),
        )
    },
)
TEMPLATES = _object(
    "promptTemplates",
    _all(TEXT, "apply edit autocomplete")
    | {"chat": Shape("choice", "one of Continue's templates", choices=CHAT_TEMPLATES)},
)
_MODEL_FIELDS = {
    **_all(TEXT, "name model provider apiKey apiBase sourceFile"),
    **_all(NUMBER, "contextLength maxStopWords"),
    **_all(FLAG, "useLegacyCompletionsEndpoint useResponsesApi"),
    "roles": Shape("list", "a list of roles", item=Shape("choice", "a role", choices=ROLES)),
    "capabilities": TEXTS,
    "defaultCompletionOptions": COMPLETION,
    "cacheBehavior": _object("cacheBehavior", _all(FLAG, "cacheSystemMessage cacheConversation")),
    "requestOptions": REQUEST,
    "embedOptions": EMBED,
    "chatOptions": CHAT,
    "promptTemplates": TEMPLATES,
    "env": SCALAR_RECORD,
    "autocompleteOptions": AUTOCOMPLETE,
}
MODEL = _object("model", _MODEL_FIELDS, "name", "provider", "model")
_MCP_COMMON = _all(TEXT, "name serverName faviconUrl sourceFile sourceSlug") | {
    "connectionTimeout": Shape("positive", "a number above 0")
}
MCP_COMMAND = _object(
    "mcpServer",
    _MCP_COMMON | {"command": TEXT, "type": _transport("stdio"), "args": TEXTS, "env": TEXT_RECORD, "cwd": TEXT},
    *("name", "command"),
)
MCP_URL = _object(
    "mcpServer",
    _MCP_COMMON
    | {"url": TEXT, "type": _transport("sse", "streamable-http"), "apiKey": TEXT, "requestOptions": REQUEST},
    "name",
    "url",
)
_CONTEXT = _object("context", {"name": TEXT, "provider": TEXT, "params": ANYTHING}, "provider")
_DATA = _object(
    "data",
    _all(TEXT, "name destination apiKey")
    | {
        "schema": Shape("version", "a version like 0.2.0"),
        "level": Shape("choice", "all or noCode", choices=("all", "noCode")),
        "events": TEXTS,
        "requestOptions": REQUEST,
    },
    *("name", "destination", "schema"),
)
_RULE = _object(
    "rule",
    _all(TEXT, "name rule description sourceFile")
    | _all(TEXT_OR_TEXTS, "globs regex")
    | _all(FLAG, "alwaysApply invokable"),
    *("name", "rule"),
)
_PROMPT = _object("prompt", _all(TEXT, "name description prompt sourceFile"), "name", "prompt")
_DOC = _object(
    "doc", _all(TEXT, "name startUrl rootUrl faviconUrl sourceFile") | {"useLocalCrawling": FLAG}, "name", "startUrl"
)


def _entries(shape: Shape) -> Shape:
    """Entries that may be taken from elsewhere: `uses`, `with`, `override`."""
    return Shape("list", "a list", item=Shape("entry", "a mapping of keys", item=shape))


def uses_of(shape: Shape) -> Shape:
    """Return what an entry with `uses` may hold beside it."""
    override = _object(shape.name, shape.fields or {})
    return _object("uses", {"uses": TEXT, "with": TEXT_RECORD, "override": override}, "uses")


CONFIG = _object(
    "config",
    {
        **_all(TEXT, "name version schema"),
        "metadata": TEXT_RECORD,
        "env": SCALAR_RECORD,
        "requestOptions": REQUEST,
        "models": _entries(MODEL),
        "context": _entries(_CONTEXT),
        "data": _entries(_DATA),
        "mcpServers": _entries(MCP_COMMAND),
        "rules": _entries(_RULE),
        "prompts": _entries(_PROMPT),
        "docs": _entries(_DOC),
    },
    *("name", "version"),
)
"""A profile or a block file: the same keys, a block file only one of the lists."""
