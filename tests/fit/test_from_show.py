from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.from_show import metadata_from_show
from gpudesk.fit.gguf import HeaderError
from gpudesk.fit.metadata import Tensor
from gpudesk.sources.ollama_show import parse_show
from tests.fit.headers import LLAMA_KEYS, LLAMA_TENSORS

INFO: dict[str, object] = {
    "general.architecture": "gemma4",
    "general.parameter_count": 1_000_000,
    "gemma4.block_count": 3,
    "gemma4.context_length": 131_072,
    "gemma4.embedding_length": 256,
    "gemma4.feed_forward_length": [512, 512, 1024],
    "gemma4.attention.head_count": 8,
    "gemma4.attention.head_count_kv": [2, 2, 1],
    "gemma4.attention.key_length": 64,
    "gemma4.attention.value_length": 64,
    "gemma4.attention.key_length_swa": 32,
    "gemma4.attention.value_length_swa": 32,
    "gemma4.attention.sliding_window": 512,
    "gemma4.attention.sliding_window_pattern": [True, True, False],
    "tokenizer.ggml.tokens": ["a", "b"],
}
TENSORS = (
    Tensor("token_embd.weight", "Q6_K", (256, 1000)),
    *(
        tensor
        for layer, (width, heads_kv, inner) in enumerate(((32, 2, 512), (32, 2, 512), (64, 1, 1024)))
        for tensor in (
            Tensor(f"blk.{layer}.attn_q.weight", "Q4_K", (256, 8 * width)),
            Tensor(f"blk.{layer}.attn_k.weight", "Q4_K", (256, heads_kv * width)),
            Tensor(f"blk.{layer}.attn_k_norm.weight", "F32", (width,)),
            Tensor(f"blk.{layer}.ffn_up.weight", "Q4_K", (256, inner)),
        )
    ),
    Tensor("v.blk.0.attn_q.weight", "F16", (64, 64)),
)


def reply(**changes: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "modelfile": "FROM /models/blobs/sha256-" + "a" * 64,
        "details": {"format": "gguf", "family": "gemma4"},
        "model_info": dict(INFO),
        "tensors": [{"name": item.name, "type": item.kind, "shape": list(item.shape)} for item in TENSORS],
        "capabilities": ["completion", "vision"],
    }
    return {key: value for key, value in (whole | changes).items() if value is not ...}


def info(**changes: object) -> dict[str, object]:
    return INFO | {f"gemma4.{key.replace('__', '.')}": value for key, value in changes.items()}


def refused(answer: dict[str, Any]) -> HeaderError:
    with pytest.raises(HeaderError) as caught:
        metadata_from_show(answer)
    return caught.value


def test_a_verbose_reply_tells_the_same_as_the_file() -> None:
    assert metadata_from_show(reply(), name="gemma4:e2b") == metadata_from_keys(INFO, TENSORS, name="gemma4:e2b")


def test_the_reduced_form_of_the_cache_tells_the_same_as_the_reply() -> None:
    reduced = parse_show(json.dumps(reply()).encode(), "test")
    stored = json.loads(json.dumps(reduced))
    assert metadata_from_show(stored) == metadata_from_show(reply())


def test_a_short_reply_with_null_lists_comes_to_the_same_by_the_tensors() -> None:
    nulls = info(attention__head_count_kv=None, feed_forward_length=None, attention__sliding_window_pattern=None) | {
        "tokenizer.ggml.tokens": None
    }
    found = metadata_from_show(reply(model_info=nulls))
    verbose = metadata_from_show(reply())
    assert replace(found, notes=()) == verbose
    assert verbose.notes == ()
    assert found.notes[:3] == (
        "gemma4.feed_forward_length was left out of the reply",
        "gemma4.attention.head_count_kv was left out of the reply",
        "gemma4.attention.sliding_window_pattern was left out of the reply",
    )
    assert any("derived from the width of K" in note for note in found.notes)
    assert not any("tokenizer" in note for note in found.notes)


