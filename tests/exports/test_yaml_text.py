"""What is written reads the same in YAML 1.2, in 1.1, in block and in flow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gpudesk.exports.yaml_text import block_lines, entry_lines, flow_text, scalar_text
from gpudesk.exports.yaml_tree import read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), TEXT)
KEYS = st.one_of(
    st.sampled_from(("name", "keep_alive", "yes", "1", "a b", "<<x")), TEXT.filter(lambda text: text != "<<")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.sampled_from((2, 4)), st.sampled_from(("1.1", "1.2")))
def test_reads_back(value: dict[str, Any], step: int, version: str) -> None:
    head = f"%YAML {version}\n---\n"
    block = head + "x:\n" + "".join(f"  {line}\n" for line in entry_lines(value, step))
    for text in (block, f"{head}x: [{flow_text(value)}]\n"):
        assert YAML(typ="safe", pure=True).load(text) == {"x": [value]}
        document = read(text)
        assert document.data(document.root) == {"x": [value]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("qwen3-coder:30b", "qwen3-coder:30b"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("gpudesk chat", "gpudesk chat"),
        ("hf.co/someone/Model-GGUF:Q4_K_M", "hf.co/someone/Model-GGUF:Q4_K_M"),
        (-1, "-1"),
        (None, "null"),
        (True, "true"),
        ("yes", '"yes"'),
        ("null", '"null"'),
        ("1:30", '"1:30"'),
        ("1.5", '"1.5"'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("a #b", '"a #b"'),
        ("", '""'),
        ("größer", '"größer"'),
        ("<|fim_prefix|>", '"<|fim_prefix|>"'),
        ("a\u2028b\x85", '"a\\u2028b\\u0085"'),
    ],
)
def test_is_quoted_only_where_it_must_be(value: str | int | None, text: str) -> None:
    assert scalar_text(value) == text


def test_lists_of_words_stay_on_a_line() -> None:
    assert block_lines({"roles": ["chat", "edit"], "none": [], "stop": ["</s>"], "deep": [{"a": 1}]}) == [
        "roles: [chat, edit]",
        "none: []",
        'stop: ["</s>"]',
        "deep:",
        "  - a: 1",
    ]
