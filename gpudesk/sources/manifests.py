"""Ollama's manifests on disk: from a blob to the model names made of it.

Only asked for runners that `/api/show` has not explained. Layout: `manifests/<host>/<namespace>/<model>/<tag>`, JSON
with `layers[].mediaType` and `layers[].digest` (ollama manifest/paths.go at v0.33.0-rc2).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from gpudesk.clock import SYSTEM_CLOCK, Clock
from gpudesk.text import clean

DEPTH = 4
"""Folders between `manifests` and a manifest file, itself included."""

FILE_LIMIT = 5_000
"""Manifests read at most; the largest libraries hold some hundreds."""

ENTRY_LIMIT = 20_000
"""Folder entries looked at in one walk, so that a wrong OLLAMA_MODELS cannot keep us busy."""

SIZE_LIMIT_BYTES = 1 << 20
"""Larger files are no manifests; real ones have about one kilobyte, safetensors models some hundred."""

DIRECTORY_LIMIT = 8
"""Models folders searched; runners may name further ones than the usual."""

RETRY_SECONDS = 10.0
"""How long a digest that was not found is not looked for again."""

MODEL_LAYER = "application/vnd.ollama.image.model"


def default_directories() -> tuple[Path, ...]:
    """Return where Ollama keeps models: OLLAMA_MODELS, the user's folder, the Linux service's folder."""
    configured = os.environ.get("OLLAMA_MODELS", "").strip().strip("'\"")
    places = [Path(configured)] if configured else []
    with suppress(RuntimeError):
        places.append(Path.home() / ".ollama" / "models")
    places.append(Path("/usr/share/ollama/.ollama/models"))
    return tuple(dict.fromkeys(places))


def display_name(parts: Sequence[str]) -> str:
    """Return a model's shortest name of its four path parts, as `/api/ps` spells it (ollama types/model/name.go)."""
    host, namespace, model, tag = parts
    if host != "registry.ollama.ai":
        return clean(f"{host}/{namespace}/{model}:{tag}")
    return clean(f"{model}:{tag}" if namespace == "library" else f"{namespace}/{model}:{tag}")


class Manifests:
    """An index from weights to names, refreshed only when somebody asks for a blob it does not have."""

    def __init__(self, directories: Sequence[Path] | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._directories = list(default_directories() if directories is None else directories)
        self._may_add = directories is None
        self._clock = clock
        self._names: dict[str, tuple[str, ...]] = {}
        self._files: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {}
        self._walked_at: float | None = None

    def names(self, digest: str, model_path: str | None = None) -> tuple[str, ...]:
        """Return the names whose weights are this blob, sorted; empty when none is found.

        Args:
            digest: 64 hex digits.
            model_path: the runner's file; the folder it lies in is searched too, unless the folders were given.
        """
        found = self._names.get(digest)
        if found is None:
            self._add_folder_of(model_path)
        if found is None and self._walk_is_due():
            self._walk()
            found = self._names.get(digest)
        return found or ()

    def _add_folder_of(self, model_path: str | None) -> None:
        """Search the engine's own models folder: its OLLAMA_MODELS need not be ours."""
        if not self._may_add or not model_path or len(self._directories) >= DIRECTORY_LIMIT:
            return
        path = Path(model_path)
        folder = path.parent.parent
        if path.is_absolute() and path.parent.name == "blobs" and folder not in self._directories:
            self._directories.append(folder)
            self._walked_at = None

    def _walk_is_due(self) -> bool:
        return self._walked_at is None or self._clock.monotonic() - self._walked_at >= RETRY_SECONDS

    def _walk(self) -> None:
        """Read every manifest whose time or size is new; whatever may not be read is left out."""
        self._walked_at = self._clock.monotonic()
        names: dict[str, set[str]] = {}
        files: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {}
        for directory in self._directories:
            for path, parts, state in _manifest_files(directory / "manifests"):
                if len(files) >= FILE_LIMIT:
                    break
                known = self._files.get(path)
                digests = known[1] if known and known[0] == state else _weights(path)
                files[path] = (state, digests)
                for digest in digests:
                    names.setdefault(digest, set()).add(display_name(parts))
        self._files = files
        self._names = {digest: tuple(sorted(found)) for digest, found in names.items()}


def _manifest_files(root: Path) -> Iterator[tuple[str, tuple[str, ...], tuple[int, int]]]:
    """Yield path, name parts and (mtime, size) of every manifest, never deeper than a manifest can be."""
    pending: list[tuple[str, tuple[str, ...]]] = [(str(root), ())]
    left = ENTRY_LIMIT
    while pending and left > 0:
        folder, parts = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(islice(listing, left))
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            deeper = (*parts, entry.name)
            try:
                if len(deeper) < DEPTH:
                    if entry.is_dir():
                        pending.append((entry.path, deeper))
                elif entry.is_file() and (status := entry.stat()).st_size <= SIZE_LIMIT_BYTES:
                    yield entry.path, deeper, (status.st_mtime_ns, status.st_size)
            except OSError:
                continue


def _weights(path: str) -> tuple[str, ...]:
    """Return the digests of the weights a manifest names; empty for anything that is no manifest."""
    try:
        with Path(path).open("rb") as file:
            manifest = json.loads(file.read(SIZE_LIMIT_BYTES + 1))
    except (OSError, ValueError, RecursionError):
        return ()
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    if not isinstance(layers, list):
        return ()
    digests = [
        layer.get("digest")
        for layer in layers[:1000]
        if isinstance(layer, dict) and layer.get("mediaType") == MODEL_LAYER
    ]
    return tuple(
        digest.removeprefix("sha256:") for digest in digests if isinstance(digest, str) and digest.startswith("sha256:")
    )
