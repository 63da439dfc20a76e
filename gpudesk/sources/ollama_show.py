"""What `/api/show` tells of a model, reduced to what is worth keeping.

A verbose answer holds the whole vocabulary, some hundred thousand strings in several megabytes, because only a verbose
answer has the per-layer arrays (`attention.head_count_kv` and others are null otherwise: ollama/ollama
fs/ggml/gguf.go:457-482 at v0.33.0-rc2). The vocabulary is cut out of the bytes before they are decoded, in short
steps, so that neither memory nor the screen's thread notices.
"""

from __future__ import annotations

import math
import re
from typing import Any

from gpudesk.domain.model import ModelDetails
from gpudesk.sources.ollama_values import (
    as_list,
    as_object,
    as_positive,
    as_text,
    as_texts,
    decoded_object,
)

SHOW_BYTES = 64 << 20
"""Most bytes of a verbose answer; a vocabulary of 262,144 tokens with merges is about 15 MB."""

_LONGEST_LIST = 4096
_LONGEST_TEXT = 4096
_MOST_KEYS = 2000
_MOST_TENSORS = 20_000
_MOST_FILES = 16

_VOCABULARY = re.compile(rb'"tokenizer\.[A-Za-z0-9_.]{1,80}+"\s*+:\s*+\[')
_SCALARS = re.compile(rb'(?:\s*+(?:"(?:[^"\\]++|\\.)*+"|[-+.0-9A-Za-z]++)\s*+,?+){1,2000}+', re.DOTALL)
_SPACE = re.compile(rb"\s*+")
_BLOB = re.compile(r"sha256[-:]([0-9a-fA-F]{64})$", re.ASCII)
_FILE_COMMANDS = {"FROM": "from", "ADAPTER": "adapter", "DRAFT": "draft"}
_PROJECTOR_TENSORS = ("v.", "mm.", "a.")
"""Names of the tensors of a projector that is part of the model's own file (llm/llama_server.go:744)."""


def parse_show(body: bytes, where: str) -> dict[str, Any]:
    """Read a verbose answer into the reduced form that is kept on disk; all of it may be missing.

    Returns:
        `model_info` and `projector_info` (GGUF metadata; a list too long to keep is `{"length": n}`), `tensors`
        (`[name, type, shape]` each), `files` (`from`, `adapter`, `draft`: paths or names in the modelfile's order),
        `capabilities`, `parameters`, `license`, `format`, `family`.

    Raises:
        SourceError: not a JSON object.
    """
    show = decoded_object(without_vocabulary(body), where)
    details = as_object(show.get("details"))
    return {
        "model_info": _metadata(show.get("model_info")),
        "projector_info": _metadata(show.get("projector_info")),
        "tensors": _tensors(show.get("tensors")),
        "files": modelfile_files(show.get("modelfile")),
        "capabilities": _listed(as_texts(show.get("capabilities"))),
        "parameters": _raw_text(show.get("parameters")),
        "license": _first_line(show.get("license")),
        "format": as_text(details.get("format"), 32),
        "family": as_text(details.get("family"), 64),
    }


def details_of(digest: str, reduced: dict[str, Any]) -> ModelDetails:
    """Pick out of the reduced form what the desk needs."""
    info = as_object(reduced.get("model_info"))
    architecture = as_text(info.get("general.architecture"), 64)
    files = as_object(reduced.get("files"))
    weights = _blobs(files.get("from"))
    drafts = _blobs(files.get("draft"))
    ordered = weights[:1] + _blobs(files.get("adapter")) + drafts + weights[1:]
    return ModelDetails(
        digest=digest,
        blob_digests=tuple(dict.fromkeys(ordered)),
        capabilities=as_texts(reduced.get("capabilities")),
        family=architecture or as_text(reduced.get("family"), 64),
        context_length_trained=as_positive(info.get(f"{architecture}.context_length")),
        layer_count=as_positive(info.get(f"{architecture}.block_count")),
        sliding_window=as_positive(info.get(f"{architecture}.attention.sliding_window")),
        has_projector=len(as_list(files.get("from"))) > 1
        or bool(as_object(reduced.get("projector_info")))
        or any(str(tensor[0]).startswith(_PROJECTOR_TENSORS) for tensor in as_list(reduced.get("tensors")) if tensor),
        has_draft=bool(as_list(files.get("draft")))
        or as_positive(info.get(f"{architecture}.nextn_predict_layers")) is not None,
        license=as_text(reduced.get("license"), 120),
    )


