from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpudesk import paths


@pytest.mark.parametrize(
    ("variable", "function"),
    [
        (paths.CACHE_VARIABLE, paths.cache_directory),
        (paths.DATA_VARIABLE, paths.data_directory),
        (paths.STATE_VARIABLE, paths.state_directory),
        (paths.CONFIG_VARIABLE, paths.config_path),
    ],
)
def test_each_place_can_be_moved(
    variable: str, function: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = function()
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert function() == tmp_path / "elsewhere"
    monkeypatch.setenv(variable, "")
    assert function() == usual


def test_the_usual_places_are_the_users_own(own_folders: Path) -> None:
    for path in (paths.cache_directory(), paths.data_directory(), paths.state_directory(), paths.config_path()):
        assert path.is_relative_to(own_folders)
        assert "gpudesk" in path.parts
    assert paths.config_path().name == "config.toml"


def test_asking_makes_nothing(own_folders: Path) -> None:
    for function in (paths.cache_directory, paths.data_directory, paths.state_directory, paths.config_path):
        function()
    assert list(own_folders.rglob("*")) == []


def test_the_home_directory_is_not_told(own_folders: Path) -> None:
    assert paths.shortened(own_folders / "a" / "b") == "~/a/b"
    assert paths.shortened(own_folders) == "~"
    assert paths.shortened(f"{own_folders}x/a") == f"{own_folders}x/a"
    assert paths.shortened("/etc/x") == "/etc/x"


def test_without_a_home_nothing_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert paths.shortened("/etc/x") == "/etc/x"


def test_the_home_of_a_demo_is_the_only_one_while_it_is_shown(own_folders: Path, tmp_path: Path) -> None:
    with paths.at_home(tmp_path / "demo"):
        assert paths.shortened(tmp_path / "demo" / "a") == "~/a"
        assert paths.shortened(own_folders / "a") == str(own_folders / "a")
    assert paths.shortened(tmp_path / "demo" / "a") == str(tmp_path / "demo" / "a")
    assert paths.shortened(own_folders / "a") == "~/a"
