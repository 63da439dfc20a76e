"""The journal: one line of JSON per action, in the state folder.

A line is appended with one write, so lines of two gpudesks never mix, and a line that was cut short (power, full disk)
spoils only itself. At a bound the file is moved to the place of the one older file that is kept.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from gpudesk.actions.values import JournalEntry, StepKind
from gpudesk.clock import SYSTEM_CLOCK
from gpudesk.errors import GpudeskError
from gpudesk.paths import shortened
from gpudesk.stores.process_lock import ProcessLock
from gpudesk.stores.unfinished import UnfinishedAction, UnfinishedStore
from gpudesk.stores.value_json import from_json, to_json

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from gpudesk.actions.values import Preview
    from gpudesk.clock import Clock

FILE_NAME, OLDER_NAME = "journal.jsonl", "journal.older.jsonl"
BOUND_BYTES = 2 << 20
"""About five thousand actions; as many again are in the older file."""
READ_BYTES_MOST = 8 << 20
_LOCK_SECONDS = 0.5
DISMISSALS_READ = 20
"""Actions looked at for models that gpudesk asked to go."""


class FileJournal:
    """`actions.ports.Journal` on disk."""

    def __init__(self, directory: Path, *, bound_bytes: int = BOUND_BYTES, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = directory / FILE_NAME
        self.problem: str | None = None
        """What went wrong with the last line, or with the note that was looked for; None when all is well."""
        self.read_problem: str | None = None
        """Why what was read last may lack entries; None when every file there is was read."""
        self._older = directory / OLDER_NAME
        self._bound_bytes = bound_bytes
        self._clock = clock
        self._lock = ProcessLock(directory / "journal.lock")
        self._unfinished = UnfinishedStore(directory)

    def append(self, entry: JournalEntry) -> None:
        """Write a line; never raises."""
        try:
            line = json.dumps(to_json(entry), ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
            self._append(line)
        except (OSError, ValueError) as error:
            self.problem = f"{shortened(self.path)} cannot be written: {getattr(error, 'strerror', None) or error}"
        else:
            self.problem = None

    def begin(self, preview: Preview) -> None:
        """Note what is about to be carried out, instead of whatever was noted before.

        Raises:
            StoreError: that was not possible; whoever acts goes on and says so.
        """
        self._unfinished.begin(preview, self._clock.now())

    def finish(self) -> None:
        """Forget what `begin` noted, or what an earlier gpudesk left.

        Raises:
            StoreError: that was not possible.
        """
        self._unfinished.finish()

    def unfinished(self) -> Preview | None:
        """Return what a gpudesk that no longer runs was cut short in; None when nothing was, or it cannot be told."""
        action = self.unfinished_action()
        return None if action is None else action.preview

    def unfinished_action(self) -> UnfinishedAction | None:
        """Do as `unfinished`, and tell who it was and when; when it cannot be told, `problem` says why."""
        try:
            return self._unfinished.read()
        except GpudeskError as error:
            self.problem = f"{error.message}; {error.hint}" if error.hint else error.message
            return None

    def read(self, limit: int) -> list[JournalEntry]:
        """Return the newest entries, at most `limit`, the newest last; lines that are no entries are passed over.

        A file that is there and cannot be read is none without entries: `read_problem` says so.
        """
        found: list[JournalEntry] = []
        self.read_problem = None
        for path in (self.path, self._older):
            for line in reversed(self._lines(path)):
                if len(found) >= limit:
                    break
                with suppress(ValueError, RecursionError):
                    found.append(from_json(JournalEntry, json.loads(line)))
        return found[::-1]

    def dismissed(self, since: datetime) -> list[tuple[str, str, datetime]]:
        """Return the models that gpudesk, this one or another, asked to go: engine, name, and when its action began.

        Of what is being done now and of what ended no earlier than `since`; nothing where that cannot be read.
        """
        found: list[tuple[str, str, datetime]] = []
        with suppress(GpudeskError):
            noted = self._unfinished.noted()
            if noted is not None:
                found += [
                    (step.load.engine_url, step.load.name, noted.at)
                    for step in noted.preview.steps
                    if step.kind is StepKind.UNLOAD
                ]
        for entry in self.read(DISMISSALS_READ):
            if entry.at + timedelta(seconds=entry.seconds) >= since:
                stays = {(load.engine_url, load.name) for load in entry.after}
                gone = [(load.engine_url, load.name) for load in entry.before]
                found += [(*model, entry.at) for model in gone if model not in stays]
        return found

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate(len(line))
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and _last_byte(descriptor, size) != b"\n":
                line = b"\n" + line
            if os.write(descriptor, line + b"\n") <= len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _rotate(self, more_bytes: int) -> None:
        """Make the file the older one when it is full; whoever cannot have the lock leaves it to whoever has it."""
        if not self._is_full(more_bytes):
            return
        with suppress(GpudeskError), self._lock.hold("rotating the journal", _LOCK_SECONDS):
            if self._is_full(more_bytes):
                self.path.replace(self._older)

    def _is_full(self, more_bytes: int) -> bool:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return False
        return size > 0 and size + more_bytes > self._bound_bytes

    def _lines(self, path: Path) -> list[bytes]:
        """Return the lines of one file; of one that has grown beyond all bounds, the last ones."""
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - READ_BYTES_MOST))
                return file.read(READ_BYTES_MOST).splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            words = f"{shortened(path)} cannot be read: {error.strerror or error}"
            self.read_problem = words if self.read_problem is None else f"{self.read_problem}; {words}"
            return []


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)
