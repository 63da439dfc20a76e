"""What is packaged beside the program is right."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gpudesk.arguments.parser import parse

UNIT = Path(__file__).parents[1] / "packaging" / "gpudesk-guard.service"


def exec_start() -> str:
    (line,) = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    return line.removeprefix("ExecStart=")


def test_the_unit_starts_a_command_there_is() -> None:
    program, *words = exec_start().split()
    assert program == "%h/.local/bin/gpudesk"
    assert parse(words).verb == "guard"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(("change", "code"), [(("", ""), 0), (("%h/.local/bin/gpudesk", "%h/nothing"), 1)])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, change: tuple[str, str], code: int) -> None:
    program = tmp_path / ".local" / "bin" / "gpudesk"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(*change))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, bool(done.stdout + done.stderr)) == (code, code != 0), done
