"""One manifest of a models folder: where the manifest of a name lies, and which blobs it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

PROJECTOR_LAYER = "application/vnd.ollama.image.projector"
MANIFEST_BYTES = 1 << 20
LARGEST_LAYER_BYTES = 1 << 44


def with_tag(name: str) -> str:
    """Return a name with its tag: without one, Ollama means `latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def manifest_path(directory: Path, name: str) -> Path | None:
    """Return where the manifest of a name lies (ollama types/model/name.go); None for what is no name."""
    base, _, tag = with_tag(name).rpartition(":")
    parts = base.split("/")
    if len(parts) > 3 or not all(_is_part(part) for part in (*parts, tag)):
        return None
    full = [*("registry.ollama.ai", "library")[: 3 - len(parts)], *parts] if len(parts) < 3 else parts
    return directory.joinpath("manifests", *full, tag)


def read_manifest(directory: Path, name: str) -> bytes:
    """Return the manifest of a name in a models folder; nothing when there is none."""
    path = manifest_path(directory, name)
    try:
        if path is not None:
            with path.open("rb") as file:
                return file.read(MANIFEST_BYTES + 1)
    except (OSError, ValueError):
        pass
    return b""


def _is_part(part: str) -> bool:
    allowed = part.replace("-", "").replace("_", "").replace(".", "")
    return 0 < len(part) <= 80 and part[0] not in ".-" and allowed.isalnum() and part.isascii()


def weights_blob(manifest: bytes) -> str | None:
    """Return the digest of the weights a manifest names."""
    from gpudesk.sources.manifests import MODEL_LAYER

    return next((blob for blob, _ in _blobs(manifest, MODEL_LAYER)), None)


def projector_blob(manifest: bytes) -> tuple[str, int | None] | None:
    """Return digest and size of the projector a manifest names, when it is a file of its own."""
    return next(_blobs(manifest, PROJECTOR_LAYER), None)


def remote_host(directory: Path, manifest: bytes) -> str | None:
    """Return where a model without weights runs, as its configuration tells (ollama types/model/config.go)."""
    try:
        content = json.loads(manifest)
        digest = content["config"]["digest"].removeprefix("sha256:")
        if len(digest) != 64 or not digest.isalnum():
            return None
        with (directory / "blobs" / f"sha256-{digest}").open("rb") as file:
            host = json.loads(file.read(MANIFEST_BYTES)).get("remote_host")
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return host if isinstance(host, str) and host else None


def _blobs(manifest: bytes, kind: str) -> Iterator[tuple[str, int | None]]:
    """Yield digest and size of the layers of one kind."""
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return
    layers = content.get("layers") if isinstance(content, dict) else None
    for layer in layers[:1000] if isinstance(layers, list) else ():
        if isinstance(layer, dict) and layer.get("mediaType") == kind:
            digest, size = layer.get("digest"), layer.get("size")
            blob = digest.removeprefix("sha256:") if isinstance(digest, str) else ""
            if len(blob) == 64 and all(character in "0123456789abcdef" for character in blob):
                yield blob, size if isinstance(size, int) and 0 < size < LARGEST_LAYER_BYTES else None
