"""What is the same model in another quantization, by name and shape."""

from __future__ import annotations

import pytest

from gpudesk.fit.plan import plan
from gpudesk.fit.tensor_sizes import total_bytes
from gpudesk.fit.values import EngineProfile, Wanted
from gpudesk.fit.variants import other_size, same_model, words_of
from gpudesk.records import replace
from tests.fit.models import card, wanted

E3 = EngineProfile(version="0.33.0")


def named(name: str, like: str = "qwen3:14b") -> Wanted:
    return replace(wanted(like, context_length=16384), name=name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("qwen3:14b", "qwen3:14b-q3_K_M"), ("qwen3:14b", "qwen3:latest"), ("qwen3:14b-fp16", "qwen3:14b-q8_0"),
        ("llama3.1:8b", "llama3.1:8b-instruct-q3_K_S"), ("gemma3:12b", "gemma3:12b-it-qat"),
        ("Qwen3-14B-Q4_K_M.gguf", "Qwen3-14B-UD-Q3_K_XL.gguf"), ("llama-2-7b.Q4_K_M.gguf", "llama-2-7b.Q3_K_M.gguf"),
        ("hf.co/unsloth/Qwen3-14B-GGUF:Q4_K_M", "hf.co/unsloth/Qwen3-14B-GGUF:IQ3_XXS"),
        ("gpt-oss:20b-mxfp4", "gpt-oss:20b"), ("qwen3:30b-a3b", "qwen3:30b-a3b-q4_K_M"),
    ],
)  # fmt: skip
def test_only_the_quantization_differs(one: str, other: str) -> None:
    assert words_of(one) == words_of(other)
    assert same_model(named(one), named(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("qwen3:14b", "qwen3-mtp:14b"), ("qwen3:14b", "qwen3:14b-thinking"), ("qwen3:14b", "alice/qwen3:14b-q3_K_M"),
        ("qwen2.5:7b", "qwen2.5-coder:7b"), ("qwen2.5:7b", "qwen2:7b"), ("qwen3:4b", "qwen3:4b-instruct-2507-q4_K_M"),
        ("llama3.1:8b", "llama3.1:8b-text-q3_K_S"), ("Qwen3-14B-Q4_K_M.gguf", "Qwen3-14B-abliterated-Q3_K_M.gguf"),
    ],
)  # fmt: skip
def test_another_variant_is_another_model_though_its_shape_is_the_same(one: str, other: str) -> None:
    assert not same_model(named(one), named(other))
    assert not other_size(named(one), named(other))


def test_other_sizes_of_a_family() -> None:
    assert other_size(named("qwen3:14b"), named("qwen3:8b", "qwen3:8b"))
    assert other_size(named("qwen3:14b"), named("alice/qwen3:8b-q8_0", "qwen3:8b"))
    assert not other_size(named("qwen3:14b"), named("qwen3-coder:8b", "qwen3:8b"))
    assert not same_model(named("qwen3:14b"), named("qwen3:14b", "qwen3:8b")), "the shape decides, too"


def shrunk(name: str) -> Wanted:
    """Return a model of qwen3:14b's shape with all its matrices in two bits."""
    one = named(name)
    tensors = tuple(
        replace(tensor, kind="Q2_K") if len(tensor.shape) > 1 else tensor for tensor in one.metadata.tensors
    )
    return replace(one, metadata=replace(one.metadata, tensors=tensors, file_bytes=total_bytes(tensors)))


def test_a_variant_is_not_offered_as_a_smaller_quantization() -> None:
    installed = [shrunk("qwen3-mtp:14b"), shrunk("qwen3:14b-q2_K")]
    made = plan([named("qwen3:14b")], [card(10)], E3, installed=installed)
    offered = [one for one in made.alternatives if one.key.startswith("model:")]
    assert [one.key for one in offered] == ["model:qwen3:14b-q2_K"]
    assert offered[0].description == "qwen3:14b-q2_K instead of qwen3:14b: a smaller quantization"
