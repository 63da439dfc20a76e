"""Taking back what gpudesk wrote, without taking back what somebody else wrote afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError
from gpudesk.exports.writing import backups, restoring
from gpudesk.exports.written import still_counting
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.exports.editor import Editor, Surroundings
    from gpudesk.exports.values import Export
    from gpudesk.exports.written import Write


def undoing(editor: Editor, around: Surroundings, *, state: Path | None = None) -> Export:
    """Return what takes back the last write that was not taken back yet.

    That is the copy; where a file has changed since, only gpudesk's part of it is taken out, and with that every
    write is taken back. Done again, the write before is taken back, and never what a restore did: that would be
    gpudesk's entries once more.

    Raises:
        ExportError: gpudesk wrote nothing, everything is taken back, or a copy is gone.
    """
    writes = backups(editor.id, state=state)
    export = next((each for write in still_counting(writes) if (each := restoring(write)).changes), None)
    if export is not None and not export.notes:
        return _touching(export, editor, around)
    removing = editor.remove(around)
    if any(change.changes for change in removing.changes):
        if export is None:
            return replace(removing, emptied=_made(writes))
        changed = "a file has changed since gpudesk wrote it: only what is gpudesk's is taken out, the rest stays"
        notes = (*removing.notes, changed)
        return replace(removing, notes=notes, back_to=writes[-1].number, emptied=_made(writes))
    if export is not None:
        return export
    if writes:
        raise ExportError(
            f"there is nothing more to restore: all that gpudesk wrote to the files of {editor.name} is taken back",
            f"gpudesk editors show {editor.id}  lists the dated copies",
        )
    raise ExportError(f"there is nothing to restore: gpudesk wrote no file of {editor.name}")


def _touching(export: Export, editor: Editor, around: Surroundings) -> Export:
    """Return it with the files that an editor watches, and that are not among them: else it would go on as before."""
    try:
        removing = editor.remove(around)
    except ExportError:
        return export
    paths = {change.path for change in export.changes}
    touched = (each for each in removing.changes if not each.changes and each.path not in paths)
    return replace(export, changes=(*export.changes, *touched))


def _made(writes: Sequence[Write]) -> tuple[Path, ...]:
    return tuple(Path(folder) for write in writes for folder in write.made)
