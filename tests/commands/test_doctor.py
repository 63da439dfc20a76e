from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gpudesk.build import open_workstation
from gpudesk.commands import checks, doctor, driver_checks
from gpudesk.commands.checks import Check, Group, State, masked
from gpudesk.config.file import read_config_file
from gpudesk.config.layers import Effective, Overrides, effective
from gpudesk.config.settings import Settings
from gpudesk.errors import FailureKind, SourceError
from gpudesk.workstation import Workstation
from tests.commands.test_status import CARDS, REFUSED, workstation


@pytest.fixture
def configured(tmp_path: Path) -> Effective:
    return effective(Overrides(), read_config_file(tmp_path / "none.toml"), {})


def examined(station: Workstation, configured: Effective) -> tuple[int, str, dict[str, list[dict[str, str]]]]:
    """Exit code, text, and the checks by group."""
    text, document = io.StringIO(), io.StringIO()
    code = doctor.run(station, configured, text, as_json=False, timeout_seconds=5)
    assert doctor.run(station, configured, document, as_json=True, timeout_seconds=5) == code
    groups = {group["title"]: group["checks"] for group in json.loads(document.getvalue())["groups"]}
    return code, text.getvalue(), groups


def test_a_simulated_workstation(configured: Effective) -> None:
    station = open_workstation(Settings(), demo="coding")
    out = io.StringIO()
    try:
        code = doctor.run(station, configured, out, as_json=False, timeout_seconds=5)
    finally:
        station.close()
    assert code == 0
    assert out.getvalue().startswith("DEMO: ")
    assert "  ok       driver   580.95.05, CUDA up to 13.0" in out.getvalue()
    assert "NVIDIA GeForce RTX 4090, 24.0 GiB" in out.getvalue()
    assert " loaded, 4" in out.getvalue()


def test_cards_without_an_engine(configured: Effective) -> None:
    code, text, groups = examined(workstation(CARDS, REFUSED), configured)
    assert code == 0
    assert groups["engines"][0]["state"] == "problem"
    assert groups["engines"][0]["hint"] == "start it"
    assert groups["cards"][0]["found"] == "RTX, 24.0 GiB, –, –, –"
    assert "-> start it" in text


def test_a_failing_driver_is_a_problem_with_its_hint(configured: Effective) -> None:
    denied = SourceError(FailureKind.DENIED, "no permission", "join the group video")
    code, _, groups = examined(workstation(denied, REFUSED), configured)
    assert code == 3
    found = next(check for check in groups["driver"] if check["name"] == "driver")
    assert (found["state"], found["found"], found["hint"]) == ("problem", "no permission", "join the group video")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OLLAMA_API_KEY", "hunter2", "set, not shown"),
        ("GPUDESK_SECRET_THING", "x", "set, not shown"),
        ("OLLAMA_AUTH_TOKEN", "x", "set, not shown"),
        ("OLLAMA_HOST", "http://ada:hunter2@box:1", "http://…@box:1"),
        ("OLLAMA_HOST", "ada:hunter2@box", "…@box"),
        ("OLLAMA_HOST", "box:11434", "box:11434"),
        ("OLLAMA_DEBUG", "", "(empty)"),
        ("OLLAMA_MODELS", "a\x1b[31mb\nc", "a[31mb c"),
    ],
)
def test_variables_are_shown_without_secrets(name: str, value: str, expected: str) -> None:
    assert masked(name, value) == expected


def test_the_home_directory_is_shortened_in_variables(own_folders: Path) -> None:
    assert masked("OLLAMA_MODELS", str(own_folders / "models")) == "~/models"


def test_only_variables_that_matter_are_listed() -> None:
    environment = {"OLLAMA_HOST": "x", "CUDA_VISIBLE_DEVICES": "0", "AWS_SECRET": "no", "PATH": "no"}
    assert [check.name for check in checks.variables(environment).checks] == ["CUDA_VISIBLE_DEVICES", "OLLAMA_HOST"]


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("GPUDESK_CACHE_DIR", str(blocked / "cache"))
    monkeypatch.setenv("GPUDESK_DATA_DIR", str(tmp_path / "data"))
    found = {check.name: check for check in checks.folders().checks}
    assert found["cache"].state is State.WARNING
    assert "is not a folder" in found["cache"].found
    assert found["data"].state is State.OK
    assert not (tmp_path / "data").exists()


def test_a_key_that_travels_readable_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "[[engine]]\nurl = 'http://far'\napi_key_env = 'K'\n[[engine]]\nurl = 'http://localhost'\napi_key_env='K'\n"
    )
    group = checks.configuration(effective(Overrides(), read_config_file(path), {"K": "hunter2"}))
    keys = [check for check in group.checks if check.name == "key"]
    assert [check.state for check in keys] == [State.WARNING, State.OK]
    assert "hunter2" not in str(group)


@pytest.mark.parametrize(
    ("release", "expected"),
    [("5.15.153.1-microsoft-standard-WSL2", True), ("4.4.0-19041-Microsoft", True), ("6.8.0-45-generic", False)],
)
def test_wsl_is_known_by_its_kernel(release: str, expected: bool) -> None:
    assert checks.is_wsl(release) is expected


def test_containers_are_known_by_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert checks.container(tmp_path) is None
    (tmp_path / ".dockerenv").touch()
    assert checks.container(tmp_path) == "docker"
    (tmp_path / ".dockerenv").unlink()
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/environ").write_bytes(b"HOME=/root\0container=lxc\0")
    assert checks.container(tmp_path) == "lxc"


def test_the_kernels_side_of_the_driver(tmp_path: Path) -> None:
    (found,) = driver_checks.kernel_checks(tmp_path)
    assert (found.name, found.found) == ("kernel module", "not loaded")
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX  580.95.05\nGCC version: 12\n")
    (found,) = driver_checks.kernel_checks(tmp_path)
    assert found.found == "NVRM version: NVIDIA UNIX 580.95.05"


def test_wsl_has_no_kernel_module_and_that_is_fine(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    assert driver_checks.kernel_checks(tmp_path) == []


def test_a_library_outside_the_loaders_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "libnowhere-ml.so.1"
    monkeypatch.setattr(driver_checks, "LIBRARY", name)
    monkeypatch.setattr(driver_checks, "PLACES", (str(tmp_path),))
    (absent,) = driver_checks.library_checks()
    assert absent.state is State.PROBLEM
    assert f"{name} is not there; looked in the loader's own places" in absent.found
    assert str(tmp_path) in absent.found
    (tmp_path / name).write_bytes(b"not a library")
    (present,) = driver_checks.library_checks()
    assert f"{tmp_path}/{name} exists and does not load" in present.found
    assert f"LD_LIBRARY_PATH={tmp_path}" in (present.hint or "")


def test_what_a_library_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_checks, "LIBRARY", "libc.so.6")
    monkeypatch.setattr(driver_checks, "CALLS", {"printing": ("printf_v9", "printf"), "magic": ("nvmlMagic",)})
    library, functions, missing = driver_checks.library_checks()
    assert "libc.so.6, loaded from /" in library.found
    assert functions.found == "printing: printf"
    assert (missing.state, missing.found) == (State.WARNING, "this driver cannot tell magic")


def test_groups_are_aligned() -> None:
    from gpudesk.output.status_text import Style

    group = Group("things", (Check("a", "one"), Check("long name", "two", State.PROBLEM, "do it")))
    assert doctor.lines_of((group,), Style(), None) == [
        "things",
        "  ok       a          one",
        "  problem  long name  two",
        "                      -> do it",
    ]
