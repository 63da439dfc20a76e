"""The projector that lies beside a model file: `mmproj-….gguf`, which lets the model see.

llama.cpp takes such a file only when it is named (`--mmproj`), or downloads it together with a model (`-hf`;
common/arg.cpp at b10488). Whose it is, its own header tells: the length of the embeddings it makes.
"""

from __future__ import annotations

from pathlib import Path

from gpudesk.errors import GpudeskError
from gpudesk.fit.gguf import read_header
from gpudesk.records import dataclass
from gpudesk.text import clean

MOST_FILES = 64
"""Files of that name that are looked at in one directory."""
_LENGTHS = ("clip.vision.projection_dim", "clip.audio.projection_dim")


@dataclass(frozen=True, slots=True)
class Beside:
    """What was found beside a model."""

    path: Path | None = None
    """The one that belongs to it."""
    notes: tuple[str, ...] = ()


def beside(model: Path, embedding_length: int) -> Beside:
    """Look for the projector of a model in its directory.

    Args:
        model: the model's file.
        embedding_length: of the model; the projector has to make embeddings that long.
    """
    matching, other = [], []
    for path in _named_so(model):
        length = _projection_length(path)
        if length == embedding_length:
            matching.append(path)
        else:
            other.append((path, length))
    if matching:
        more = f"; {len(matching) - 1} more would do" if len(matching) > 1 else ""
        name = clean(matching[0].name, 80)
        return Beside(matching[0], (f"{name} beside it makes it see and is counted{more} (--mmproj none: without)",))
    return Beside(None, tuple(_refused(path, length, embedding_length) for path, length in other[:1]))


def _named_so(model: Path) -> list[Path]:
    try:
        found = [
            path
            for path in model.parent.iterdir()
            if path.name.lower().startswith("mmproj") and path.suffix.lower() == ".gguf" and path.name != model.name
        ]
        return sorted(path for path in found[:MOST_FILES] if path.is_file())
    except OSError:
        return []


def _projection_length(path: Path) -> int | None:
    """Return the length of its embeddings; None when it is no projector or does not tell."""
    try:
        with path.open("rb") as file:
            keys = read_header(file, size_bytes=path.stat().st_size).key_values
    except (OSError, GpudeskError):
        return None
    if keys.get("general.architecture") != "clip":
        return None
    return next((length for key in _LENGTHS if isinstance(length := keys.get(key), int)), None)


def _refused(path: Path, length: int | None, wanted: int) -> str:
    why = "does not say which model it is for" if length is None else f"is for embeddings of {length}, not of {wanted}"
    return f"{clean(path.name, 80)} beside it {why} and is not counted (--mmproj FILE counts it)"
