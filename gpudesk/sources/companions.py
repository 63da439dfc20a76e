"""Files that are loaded with a model: what lets it see, what changes it, what drafts for it.

`/api/show` names them and tells little more; on the engine's own computer their headers can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpudesk.errors import GpudeskError
from gpudesk.records import replace
from gpudesk.sources.manifest_file import projector_blob, read_manifest
from gpudesk.sources.ollama_values import as_list, as_object

if TYPE_CHECKING:
    from gpudesk.fit.metadata import ModelMetadata


def with_projector(
    name: str, metadata: ModelMetadata, paths: Sequence[str], models_directories: Sequence[Path]
) -> tuple[ModelMetadata, tuple[str, ...]]:
    """Add the projector of a model, and say so when it could not be told.

    Args:
        name: of the model.
        metadata: of its weights; may tell the projector's size roughly.
        paths: where it may lie, from the engine.
        models_directories: folders whose manifests tell its exact size even where the file may not be read.
    """
    from gpudesk.fit.from_show import ROUGH_PROJECTOR
    from gpudesk.sources.gguf_files import with_projector_file

    exact = replace(metadata, notes=tuple(note for note in metadata.notes if note != ROUGH_PROJECTOR))
    for path in paths:
        try:
            return with_projector_file(exact, Path(path)), ()
        except (GpudeskError, OSError, ValueError):
            continue
    told = (projector_blob(read_manifest(directory, name)) for directory in models_directories)
    size = next((each[1] for each in told if each is not None and each[1] is not None), None)
    if size is not None:
        return replace(exact, projector_bytes=size), ()
    if metadata.projector_bytes is not None:
        return metadata, ()
    return metadata, (f"the projector of {name} cannot be read here; what it takes is not counted",)


def drafts_and_adapters(
    name: str, reduced: Mapping[str, Any]
) -> tuple[list[ModelMetadata], list[ModelMetadata], tuple[str, ...]]:
    """Read the headers of draft models and adapters, whose tensors `/api/show` does not tell, and say what failed."""
    from gpudesk.sources.gguf_files import read_model

    found: dict[str, list[ModelMetadata]] = {"draft": [], "adapter": []}
    notes = []
    listed = as_object(reduced.get("files"))
    for kind, models in found.items():
        for path in as_list(listed.get(kind)):
            try:
                models.append(read_model(Path(path)))
            except (GpudeskError, OSError, ValueError, TypeError):
                notes.append(f"{name} has a file ({kind}) that cannot be read here; what it takes is not counted")
    return found["draft"], found["adapter"], tuple(notes)
