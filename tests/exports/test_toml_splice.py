from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.errors import ExportError
from gpudesk.exports.toml_splice import with_values, without_ours

FILE = Path("config.toml")
VALUES: dict[str, Any] = {"model": "qwen3:14b", "model_provider": "gpudesk", "model_context_window": 32768}
TABLES = {"model_providers.gpudesk": {"name": "Ollama", "base_url": "http://127.0.0.1:11434/v1"}}
CODEX = """# my Codex
model = "gpt-5"   # the good one
notify = [
  "notify-send",
  "model = 5",
]
instructions = \"\"\"
[not a table]
model = "no"
\"\"\"

# servers
[mcp_servers.docs]
command = "npx"
model = "inner"

[model_providers.box]
name = "Box"
base_url = 'http://gpu-box.lan:8000/v1'
"""


def put(text: str, values: dict[str, Any] | None = None, tables: dict[str, dict[str, Any]] | None = None) -> str:
    return with_values(
        text, VALUES if values is None else values, TABLES if tables is None else tables, FILE, "Codex does not start"
    )


def test_keys_and_tables_are_put_in_and_nothing_else_changes() -> None:
    assert (
        put(CODEX)
        == """# my Codex
# gpudesk: instead of: model = "gpt-5"   # the good one
model = "qwen3:14b" # gpudesk
notify = [
  "notify-send",
  "model = 5",
]
instructions = \"\"\"
[not a table]
model = "no"
\"\"\"
model_provider = "gpudesk" # gpudesk
model_context_window = 32768 # gpudesk

# servers
[mcp_servers.docs]
command = "npx"
model = "inner"

[model_providers.box]
name = "Box"
base_url = 'http://gpu-box.lan:8000/v1'

# gpudesk: begin
[model_providers.gpudesk]
name = "Ollama"
base_url = "http://127.0.0.1:11434/v1"
# gpudesk: end
"""
    )


@pytest.mark.parametrize(
    "text",
    [
        CODEX,
        CODEX.replace("\n", "\r\n"),
        CODEX.rstrip(),
        "",
        "\n",
        "# only a comment",
        "# only a comment\n",
        "a = 1",
        "a = 1\n",
        "\n\n[a]\nb = 1\n",
        "[a]",
        "[a]\n\n\n",
        "# about a\n[a]\n",
        "model = 'x'",
        'model = "qwen3:14b"\n',
        "  model = 1\n\t[a]\n",
        'model = """\nx\n"""  # gpudesk: mine\n',
        "[[a]]\nb = [\n[1],\n]\n",
        'a = "# gpudesk: end"\n',
        "d = 1979-05-27T07:32:00Z\nf = 1e3\nmodel_providers.x.name = 'y'\n",
    ],
)
def test_taking_out_gives_the_same_bytes(text: str) -> None:
    if 'model = """' in text:
        with pytest.raises(ExportError, match="would alter something else"):
            put(text)
        return
    after = put(text)
    assert after != text
    assert without_ours(after) == text
    assert put(after) == after, "a second time changes nothing"
    assert put(after, {}, {}) == text
    assert put(put(after, VALUES | {"model": "other"})) == after
    told = tomllib.loads(after)
    assert told["model"] == "qwen3:14b"
    assert told["model_providers"]["gpudesk"] == TABLES["model_providers.gpudesk"]


lines = st.sampled_from(
    ["# c", "", "  ", "a = 1", "model = 'x'", "model_provider = \"y\" # z", "[t]", "[model_providers.x]", "[[u]]",
     "b = 2", "s = '''", "'''", "l = [", "]", "model = [", '"model" = 1', "[model_providers]", "x.y = 1", "\tmodel = 2"]
)  # fmt: skip


@given(st.lists(lines, max_size=10), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_document_comes_back_or_is_refused(parts: list[str], line_end: str, ended: bool) -> None:
    text = line_end.join(parts) + (line_end if ended and parts else "")
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(ExportError, match="config"):
            put(text)
        return
    try:
        after = put(text)
    except ExportError as error:
        refused = error.message
    else:
        assert without_ours(after) == text
        told = tomllib.loads(after)
        del told["model_providers"]["gpudesk"]
        assert {key: told[key] for key in before if key not in VALUES} == {
            key: value for key, value in before.items() if key not in VALUES
        }
        return
    assert "would alter something else" in refused


def test_what_is_there_already_in_another_form_is_refused() -> None:
    for text in ('model_providers = { box = { name = "x" } }\n', "[model_providers.gpudesk]\nname = 'mine'\n"):
        with pytest.raises(ExportError, match="would alter something else") as told:
            put(text)
        assert "model_providers.gpudesk" in (told.value.hint or "")


def test_broken_files_are_refused_with_line_and_column() -> None:
    with pytest.raises(ExportError, match=r"config\.toml, line 2, column 5: invalid value") as told:
        put("a = 1\nb = \n")
    assert told.value.hint == "As it is, Codex does not start; correct it first"
