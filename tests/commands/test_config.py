from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest

from gpudesk.commands import config
from gpudesk.config.file import read_config_file
from gpudesk.config.layers import Effective, Overrides, effective

TEXT = """\
[screen]
theme = "nord"
[watch]
reserve = "1.5GiB"
[[engine]]
url = "https://ada:hunter2@far.example/ollama"
ca_file = "~/certs/far.pem"
[[engine]]
url = "https://keyed.example"
api_key_env = "FAR_KEY"
insecure = true
[keys]
filter = "slash,f3"
"""


def configured(tmp_path: Path, text: str = TEXT, overrides: Overrides | None = None) -> Effective:
    """The settings in force."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    return effective(
        overrides or Overrides(), read_config_file(path), {"FAR_KEY": "hunter3", "OLLAMA_API_KEY": "hunter4"}
    )


def shown(found: Effective) -> str:
    """What `config show` prints."""
    out = io.StringIO()
    assert config.run("show", found, out) == 0
    return out.getvalue()


def test_what_is_shown_is_valid_toml_that_gives_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = configured(tmp_path)
    text = shown(found)
    again = configured(tmp_path, text)
    assert again.file.findings == ()
    assert again.settings.theme == found.settings.theme == "nord"
    assert again.settings.reserve_bytes == found.settings.reserve_bytes == 3 << 29
    assert again.settings.keymap == found.settings.keymap
    assert [engine.url for engine in again.settings.engines] == [engine.url for engine in found.settings.engines]
    assert [engine.verify for engine in again.settings.engines] == [True, False]
    assert capsys.readouterr().out == ""


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    text = shown(configured(tmp_path))
    assert "hunter" not in text
    assert "# has a key, not shown; from FAR_KEY" in text
    assert "# has a key, not shown; from password in the address" in text


def test_each_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    text = shown(configured(tmp_path, overrides=Overrides(interval_seconds=3.0, ollama=("https://typed",))))
    assert 'theme = "nord"  # file' in text
    assert "interval = 3.0  # command line" in text
    assert "reduced_motion = false  # default" in text
    assert 'url = "https://typed:443"  # command line' in text
    assert "# has a key, not shown; from OLLAMA_API_KEY" in text


def test_the_home_directory_is_not_shown(tmp_path: Path, own_folders: Path) -> None:
    text = shown(configured(tmp_path))
    assert str(own_folders) not in text
    assert tomllib.loads(text)["engine"][0]["ca_file"] == "~/certs/far.pem"


def test_problems_go_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(configured(tmp_path, "[screen]\ntheme = 'nrod'\n"))
    assert 'theme = "gpudesk-dark"  # default' in text
    assert "nrod" not in text
    assert "line 2: screen.theme" in capsys.readouterr().err
