from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.errors import ExportError
from gpudesk.exports import jsonc_splice
from gpudesk.exports.jsonc_splice import ours, span, with_values, without_ours
from gpudesk.exports.jsonc_tree import KeyPath, escaped, read, unescaped

FILE = Path("settings.json")
EFFECT = "Zed keeps to its defaults"
MODEL = {"provider": "ollama", "model": "qwen3:14b"}
VALUES: dict[KeyPath, Any] = {
    ("agent", "default_model"): MODEL,
    ("language_models", "ollama", "api_url"): "http://127.0.0.1:11434",
    ("language_models", "ollama", "available_models", ("name", "qwen3:14b")): {"name": "qwen3:14b", "max_tokens": 4096},
}
ZED = """// Zed settings
//
// For information on how to configure Zed, see the documentation.
{
  "theme": "One Dark", // dark
  "agent": {
    "default_model": {
      "provider": "zed.dev", /* hosted */
      "model": "claude" // the good one
    },
    "enabled": true,
  },
  "language_models": {
    "ollama": {
      "available_models": [
        // mine
        { "name": "llama3:8b", "max_tokens": 8192 },
        { "name": "qwen3:14b", "max_tokens": 2048 }
      ]
    }
  } // no comma here
}
"""


def put(text: str, values: dict[KeyPath, Any] | None = None) -> str:
    return with_values(text, VALUES if values is None else values, FILE, EFFECT)


def test_values_are_put_in_and_nothing_else_changes() -> None:
    assert (
        put(ZED)
        == """// Zed settings
//
// For information on how to configure Zed, see the documentation.
{
  "theme": "One Dark", // dark
  "agent": {
    "default_model": /* gpudesk: instead of {
      "provider": "zed.dev", /* hosted *\\/
      "model": "claude" // the good one
    } */ {
      "provider": "ollama",
      "model": "qwen3:14b"
    },
    "enabled": true,
  },
  "language_models": {
    "ollama": {
      "available_models": [
        // mine
        { "name": "llama3:8b", "max_tokens": 8192 },
        /* gpudesk: instead of { "name": "qwen3:14b", "max_tokens": 2048 } */ {
          "name": "qwen3:14b",
          "max_tokens": 4096
        }
      ],
      "api_url": /* gpudesk */ "http://127.0.0.1:11434"
    }
  } // no comma here
}
"""
    )


def test_a_new_file_is_laid_out() -> None:
    text = put("")
    assert (
        text
        == """/* gpudesk: made */ {
  "agent": /* gpudesk: made */ {
    "default_model": /* gpudesk */ {
      "provider": "ollama",
      "model": "qwen3:14b"
    }
  },
  "language_models": /* gpudesk: made */ {
    "ollama": /* gpudesk: made */ {
      "api_url": /* gpudesk */ "http://127.0.0.1:11434",
      "available_models": /* gpudesk: made */ [
        /* gpudesk */ {
          "name": "qwen3:14b",
          "max_tokens": 4096
        }
      ]
    }
  }
}
"""
    )
    assert without_ours(text, FILE) == ""


@pytest.mark.parametrize(
    "text",
    [
        ZED,
        ZED.replace("\n", "\r\n"),
        ZED.replace("  ", "\t"),
        ZED.replace("  } // no comma here", "  }, // a comma here"),
        "",
        "// only a comment\n",
        "// only a comment",
        "\n\n",
        "{}",
        "{ }",
        "{}\n",
        "{\n}",
        "{\n}\n",
        "{ // comment\n}",
        "{/* a */}",
        '{"a": 1}',
        '{"a": 1,}',
        '{ "a": 1 }',
        '{"a":1, "agent":{}}',
        '{\n  "a": 1\n}',
        '{\n  "a": 1,\n}',
        '{\n  "a": 1 // one\n}',
        '{\n  "a": 1, // one\n}',
        '{\n  "a": 1 /* one */, // two\n  // three\n}',
        '{\n  "a": 1 }',
        '{"a": 1\n}',
        '{\n\t"agent": {\n\t\t"x": []\n\t}\n}',
        '{"language_models": {"ollama": {"available_models": []}}}',
        '{"language_models": {"ollama": {"available_models": [ ]}}, "agent": {"default_model": null}}',
        '{\n    "language_models": {"ollama": {"available_models": [\n    ]}}\n}',
        '{"language_models": {"ollama": {"available_models": [{"name": "x"},]}}}',
        '{"agent": {"default_model": "/* } */ // \\" */"}}',
        '{"ümlaut \\ud83d\\ude00": "日本", "agent": {}}',
    ],
)
def test_taking_out_gives_the_same_bytes(text: str) -> None:
    after = put(text)
    assert after != text
    assert without_ours(after, FILE) == text
    assert put(after) == after, "a second time changes nothing"
    less = put(after, {("agent", "default_model"): MODEL})
    assert ours(less, FILE) == (("agent", "default_model"),)
    assert without_ours(less, FILE) == text
    assert put(after, {}) == text
    other = put(after, VALUES | {("agent", "default_model"): {"provider": "ollama", "model": "other"}})
    assert without_ours(other, FILE) == text
    assert put(other) == after


