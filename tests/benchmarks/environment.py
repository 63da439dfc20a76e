"""The two environments that are measured: gpudesk as a user installs it, and its peers from the package index."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import platformdirs

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "packaging" / "locks"


def cache_folder() -> Path:
    """Where environments are kept between runs, outside the checkout."""
    configured = os.environ.get("GPUDESK_TEST_CACHE")
    folder = Path(configured) if configured else Path(platformdirs.user_cache_dir("gpudesk-tests"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment(name: str, lock: Path) -> Path:
    """Create (once per lock) a virtual environment with what `lock` pins; return its bin folder."""
    stamp = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{stamp}"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        _pip(folder, "--require-hashes", "-r", str(lock))
        (folder / "ready").touch()
    return folder / "bin"


def _pip(folder: Path, *arguments: str) -> None:
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *arguments,
    ]
    subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"})


def peers() -> Path:
    """The bin folder with `mtop` and `nvitop`."""
    return _environment("bench-peers", LOCKS / "bench.txt")


def gpudesk() -> Path:
    """The bin folder with `gpudesk`, installed from this checkout with its run-time dependencies only.

    Not the development environment: httpx imports its own command line when click happens to be installed.
    """
    folder = _environment("bench-gpudesk", LOCKS / "run.txt")
    _pip(folder.parent, "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT))
    return folder
