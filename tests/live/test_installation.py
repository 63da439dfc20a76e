"""Setting up the real server: once per machine, whole or not at all, and never a quiet skip."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.environment import OUTER_ENVIRONMENT
from tests.live import installation
from tests.live.installation import (
    MEMBERS,
    REQUIREMENTS,
    STUB_LIBRARY,
    SetupError,
    cache_directory,
    check_platform,
    compile_stub,
    download,
    install,
    is_complete,
    locked,
    recipe,
    unpack,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the pinned server runs on Linux alone")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace download, unpacking and compiling; the list tells where installations were made."""
    made: list[Path] = []

    def make(_wheels: Path, target: Path) -> None:
        made.append(target)
        target.mkdir()
        for name in MEMBERS.values():
            (target / name).write_text(name)

    monkeypatch.setattr(installation, "check_platform", lambda *_: None)
    monkeypatch.setattr(installation, "download", lambda *_: None)
    monkeypatch.setattr(installation, "unpack", make)
    monkeypatch.setattr(installation, "compile_stub", lambda library, _: library.write_text("stub"))
    return made


def variables(cache: Path, **more: str) -> Mapping[str, str]:
    return {**OUTER_ENVIRONMENT, "GPUDESK_TEST_CACHE": str(cache), **more}


def test_the_cache_is_where_it_is_told_to_be_and_never_in_the_checkout(tmp_path: Path) -> None:
    assert cache_directory({"GPUDESK_TEST_CACHE": "/a/b"}) == Path("/a/b")
    assert cache_directory({"HOME": "/home/me", "XDG_CACHE_HOME": "/c"}) == Path("/c/gpudesk-tests")
    assert cache_directory({"HOME": "/home/me"}) == Path("/home/me/.cache/gpudesk-tests")


def test_a_second_run_uses_what_the_first_made(tmp_path: Path, made_up: list[Path]) -> None:
    first = install(variables(tmp_path))
    assert is_complete(first)
    assert install(variables(tmp_path)) == first
    assert len(made_up) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, f"{first.name}.lock"])


def test_an_installation_with_a_missing_file_is_made_anew(tmp_path: Path, made_up: list[Path]) -> None:
    first = install(variables(tmp_path))
    (first / "libsvml.so").unlink()
    assert is_complete(install(variables(tmp_path)))
    assert len(made_up) == 2


def test_parallel_runs_make_one_installation(tmp_path: Path, made_up: list[Path]) -> None:
    found: list[Path] = []
    runs = [threading.Thread(target=lambda: found.append(install(variables(tmp_path)))) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(10)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(made_up) == 1


def test_a_failure_half_way_leaves_nothing_behind(
    tmp_path: Path, made_up: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SetupError("no compiler")

    monkeypatch.setattr(installation, "compile_stub", fail)
    with pytest.raises(SetupError, match="no compiler"):
        install(variables(tmp_path))
    assert len(made_up) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_the_folder_is_named_after_the_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = recipe()
    changed = tmp_path / "stub.c"
    changed.write_text("other")
    monkeypatch.setattr(installation, "STUB", changed)
    assert recipe() != before


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "aarch64")])
def test_other_platforms_are_refused_before_anything_is_downloaded(system: str, machine: str) -> None:
    with pytest.raises(SetupError, match="built for Linux on x86-64"):
        check_platform(system, machine)


def test_an_unwritable_cache_says_which_variable_moves_it(made_up: list[Path], tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(SetupError, match="GPUDESK_TEST_CACHE"):
        install(variables(in_the_way / "cache"))


def test_a_held_lock_is_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "LOCK_SECONDS", 0.1)
    with locked(tmp_path / "lock"), pytest.raises(SetupError, match="another run has held"), locked(tmp_path / "lock"):
        pytest.fail("got in")
    with locked(tmp_path / "lock"):
        pass


def test_wheels_without_the_expected_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with pytest.raises(SetupError, match=r"do not hold bigdl/cpp/libs/libmllama\.so"):
        unpack(tmp_path / "wheels", tmp_path / "made")


def test_the_stub_is_plain_c_and_offers_no_device(tmp_path: Path) -> None:
    library = tmp_path / STUB_LIBRARY
    compile_stub(library, OUTER_ENVIRONMENT)
    loaded = ctypes.CDLL(str(library))
    assert loaded.ggml_backend_sycl_init(0) == 0
    assert loaded["_Z26ggml_format_convert_to_xpuPKvPvmi"](None, None, 0, 0) == 0
    loaded.ggml_backend_sycl_reg.restype = ctypes.c_void_p
    registration = (ctypes.c_void_p * 6).from_address(loaded.ggml_backend_sycl_reg())
    assert ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(registration[2] or 0)(None) == 0


def test_without_a_compiler_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no C compiler"):
        compile_stub(tmp_path / STUB_LIBRARY, {"PATH": str(tmp_path)})


@pytest.mark.slow
def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    offered = tmp_path / "offered"
    offered.mkdir()
    (offered / "bigdl_core_cpp-2.6.0-py3-none-manylinux2010_x86_64.whl").write_bytes(b"something else")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(offered)}
    with pytest.raises(SetupError, match="DO NOT MATCH THE HASHES"):
        download(REQUIREMENTS, tmp_path / "wheels", {**OUTER_ENVIRONMENT, **offline}, "not to be had")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--no-live",)], ids=["default", "--no-live"])
def test_an_impossible_setup_fails_and_only_the_flag_skips(tmp_path: Path, flags: tuple[str, ...]) -> None:
    environment = variables(tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path), NO_COLOR="1", PY_COLORS="0")
    node = "tests/live/test_contract_reading.py::test_version_is_the_only_thing_version_tells[real-0.5.4]"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *flags, node],
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in environment.items() if not name.startswith("PYTEST_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if flags:
        assert result.returncode == 0, result.stdout
        assert "1 skipped" in result.stdout
        assert "--no-live: real engines left out on request" in result.stdout
    else:
        assert result.returncode == 1, result.stdout
        assert "1 error" in result.stdout
        assert "no real Ollama to test against (--no-live leaves these tests out): " in result.stdout
        assert "could not be downloaded from PyPI" in result.stdout
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
