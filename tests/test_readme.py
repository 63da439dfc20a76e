"""What the README says of keys, fields, links and settings is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from gpudesk.arguments.parser import parse
from gpudesk.errors import ExitCode
from gpudesk.keymap import BINDINGS, check_keymap, display_key
from gpudesk.output.desk_json import schema_fields
from tests.fit import report

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def keys_table() -> str:
    rows = (
        f"| {' '.join(f'`{display_key(key)}`' for key in action.keys)} | `{action.id}` | {action.help} |"
        for action in BINDINGS
    )
    return "| key | id | what it does |\n|---|---|---|\n" + "\n".join(rows)


def fields_table() -> str:
    rows = (f"| `{path}` | {meaning} |" for path, meaning in schema_fields())
    return "| field | meaning |\n|---|---|\n" + "\n".join(rows)


def fit_table() -> str:
    return report.table(report.cases()).strip()


@pytest.mark.parametrize(("name", "table"), [("keys", keys_table), ("fields", fields_table), ("fit", fit_table)])
def test_the_tables_are_current(name: str, table: object) -> None:
    """GPUDESK_TEST_UPDATE_GOLDEN=1 writes them anew."""
    assert callable(table)
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", re.DOTALL)
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        text = pattern.sub(lambda _: f"<!-- {name} -->\n{table()}\n<!-- /{name} -->", text)
        README.write_text(text, encoding="utf-8")
    (block,) = pattern.findall(text)
    assert block.strip() == table()


def test_every_link_leads_somewhere() -> None:
    for document in (README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (ROOT / target).is_file(), f"{document.name} links to {target}"


def test_the_settings_it_shows_are_accepted() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    settings = [tomllib.loads(block) for block in blocks]
    assert [keys for keys in settings if "keys" in keys], "the README shows how to remap a key"
    for keys in settings:
        assert check_keymap(keys.get("keys", {})) == ()


def test_the_exit_codes_are_the_programs() -> None:
    listed = re.findall(r"^\| (\d+) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(code) for code in listed] == [int(code) for code in ExitCode]


def commands() -> list[str]:
    """Every command the README shows, without its comment."""
    shown = re.findall(r"^    (gpudesk .*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.split("  #")[0].strip() for line in shown]


@pytest.mark.parametrize("command", commands())
def test_the_commands_it_shows_are_accepted(command: str) -> None:
    verb = shlex.split(command, comments=True)[1]
    assert parse(shlex.split(command, comments=True)[1:]).verb == verb
