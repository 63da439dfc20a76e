"""What `gpudesk doctor` checks without asking a source: the program, the system, folders, variables, the terminal."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from gpudesk import __version__, paths
from gpudesk.config.layers import Effective
from gpudesk.records import dataclass
from gpudesk.text import clean


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    """Works, but something is worth knowing."""
    PROBLEM = "problem"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor."""

    name: str
    found: str
    """What there is, in words."""
    state: State = State.OK
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that belong together."""

    title: str
    checks: tuple[Check, ...]


DISTRIBUTIONS = ("textual", "rich", "httpx", "httpcore", "nvidia-ml-py", "psutil", "platformdirs", "tomli-w")

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=//)[^/@\s]*@|^[^/@\s]+:[^/@\s]*@")
_ENGINE_VARIABLES = ("OLLAMA_", "LLAMA_ARG_", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "GGML_", "GPUDESK_")


def masked(name: str, value: str) -> str:
    """Write the value of a variable without secrets, on one line, the home directory as `~`."""
    if not value:
        return "(empty)"
    if _SECRET_NAME.search(name):
        return "set, not shown"
    return paths.shortened(clean(_URL_PASSWORD.sub("…@", value)))


def program() -> Group:
    """Check gpudesk itself and what it stands on."""
    from importlib.metadata import PackageNotFoundError, version

    place = paths.shortened(Path(__file__).parents[1])
    checks = [
        Check("gpudesk", f"{__version__}, in {place}"),
        Check("python", f"{platform.python_version()} ({platform.python_implementation()}), "
                        f"{paths.shortened(sys.executable)}"),
    ]  # fmt: skip
    for name in DISTRIBUTIONS:
        try:
            checks.append(Check(name, version(name)))
        except PackageNotFoundError:
            needed = name not in {"rich", "httpcore"}
            hint = "Install gpudesk again, it brings what it needs"
            checks.append(Check(name, "not installed", State.PROBLEM if needed else State.WARNING, hint))
    for other in ("pynvml", "nvidia-ml-py3"):
        try:
            found = version(other)
        except PackageNotFoundError:
            continue
        hint = f"If cards are not read: pip uninstall {other}, then pip install --force-reinstall nvidia-ml-py"
        checks.append(Check(other, f"{found}, may lie over nvidia-ml-py", State.WARNING, hint))
    return Group("program", tuple(checks))


def is_wsl(release: str) -> bool:
    """Tell WSL by its kernel's name."""
    return "microsoft" in release.lower()


def container(root: Path = Path("/")) -> str | None:
    """Name the kind of container we run in, None where none shows."""
    for marker, name in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
        if (root / marker).exists():
            return name
    try:
        first = (root / "proc/1/environ").read_bytes()
    except OSError:
        first = b""
    found = re.search(rb"(?:^|\0)container=([a-z-]+)", first)
    if found:
        return found[1].decode("ascii")
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def system(root: Path = Path("/")) -> Group:
    """Check what kind of computer this is, as far as it changes what can be read."""
    release = platform.release()
    name = _distribution(root)
    checks = [Check("system", f"{platform.system()} {release} {platform.machine()}{name}")]
    if is_wsl(release):
        hint = "Under WSL the driver does not tell sizes per process; engines' own figures are shown instead"
        checks.append(Check("WSL", "yes", State.WARNING, hint))
    kind = container(root)
    if kind is not None:
        hint = "Give the container the host's processes (--pid=host) and the cards (--gpus all)"
        checks.append(Check("container", kind, State.WARNING, hint))
    checks.append(Check("processors", str(os.cpu_count() or "unknown")))
    return Group("system", tuple(checks))


def _distribution(root: Path) -> str:
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return f", {clean(found[1], 60)}" if found else ""


