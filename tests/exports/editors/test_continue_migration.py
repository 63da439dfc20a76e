"""A config.yaml of Continue's old config.json, in which nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.errors import ExportError
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.editors.continue_json import comments, read_json
from gpudesk.exports.editors.continue_migration import migrated_text, migration
from gpudesk.exports.editors.continue_schema import Reader, mismatches
from gpudesk.exports.yaml_tree import read
from tests.golden import check_golden

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "golden" / "continue_migration"


def data(text: str) -> dict[str, Any]:
    """Return a migrated configuration as Continue reads it."""
    document = read(migrated_text(text).text)
    assert list(mismatches(Reader(document))) == []
    told = document.data(document.root)
    assert isinstance(told, dict)
    return told


def models_of(old: dict[str, Any]) -> list[dict[str, Any]]:
    told = data(json.dumps(old))["models"]
    assert isinstance(told, list)
    return told


def one(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    (entry,) = models_of({"models": [{"title": "A", "provider": "ollama", "model": "qwen3:14b", **model}], **more})
    return entry


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_whole_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    data(text)
    check_golden(str(path.with_suffix(".yaml")), migrated_text(text).text)


def test_a_model_talks_in_every_role() -> None:
    assert one({}) == {
        "name": "A",
        "provider": "ollama",
        "model": "qwen3:14b",
        "roles": ["chat", "edit", "apply", "summarize"],
    }


def test_a_model_named_for_a_role_is_the_only_one_with_it() -> None:
    old = {
        "models": [{"title": name, "provider": "ollama", "model": name} for name in ("A", "B")],
        "experimental": {"modelRoles": {"inlineEdit": "B", "applyCodeBlock": "A"}},
    }
    assert [entry["roles"] for entry in models_of(old)] == [
        ["chat", "apply", "summarize"],
        ["chat", "edit", "summarize"],
    ]


def test_options_for_all_models_reach_each_and_its_own_win() -> None:
    entry = one(
        {"contextLength": 16384, "completionOptions": {"temperature": 0.2, "maxTokens": None}},
        completionOptions={"maxTokens": 600, "temperature": 1},
    )
    assert entry["defaultCompletionOptions"] == {"contextLength": 16384, "maxTokens": 600, "temperature": 0.2}


def test_keep_alive_stands_where_every_version_sends_it() -> None:
    entry = one({"completionOptions": {"keepAlive": -1}, "requestOptions": {"timeout": 9}})
    assert entry["defaultCompletionOptions"] == {"keepAlive": -1}
    assert entry["requestOptions"] == {"timeout": 9, "extraBodyProperties": {"keep_alive": -1}}


@pytest.mark.parametrize(
    ("told", "listed"),
    [
        ({"tools": True, "uploadImage": True}, ["tool_use", "image_input"]),
        ({"tools": False}, []),
        ({"uploadImage": True}, ["tool_use", "image_input"]),
        ({"uploadImage": False}, ["tool_use"]),
    ],
)
def test_capabilities_say_what_they_said_and_what_was_guessed(told: dict[str, bool], listed: list[str]) -> None:
    assert one({"capabilities": told})["capabilities"] == listed


def test_words_and_templates() -> None:
    entry = one({"systemMessage": "Be\nbrief: #1", "template": "chatml", "promptTemplates": {"edit": "{{{x}}}"}})
    assert entry["chatOptions"] == {"baseSystemMessage": "Be\nbrief: #1"}
    assert entry["promptTemplates"] == {"chat": "chatml", "edit": "{{{x}}}"}


def test_autocomplete_embed_and_rerank() -> None:
    chat, tab, embed, rerank = models_of(
        {
            "models": [{"title": "A", "provider": "ollama", "model": "m"}],
            "tabAutocompleteModel": {"title": "A", "provider": "ollama", "model": "t", "contextLength": 2048},
            "tabAutocompleteOptions": {"debounceDelay": 500, "useCache": False, "template": "T"},
            "embeddingsProvider": {
                "provider": "ollama",
                "model": "e",
                "maxEmbeddingChunkSize": 256,
                "apiBase": "http://b",
            },
            "reranker": {"name": "voyage", "params": {"model": "r", "apiKey": "k"}},
        }
    )
    assert chat["name"] == "A"
    assert (tab["name"], tab["roles"]) == ("A (autocomplete)", ["autocomplete"])
    assert tab["defaultCompletionOptions"] == {"contextLength": 2048}
    assert tab["autocompleteOptions"] == {"debounceDelay": 500, "useCache": False, "template": "T"}
    assert (embed["roles"], embed["embedOptions"], embed["apiBase"]) == (["embed"], {"maxChunkSize": 256}, "http://b")
    assert (rerank["provider"], rerank["model"], rerank["apiKey"]) == ("voyage", "r", "k")


def test_several_models_for_autocomplete_and_titles_that_are_there_twice() -> None:
    tab = {"title": "T", "provider": "ollama", "model": "t"}
    told = models_of({"models": [tab, tab], "tabAutocompleteModel": [tab, tab]})
    assert [entry["name"] for entry in told] == ["T", "T (2)", "T (autocomplete)", "T (autocomplete) (2)"]


def test_variables_become_secrets() -> None:
    entry = one({"apiKey": "OPENAI_KEY"}, env=["OPENAI_KEY", "NOT_USED"])
    assert entry["apiKey"] == "${{ secrets.OPENAI_KEY }}"


def test_other_sections() -> None:
    told = data(
        json.dumps(
            {
                "systemMessage": "Tabs",
                "contextProviders": [{"name": "open", "params": {"onlyPinned": True}}],
                "customCommands": [{"name": "t", "prompt": "{{{ input }}}\nTest", "description": ""}],
                "docs": [{"title": "D", "startUrl": "u"}],
                "experimental": {
                    "modelContextProtocolServers": [
                        {"transport": {"type": "stdio", "command": "npx", "args": ["-y"], "env": {"A": "b"}}},
                        {"name": "w", "transport": {"type": "sse", "url": "u"}},
                    ]
                },
            }
        )
    )
    assert told["rules"] == ["Tabs"]
    assert told["context"] == [{"provider": "open", "params": {"onlyPinned": True}}]
    assert told["prompts"] == [{"name": "t", "prompt": "{{{ input }}}\nTest", "description": ""}]
    assert told["docs"] == [{"name": "D", "startUrl": "u"}]
    assert [(server["name"], server.get("command"), server.get("url")) for server in told["mcpServers"]] == [
        ("MCP Server 1", "npx", None),
        ("w", None, "u"),
    ]
    assert told["models"] == []


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ({"models": [{"title": "A", "provider": "o", "model": "m", "completionOptions": {"numGpu": 9}}]}, "numGpu: 9"),
        ({"models": [{"title": "A", "provider": "o", "model": "m", "template": "gone"}]}, "template"),
        ({"models": [{"title": "A", "provider": "o", "model": "m", "other": 1}]}, "models[0].other"),
        ({"models": [{"title": "A", "provider": "o", "model": "m", "contextLength": "much"}]}, "contextLength"),
        ({"models": [{"title": "A", "provider": "o"}]}, "models[0]"),
        ({"models": ["A"]}, "models[0]"),
        ({"tabAutocompleteOptions": {"useCache": True}}, "tabAutocompleteOptions"),
        ({"tabAutocompleteModel": {"provider": "o", "model": "m"}, "tabAutocompleteOptions": {"x": 1}}, "Options.x"),
        ({"reranker": {"name": "llm", "params": {"modelTitle": "A"}}}, "reranker"),
        ({"slashCommands": [{"name": "share"}]}, "slashCommands[0]"),
        ({"docs": [{"title": "D", "startUrl": "u", "maxDepth": 3}]}, "docs[0].maxDepth"),
        ({"contextProviders": [3]}, "contextProviders[0]"),
        ({"experimental": {"quickActions": [1]}}, "experimental.quickActions"),
        ({"experimental": {"modelRoles": {"repoMapFileSelection": "A"}}}, "repoMapFileSelection"),
        ({"experimental": {"modelContextProtocolServers": [{"transport": {"type": "websocket"}}]}}, "Servers[0]"),
        ({"disableIndexing": True}, "disableIndexing: true"),
        ({"something": [1]}, "something"),
    ],
)  # fmt: skip
def test_what_has_no_place_is_a_comment(old: dict[str, Any], name: str) -> None:
    migrated = migrated_text(json.dumps(old))
    assert sum(name in line for line in migrated.lost) == 1
    assert any("# not carried over: " in line and name in line for line in migrated.text.split("\n"))
    data(json.dumps(old))


def test_secrets_are_carried_but_never_told() -> None:
    model = {
        "title": "A",
        "provider": "o",
        "model": "m",
        "apiKey": "sk-1",
        "proxyToken": "sk-2",
        "weird": {"password": "sk-3"},
    }
    migrated = migrated_text(json.dumps({"models": [model], "userToken": "sk-4"}))
    assert "apiKey: sk-1" in migrated.text
    assert len(migrated.lost) == 3
    assert not any("sk-" in line for line in (*migrated.lost, migrated.text.replace("apiKey: sk-1", "")))


def test_comments_are_carried_to_what_they_stand_in() -> None:
    text = """{ // mine
  "models": [
    {"title": "A", "provider": "ollama", "model": "a" /* small
       and fast */},
    // the big one
    {"title": "B", "provider": "ollama", "model": "http://x//y", "apiBase": "http://h" // no "quotes"
    },
    // "apiKey": "sk-123"
  ],
}"""
    lines = migrated_text(text).text.split("\n")
    assert lines[0] == "# mine"
    first, second = lines.index("  - name: A"), lines.index("  - name: B")
    assert lines[first - 1] == "  # small and fast"
    assert lines[second - 2 : second] == ["  # the big one", '  # no "quotes"']
    assert "sk-123" not in "\n".join(lines)
    assert any("line 8" in line for line in lines)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a": NaN}', '{"a": 1 "b": 2}', "[" * 100_000, "// only\n", '{"a": "\n"}']
)
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"config\.json"):
        migrated_text(text)


def around(home: Path) -> Surroundings:
    return Surroundings(home, {}, "linux")


def test_the_files(tmp_path: Path) -> None:
    base = tmp_path / ".continue"
    with pytest.raises(ExportError, match="does not exist"):
        migration(around(tmp_path))
    base.mkdir()
    old = b'\xef\xbb\xbf{"models": [], "ui": {"fontSize": 12}}'
    (base / "config.json").write_bytes(old)
    export = migration(around(tmp_path))
    (change,) = export.changes
    assert (change.path, change.before, change.secret) == (base / "config.yaml", None, True)
    assert b"models: []\n" in (change.after or b"")
    assert "1 setting has" in " ".join(export.notes)
    assert [path.name for path in base.iterdir()] == ["config.json"]
    assert (base / "config.json").read_bytes() == old
    (base / "config.yaml").write_bytes(b" \n")
    assert migration(around(tmp_path)).changes[0].before == b" \n"
    (base / "config.yaml").write_bytes(b"# mine\n")
    with pytest.raises(ExportError, match="there already"):
        migration(around(tmp_path))


WORDS = st.text(max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
MODEL_KEYS = (
    *("title", "provider", "model", "apiKey", "apiBase", "contextLength", "completionOptions", "capabilities"),
    *("systemMessage", "template", "promptTemplates", "requestOptions", "region", "cacheBehavior", "extra"),
)
MODELS = st.fixed_dictionaries(
    {"title": WORDS, "provider": st.sampled_from(["ollama", "openai"]), "model": WORDS},
    optional=dict.fromkeys(MODEL_KEYS[3:], VALUES),
)
OLD = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(MODELS | VALUES, max_size=3) | VALUES,
        "tabAutocompleteModel": MODELS | st.lists(MODELS, max_size=2) | VALUES,
        "tabAutocompleteOptions": VALUES,
        "embeddingsProvider": MODELS | VALUES,
        "reranker": st.fixed_dictionaries({"name": WORDS, "params": MODELS}) | VALUES,
        "completionOptions": st.dictionaries(st.sampled_from(["maxTokens", "stop", "numGpu", "x"]), VALUES) | VALUES,
        "requestOptions": VALUES,
        "contextProviders": st.lists(st.fixed_dictionaries({"name": WORDS, "params": VALUES}), max_size=2) | VALUES,
        "customCommands": st.lists(st.fixed_dictionaries({"name": WORDS, "prompt": WORDS}), max_size=2) | VALUES,
        "docs": VALUES,
        "data": VALUES,
        "env": st.lists(WORDS, max_size=2) | VALUES,
        "experimental": st.fixed_dictionaries({"modelRoles": VALUES, "modelContextProtocolServers": VALUES}) | VALUES,
        "systemMessage": VALUES,
        "zebra": VALUES,
    },
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(old=OLD)
def test_whatever_was_written_becomes_a_file_that_continue_takes(old: dict[str, Any]) -> None:
    told = data(json.dumps(old))
    names = [entry["name"] for entry in told["models"]]
    assert len(names) == len(set(names))
    migrated = migrated_text(json.dumps(old)).text
    migrated.encode()
    assert len(migrated.splitlines()) == migrated.count("\n")


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    elif value not in (None, ""):
        yield value


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(old=st.fixed_dictionaries({"models": st.lists(MODELS, max_size=2), "tabAutocompleteModel": MODELS}))
def test_nothing_is_lost_in_silence(old: dict[str, Any]) -> None:
    migrated = migrated_text(json.dumps(old))
    document = read(migrated.text)
    carried = list(leaves(document.data(document.root)))
    for where, model in [
        *((f"models[{i}]", m) for i, m in enumerate(old["models"])),
        ("tabAuto", old["tabAutocompleteModel"]),
    ]:
        for key, value in model.items():
            if list(leaves(value)) and key != "title":
                placed = any(leaf in carried or str(leaf) in carried for leaf in leaves(value))
                lost = any(line.startswith(where) and f".{key}" in line for line in migrated.lost)
                assert placed or lost or key == "capabilities"


@given(st.text(alphabet='{}[]",:/*\n\\ ab', max_size=60))
def test_the_scanner_of_comments_ends_on_anything(text: str) -> None:
    for comment in comments(text):
        assert 1 <= comment.line <= text.count("\n") + 1
        assert "\n" not in comment.text


def test_a_text_is_no_comment() -> None:
    assert list(comments('{"a": "http://x /* no */ \\" // no"}')) == []
    assert read_json('{"a": "// no",}') == {"a": "// no"}
