from __future__ import annotations

import pytest

from gpudesk.domain.model_name import is_model_name


@pytest.mark.parametrize(
    "name",
    [
        "qwen3",
        "qwen3:14b",
        "qwen2.5-coder:1.5b-base_q4.K",
        "_x:_y",
        "someone/model:tag",
        "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
        "localhost:5000/ns/model:tag",
        "http://127.0.0.1:5000/ns/model",
        "x" * 80 + ":" + "y" * 80,
        "h" * 350 + "/" + "n" * 80 + "/m",
    ],
)
def test_names_as_ollama_takes_them(name: str) -> None:
    assert is_model_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a\nSYSTEM x",
        "a\n",
        ":tag",
        "model:",
        "-model",
        ".model",
        "../model",
        "a//b",
        "/b",
        "name.space/model",
        "a/b/c/d",
        "model:a:b",
        "model:a/b",
        "ü",
        "x" * 81,
        "m:" + "t" * 81,
        "n" * 81 + "/m",
        "h" * 351 + "/n/m",
        "ftp://host/n/m",
    ],
)
def test_names_as_ollama_refuses_them(name: str) -> None:
    assert not is_model_name(name)