def without_vocabulary(body: bytes) -> bytes:
    """Replace each list of `tokenizer.…` by `{"length": n}`, without decoding anything.

    Inside a JSON string a quote has a backslash before it, so the key with both its quotes can only be a key.
    """
    parts: list[bytes] = []
    taken = searched = 0
    while (match := _VOCABULARY.search(body, searched)) is not None:
        searched = end = match.end()
        while (scalars := _SCALARS.match(body, end)) is not None:
            end = scalars.end()
        space = _SPACE.match(body, end)
        end = space.end() if space is not None else end
        if body[end : end + 1] != b"]":
            continue  # nested or broken: the decoder says what it thinks of it
        parts += [body[taken : match.end() - 1], b'{"length":%d}' % _count(body[match.end() : end])]
        taken = searched = end + 1
    return body if not parts else b"".join([*parts, body[taken:]])


def modelfile_files(modelfile: object) -> dict[str, list[str]]:
    """Return the files of a modelfile by command, in its order: first the weights, a second `FROM` is a projector.

    Ollama writes FROM, ADAPTER, DRAFT and projectors before everything else (server/images.go:586 at v0.33.0-rc2), so
    reading stops at the first other command: a template or license may hold lines that look like commands.
    """
    files: dict[str, list[str]] = {"from": [], "adapter": [], "draft": []}
    for line in (modelfile if isinstance(modelfile, str) else "")[:65536].splitlines():
        command, _, argument = line.strip().partition(" ")
        if not command or command.startswith("#"):
            continue
        kind = _FILE_COMMANDS.get(command.upper())
        if kind is None:
            break
        path = argument.strip().strip('"')
        if path and len(files[kind]) < _MOST_FILES:
            files[kind].append(path[:_LONGEST_TEXT])
    return files


def _count(elements: bytes) -> int:
    """Count the elements of a flat JSON list by its bytes."""
    if not elements.strip():
        return 0
    if b'"' not in elements:
        return elements.count(b",") + 1
    without_backslashes = elements.replace(b"\\\\", b"")
    return (without_backslashes.count(b'"') - without_backslashes.count(b'\\"')) // 2


def _metadata(value: object) -> dict[str, Any]:
    """Keep scalars and short flat lists of a GGUF metadata object."""
    items = list(as_object(value).items())[:_MOST_KEYS]
    return {key[:128]: _kept(item) for key, item in items}


def _kept(value: object) -> Any:
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST:
            return {"length": len(value)}
        return [_scalar(item) for item in value]
    if isinstance(value, dict):
        length = value.get("length")
        return {"length": length} if isinstance(length, int) else None
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and abs(value) < 1 << 64 else None


def _tensors(value: object) -> list[list[Any]]:
    tensors: list[list[Any]] = []
    for entry in as_list(value)[:_MOST_TENSORS]:
        tensor = as_object(entry)
        name, kind, shape = tensor.get("name"), tensor.get("type"), tensor.get("shape")
        if isinstance(name, str) and isinstance(kind, str) and isinstance(shape, list):
            sizes = [size for size in shape[:8] if isinstance(size, int) and 0 <= size < 1 << 63]
            tensors.append([name[:256], kind[:32], sizes])
    return tensors


def _blobs(paths: object) -> list[str]:
    """Return the digests of the paths that name a blob; a model by name (`FROM qwen3`) has none."""
    found = (_BLOB.search(path) for path in as_list(paths) if isinstance(path, str))
    return [match[1].lower() for match in found if match is not None]


def _raw_text(value: object) -> str | None:
    return value[: 2 * _LONGEST_TEXT] if isinstance(value, str) and value else None


def _first_line(value: object) -> str | None:
    """Return the first line of a license that says something: its title."""
    lines = value[:_LONGEST_TEXT].splitlines() if isinstance(value, str) else []
    return next((text for line in lines if (text := as_text(line, 120)) is not None), None)


def _listed(texts: tuple[str, ...] | None) -> list[str] | None:
    return None if texts is None else list(texts)
