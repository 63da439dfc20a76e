"""What `/api/tags`, `/api/ps` and `/api/show` say about a model.

Sources: ollama api/types.go:737, :822-960, server/routes.go:1396-1620, server/images.go:586 (`Model.String`) and
fs/ggml/gguf.go:457-482 (arrays without values) at v0.33.0-rc2.
"""

from __future__ import annotations

from datetime import timedelta, timezone
from math import prod
from typing import TYPE_CHECKING, Any

from gpudesk.sim.engine_tensors import projector_tensors, tensors, weights_of

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.sim.engine_settings import EngineSettings
    from gpudesk.sim.models import Projector, Shape, SimulatedModel

_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q3_K_M": 12, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_M": 17,
               "Q6_K": 18, "BF16": 32, "MXFP4": 38}  # fmt: skip


def go_time(moment: datetime, settings: EngineSettings) -> str:
    """Write a time as Go's RFC3339Nano with the server's local offset."""
    local = moment.astimezone(timezone(timedelta(minutes=settings.utc_offset_minutes)))
    # What Go knows of a time and we do not: the last three digits; they must be there, not be right.
    digits = f"{local.microsecond:06d}{(local.microsecond * 7 + local.second) % 1000:03d}".rstrip("0")
    text = local.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{digits}" if digits else "")
    minutes = settings.utc_offset_minutes
    if minutes == 0:
        return text + "Z"
    sign, minutes = ("-" if minutes < 0 else "+"), abs(minutes)
    return f"{text}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def details(model: SimulatedModel, *, parent: bool = True) -> dict[str, Any]:
    """Return the `details` object; in `/api/ps` the parent is always empty."""
    family = model.family or model.shape.architecture
    return {
        "parent_model": model.parent_model if parent else "",
        "format": "" if model.remote else "gguf",
        "family": "" if model.remote else family,
        "families": None if model.remote else list(model.families or (family,)),
        "parameter_size": model.parameter_size if not model.remote else "",
        "quantization_level": model.quantization if not model.remote else "",
    }


def model_info(model: SimulatedModel, *, verbose: bool) -> dict[str, Any]:
    """Return the GGUF metadata: `general.name` and the chat template left out, arrays null unless verbose."""
    shape = model.shape
    info: dict[str, Any] = {
        "general.architecture": shape.architecture,
        "general.file_type": _FILE_TYPES.get(model.quantization, 15),
        "general.parameter_count": weights_of(model).parameter_count,
        "general.quantization_version": 2,
        "general.type": "model",
    }
    own = _dimensions(shape)
    if shape.projector is not None and shape.projector.embedded:
        own |= {f"vision.{name}": value for name, value in _projector_dimensions(shape.projector).items()}
    info |= {f"{shape.architecture}.{name}": value for name, value in own.items() if value is not None}
    count = shape.vocabulary // 64
    info |= {
        "tokenizer.ggml.model": "gpt2" if shape.causal else "bert",
        "tokenizer.ggml.merges": [f"t {number}" for number in range(count)] if verbose else None,
        "tokenizer.ggml.tokens": [f"token{number}" for number in range(count)] if verbose else None,
        "tokenizer.ggml.token_type": [1] * count if verbose else None,
    }
    return dict(sorted(info.items()))


def _dimensions(shape: Shape) -> dict[str, Any]:
    """Return the keys below the architecture's name; None is a key the file does not have."""
    own: dict[str, Any] = {
        "block_count": shape.block_count,
        "context_length": shape.context_length,
        "embedding_length": shape.embedding_length,
        "feed_forward_length": shape.feed_forward_length,
        "attention.head_count": shape.head_count,
        "attention.head_count_kv": shape.listed_head_count_kv if shape.causal else None,
        "attention.causal": None if shape.causal else False,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length or shape.key_length,
        "attention.layer_norm_rms_epsilon": 1e-06,
        "attention.sliding_window": shape.sliding_window,
        "rope.dimension_count": shape.rope_dimension_count,
        "rope.freq_base": 1000000,
        "vocab_size": shape.vocabulary,
        "pooling_type": shape.pooling_type,
    }
    if shape.kv_lora_rank:
        own |= {
            "attention.kv_lora_rank": shape.kv_lora_rank,
            "attention.key_length": shape.kv_lora_rank + (shape.rope_dimension_count or 64),
            "attention.value_length": shape.kv_lora_rank,
            "attention.key_length_mla": shape.key_size,
            "attention.value_length_mla": shape.value_size,
            "leading_dense_block_count": shape.leading_dense_block_count,
        }
    if shape.expert_count:
        own |= {
            "expert_count": shape.expert_count,
            "expert_used_count": shape.expert_used_count,
            "expert_feed_forward_length": shape.expert_feed_forward_length,
        }
    return own


