"""Measured points on disk: one small SQLite file in the data folder (sqlite3 is in the standard library).

SQLite rather than TOML: a point is added while another gpudesk reads, and five thousand of them are read in a few
milliseconds. What is in the file is checked row by row; a file that is not ours, damaged, or of another version is
renamed with the date and never believed. A file that is merely busy or not readable is left alone.
"""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gpudesk.fit.points import COLUMNS, MeasuredPoint, PointError, from_row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 1
FILE_NAME = "measured-points.sqlite3"
MOST_POINTS = 5000
MOST_BYTES = 32 << 20
"""A file larger than this is not ours: 5,000 points take 2 MB."""
BUSY_SECONDS = 0.5

_TEXTS = {
    "load", "taken_at", "card_name", "digest", "kv_cache_type_k", "kv_cache_type_v", "backend", "engine_kind",
    "engine_version", "era", "flash_attention",
}  # fmt: skip
_TABLE = "CREATE TABLE points (number INTEGER PRIMARY KEY AUTOINCREMENT, {}, UNIQUE (load))".format(
    ", ".join(f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'}" for name in COLUMNS)
)
_READ = f"SELECT {', '.join(COLUMNS)} FROM points ORDER BY number LIMIT {MOST_POINTS + 1}"  # noqa: S608 - our own names
_WRITE = f"INSERT OR REPLACE INTO points ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_TRIM = "DELETE FROM points WHERE number NOT IN (SELECT number FROM points ORDER BY number DESC LIMIT ?)"


class _WrongStoreError(Exception):
    """The file is not a store of ours."""


class CalibrationStore:
    """The measured points of one user. Nothing here raises: without its points gpudesk only calculates."""

    def __init__(self, data_directory: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = data_directory / FILE_NAME
        self.problem: str | None = None
        """What went wrong last, in words; None when all is well."""
        self._now = now

    def read(self) -> tuple[MeasuredPoint, ...]:
        """Return every point, oldest first; none when there is no store or it cannot be believed."""
        self.problem = None
        if not self._is_there():
            return ()
        found = self._attempt(self._read_all)
        return found if found is not None else ()

    def add(self, point: MeasuredPoint) -> bool:
        """Store a point in one step, instead of an earlier one of the same load; the oldest make room."""
        self.problem = None
        if self._is_there() and self._attempt(self._read_all) is None and self.path.exists():
            return False
        return self._attempt(lambda: self._write(point)) is not None

    def forget(self) -> int:
        """Delete every point and the file; return how many there were."""
        count = len(self.read())
        for path in (self.path, self.path.with_name(f"{self.path.name}-journal")):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self.problem = f"{path}: {error.strerror or error}"
        return count

    def _is_there(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"
            return False

    def _attempt(self, work: Callable[[], Any]) -> Any:
        """Do something with the file; set the file aside when it turns out to be wrong."""
        import sqlite3

        try:
            return work()
        except (_WrongStoreError, PointError) as error:
            self._set_aside(str(error))
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self._set_aside(str(error))
            else:
                self.problem = f"{self.path}: {error}"
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"
        return None

    def _connected(self, mode: str) -> sqlite3.Connection:
        import sqlite3
        from urllib.parse import quote

        return sqlite3.connect(f"file:{quote(str(self.path))}?mode={mode}", uri=True, timeout=BUSY_SECONDS)

    def _read_all(self) -> tuple[MeasuredPoint, ...]:
        if not self.path.is_file():
            raise _WrongStoreError("it is not a file")
        if self.path.stat().st_size > MOST_BYTES:
            raise _WrongStoreError(f"it is larger than {MOST_BYTES >> 20} MiB")
        with closing(self._connected("ro")) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise _WrongStoreError(f"its version is {version} instead of {SCHEMA_VERSION}")
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise _WrongStoreError("it is damaged")
            rows = connection.execute(_READ).fetchall()
        return tuple(from_row(dict(zip(COLUMNS, row, strict=True))) for row in rows)

    def _write(self, point: MeasuredPoint) -> bool:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(self._connected("rwc")) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute(_WRITE, tuple(point.to_row()[name] for name in COLUMNS))
            connection.execute(_TRIM, (MOST_POINTS,))
        return True

    def _set_aside(self, reason: str) -> None:
        stamp = self._now().strftime("%Y%m%dT%H%M%SZ")
        aside = self.path.with_name(f"{self.path.name}.{stamp}.wrong")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.{stamp}-{number}.wrong")
        try:
            self.path.rename(aside)
        except OSError as error:
            self.problem = f"{self.path} cannot be used ({reason}) nor set aside: {error.strerror or error}"
            return
        with suppress(OSError):
            self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
        self.problem = f"{self.path} cannot be used: {reason}. It was set aside as {aside.name}"


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell a file that is wrong from one that is busy, on a full disk or not ours to read."""
    import sqlite3

    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module itself: text that is no text, a column that is not there
        return True
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)