KEYS = ("agent", "language_models", "ollama", "default_model", "available_models", "name", "x")
blank = st.sampled_from(["", " ", "\n", "\r\n", "\n  ", "\t", " // c, }\n", "/* [ */", " /* a\n b */ ", "\n\n"])
scalar = st.one_of(
    st.sampled_from(["null", "true", "false", "0", "-1", "1.5e3", '"a // b"', '"/* x"', '"\\""', '"qwen3:14b"', '""'])
)


@st.composite
def rendered(draw: st.DrawFn, depth: int = 3) -> str:
    kind = draw(st.sampled_from(["scalar", "object", "object", "array"])) if depth else "scalar"
    if kind == "scalar":
        return draw(scalar)
    parts: list[str] = []
    count = draw(st.integers(0, 3))
    names = draw(st.lists(st.sampled_from(KEYS), min_size=count, max_size=count, unique=True))
    for place, name in enumerate(names):
        value = draw(rendered(depth - 1))
        head = f'"{name}"{draw(blank)}:{draw(blank)}' if kind == "object" else ""
        comma = "," if place < count - 1 or draw(st.booleans()) else ""
        parts.append(f"{draw(blank)}{head}{value}{draw(blank)}{comma}")
    inner = "".join(parts) + draw(blank)
    return "{" + inner + "}" if kind == "object" else "[" + inner + "]"


@st.composite
def documents(draw: st.DrawFn) -> str:
    body = draw(rendered())
    if not body.startswith("{"):
        body = '{"x":' + body + "}"
    return draw(blank) + body + draw(blank)


paths = st.sampled_from(
    [
        ("agent", "default_model"),
        ("agent", "x"),
        ("x",),
        ("language_models", "ollama", "x"),
        ("language_models", "ollama", "available_models", ("name", "qwen3:14b")),
        ("language_models", "ollama", "available_models", ("name", "b")),
        ("ollama", "name"),
    ]
)
plain = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["a", "*/", '"', "é"]))


@pytest.mark.slow
@given(documents(), st.dictionaries(paths, plain, min_size=1), st.dictionaries(paths, plain))
def test_any_document_comes_back(text: str, values: dict[KeyPath, Any], others: dict[KeyPath, Any]) -> None:
    values, others = named(values), named(others)
    try:
        after = put(text, values)
    except ExportError as error:
        told = error.message
    else:
        told = ""
    if told:
        assert "expected a" in told, "only what is in the way is refused"
        return
    assert without_ours(after, FILE) == text
    assert put(after, values) == after
    root = read(after, FILE).root
    assert root is not None
    for path, value in values.items():
        node = root.at(path)
        assert node is not None
        assert node.data == value
    try:
        changed = put(after, others)
    except ExportError as error:
        told = error.message
    if told:
        assert "expected a" in told
        return
    assert without_ours(changed, FILE) == text


def named(values: dict[KeyPath, Any]) -> dict[KeyPath, Any]:
    """Let elements of lists have the name they go by."""
    return {
        path: {"name": path[-1][1], "v": value} if isinstance(path[-1], tuple) else value
        for path, value in values.items()
    }


@given(st.text(st.sampled_from("*/\\ a\n"), max_size=12))
def test_what_was_there_can_stand_in_a_comment(old: str) -> None:
    assert "*/" not in escaped(old)
    assert unescaped(escaped(old)) == old


@given(st.text(st.sampled_from('{}[]",:/*\\ntrue1 \n'), max_size=30))
def test_broken_text_is_refused_and_never_altered(text: str) -> None:
    try:
        after = put(text)
    except ExportError:
        return
    assert without_ours(after, FILE) == text