def projector_info(model: SimulatedModel) -> dict[str, Any]:
    """Return the metadata of a projector's own file; nothing for a model without one."""
    projector = model.shape.projector
    if projector is None:
        return {}
    listed = projector_tensors(projector, model.shape.embedding_length)
    own = {f"clip.vision.{name}": value for name, value in _projector_dimensions(projector).items()}
    count = sum(prod(tensor.shape) for tensor in listed)
    return {"general.architecture": "clip", **own, "general.parameter_count": count}


def _projector_dimensions(projector: Projector) -> dict[str, Any]:
    """Return its dimensions, under the names they have behind `<arch>.vision.` or `clip.vision.`."""
    return {
        "block_count": projector.blocks,
        "embedding_length": projector.embedding_length,
        "feed_forward_length": projector.feed_forward_length,
        "attention.head_count": projector.head_count,
        "image_size": projector.image_size,
        "patch_size": projector.patch_size,
        "num_channels": 3,
    }


def modelfile(model: SimulatedModel, settings: EngineSettings) -> str:
    """Return the Modelfile the server writes for a model; its FROM lines are the only way from a file to a name."""
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {model.name}",
        "",
        f"FROM {settings.blob_path(model.blob_digest)}",
    ]
    if model.projector_digest is not None:
        lines.append(f"FROM {settings.blob_path(model.projector_digest)}")
    if model.draft_digest is not None:
        lines.append(f"DRAFT {settings.blob_path(model.draft_digest)}")
    lines.append(f'TEMPLATE """{model.template}"""')
    if model.system:
        lines.append(f'SYSTEM """{model.system}"""')
    lines += [f"PARAMETER {name} {value}" for name, value in model.parameters]
    if model.license:
        lines.append(f'LICENSE """{model.license}"""')
    return "\n".join(lines) + "\n"


def show(model: SimulatedModel, settings: EngineSettings, modified_at: str, *, verbose: bool) -> dict[str, Any]:
    """Return the whole answer of `/api/show`."""
    key = settings.version_key
    answer: dict[str, Any] = {
        "license": model.license,
        "modelfile": modelfile(model, settings),
        "template": model.template,
        "details": details(model),
        "model_info": {},
    }
    if model.parameters:
        answer["parameters"] = "\n".join(f"{name:<30} {_go_value(value)}" for name, value in model.parameters)
    if model.system:
        answer["system"] = model.system
    if key >= (0, 6, 4):
        answer["capabilities"] = list(model.capabilities)
    if model.remote:
        answer |= {"remote_host": model.remote_host, "remote_model": model.remote_model}
        answer["model_info"] = {
            "general.architecture": model.shape.architecture,
            f"{model.shape.architecture}.context_length": model.shape.context_length,
        }
    else:
        answer["model_info"] = model_info(model, verbose=verbose)
        if key >= (0, 6, 1):
            answer["tensors"] = [
                {"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)} for tensor in all_tensors(model)
            ]
        if model.projector_digest is not None:
            answer["projector_info"] = projector_info(model)
    answer["modified_at"] = modified_at
    return answer


def all_tensors(model: SimulatedModel) -> list[Any]:
    """List what is in the model's own file, an embedded projector included."""
    listed = list(tensors(model.shape, model.quantization))
    projector = model.shape.projector
    if projector is not None and projector.embedded:
        listed += projector_tensors(projector, model.shape.embedding_length)
    return listed


def _go_value(value: object) -> str:
    """Write a value like Go's `%#v`."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
