"""Continue reads what gpudesk makes of its old config.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpudesk.exports.editors.continue_dev import Continue
from gpudesk.exports.editors.continue_json import read_json
from gpudesk.exports.editors.continue_migration import migration
from gpudesk.exports.values import Way
from gpudesk.exports.writing import apply
from tests.exports.editors import cases
from tests.live.editors.continue_parser import ContinueParser

pytestmark = pytest.mark.live

OLD = sorted((cases.FOLDER / "continue_migration").glob("*.json"))
SMALL: dict[str, str] = {
    "an empty mapping": "{}",
    "what Continue began with": """{
  "models": [{"title": "Llama 3.1 8B", "provider": "ollama", "model": "llama3.1:8b"}],
  "tabAutocompleteModel": {"title": "Qwen2.5-Coder 1.5B", "provider": "ollama", "model": "qwen2.5-coder:1.5b-base"},
  "embeddingsProvider": {"provider": "ollama", "model": "nomic-embed-text:latest"}
}
""",
    "one name twice": """{
  // both were shown
  "models": [
    {"title": "A", "provider": "ollama", "model": "qwen3:8b", "contextLength": 8192},
    {"title": "A", "provider": "ollama", "model": "qwen3:14b", "completionOptions": {"keepAlive": 3600}}
  ],
  "tabAutocompleteModel": [{"title": "A", "provider": "ollama", "model": "starcoder2:3b"}],
}
""",
    "values of other types": """{
  "models": [
    {"title": "7", "provider": "ollama", "model": "x", "apiKey": "true", "contextLength": "8192",
     "completionOptions": {"stop": "x", "temperature": null, "numThreads": 4}, "capabilities": {"tools": true},
     "requestOptions": {"headers": {"X-Number": "5"}, "timeout": 10}}
  ],
  "systemMessage": "yes",
  "customCommands": [{"name": "test", "prompt": "{{{ input }}}\\n\\nWrite: - tests # all", "description": "no"}],
  "docs": [{"title": "1.0", "startUrl": "https://example.org/#a: b"}]
}
""",
}


def text_of(name: str) -> str:
    return SMALL[name] if name in SMALL else (cases.FOLDER / "continue_migration" / name).read_text(encoding="utf-8")


def migrated(text: str, home: Path) -> Path:
    """Migrate a home with this config.json, and return the new file."""
    folder = home / ".continue"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(text, encoding="utf-8")
    apply(migration(cases.around(home)), state=home / "state")
    assert (folder / "config.json").read_text(encoding="utf-8") == text
    return folder / "config.yaml"


def wanted(old: dict[str, Any]) -> dict[str, list[str]]:
    """Return the models that the old file has for each role."""
    tab = old.get("tabAutocompleteModel", [])
    embedding = old.get("embeddingsProvider", {})
    found = {
        "chat": [model["model"] for model in old.get("models", [])],
        "autocomplete": [model["model"] for model in (tab if isinstance(tab, list) else [tab])],
        "embed": [embedding["model"]] if "model" in embedding else [],
    }
    return {role: names for role, names in found.items() if names}


@pytest.mark.parametrize("name", [*(path.name for path in OLD), *SMALL])
def test_every_model_has_the_roles_it_had(name: str, continue_parser: ContinueParser, tmp_path: Path) -> None:
    text = text_of(name)
    parsed = continue_parser.parse(migrated(text, tmp_path))
    assert (parsed.error, parsed.refused, parsed.lost()) == (None, [], [])
    by_name = {model["name"]: model["model"] for model in parsed.models}
    assert len(by_name) == len(parsed.models)
    had = wanted(read_json(text))
    assert {role: [by_name[each] for each in parsed.roles.get(role, [])] for role in had} == had


@pytest.mark.parametrize("name", [*(path.name for path in OLD), *SMALL])
def test_a_migrated_file_is_merged_into_like_any_other(
    name: str, continue_parser: ContinueParser, tmp_path: Path
) -> None:
    path = migrated(text_of(name), tmp_path)
    before, data = continue_parser.parse(path), path.read_bytes()
    around, editor = cases.around(tmp_path), Continue()
    apply(editor.export(cases.chosen(), around, Way.MERGE), state=tmp_path / "state")
    after = continue_parser.parse(path)
    assert [model for model in after.models if not model["name"].startswith("gpudesk ")] == before.models
    assert [name for name in after.roles["autocomplete"] if name.startswith("gpudesk ")] == ["gpudesk autocomplete"]
    apply(editor.remove(around), state=tmp_path / "state")
    assert path.read_bytes() == data
