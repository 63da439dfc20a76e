"""One manifest of a models folder: where the manifest of a name lies, and which blob it calls the weights."""

from __future__ import annotations

import json
from pathlib import Path


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


def _is_part(part: str) -> bool:
    allowed = part.replace("-", "").replace("_", "").replace(".", "")
    return 0 < len(part) <= 80 and part[0] not in ".-" and allowed.isalnum() and part.isascii()


def weights_blob(manifest: bytes) -> str | None:
    """Return the digest of the weights a manifest names."""
    from gpudesk.sources.manifests import MODEL_LAYER

    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return None
    layers = content.get("layers") if isinstance(content, dict) else None
    for layer in layers[:1000] if isinstance(layers, list) else ():
        if isinstance(layer, dict) and layer.get("mediaType") == MODEL_LAYER:
            digest = layer.get("digest")
            blob = digest.removeprefix("sha256:") if isinstance(digest, str) else ""
            if len(blob) == 64 and all(character in "0123456789abcdef" for character in blob):
                return blob
    return None
