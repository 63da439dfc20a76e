"""What the command line of an engine's runner tells, for every generation of Ollama.

Sources: ollama llm/server.go at v0.5.1, v0.9.6:178-344, v0.12.6:294 and v0.24.0:357; llm/llama_server.go:348 and
x/mlxrunner/client.go:324 at v0.33.0-rc2. Between v0.11.5 and v0.24.0 a runner names only its model and its port; the
rest travels by HTTP and cannot be seen here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpudesk.domain.process import Runner, RunnerKind
from gpudesk.text import clean

_OPTIONS: dict[str, str] = {
    "-m": "model",
    "--model": "model",
    "-c": "context",
    "--ctx-size": "context",
    "-np": "parallel",
    "--parallel": "parallel",
    "-b": "batch",
    "--batch-size": "batch",
    "-ctk": "kv_k",
    "--cache-type-k": "kv_k",
    "-ctv": "kv_v",
    "--cache-type-v": "kv_v",
    "--kv-cache-type": "kv",
    "-ngl": "layers",
    "--gpu-layers": "layers",
    "--n-gpu-layers": "layers",
    "-mm": "projector",
    "--mmproj": "projector",
    "--lora": "lora",
    "--spec-type": "spec_type",
    "-md": "draft",
    "--model-draft": "draft",
    "--spec-draft-model": "draft",
    "--port": "port",
}
"""Options with a value. Everything else is skipped word by word, so options of later versions do no harm."""

_FLAGS = frozenset({"--embedding", "--embeddings", "--mlx-engine", "--ollama-engine"})
_FLASH_ATTENTION = frozenset({"-fa", "--flash-attn"})
_SWITCH_WORDS = frozenset({"on", "off", "auto"})

_BLOB = re.compile(r"sha256[-:]([0-9a-fA-F]{64})(?:\Z|(?=[/\\]))")
_OWN_FOLDER = re.compile(r"[/\\]lib[/\\]ollama[/\\]")
"""Where Ollama keeps its llama-server (ollama llm/llama_server.go:348 at v0.33.0-rc2)."""
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_KV_TYPE = re.compile(r"[a-z0-9_]{1,16}\Z")


def program_name(program: str) -> str:
    """Return the bare program of a path, lower case: no folders, `.exe` or wrapper (`.ollama-wrapped` on NixOS)."""
    base = re.split(r"[/\\]", program.strip())[-1].lower().removesuffix(".exe")
    if base.startswith(".") and base.endswith("-wrapped"):
        base = base[1:].removesuffix("-wrapped")
    return base


def blob_digest(path: str | None) -> str | None:
    """Return the 64 hex digits of a blob's path (`…/blobs/sha256-<hex>`), None for any other file."""
    match = _BLOB.search(path) if path else None
    return match[1].lower() if match else None


def parse_runner(argv: Sequence[str], *, parent_name: str | None = None) -> Runner | None:
    """Read a command line; None when this is not an Ollama runner holding a model.

    Children without `--model` only list devices and are gone at once (ollama discover/llama_server.go:59, :143). Up
    to v0.5.7 the GPU builds of `ollama runner` still carried the old program name. A `llama-server` is Ollama's when
    it serves a blob or its parent is Ollama; somebody's own server, told by another parent, stays an ordinary
    process even if it borrows Ollama's file. Ollama's own program with Ollama's file is Ollama's whoever has it now:
    its server may have ended.

    Args:
        argv: the command line, program first.
        parent_name: program name of the parent process; None when it is gone or not visible.
    """
    if not argv:
        return None
    program = program_name(argv[0])
    words = list(argv[1:])
    if program == "ollama":
        if not words or words[0] != "runner":
            return None
        kind = RunnerKind.OLLAMA_RUNNER
    elif program == "ollama_llama_server":
        kind = RunnerKind.OLLAMA_RUNNER if words[:1] == ["runner"] else RunnerKind.OLLAMA_LLAMA_SERVER
    elif program == "llama-server":
        kind = RunnerKind.LLAMA_SERVER
    else:
        return None
    values, flags, flash_attention, loras = _options(words)
    model = values.get("model")
    if not model:
        return None
    if kind is RunnerKind.LLAMA_SERVER and not _is_ollamas(argv[0], model, parent_name):
        return None
    if "--mlx-engine" in flags:
        kind = RunnerKind.MLX
    kv = values.get("kv")
    spec_type = values.get("spec_type")
    return Runner(
        kind=kind,
        blob_digest=blob_digest(model),
        model_path=clean(model, 1024),
        model_name=clean(model) if kind is RunnerKind.MLX else None,
        projector_digest=blob_digest(values.get("projector")),
        context_total=_positive(values.get("context")),
        parallel=_positive(values.get("parallel")),
        batch_size=_positive(values.get("batch")),
        kv_cache_type_k=_kv_type(values.get("kv_k", kv)),
        kv_cache_type_v=_kv_type(values.get("kv_v", kv)),
        layers_on_gpu=_number(values.get("layers")),
        flash_attention=flash_attention,
        embedding=bool(flags & {"--embedding", "--embeddings"}),
        draft_model="draft" in values or spec_type not in (None, "none"),
        lora_count=loras,
        port=_port(values.get("port")),
    )


def is_server(argv: Sequence[str] | None, name: str | None) -> bool:
    """Tell whether a process is a server that starts runners: `ollama serve`, under whatever prefix it was built.

    `ollama run` and the other commands are clients. Without a command line, as of some other users, the name decides.
    """
    if not argv:
        return "ollama" in (name or "").lower() and argv is None
    words = list(argv[1:])
    return "ollama" in program_name(argv[0]) and "serve" in words[:1]


def _is_ollamas(program: str, model: str, parent_name: str | None) -> bool:
    if parent_name is not None and "ollama" in parent_name.lower():
        return True
    return blob_digest(model) is not None and (parent_name is None or _OWN_FOLDER.search(program.lower()) is not None)


def _options(words: Sequence[str]) -> tuple[dict[str, str], set[str], str | None, int]:
    """Sort words into option values, flags, the flash attention switch and the number of adapters."""
    values: dict[str, str] = {}
    flags: set[str] = set()
    flash_attention: str | None = None
    loras = 0
    position = 0
    while position < len(words):
        word, equals, value = words[position].partition("=") if words[position].startswith("-") else ("", "", "")
        position += 1
        given = equals == "="
        if word in _FLAGS:
            flags.add(word)
        elif word in _FLASH_ATTENTION:
            if not given and position < len(words) and words[position] in _SWITCH_WORDS:
                value, position = words[position], position + 1
            flash_attention = value if value in _SWITCH_WORDS else "on"
        elif option := _OPTIONS.get(word):
            if not given:
                if position >= len(words) or words[position].startswith("-"):
                    continue
                value, position = words[position], position + 1
            values[option] = value
            loras += option == "lora"
    return values, flags, flash_attention, loras


def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.match(text) else None


def _positive(text: str | None) -> int | None:
    return _number(text) or None


def _port(text: str | None) -> int | None:
    number = _positive(text)
    return number if number is not None and number <= 65535 else None


def _kv_type(text: str | None) -> str | None:
    return text.lower() if text and _KV_TYPE.match(text.lower()) else None
