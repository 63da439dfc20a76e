from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from gpudesk.errors import ExportError
from gpudesk.exports.yaml_tree import read
from gpudesk.exports.yaml_values import Scalar, with_values, without_values
from tests.exports.configurations import configurations

MODEL = {"model": "ollama_chat/qwen3:8b"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model: gpt-4o  # old\nx: 1\n", "model: ollama_chat/qwen3:8b # gpudesk: instead of gpt-4o  # old\nx: 1\n"),
        ("model:\nx: 1\n", "model: ollama_chat/qwen3:8b # gpudesk: instead of\nx: 1\n"),
        ("model: [a, b]", "model: ollama_chat/qwen3:8b # gpudesk: instead of [a, b]"),
        ("x: 1\n", "x: 1\nmodel: ollama_chat/qwen3:8b # gpudesk: added\n"),
        ("x: 1", "x: 1\nmodel: ollama_chat/qwen3:8b # gpudesk: added"),
        ("x: |\r\n  1", "model: ollama_chat/qwen3:8b # gpudesk: added\r\nx: |\r\n  1"),
        ("'model': 'x'\r\n", "'model': ollama_chat/qwen3:8b # gpudesk: instead of 'x'\r\n"),
        ("# c\n\nx: 1\n\n# end\n", "# c\n\nx: 1\n\n# end\nmodel: ollama_chat/qwen3:8b # gpudesk: added\n"),
    ],
)
def test_a_value_is_put_in_and_taken_out(before: str, after: str) -> None:
    assert with_values(read(before), MODEL) == after
    assert with_values(read(after), MODEL) == after
    other = with_values(read(after), {"model": "b # c"})
    assert other == after.replace("ollama_chat/qwen3:8b", '"b # c"')
    assert without_values(read(other)) == before


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_every_byte_comes_back(text: str) -> None:
    values: dict[str, Scalar] = {"model": "a", "name": "gpudesk", "version": None, "stream": True}
    after = with_values(read(text), values)
    data = read(after)
    assert {key: data.data(data.at((key,))) for key in values} == values
    assert without_values(read(after)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model:\n  a: 1\n", "line 2, column 3: the value of model is more than one line"),
        ("model: |\n  a\n", "line 1, column 8: the value of model is more than one line"),
        ("model: 'a\n  b'\n", "line 1, column 8: the value of model is more than one line"),
        ("model: &m a\nx: *m\n", "may be used elsewhere as \\*m"),
        ("{model: a}\n", "not written one key per line"),
        ("- a\n", "not written one key per line"),
        ("# c\n", "nothing in it"),
    ],
)
def test_refuses_what_would_touch_something_else(text: str, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        with_values(read(text), MODEL)


def test_what_the_user_changed_stays() -> None:
    text = with_values(read("model: a\nx: 1\n"), {"model": "b", "y": 2})
    changed = text.replace("model: b # gpudesk: instead of a", "model: c").replace("added", "added, and I need it")
    assert without_values(read(changed)) == changed


def test_several_lines_before_a_value_that_must_stay_last() -> None:
    text = "rules:\r\n- |\r\n   Be brief."
    after = with_values(read(text), {"a": 1, "b": 2})
    assert after == "a: 1 # gpudesk: added\r\nb: 2 # gpudesk: added\r\n" + text
    assert without_values(read(after)) == text
