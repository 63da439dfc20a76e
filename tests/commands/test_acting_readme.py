"""What the README shows of acting is what happens."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from gpudesk.output.action_json import FIELDS, LOG_FIELDS, SET_FIELDS, Fields, schema_fields
from tests.commands.acting_rig import CHAT, EMBED, CommandRig

README = Path(__file__).parents[2] / "README.md"
LOADED = ((CHAT, 8192, -1), ("qwen2.5-coder:1.5b", 4096, 1500), (EMBED, 2048, -1))
SHOWN = (
    "swap qwen3:14b llama3.2:3b@8k --dry-run",
    "load llama3.2:3b@8k",
    "load llama3.2:3b@8k --yes",
    "pin qwen3:14b@8k --restore",
    "load qwen3:32b@16k",
    "free 20GiB --yes",
    "restore",
)
"""One after the other, on one workstation."""


def block(name: str) -> str:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def write_block(name: str, text: str) -> None:
    old = README.read_text(encoding="utf-8")
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    README.write_text(mark.sub(lambda found: f"{found[1]}{text}{found[2]}", old), encoding="utf-8")


def without_times(text: str) -> str:
    """Take out what differs from run to run: how long things took."""
    text = re.sub(r"\d+\.\d s\b", "N s", text)
    return re.sub(r"\b\d+m \d\ds left", "N left", text)


@pytest.mark.slow
def test_the_examples_are_real(tmp_path: Path) -> None:
    """GPUDESK_TEST_UPDATE_GOLDEN=1 writes them anew."""
    lines = []
    with CommandRig(tmp_path, *LOADED, scale=4.0) as rig:
        for command in SHOWN:
            done = rig.run(*shlex.split(command))
            lines += [f"$ gpudesk {command}", *done.out.splitlines(), *done.err.splitlines()]
    real = "```console\n" + "\n".join(lines) + "\n```\n"
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        write_block("acting", real)
    assert without_times(block("acting")) == without_times(real)


@pytest.mark.parametrize(("name", "fields"), [("action", FIELDS), ("log", LOG_FIELDS), ("set", SET_FIELDS)])
def test_the_tables_of_fields_are_current(name: str, fields: Fields) -> None:
    """GPUDESK_TEST_UPDATE_GOLDEN=1 writes them anew."""
    rows = (f"| `{path}` | {meaning} |" for path, meaning in schema_fields(fields))
    table = "| field | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    if os.environ.get("GPUDESK_TEST_UPDATE_GOLDEN"):
        write_block(f"{name} fields", table)
    assert block(f"{name} fields") == table
