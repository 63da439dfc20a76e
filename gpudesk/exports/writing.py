"""The only door through which files of other programs are changed: with a copy first, whole, all of them or none.

A change is refused when a file is not what it was when the change was worked out. Each file is replaced in one step,
so a crash or `kill -9` leaves the old one or the new one; when one of several cannot be written, those before it are
put back. What is about to be written is recorded before the first file is touched, so that `restore` finds it also
when gpudesk is killed half-way.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.errors import ExportError, GpudeskError, StoreError
from gpudesk.exports.values import Export, FileChange, Way
from gpudesk.exports.write_checks import ChangedMeanwhileError as ChangedMeanwhileError
from gpudesk.exports.write_checks import changed_meanwhile, check_before, check_distinct, check_within, content_of
from gpudesk.exports.written import (
    COPIES,
    Record,
    Write,
    WrittenFile,
    copies_of,
    digest_of,
    folder_of,
    read_record,
    trimmed,
    write_record,
)
from gpudesk.files import NEW_FOLDER_MODE, ChangedFileError, backup, resolved, write_over, write_whole
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.stores.process_lock import ProcessLock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.clock import Clock

_LOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done."""

    number: int | None = None
    """Of the write, for `restore`; None: nothing had to be written."""
    paths: tuple[Path, ...] = ()
    """Files that are different now."""
    copies: tuple[Path, ...] = ()
    """Of what they were."""
    touched: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    """What did not work and does no harm."""


def apply(
    export: Export, *, state: Path | None = None, clock: Clock = SYSTEM_CLOCK, within: Path | None = None
) -> Applied:
    """Change the files of an export, all or none.

    Args:
        export: what they become, with what they were.
        state: gpudesk's state folder, the platform's when None.
        clock: for the names of copies.
        within: the folder outside of which nothing may be changed.

    Raises:
        RefusedError: a file lies outside of it.
        ChangedMeanwhileError: a file has changed since it was read.
        ExportError: a file cannot be written; every file is as it was, or the hint says which one is not.
    """
    check_within((change.path for change in export.changes), within)
    changes = [change for change in export.changes if change.changes]
    touches = [change.path for change in export.changes if not change.changes and change.before is not None]
    if not changes:
        touched, notes = _touched(touches)
        return Applied(touched=touched, notes=notes)
    try:
        with ProcessLock(folder_of(state) / "lock").hold(f"writing files of {export.editor}", _LOCK_SECONDS):
            for change in changes:
                check_before(change, not export.named)
            check_distinct(changes)
            written = _write_all(export, changes, state, clock)
    except StoreError as error:
        raise ExportError(error.message, error.hint) from error
    touched, notes = _touched(touches)
    paths = tuple(change.path for change in changes)
    return Applied(written.number, paths, copies_of([written]), touched, notes)


def backups(editor: str | None = None, *, state: Path | None = None) -> tuple[Write, ...]:
    """Return what can be restored, the newest first.

    Raises:
        ExportError: the record cannot be read.
    """
    writes = read_record(state).writes
    return tuple(write for write in reversed(writes) if editor is None or write.editor == editor)


def written_paths(editor: str, *, state: Path | None = None) -> tuple[Path, ...]:
    """Return the files of an editor that gpudesk ever wrote, those that a person named among them."""
    return tuple(dict.fromkeys(Path(file.path) for write in backups(editor, state=state) for file in write.files))


def restoring(write: Write) -> Export:
    """Return what brings back the files as they were before a write; `apply` does it, and has a number itself.

    Raises:
        ExportError: a copy is gone or is not what was copied, or a file cannot be read.
    """
    changes: list[FileChange] = []
    notes: list[str] = []
    for file in write.files:
        path = Path(file.path)
        before, after = content_of(path), _copied(file)
        if before == after:
            continue
        if digest_of(before) != file.after:
            notes.append(f"{shortened(path)} has changed since gpudesk wrote it; what changed is lost")
        changes.append(FileChange(path, before, after, f"as it was before {write.at:%Y-%m-%d %H:%M:%S} UTC"))
    changes.reverse()
    made = tuple(map(Path, write.made))
    return Export(write.editor, Way.MERGE, tuple(changes), notes=tuple(notes), back_to=write.number, emptied=made)


def restore(write: Write, *, state: Path | None = None, clock: Clock = SYSTEM_CLOCK) -> Applied:
    """Bring back the files as they were before a write; raises what `restoring` and `apply` raise."""
    return apply(restoring(write), state=state, clock=clock)


