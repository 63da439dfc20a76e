"""What is being carried out right now, on disk, so that the next gpudesk can offer to finish or undo it.

It is written before the first step and removed after the last. What is found while its writer still runs is none of
ours; what is found when it no longer runs was cut short.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING

from gpudesk.actions.values import Preview
from gpudesk.errors import StoreError
from gpudesk.files import MissingFileError, read_bounded, set_aside, write_whole
from gpudesk.paths import shortened
from gpudesk.records import dataclass
from gpudesk.stores.process_identity import is_running, own_identity
from gpudesk.stores.value_json import from_json, to_json

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "unfinished.json"
SIZE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UnfinishedAction:
    """An action that was begun and not ended, and who began it."""

    preview: Preview
    at: datetime
    """Aware UTC: when it was begun."""
    pid: int
    identity: str | None = None
    """Tells the process from a later one of the same pid."""

    @property
    def running(self) -> bool:
        """Whoever began it still runs."""
        return is_running(self.pid, self.identity)


class UnfinishedStore:
    """The one file; only whoever has the turn writes it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def begin(self, preview: Preview, at: datetime) -> None:
        """Write it down.

        Raises:
            StoreError: that was not possible.
        """
        action = UnfinishedAction(preview, at, os.getpid(), own_identity())
        content = json.dumps(to_json(action), ensure_ascii=True, indent=1).encode()
        # A power cut ends the engine too, and with it everything that could be finished: only a kill matters.
        write_whole(self.path, content, durable=False)

    def finish(self) -> None:
        """Forget it, unless it is another running gpudesk's.

        Raises:
            StoreError: the file cannot be removed.
        """
        noted = self.noted()
        if noted is not None and noted.pid != os.getpid() and noted.running:
            return
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{shortened(self.path)} cannot be removed: {error.strerror or error}") from error

    def read(self) -> UnfinishedAction | None:
        """Return what was cut short; None when nothing was, or whoever does it still runs.

        Raises:
            StoreError: there is a file and it cannot be read or believed; one that is damaged is set aside.
        """
        noted = self.noted()
        return None if noted is None or noted.running else noted

    def noted(self) -> UnfinishedAction | None:
        """Return what was begun and not ended, by a process that still runs or by one that does not.

        Raises:
            StoreError: as `read`.
        """
        try:
            data = read_bounded(self.path, SIZE_LIMIT_BYTES)
        except MissingFileError:
            return None
        try:
            return from_json(UnfinishedAction, json.loads(data))
        except (ValueError, RecursionError) as error:
            aside = set_aside(self.path)
            raise StoreError(
                f"what an earlier gpudesk was doing cannot be told: {shortened(self.path)} is damaged ({error})",
                f"It was set aside as {aside.name}",
            ) from error
