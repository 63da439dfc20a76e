"""The entries that Continue gets for a choice of models."""

from __future__ import annotations

from typing import Any

import pytest

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.exports.editors.continue_blocks import blocks, is_ours, notes
from gpudesk.exports.editors.continue_names import (
    fills_in_the_middle,
    guessed_template,
    guesses_images,
    guesses_tools,
    needed_template,
)
from gpudesk.exports.values import Chosen, ChosenModel, Role

URL = "http://127.0.0.1:11434"
QWEN = "<|fim_prefix|>{{{prefix}}}<|fim_suffix|>{{{suffix}}}<|fim_middle|>"


def model(name: str, *roles: Role, context: int | None = 32768, **more: Any) -> ChosenModel:
    return ChosenModel(name, roles, URL, context, **more)


def only(chosen: ChosenModel) -> dict[str, Any]:
    (block,) = blocks(Chosen((chosen,)))
    return block


def test_a_model_that_chats() -> None:
    chat = model("qwen3-coder:30b", Role.CHAT, Role.EDIT, Role.APPLY)
    assert only(chat) == {
        "name": "gpudesk chat",
        "provider": "ollama",
        "model": "qwen3-coder:30b",
        "apiBase": URL,
        "roles": ["chat", "edit", "apply"],
        "defaultCompletionOptions": {"contextLength": 32768, "maxTokens": 4096, "keepAlive": -1},
        "requestOptions": {"extraBodyProperties": {"keep_alive": -1}},
    }


def test_a_model_that_completes() -> None:
    assert only(model("qwen2.5-coder:1.5b-base", Role.AUTOCOMPLETE, context=4096, family="qwen2")) == {
        "name": "gpudesk autocomplete",
        "provider": "ollama",
        "model": "qwen2.5-coder:1.5b-base",
        "apiBase": URL,
        "roles": ["autocomplete"],
        "defaultCompletionOptions": {"contextLength": 4096, "maxTokens": 256, "keepAlive": -1},
        "requestOptions": {"extraBodyProperties": {"keep_alive": -1}},
    }


def test_a_model_that_embeds_has_no_options() -> None:
    assert only(model("nomic-embed-text", Role.EMBED, context=2048, keep_alive=KeepAliveWish(600))) == {
        "name": "gpudesk embed",
        "provider": "ollama",
        "model": "nomic-embed-text",
        "apiBase": URL,
        "roles": ["embed"],
        "requestOptions": {"extraBodyProperties": {"keep_alive": 600}},
    }


def test_one_model_for_two_uses_has_one_context() -> None:
    both = Chosen((model("qwen2.5-coder:7b", Role.AUTOCOMPLETE, Role.CHAT, Role.APPLY, context=16384),))
    chat, tab = blocks(both)
    assert (chat["name"], chat["roles"]) == ("gpudesk chat", ["chat", "apply"])
    assert (tab["name"], tab["roles"]) == ("gpudesk autocomplete", ["autocomplete"])
    assert (
        chat["defaultCompletionOptions"]["contextLength"] == tab["defaultCompletionOptions"]["contextLength"] == 16384
    )
    assert (chat["defaultCompletionOptions"]["maxTokens"], tab["defaultCompletionOptions"]["maxTokens"]) == (4096, 256)


@pytest.mark.parametrize(
    ("wish", "wire"), [(FOREVER, -1), (KeepAliveWish(0), 0), (KeepAliveWish(1800), 1800), (KeepAliveWish(0.5), 1)]
)
def test_keep_alive_is_said_twice_as_a_number(wish: KeepAliveWish, wire: int) -> None:
    block = only(model("llama3.1:8b", Role.CHAT, keep_alive=wish))
    assert block["defaultCompletionOptions"]["keepAlive"] == wire
    assert block["requestOptions"] == {"extraBodyProperties": {"keep_alive": wire}}


def test_a_context_that_is_baked_in_is_not_sent() -> None:
    for context in (None, 8192):
        block = only(model("qwen3-gpudesk:8b", Role.CHAT, context=context, context_baked_in=True))
        assert "contextLength" not in block["defaultCompletionOptions"]


@pytest.mark.parametrize(
    ("role", "context", "asked", "tokens"),
    [
        (Role.CHAT, 32768, None, 4096),
        (Role.CHAT, 8192, None, 2048),
        (Role.CHAT, None, None, 4096),
        (Role.CHAT, 32768, 512, 512),
        (Role.AUTOCOMPLETE, 4096, None, 256),
        (Role.AUTOCOMPLETE, 512, None, 128),
        (Role.AUTOCOMPLETE, 2, None, 1),
    ],
)
def test_an_answer_leaves_room_for_the_prompt(role: Role, context: int | None, asked: int | None, tokens: int) -> None:
    block = only(model("qwen2.5-coder:7b", role, context=context, max_tokens=asked))
    assert block["defaultCompletionOptions"]["maxTokens"] == tokens


@pytest.mark.parametrize(("context", "most"), [(2048, None), (2047, 1023), (1024, 512), (None, None)])
def test_a_small_context_gets_a_small_prompt(context: int | None, most: int | None) -> None:
    block = only(model("qwen2.5-coder:1.5b", Role.AUTOCOMPLETE, context=context))
    assert block.get("autocompleteOptions", {}).get("maxPromptTokens") == most


