"""Taking back what gpudesk wrote, without taking back what somebody else wrote afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.writing import backups, restoring
from gpudesk.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.exports.editor import Editor, Surroundings
    from gpudesk.exports.values import Export


def undoing(editor: Editor, around: Surroundings, *, state: Path | None = None) -> Export:
    """Return what takes back the last write: the copy, or where a file has changed since, only gpudesk's part of it.

    Raises:
        ExportError: gpudesk wrote nothing, or a copy is gone.
    """
    writes = backups(editor.id, state=state)
    if not writes:
        removing = editor.remove(around)
        if not any(change.changes for change in removing.changes):
            raise ExportError(f"there is nothing to restore: gpudesk wrote no file of {editor.name}")
        return removing
    export = restoring(writes[0])
    if not export.notes:
        return export
    removing = editor.remove(around)
    if not any(change.changes for change in removing.changes):
        return export
    changed = "a file has changed since gpudesk wrote it: only what is gpudesk's is taken out, the rest stays"
    return replace(removing, notes=(*removing.notes, changed))
