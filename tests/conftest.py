"""What every test shares: a clean environment, own folders, and the flags and fixtures for real engines and drivers."""

from __future__ import annotations

import ctypes
import gc
import itertools
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests import environment  # noqa: F401 -- first of all: it cleans the environment
from tests.live.fixtures import current_ollama, log_tail, real_ollama

__all__ = ["current_ollama", "real_ollama"]

LONGEST_ID = 100
"""Characters of a text that are in the name of the test it is given to."""

_homes = itertools.count()


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a home of its own, so that none reads or writes the user's files; return it."""
    # Not numbered by pytest, which looks through all folders of the run for the next number.
    home = tmp_path_factory.mktemp(f"home-{next(_homes)}", numbered=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for variable, folder in (
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
        ("LOCALAPPDATA", "AppData/Local"),
    ):
        monkeypatch.setenv(variable, str(home / folder))
    return home


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name tests of long texts by their beginning: a name is sent, kept and put into the environment many times."""
    if isinstance(val, str) and len(val) > LONGEST_ID:
        return f"{val[:LONGEST_ID]} and so on, {len(val)}"
    if isinstance(val, bytes) and len(val) > LONGEST_ID:
        return f"{val[:LONGEST_ID]!r} and so on, {len(val)}"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, and never look through what was collected: a third of the time it takes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one flag with which a developer may leave real engines out."""
    parser.addoption(
        "--no-live",
        action="store_true",
        help="skip the tests that set up and talk to a real engine (they fail where it cannot be set up)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason: live tests on the developer's wish, driver tests where there is no driver."""
    if config.getoption("--no-live"):
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="--no-live: real engines left out on request"))
    on_card = [item for item in items if item.get_closest_marker("gpu")]
    missing = _driver_missing() if on_card else None
    if missing:
        for item in on_card:
            item.add_marker(pytest.mark.skip(reason=f"needs a real NVIDIA driver: {missing}"))


hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("other", derandomize=False, deadline=None)
hypothesis.settings.load_profile("same")
"""The same examples in every run, so that a change is judged by what it changed; `--hypothesis-profile other` seeks
new ones. Without the 200 ms that an example may take by default: a machine with other work fails a test by that."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the real server's log below a live test that failed."""
    report = yield
    log = log_tail() if report.failed and item.get_closest_marker("live") else ""
    if log:
        report.sections.append(("log of the real server", log))
    return report


def _driver_missing() -> str | None:
    """Say why NVML cannot be used here; None where it can."""
    name = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return f"{name} was not found"
    code = int(library.nvmlInit_v2())
    if code == 0:
        library.nvmlShutdown()
        return None
    return f"nvmlInit_v2 answered {code}"