def _writable(path: Path) -> Check | None:
    """Return None when `path` can be written or made; otherwise what stands in the way."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return Check("", f"{paths.shortened(path)}: {paths.shortened(place)} is not a folder", State.WARNING,
                     "Move that file away")  # fmt: skip
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("", f"{paths.shortened(path)}: no permission to write in {paths.shortened(place)}", State.WARNING,
                     "Nothing is kept between runs; all else works")  # fmt: skip
    return None


def folders() -> Group:
    """Check that what should be kept can be written."""
    checks = []
    for name, folder in (
        ("cache", paths.cache_directory()),
        ("data", paths.data_directory()),
        ("state", paths.state_directory()),
    ):
        trouble = _writable(folder)
        if trouble is None:
            checks.append(Check(name, f"{paths.shortened(folder)}, writable"))
        else:
            checks.append(Check(name, trouble.found, trouble.state, trouble.hint))
    return Group("folders", tuple(checks))


def configuration(configured: Effective) -> Group:
    """Check the configuration file."""
    file = configured.file
    where = paths.shortened(file.path)
    checks = [Check("file", where if file.found else f"{where}, does not exist; everything is at its default")]
    for problem in configured.problems:
        fatal = not any(finding.problem == problem and not finding.fatal for finding in file.findings)
        state = State.PROBLEM if fatal else State.WARNING
        checks.append(Check("mistake" if fatal else "remark", problem.message, state, problem.hint))
    for address, origin in zip(configured.settings.engines, configured.engine_origins, strict=True):
        key = f", with a key from {origin.key}" if origin.key else ""
        checks.append(Check("engine", f"{address.url}, from {origin.address}{key}"))
        if not address.verify:
            checks.append(Check("", "its certificate is not checked", State.WARNING, "Better: ca_file"))
        if (address.api_key or address.basic_auth) and address.url.startswith("http://"):
            checks.append(_plain_key(address.url))
    return Group("configuration", tuple(checks))


def _plain_key(url: str) -> Check:
    from gpudesk.sources.ollama_address import is_loopback

    if is_loopback(url):
        return Check("key", "goes to this computer only, unencrypted")
    return Check("key", f"travels readable to {url}", State.WARNING, "Use https, or a tunnel")


def variables(environment: Mapping[str, str]) -> Group:
    """List what is set for engines; the engine itself may have been started with something else."""
    names = sorted(name for name in environment if name.startswith(_ENGINE_VARIABLES))
    checks = [Check(name, masked(name, environment[name])) for name in names]
    return Group("variables set here (an engine may have others)", tuple(checks) or (Check("", "none"),))


def terminal(environment: Mapping[str, str], out: TextIO) -> Group:
    """Check what the screen would be drawn on."""
    streams = (("stdin", sys.stdin), ("stdout", out), ("stderr", sys.stderr))
    missing = [name for name, stream in streams if stream is None or not stream.isatty()]
    columns, rows = shutil.get_terminal_size()
    encoding = (out.encoding or "unknown").lower()
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or "not set"
    checks = [
        Check("terminal", f"{', '.join(missing)} not a terminal: text instead of the screen" if missing else "yes"),
        Check("size", f"{columns}x{rows}", *_too_small(columns, rows)),
        Check("TERM", environment.get("TERM") or "not set", *_no_term(environment.get("TERM"))),
        *(Check(name, masked(name, environment[name])) for name in ("COLORTERM", "NO_COLOR", "TERM_PROGRAM")
          if name in environment),
        Check("encoding", f"{encoding}, locale {locale}", *_not_unicode(encoding)),
    ]  # fmt: skip
    for name, what in (("TMUX", "tmux"), ("STY", "screen"), ("SSH_CONNECTION", "ssh")):
        if name in environment:
            checks.append(Check("inside", what))
    return Group("terminal", tuple(checks))


def _too_small(columns: int, rows: int) -> tuple[State, str | None]:
    return (State.WARNING, "The screen wants 60x20 or more") if columns < 60 or rows < 20 else (State.OK, None)


def _no_term(term: str | None) -> tuple[State, str | None]:
    if term in {None, "", "dumb", "unknown"}:
        return State.WARNING, "Without a capable TERM the status text is shown instead of the screen"
    return State.OK, None


def _not_unicode(encoding: str) -> tuple[State, str | None]:
    if encoding.replace("-", "") == "utf8":
        return State.OK, None
    return State.WARNING, "Set a UTF-8 locale, for example LANG=C.UTF-8, for bars and graphs"