def _copied(file: WrittenFile) -> bytes | None:
    if file.copy is None:
        if file.before is None:
            return None
        raise ExportError(f"no copy of {shortened(file.path)} was kept")
    copy = Path(file.copy)
    data = content_of(copy)
    if data is None:
        raise ExportError(f"the copy of {shortened(file.path)} is gone", f"It was {shortened(copy)}")
    if digest_of(data) != file.before:
        raise ExportError(f"the copy of {shortened(file.path)} has changed", f"Look at it: {shortened(copy)}")
    return data


def _write_all(export: Export, changes: Sequence[FileChange], state: Path | None, clock: Clock) -> Write:
    record = read_record(state)
    number = record.next_number
    folder = folder_of(state) / COPIES / f"{number:04}"
    copies: list[Path | None] = []
    done: list[FileChange] = []
    missing = (each for c in changes if c.after is not None for each in _missing_folders(resolved(c.path).parent))
    made = list(dict.fromkeys(missing))
    try:
        for each in (folder.parent.parent, folder.parent):
            each.mkdir(mode=NEW_FOLDER_MODE, parents=True, exist_ok=True)
        copies.extend(None if c.before is None else backup(c.path, folder, now=clock.now()) for c in changes)
        files, folders = tuple(map(_entry, changes, copies)), tuple(map(str, made))
        write = Write(number, export.editor, clock.now(), files, export.back_to, folders)
        kept, old = trimmed(Record((*record.writes, write)), export.editor)
        write_record(kept, state)
        for change in changes:
            done.append(change)
            _put(change)
    except BaseException as error:
        left = _undo(done, isinstance(error, GpudeskError))
        _forget(record, [*(copy for copy in copies if copy is not None), folder], made, state, keep=bool(left))
        if isinstance(error, StoreError):
            raise ExportError(error.message, left or error.hint) from error
        if isinstance(error, ExportError) and left:
            error.hint = left
        raise
    _remove_empty(export.emptied)
    _remove(old)
    return write


def _entry(change: FileChange, copy: Path | None) -> WrittenFile:
    return WrittenFile(
        str(change.path.absolute()),
        digest_of(change.before),
        digest_of(change.after),
        None if copy is None else str(copy),
    )


def _put(change: FileChange) -> None:
    """Make one file what it becomes."""
    try:
        if change.after is not None:
            write_over(change.path, change.before, change.after)
            return
    except ChangedFileError as error:
        raise changed_meanwhile(change, content_of(change.path)) from error
    target = resolved(change.path)
    now = content_of(target)
    if now != change.before:
        raise changed_meanwhile(change, now)
    try:
        target.unlink()
        if change.path.is_symlink():
            change.path.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ExportError(f"{shortened(change.path)} cannot be removed: {reason}") from error


def _undo(done: Sequence[FileChange], last_failed: bool) -> str | None:
    """Put back what was written, the last one first; return what to say of those that could not be."""
    left: list[str] = []
    for place, change in reversed(list(enumerate(done))):
        try:
            now = content_of(change.path)
            if now == change.before or (last_failed and place == len(done) - 1):
                continue
            if now != change.after:
                left.append(f"{shortened(change.path)} was changed by somebody else and stays")
            elif change.before is None:
                resolved(change.path).unlink()
            else:
                write_whole(change.path, change.before)
        except (GpudeskError, OSError) as error:
            left.append(f"{shortened(change.path)} could not be put back: {error}; gpudesk editors restore does it")
    return "; ".join(left) or None


def _missing_folders(folder: Path) -> list[Path]:
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _forget(record: Record, copies: Sequence[Path], made: Sequence[Path], state: Path | None, *, keep: bool) -> None:
    """Take back the note of a write that did not happen, and the folders that were made for it."""
    _remove_empty(made)
    if keep:
        return
    with suppress(GpudeskError):
        write_record(record, state)
        _remove(copies)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in sorted(set(folders), key=lambda each: len(each.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            (path if path.suffix == "" else path.parent).rmdir()


def _touched(paths: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Set the time of files to now, so that an editor that watches them reads again."""
    done: list[Path] = []
    notes: list[str] = []
    for path in paths:
        try:
            os.utime(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            notes.append(f"{shortened(path)} could not be touched: {reason}; restart the editor")
        else:
            done.append(path)
    return tuple(done), tuple(notes)