@pytest.mark.parametrize(
    ("name", "has", "written"),
    [
        ("qwen3:8b", ("completion", "tools"), None),
        ("qwen3:8b", ("completion",), []),
        ("gemma3:12b", ("completion", "vision"), None),
        ("gemma3:12b", ("completion", "vision", "tools"), ["tool_use", "image_input"]),
        ("phi4:14b", ("completion", "tools"), ["tool_use"]),
        ("my-model", ("completion",), None),
        ("my-model", ("completion", "vision"), ["image_input"]),
        ("my-model", None, None),
        # What is said replaces the whole guess, so both are said.
        ("qwen2.5vl-agent", ("completion", "tools"), ["tool_use"]),
    ],
)
def test_capabilities_are_said_where_the_name_does_not_tell(
    name: str, has: tuple[str, ...] | None, written: list[str] | None
) -> None:
    assert only(model(name, Role.CHAT, capabilities=has)).get("capabilities") == written


def test_capabilities_are_not_said_of_what_completes() -> None:
    assert "capabilities" not in only(model("my-model", Role.AUTOCOMPLETE, capabilities=("tools",)))


@pytest.mark.parametrize(
    ("name", "architecture", "written"),
    [
        ("qwen2.5-coder:1.5b", "qwen2", None),
        ("qwen2.5-coder-gpudesk:1.5b", "qwen2", None),
        ("gpudesk-tab", "qwen2", QWEN),
        ("qwen2.5:1.5b", "qwen2", QWEN),
        ("starcoder2:3b", "starcoder2", None),
        ("tab", "starcoder2", None),
        ("gpt-tab", "starcoder2", "<fim_prefix>{{{prefix}}}<fim_suffix>{{{suffix}}}<fim_middle>"),
        ("codegemma:2b", "gemma", None),
        ("fast-gemma", "gemma", QWEN),
        ("deepseek-coder-v2:16b", "deepseek2", None),
        ("ds:16b", "deepseek2", "<｜fim▁begin｜>{{{prefix}}}<｜fim▁hole｜>{{{suffix}}}<｜fim▁end｜>"),
        ("codellama:7b-code", "llama", None),
        ("llama3.1:8b", "llama", None),
        ("anything", None, None),
    ],
)
def test_a_template_is_written_where_continue_would_guess_wrong(
    name: str, architecture: str | None, written: str | None
) -> None:
    assert needed_template(name, architecture) == written
    block = only(model(name, Role.AUTOCOMPLETE, family=architecture))
    assert block.get("autocompleteOptions", {}).get("template") == written


@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("qwen3-coder:30b", True),
        ("someone/qwen2.5:7b", True),
        ("qwen/other", False),
        ("qwen2-math", False),
        ("llama3.2-vision", False),
        ("glm-4.6:cloud", False),
        ("glm-4.6", True),
        ("gemma3", False),
        ("GPT-OSS:20b", True),
    ],
)
def test_continue_guesses_tools_by_name(name: str, tools: bool) -> None:
    assert guesses_tools(name) == tools


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("llava", True),
        ("gemma3n:e4b", False),
        ("gemma3:4b", True),
        ("Qwen2.5VL", True),
        ("llama3.1", False),
        ("mygemma3", False),
    ],
)
def test_continue_guesses_images_by_name(name: str, images: bool) -> None:
    assert guesses_images(name, "gpudesk chat") == images
    assert guesses_images("x", name) == images


def test_continue_takes_starcoders_template_when_nothing_tells() -> None:
    assert guessed_template("llama3.1:8b") == ("<fim_prefix>{{{prefix}}}<fim_suffix>{{{suffix}}}<fim_middle>", False)
    assert guessed_template("stable-code:3b") == ("<fim_prefix>{{{prefix}}}<fim_suffix>{{{suffix}}}<fim_middle>", True)
    assert not fills_in_the_middle("llama3.1:8b", "llama")
    assert fills_in_the_middle("gpudesk-tab", "qwen2")


def test_no_name_is_there_twice() -> None:
    chosen = Chosen((model("a", Role.CHAT), model("b", Role.CHAT), model("c", Role.EDIT)))
    assert [block["name"] for block in blocks(chosen)] == ["gpudesk chat", "gpudesk chat 2", "gpudesk edit"]


@pytest.mark.parametrize(
    "entry", [None, "gpudesk chat", {"name": "gpudesk"}, {"name": 3}, {"model": "gpudesk chat"}, ["x"]]
)
def test_the_users_entries_are_not_ours(entry: Any) -> None:
    assert is_ours(entry) is None


def test_ours_are_known_by_name() -> None:
    assert is_ours({"name": "gpudesk autocomplete", "model": "changed"}) == "gpudesk autocomplete"


def test_says_what_the_choice_means() -> None:
    said = notes(
        Chosen(
            (
                model("llama3.1:8b", Role.CHAT, Role.AUTOCOMPLETE, context=None, family="llama"),
                model("bge-reranker", Role.RERANK),
                model("qwen2.5-coder:1.5b", Role.AUTOCOMPLETE, family="qwen2"),
                model("odd-name", Role.AUTOCOMPLETE, template_has_suffix=True),
                model("nomic-embed-text", Role.EMBED, context=None),
            )
        )
    )
    assert [line.split(":")[0] for line in said] == [
        "The context of llama3.1",
        "llama3.1",
        "bge-reranker is left out for rerank",
    ]
    assert blocks(Chosen((model("bge-reranker", Role.RERANK),))) == ()


def test_a_name_from_outside_moves_no_cursor() -> None:
    (said,) = notes(Chosen((model("x\x1b[2J\n" + "y" * 500, Role.RERANK),)))
    assert "\x1b" not in said
    assert "\n" not in said
    assert len(said) < 400