def test_empty_lists_count_as_left_out() -> None:
    empty = info(attention__head_count_kv=[], feed_forward_length=[])
    assert replace(metadata_from_show(reply(model_info=empty)), notes=()) == metadata_from_show(reply())


def test_lists_too_long_to_be_cached() -> None:
    long = INFO | {"tokenizer.ggml.tokens": {"length": 262_144}, "tokenizer.ggml.odd": {"length": None}}
    tensors: list[object] = []
    assert metadata_from_show(reply(model_info=long, tensors=tensors)).vocabulary_size == 262_144


@pytest.mark.parametrize("tensors", [None, ..., [], {}])
def test_a_reply_without_tensors_says_so(tensors: object) -> None:
    found = metadata_from_show(reply(tensors=tensors))
    assert found.tensors == ()
    assert found.notes == ("the reply lists no tensors",)


@pytest.mark.parametrize("value", [..., None, {}, [], "text", 7])
def test_a_reply_without_model_info(value: object) -> None:
    caught = refused(reply(model_info=value))
    assert caught.field == "model_info"
    assert caught.hint


def test_a_cloud_model_says_where_it_runs() -> None:
    caught = refused(
        {
            "remote_model": "gpt-oss:120b",
            "remote_host": "https://ollama.com:443",
            "model_info": {"general.architecture": "gptoss", "gptoss.context_length": 131_072},
        }
    )
    assert caught.field == "remote_host"
    assert "https://ollama.com:443" in caught.message
    assert "no memory here" in caught.message


def test_a_cloud_model_from_the_cache_lacks_its_layers() -> None:
    reduced = {"model_info": {"general.architecture": "gptoss", "gptoss.context_length": 131_072}, "tensors": []}
    assert refused(reduced).field == "gptoss.block_count"


@pytest.mark.parametrize("answer", [reply(details={"format": "safetensors"}), reply(details=..., format="safetensors")])
def test_safetensors_are_not_computed(answer: dict[str, Any]) -> None:
    assert refused(answer).field == "details.format"


def test_a_separate_projector() -> None:
    projector = {
        "general.architecture": "clip",
        "general.parameter_count": 400_000_000,
        "clip.vision.block_count": 27,
        "clip.vision.embedding_length": 1152,
        "clip.vision.attention.head_count": 16,
        "clip.vision.image_size": 896,
        "clip.vision.patch_size": 14,
        "clip.vision.image_mean": None,
    }
    found = metadata_from_show(reply(projector_info=projector, tensors=[]))
    assert found.projector_bytes == 800_000_000
    assert (found.vision_block_count, found.vision_embedding_length, found.vision_head_count) == (27, 1152, 16)
    assert (found.vision_image_size, found.vision_patch_size) == (896, 14)
    assert any("projector" in note for note in found.notes)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (7, "tensors[0]"),
        ({}, "tensors[0]"),
        (["a", "F32"], "tensors[0]"),
        ({"name": "a", "type": 3, "shape": [1]}, "tensors[0]"),
        ({"name": "a\x1b[m", "type": "F32", "shape": [-1]}, "tensor a[m"),
        ({"name": "a", "type": "F32", "shape": ["1"]}, "tensor a"),
        ({"name": "a", "type": "F32", "shape": [1, 1, 1, 1, 1]}, "tensor a"),
        ({"name": "a", "type": "unknown", "shape": [1]}, "tensor a"),
    ],
)
def test_tensors_that_make_no_sense(entry: object, field: str) -> None:
    assert refused(reply(tensors=[entry])).field == field


def test_the_small_model_of_the_other_tests() -> None:
    answer = {
        "model_info": LLAMA_KEYS,
        "tensors": [[item.name, item.kind, list(item.shape)] for item in LLAMA_TENSORS],
    }
    assert metadata_from_show(answer) == metadata_from_keys(LLAMA_KEYS, LLAMA_TENSORS)
