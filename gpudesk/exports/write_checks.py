"""What can be found out about a change of a file before anything is written: nobody likes half a change."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError, RefusedError, StoreError
from gpudesk.exports.differences import between
from gpudesk.exports.text_file import LIMIT_BYTES
from gpudesk.files import MissingFileError, read_bounded, resolved
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gpudesk.exports.values import FileChange


class ChangedMeanwhileError(ExportError):
    """A file is not what it was when the change was worked out; `difference` shows what happened to it."""

    def __init__(self, message: str, hint: str | None, difference: str) -> None:
        super().__init__(message, hint)
        self.difference = difference


def content_of(path: Path) -> bytes | None:
    """Return what is in a file; None when there is none. Raises ExportError."""
    try:
        return read_bounded(path, LIMIT_BYTES)
    except MissingFileError:
        return None
    except StoreError as error:
        raise ExportError(error.message, error.hint) from error


def check_before(change: FileChange, make_folders: bool) -> None:
    """Find out whatever can be found out before anything is changed."""
    target = resolved(change.path)
    now = content_of(target)
    if now != change.before:
        raise changed_meanwhile(change, now)
    name = shortened(change.path)
    if now is not None and not stat.S_IMODE(target.stat().st_mode) & 0o222:
        raise ExportError(f"{name} is read-only", f"Make it writable: chmod u+w {name}")
    if now is not None and not _allowed(target, os.W_OK):
        raise ExportError(f"{name} cannot be written: permission denied", "Look at who owns it")
    folder = target.parent
    if not folder.exists() and not make_folders:
        raise ExportError(f"the folder {shortened(folder)} does not exist", f"Make it: mkdir -p {shortened(folder)}")
    above = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    if not above.is_dir():
        raise ExportError(f"{name} cannot be written: {shortened(above)} is a file, not a folder")
    if not _allowed(above, os.W_OK | os.X_OK):
        raise ExportError(
            f"{name} cannot be written: the folder {shortened(above)} is read-only", "Look at who owns it"
        )


def _allowed(path: Path, what: int) -> bool:
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def check_within(paths: Iterable[Path], bounds: Path | None) -> None:
    """Refuse files outside of what may be changed, by a link as well: a demo changes nothing of a user's.

    Raises:
        RefusedError: one lies outside.
    """
    for path in paths:
        if bounds is not None and not resolved(path).is_relative_to(resolved(bounds)):
            raise RefusedError(
                f"{shortened(path)} is not written: a demo changes nothing outside of its own home",
                "Without --demo gpudesk writes it",
            )


def check_distinct(changes: Sequence[FileChange]) -> None:
    """Refuse two changes of one file by two names; the second would undo the first."""
    targets = [resolved(change.path) for change in changes]
    for target in targets:
        if targets.count(target) > 1:
            raise ExportError(f"two changes for one file, {shortened(target)}: one is a link to the other")


def changed_meanwhile(change: FileChange, now: bytes | None) -> ChangedMeanwhileError:
    """Return the error for a file that is not what it was, with what happened to it."""
    what = "is gone" if now is None else "was made" if change.before is None else "has changed"
    return ChangedMeanwhileError(
        f"{shortened(change.path)} {what} since it was read; nothing was written",
        "Look at what changed and try again",
        between(change.path, change.before, now),
    )
