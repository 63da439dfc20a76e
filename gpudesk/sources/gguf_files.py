"""Model files on this machine: what their headers say, split files and projectors included.

Only headers are read; the weights stay where they are.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from gpudesk.errors import FailureKind, SourceError
from gpudesk.fit.from_keys import metadata_from_keys
from gpudesk.fit.from_show import metadata_from_show, with_projector
from gpudesk.fit.gguf import GgufHeader, HeaderError, read_header
from gpudesk.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpudesk.fit.metadata import ModelMetadata, Tensor

T = TypeVar("T")

SAVED_REPLY_BYTES = 64 << 20
"""Most bytes of a saved reply of `/api/show`."""
MOST_PARTS = 1000

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.ASCII | re.IGNORECASE | re.DOTALL)
"""How gguf-split names parts (llama.cpp src/llama.cpp, `llama_split_path`)."""


def read_model(path: Path, *, projector: Path | None = None) -> ModelMetadata:
    """Read what a model file says about itself.

    Args:
        path: a `.gguf` file or blob, any part of a split one, or a saved reply of `/api/show`.
        projector: the file that lets it see (`mmproj-….gguf`), when that is separate.

    Raises:
        SourceError: says which file cannot be read and why; a `HeaderError` names the field too.
    """
    if path.suffix.lower() == ".json":
        metadata = _saved_reply(path)
    else:
        parts, headers = _parts(path)
        first = headers[0][0]
        tensors = [tensor for header, _ in headers for tensor in header.tensors]
        metadata = _named(
            parts[0],
            lambda: metadata_from_keys(
                first.key_values, tensors, file_bytes=sum(size for _, size in headers), name=_model_name(path)
            ),
        )
    return metadata if projector is None else with_projector_file(metadata, projector)


def read_adapter(path: Path) -> tuple[Tensor, ...]:
    """Read the tensors of a LoRA adapter.

    Raises:
        SourceError: the file cannot be read or is no adapter.
    """
    header, _ = _header(path)
    if header.key_values.get("general.type") != "adapter" and "adapter.type" not in header.key_values:
        raise HeaderError("general.type", "not an adapter", file=path.name)
    return header.tensors


def _parts(path: Path) -> tuple[list[Path], list[tuple[GgufHeader, int]]]:
    """Return all files of a model, in order, with their headers and sizes."""
    match = _PART.fullmatch(path.name)
    header, size = _header(path)
    count = header.split_count
    if count == 1:
        return [path], [(header, size)]
    if match is None or int(match[3]) != count:
        problem = f"{count} parts, of which this is number {header.split_index + 1}; its name does not say so"
        raise HeaderError(
            "split.count", problem, "Name the parts as gguf-split did: …-00001-of-00003.gguf", file=path.name
        )
    if count > MOST_PARTS:
        raise HeaderError("split.count", f"{count} parts, at most {MOST_PARTS} are sensible", file=path.name)
    paths = [path.with_name(f"{match[1]}-{number:05}-of-{count:05}{match[4]}") for number in range(1, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"{clean(missing[0], 120)}{others} is missing: the model is in {count} parts"
        raise SourceError(FailureKind.MISSING, message, "Fetch the missing parts into the same folder")
    headers = [(header, size) if part == path else _header(part) for part in paths]
    _check_parts(paths, [part for part, _ in headers])
    return paths, headers


def _check_parts(paths: list[Path], headers: list[GgufHeader]) -> None:
    for number, (part, header) in enumerate(zip(paths, headers, strict=True)):
        if header.split_count != len(paths) or header.split_index != number:
            raise HeaderError("split.no", f"{header.split_index}, but the name says {number}", file=part.name)
    claimed = headers[0].key_values.get("split.tensors.count")
    found = sum(len(header.tensors) for header in headers)
    if isinstance(claimed, int) and claimed != found:
        raise HeaderError("split.tensors.count", f"{claimed}, but the parts hold {found}", file=paths[0].name)


def with_projector_file(metadata: ModelMetadata, path: Path) -> ModelMetadata:
    """Add what the file that lets a model see says: its tensors, its size, the size of an image.

    Raises:
        SourceError: it cannot be read, or is no projector.
    """
    header, size = _header(path)
    if header.key_values.get("general.architecture") != "clip":
        raise HeaderError("general.architecture", "not a projector", file=path.name)
    keys = {key: value for key, value in header.key_values.items() if key.startswith("clip.")}
    seen = _named(path, lambda: with_projector(metadata, keys))
    return replace(seen, projector_tensors=header.tensors, projector_bytes=size)


def _saved_reply(path: Path) -> ModelMetadata:
    """Read a reply of `/api/show` that was saved, verbose or not."""
    from gpudesk.sources.ollama_show import without_vocabulary
    from gpudesk.sources.ollama_values import decoded_object

    with _opened(path) as (file, size):
        if size > SAVED_REPLY_BYTES:
            raise SourceError(
                FailureKind.INVALID, f"{_shown(path)} has {size} bytes: too much for a reply of /api/show"
            )
        body = file.read(size)
    reply = decoded_object(without_vocabulary(body), _shown(path))
    return _named(path, lambda: metadata_from_show(reply, name=_model_name(path)))


def _header(path: Path) -> tuple[GgufHeader, int]:
    with _opened(path) as (file, size):
        return _named(path, lambda: read_header(file, size_bytes=size)), size


def _named(path: Path, read: Callable[[], T]) -> T:
    """Put the file's name in front of what is wrong in it."""
    try:
        return read()
    except HeaderError as error:
        raise error.in_file(path.name) from None


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file; a pipe or device would hold us up without end."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _not_a_file(path, is_directory=stat.S_ISDIR(about.st_mode))
        with path.open("rb", buffering=0) as file:
            yield file, about.st_size
    except FileNotFoundError:
        raise SourceError(FailureKind.MISSING, f"{_shown(path)} does not exist", _nearest(path)) from None
    except PermissionError:
        raise SourceError(FailureKind.DENIED, f"{_shown(path)} may not be read", "Check its permissions") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(FailureKind.FAILED, f"{_shown(path)} cannot be read: {clean(reason, 120)}") from None


def _not_a_file(path: Path, *, is_directory: bool) -> SourceError:
    if is_directory:
        return SourceError(FailureKind.INVALID, f"{_shown(path)} is a folder", "Name the .gguf file in it")
    return SourceError(FailureKind.INVALID, f"{_shown(path)} is no regular file")


def _nearest(path: Path) -> str | None:
    """Return a hint that names a file like the one that is not there."""
    from difflib import get_close_matches

    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in (".gguf", ".json"))
    except OSError:
        return None
    close = get_close_matches(path.name, names[:2000], n=1)
    return f"Did you mean {clean(close[0], 120)}?" if close else None


def _model_name(path: Path) -> str:
    match = _PART.fullmatch(path.name)
    return match[1] if match is not None else path.stem if path.suffix.lower() in (".gguf", ".json") else path.name


def _shown(path: Path) -> str:
    return clean(str(path), 200)
