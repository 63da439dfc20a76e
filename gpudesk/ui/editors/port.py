"""What the editors' screen works with; made when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.exports.editor import Editor, Surroundings
    from gpudesk.exports.values import Export
    from gpudesk.stores.working_sets import WorkingSetStore
    from gpudesk.watch.planning import Planning


@dataclass(frozen=True, slots=True)
class EditorPort:
    """Files on one side, models on the other."""

    around: Surroundings
    planning: Planning
    sets: WorkingSetStore
    apply: Callable[[Export], tuple[str, ...]]
    """Changes files, all or none, and returns what is to be known; raises `ExportError`."""
    undoing: Callable[[Editor], Export]
    """Returns what takes back the last write of an editor; raises `ExportError`."""
