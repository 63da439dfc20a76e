"""What `free` took off the card, in the state folder, so that `restore` can bring it back: later, from anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpudesk.actions.values import Load
from gpudesk.errors import StoreError
from gpudesk.files import MissingFileError, read_bounded, set_aside, write_whole
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.stores.value_json import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE_NAME = "freed.json"
SIZE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Freed:
    """Models that were unloaded to make room, as they were."""

    at: datetime
    """Aware UTC: when the first of them went."""
    loads: tuple[Load, ...] = ()


class FreedStore:
    """The one file."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def read(self) -> Freed | None:
        """Return what was freed and not brought back; None when there is nothing.

        Raises:
            StoreError: the file cannot be read or believed; one that is damaged is set aside.
        """
        try:
            data = read_bounded(self.path, SIZE_LIMIT_BYTES)
        except MissingFileError:
            return None
        try:
            return from_json(Freed, json.loads(data))
        except (ValueError, RecursionError) as error:
            aside = set_aside(self.path)
            message = f"what was freed cannot be told: {shortened(self.path)} is damaged ({error})"
            raise StoreError(message, f"It was set aside as {aside.name}") from error

    def add(self, loads: Sequence[Load], at: datetime | None = None) -> None:
        """Remember these beside what is remembered already; a model that went twice as it was the last time.

        Raises:
            StoreError: that was not possible.
        """
        if not loads:
            return
        try:
            known = self.read()
        except StoreError:
            known = None
        by_model = {(load.engine_url, load.name): load for load in (*(known.loads if known else ()), *loads)}
        began = known.at if known is not None else at or datetime.now(UTC)
        self._write(Freed(began, tuple(by_model.values())))

    def keep_only(self, loads: Sequence[Load]) -> None:
        """Forget all but these.

        Raises:
            StoreError: that was not possible.
        """
        known = self.read()
        if loads and known is not None:
            self._write(Freed(known.at, tuple(loads)))
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{shortened(self.path)} cannot be removed: {error.strerror or error}") from error

    def _write(self, freed: Freed) -> None:
        write_whole(self.path, json.dumps(to_json(freed), ensure_ascii=True, indent=1).encode())
