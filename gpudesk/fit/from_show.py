"""A reply of `/api/show` to the metadata that the formulas read.

Takes the reply as Ollama sends it, verbose or not, and the reduced form that is cached by digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.gguf_values import HeaderError, SkippedArray
from gpudesk.fit.key_values import Keys
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.text import clean

MOST_TENSORS = 1 << 17
MOST_KEYS = 8192
_MOST_DIMENSIONS = 4
ROUGH_PROJECTOR = "the projector is taken to be F16"
"""Said where only the number of its weights is known."""
_PROJECTOR_WEIGHT_BYTES = 2
"""Projectors come as F16."""
_VISION = {
    "vision_block_count": "block_count",
    "vision_embedding_length": "embedding_length",
    "vision_head_count": "attention.head_count",
    "vision_image_size": "image_size",
    "vision_patch_size": "patch_size",
}


def metadata_from_show(reply: Mapping[str, object], *, name: str | None = None) -> ModelMetadata:
    """Read what a model says about itself.

    A list that a short reply leaves out (null) is derived from the tensors where they tell it, and noted.

    Raises:
        HeaderError: the reply does not describe a model that takes memory here, or makes no sense.
    """
    _check_local(reply)
    info = reply.get("model_info")
    if not isinstance(info, Mapping) or not info:
        raise HeaderError(
            "model_info",
            "missing from the reply of /api/show",
            "Ollama before 0.1.45 does not tell it; name the .gguf file instead",
        )
    key_values, left_out = _key_values(info)
    tensors = tuple(_tensors(reply.get("tensors")))
    metadata = metadata_from_keys(key_values, tensors, name=name)
    notes = tuple(f"{key} was left out of the reply" for key in left_out)
    if not tensors:
        notes += ("the reply lists no tensors",)
    metadata = replace(metadata, notes=notes + metadata.notes)
    projector = reply.get("projector_info")
    return with_projector(metadata, projector) if isinstance(projector, Mapping) and projector else metadata


def with_projector(metadata: ModelMetadata, info: Mapping[Any, object]) -> ModelMetadata:
    """Add what a projector's own keys tell; its size follows from the number of its weights."""
    key_values, _ = _key_values(info)
    keys = Keys({"general.architecture": "clip"} | key_values, prefix="clip.vision")
    weights = key_values.get("general.parameter_count")
    known = {field: keys.number(key) for field, key in _VISION.items()}
    changes: dict[str, Any] = {field: value for field, value in known.items() if value is not None}
    if isinstance(weights, int) and not isinstance(weights, bool) and 0 < weights < 1 << 40:
        changes["projector_bytes"] = weights * _PROJECTOR_WEIGHT_BYTES
        changes["notes"] = (*metadata.notes, ROUGH_PROJECTOR)
    return replace(metadata, **changes)


def _check_local(reply: Mapping[str, object]) -> None:
    """Refuse what has no weights here, or none that ggml loads."""
    remote = reply.get("remote_host") or reply.get("remote_model")
    if remote:
        where = f" at {clean(str(remote), 80)}" if reply.get("remote_host") else ""
        raise HeaderError("remote_host", f"a cloud model: it runs{where} and takes no memory here")
    details = reply.get("details")
    form = details.get("format") if isinstance(details, Mapping) else reply.get("format")
    if isinstance(form, str) and form.lower() == "safetensors":
        raise HeaderError("details.format", "safetensors: only GGUF models can be computed")


def _key_values(info: Mapping[Any, object]) -> tuple[dict[str, object], list[str]]:
    """Return the keys, and those whose lists were left out."""
    if len(info) > MOST_KEYS:
        raise HeaderError("model_info", f"{len(info)} keys, at most {MOST_KEYS} are sensible")
    key_values: dict[str, object] = {}
    left_out: list[str] = []
    for key, value in info.items():
        name = str(key)
        if isinstance(value, Mapping):
            length = value.get("length")
            key_values[name] = SkippedArray("", length if isinstance(length, int) and length >= 0 else 0)
        elif value is not None and value != []:
            key_values[name] = tuple(value) if isinstance(value, list) else value
        elif not name.startswith("tokenizer."):
            left_out.append(clean(name, 80))
    return key_values, left_out


def _tensors(listed: object) -> list[Tensor]:
    """Read `{"name", "type", "shape"}` objects, or the cache's `[name, type, shape]`."""
    if not isinstance(listed, list | tuple):
        return []
    if len(listed) > MOST_TENSORS:
        raise HeaderError("tensors", f"{len(listed)}, at most {MOST_TENSORS} are sensible")
    return [_tensor(entry, index) for index, entry in enumerate(listed)]


def _tensor(entry: object, index: int) -> Tensor:
    if isinstance(entry, Mapping):
        name, kind, shape = entry.get("name"), entry.get("type"), entry.get("shape")
    elif isinstance(entry, list | tuple) and len(entry) == 3:
        name, kind, shape = entry
    else:
        raise HeaderError(f"tensors[{index}]", "neither name, type nor shape")
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(shape, list | tuple):
        raise HeaderError(f"tensors[{index}]", "name, type or shape is missing")
    sizes = tuple(
        size for size in shape if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 63
    )
    if len(sizes) != len(shape) or len(shape) > _MOST_DIMENSIONS:
        raise HeaderError(f"tensor {clean(name, 64)}", "a shape that no tensor has")
    return Tensor(name, kind.upper(), sizes)
