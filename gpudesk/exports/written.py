"""What gpudesk wrote into other programs' files, so that `restore` and `remove` find it again.

One file of JSON in the state folder, and beside it a copy of each file as it was before. Copies lie there and not
beside the files: a configuration is often in a repository, and a copy with keys in it would be committed with it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gpudesk.errors import ExportError, StoreError
from gpudesk.files import MissingFileError, read_bounded, set_aside, write_whole
from gpudesk.paths import state_directory
from gpudesk.records import dataclass
from gpudesk.stores.value_json import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER, FILE_NAME, COPIES = "editors", "written.json", "copies"
_LIMIT_BYTES = 4 << 20
WRITES_KEPT = 20
"""Of each editor, the newest; the first one is kept as well: it holds what was there before gpudesk came."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file of one write."""

    path: str
    """As named, before symbolic links are resolved."""
    before: str | None = None
    """SHA-256 of what it was; None: there was no file."""
    after: str | None = None
    """SHA-256 of what was written; None: it was removed."""
    copy: str | None = None
    """Where a copy of what it was lies; None: there was no file."""


@dataclass(frozen=True, slots=True)
class Write:
    """What was written together."""

    number: int
    """Counts up; names it for `restore`."""
    editor: str
    at: datetime
    """Aware UTC."""
    files: tuple[WrittenFile, ...]
    back_to: int | None = None
    """Of what was taken back: the number of the first write of this editor that does not count any more."""
    made: tuple[str, ...] = ()
    """Folders that were made for it."""


@dataclass(frozen=True, slots=True)
class Record:
    """Every write that is remembered, the oldest first."""

    writes: tuple[Write, ...] = ()

    @property
    def next_number(self) -> int:
        """The number of the next write."""
        return max((write.number for write in self.writes), default=0) + 1


def folder_of(state: Path | None) -> Path:
    """Return the folder of the record and the copies."""
    return (state or state_directory()) / FOLDER


def digest_of(data: bytes | None) -> str | None:
    """Return what identifies a content."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def read_record(state: Path | None = None) -> Record:
    """Return what was written; one that makes no sense is set aside, so that it stands in nobody's way.

    Raises:
        ExportError: it is there and cannot be read.
    """
    path = folder_of(state) / FILE_NAME
    try:
        return from_json(Record, json.loads(read_bounded(path, _LIMIT_BYTES)))
    except MissingFileError:
        return Record()
    except StoreError as error:
        raise ExportError(error.message, error.hint) from error
    except (ValueError, RecursionError):
        try:
            set_aside(path)
        except StoreError as error:
            raise ExportError(error.message, error.hint) from error
        return Record()


def write_record(record: Record, state: Path | None = None) -> None:
    """Write down what was written.

    Raises:
        StoreError: that was not possible.
    """
    data = json.dumps(to_json(record), ensure_ascii=True, indent=1).encode() + b"\n"
    write_whole(folder_of(state) / FILE_NAME, data)


def trimmed(record: Record, editor: str) -> tuple[Record, tuple[Path, ...]]:
    """Return the record without an editor's old writes, and the copies that nobody needs any more."""
    own = [write for write in record.writes if write.editor == editor]
    dropped = own[1 : max(1, len(own) - WRITES_KEPT)]
    kept = Record(tuple(write for write in record.writes if write not in dropped))
    return kept, copies_of(dropped)


def still_counting(writes: Sequence[Write]) -> tuple[Write, ...]:
    """Return the writes of one editor that nothing has taken back, of those that are given the newest first."""
    counting: list[Write] = []
    limit: int | None = None
    for write in writes:
        if write.back_to is not None:
            limit = write.back_to if limit is None else min(limit, write.back_to)
        elif limit is None or write.number < limit:
            counting.append(write)
    return tuple(counting)


def copies_of(writes: Sequence[Write]) -> tuple[Path, ...]:
    """Return the copies made for writes."""
    return tuple(Path(file.copy) for write in writes for file in write.files if file.copy is not None)
