from __future__ import annotations

import pytest

from gpudesk.arguments.planner_values import (
    CONTEXT_MOST,
    AskedModel,
    context_value,
    kv_value,
    memory_value,
    model_value,
    others_value,
    parallel_value,
    roles_value,
    version_value,
)
from gpudesk.config.options import UnusableError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("1", 1), ("8192", 8192), ("32k", 32768), ("32K", 32768), (" 4k ", 4096), ("1m", 1 << 20), ("16m", CONTEXT_MOST)],
)
def test_contexts(text: str, tokens: int) -> None:
    assert context_value(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0k",
        "-1",
        "-4k",
        "1e9",
        "1e5",
        "17m",
        "999999999",
        "9" * 400,
        "4.5k",
        "4 k",
        "k",
        "",
        "٣٢",
        "32kb",
        None,
        4,
    ],
)
def test_what_is_no_context_says_what_is(text: object) -> None:
    with pytest.raises(UnusableError, match="tokens from 1 to 16777216, such as 8192 or 32k"):
        context_value(text)


@pytest.mark.parametrize(
    ("text", "word", "context"),
    [
        ("qwen3:14b", "qwen3:14b", None),
        ("qwen3:14b@32k", "qwen3:14b", 32768),
        ("hf.co/bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_M@16384", "hf.co/bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_M", 16384),
        ("/data/@home/x.gguf", "/data/@home/x.gguf", None),
        ("/data/@home/x.gguf@8k", "/data/@home/x.gguf", 8192),
        ("reply@2.JSON", "reply@2.JSON", None),
        ("model@sha256:abc", "model@sha256:abc", None),
    ],
)
def test_models(text: str, word: str, context: int | None) -> None:
    assert model_value(text) == AskedModel(word, context)


@pytest.mark.parametrize("text", ["", "  ", "@4k", "a@", "a@0", "a@-1", "a@1e9", "a@b", "a\x00b", "x" * 5000])
def test_what_is_no_model(text: str) -> None:
    with pytest.raises(UnusableError):
        model_value(text)


@pytest.mark.parametrize(
    ("text", "types"),
    [("q8_0", ("q8_0", "q8_0")), ("F16", ("f16", "f16")), ("q8_0/q4_0", ("q8_0", "q4_0")), ("iq4_nl", ("iq4_nl",) * 2)],
)
def test_types_of_the_kv_cache(text: str, types: tuple[str, str]) -> None:
    assert kv_value(text) == types


def test_a_wrong_type_of_the_kv_cache_is_told_with_the_nearest() -> None:
    for text in ("q8", "q8_0/", "q8_0/q8_0/q8_0", "", "q6_K"):
        with pytest.raises(UnusableError, match="one of f32, f16"):
            kv_value(text)
    with pytest.raises(UnusableError, match="perhaps q8_0"):
        kv_value("q8_O")


@pytest.mark.parametrize(
    ("text", "sizes"), [("24GiB", (24 * GIB,)), ("24GiB,12 GiB", (24 * GIB, 12 * GIB)), ("8GB", (8_000_000_000,))]
)
def test_memory(text: str, sizes: tuple[int, ...]) -> None:
    assert memory_value(text) == sizes


@pytest.mark.parametrize("text", ["", "0", "24GiB,", "a", "-1GiB", "9999999TiB", ",".join(["1GiB"] * 65)])
def test_what_is_no_memory(text: str) -> None:
    with pytest.raises(UnusableError, match="24GiB"):
        memory_value(text)


def test_others_may_be_nothing() -> None:
    assert others_value("0,1.5GiB") == (0, 3 * GIB // 2)
    with pytest.raises(UnusableError):
        others_value("some")


@pytest.mark.parametrize("text", ["0", "-1", "1000", "x", "1.5", ""])
def test_slots(text: str) -> None:
    assert parallel_value("4") == 4
    with pytest.raises(UnusableError, match="from 1 to 256"):
        parallel_value(text)


@pytest.mark.parametrize("text", ["", "new", "0.0.0", "33", "1" * 80])
def test_versions(text: str) -> None:
    assert version_value("v0.33.0-rc2") == "0.33.0-rc2"
    with pytest.raises(UnusableError, match=r"0\.33\.0"):
        version_value(text)


def test_roles() -> None:
    assert roles_value("chat, Embed,chat") == ("chat", "embed")
    with pytest.raises(UnusableError, match="perhaps embed"):
        roles_value("chat,embd")
    with pytest.raises(UnusableError, match="foo is no role; the roles are chat, code"):
        roles_value("chat,foo")
    with pytest.raises(UnusableError, match="a role is missing"):
        roles_value("chat,")
    with pytest.raises(UnusableError):
        roles_value("")
