"""What `/api/show` told, on disk by digest, so that it is asked once in a model's life.

One file per digest, two lines of JSON: a head with what the desk needs at start-up, then everything that was kept.
A digest names its content, so nothing here grows stale; everything here can be fetched again, so every failure of the
disk only means fetching again and is never raised.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from gpudesk.domain.model import ModelDetails
from gpudesk.sources.ollama_values import as_digest, as_object, as_positive, as_text, as_texts

SCHEMA_VERSION = 1
"""Counted up when the form of the files changes; files of another version are fetched anew."""
FOLDER = "details"
MOST_FILES = 2000
MOST_BYTES = 128 << 20
MOST_PRELOADED = 500
"""Files whose head is read at start-up, newest first: reading 500 takes about 20 ms."""
FILE_BYTES = 8 << 20
_HEAD_BYTES = 64 << 10
_PRUNED_EVERY = 50


class DetailsCache:
    """The folder of one user; shared by all engines, since a digest means the same everywhere."""

    def __init__(self, cache_dir: Path | None) -> None:
        self.failure: str | None = None
        """Why the last write failed, in words; the cache then goes on without writing."""
        self._folder = None if cache_dir is None else cache_dir / FOLDER
        self._written = 0

    def details(self, digest: str) -> ModelDetails | None:
        """Return what the desk needs; None when it is not there or not readable."""
        path = self._path(digest)
        return None if path is None else _read_head(path)

    def metadata(self, digest: str) -> dict[str, Any] | None:
        """Return everything that was kept of a model (see `parse_show`); None when it is not there or not readable."""
        path = self._path(digest)
        if path is None or _read_head(path) is None:
            return None
        try:
            with path.open("rb") as file:
                file.readline(_HEAD_BYTES)
                value = json.loads(file.read(FILE_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def store(self, details: ModelDetails, reduced: dict[str, Any]) -> bool:
        """Write a file in one step, so that no reader ever sees half of one; False when that was not possible."""
        path = self._path(details.digest)
        if path is None or self.failure is not None:
            return False
        head = {"schema_version": SCHEMA_VERSION} | {
            field.name: getattr(details, field.name) for field in fields(details)
        }
        try:
            content = f"{_compact(head)}\n{_compact(reduced)}\n".encode()
        except (ValueError, RecursionError):
            return False
        if len(content) > FILE_BYTES:
            return False
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            self.failure = error.strerror or type(error).__name__
            _remove(temporary)
            return False
        if self._written % _PRUNED_EVERY == 0:
            prune(path.parent)
        self._written += 1
        return True

    def _path(self, digest: str) -> Path | None:
        """Return the file of a digest; None for what is no digest, whatever it contains."""
        known = as_digest(digest)
        return None if self._folder is None or known is None else self._folder / f"{known}.json"


def load_cached_details(cache_dir: Path | None, limit: int = MOST_PRELOADED) -> tuple[ModelDetails, ...]:
    """Return what is known of models from earlier runs, newest first, so that blobs have names from the first frame."""
    if cache_dir is None:
        return ()
    heads = (_read_head(path) for _, _, path in _files(cache_dir / FOLDER)[:limit])
    return tuple(head for head in heads if head is not None)


def prune(folder: Path, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
    """Remove the oldest files beyond what is allowed, and what an interrupted write left behind."""
    kept_bytes = 0
    for position, (_, size_bytes, path) in enumerate(_files(folder)):
        kept_bytes += size_bytes
        if position >= most_files or kept_bytes > most_bytes:
            _remove(path)


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Return modification time, size and path of every file in the folder, newest first."""
    found: list[tuple[float, int, Path]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.is_file(follow_symlinks=False):
                about = entry.stat(follow_symlinks=False)
                found.append((about.st_mtime, about.st_size, Path(entry.path)))
    return sorted(found, key=lambda file: (-file[0], file[2].name))


def _read_head(path: Path) -> ModelDetails | None:
    """Read the first line of a file, believing nothing of it."""
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline(_HEAD_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    values = as_object(head)
    digest = as_digest(values.get("digest"))
    if values.get("schema_version") != SCHEMA_VERSION or digest is None or path.stem != digest:
        return None
    listed = values.get("blob_digests")
    blobs = [as_digest(blob) for blob in listed] if isinstance(listed, list) else [None]
    if any(blob is None for blob in blobs):
        return None
    return ModelDetails(
        digest=digest,
        blob_digests=tuple(blob for blob in blobs if blob is not None),
        capabilities=as_texts(values.get("capabilities")),
        family=as_text(values.get("family"), 64),
        context_length_trained=as_positive(values.get("context_length_trained")),
        layer_count=as_positive(values.get("layer_count")),
        sliding_window=as_positive(values.get("sliding_window")),
        has_projector=values.get("has_projector") is True,
        has_draft=values.get("has_draft") is True,
        license=as_text(values.get("license"), 120),
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