def test_what_the_user_puts_into_what_was_made_stays() -> None:
    after = put("{}")
    mine = after.replace(
        '"ollama": /* gpudesk: made */ {', '"openai": {"x": 1}, // mine\n    "ollama": /* gpudesk: made */ {'
    )
    assert mine != after
    left = without_ours(mine, FILE)
    assert read(left, FILE).root.data == {"language_models": {"openai": {"x": 1}}}  # type: ignore[union-attr]
    assert "// mine" in left
    assert "gpudesk" not in left


def test_what_the_user_appends_stays() -> None:
    after = put('{\n  "a": 1\n}\n')
    mine = after.rstrip()[:-2] + ',\n  "b": 2 // two\n}\n'
    assert without_ours(mine, FILE) == '{\n  "a": 1,\n  "b": 2 // two\n}\n'
    again = put(mine, VALUES | {("agent", "default_model"): "x"})
    assert without_ours(again, FILE) == '{\n  "a": 1,\n  "b": 2 // two\n}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,,}', "line 1, column 9: expected a name"),
        ('{\n  "a": tru\n}', "line 2, column 8: expected a value"),
        ("{'a': 1}", "line 1, column 2: expected a name"),
        ('{"a": 1', "line 1, column 8: the file ends too early"),
        ('{"a" 1}', "line 1, column 6: expected a colon"),
        ('{"a": 1 "b": 2}', "line 1, column 9: expected a comma or }"),
        ('{"a": "x\n"}', "line 1, column 7: a text that does not end"),
        ('{"a": /* x }', "line 1, column 7: a comment that does not end"),
        ("{} {}", "line 1, column 4: something follows the value"),
        ('{"a": 01}', "line 1, column 7: expected a value"),
        ('{"a": ' + "9" * 5000 + "}", "line 1, column 7: expected a value"),
        ("[1, 2 3]", "line 1, column 7: expected a comma or ]"),
        ("[1, 2", "line 1, column 6: the file ends too early"),
        ("[" * 5000, "line 1, column 202: it is nested too deeply"),
    ],
)
def test_broken_files_are_refused_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message) as told:
        put(text)
    assert told.value.hint == "As it is, Zed keeps to its defaults; correct it first"


def test_what_is_in_the_way_is_refused() -> None:
    with pytest.raises(ExportError, match=r"settings.json, line 2: expected an object here"):
        put('{\n  "agent": 5}')
    with pytest.raises(ExportError, match="line 1: expected an object here"):
        put("[]")
    with pytest.raises(ExportError, match="line 2: expected a list here"):
        put('{"language_models":\n {"ollama": {"available_models": {}}}}')
    with pytest.raises(ExportError, match='line 2: "agent" is there twice'):
        put('{"agent": {},\n"agent": {}}')


def test_what_would_alter_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jsonc_splice, "applied", lambda text, edits: text.replace('"a": 1', '"a": 2') if edits else text
    )
    with pytest.raises(ExportError, match="the change would alter something else, so nothing is changed"):
        put('{"a": 1}')


@pytest.mark.parametrize("gap", [", ", ",", " ,\n", ",/**/ ", ", // x\n", "\t,\r\n\t"])
@pytest.mark.parametrize("items", [("1", "2.5", "-3e2"), ('"a"', '"\\u00e9"', "true"), ("1", "[2, 3]", "null", "{}")])
def test_values_of_a_list_are_where_they_stand(items: tuple[str, ...], gap: str) -> None:
    text = f"[{gap.join(items)}{gap}]"
    root = read(text, FILE).root
    assert root is not None
    assert [text[child.node.start : child.node.end] for child in root.children] == list(items)
    assert [text[child.comma or 0] for child in root.children] == [","] * len(items)
    assert root.data == [json.loads(item) for item in items]


def test_the_place_of_a_value_is_found() -> None:
    start, end = span(ZED, ("agent", "default_model", "model"), FILE) or (0, 0)
    assert ZED[start:end] == '"claude"'
    assert span(ZED, ("agent", "none"), FILE) is None
    assert span("", ("agent",), FILE) is None


@pytest.mark.slow
def test_a_large_file_of_many_lines_is_changed() -> None:
    lines = ["{"]
    lines += [f'  "key {number}": {{"a": [1, 2, "three"], "b": null}}, // {number}' for number in range(2000)]
    text = "\n".join([*lines, "}", ""])
    assert without_ours(put(text), FILE) == text


def test_nothing_heavy_is_loaded_before_something_is_changed() -> None:
    code = (
        "import sys, gpudesk.exports.jsonc_splice;"
        "print([x for x in ('jsonc', 'tomlkit', 'ruamel') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout.replace("'", '"')) == []
