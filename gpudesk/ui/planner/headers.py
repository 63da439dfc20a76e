"""Reads the headers of models in a thread, a few at a time, those that are needed first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError
from gpudesk.ui.planner.view_answer import Reading

if TYPE_CHECKING:
    from gpudesk.domain.model import InstalledModel
    from gpudesk.watch.planning import PlannableModel, Planning

AT_ONCE = 4
"""Models per request to the reader, which itself asks for that many at the same time."""


class Headers:
    """What is known of models by now."""

    def __init__(self, planning: Planning, tell: Callable[[], None]) -> None:
        """Begin with nothing known.

        Args:
            planning: who can read headers.
            tell: called from the reading thread after every few models.
        """
        self._planning = planning
        self._tell = tell
        self._lock = threading.Lock()
        self._known: dict[str, PlannableModel] = {}
        self._failures: dict[str, str] = {}
        self._asked: set[tuple[str, str | None]] = set()
        self._queue: list[InstalledModel] = []
        self._total = 0
        self._done = 0
        self._since = 0.0
        self._running = False
        self._stopped = False

    def known(self) -> tuple[dict[str, PlannableModel], dict[str, str]]:
        """Return the models whose headers are read, and why others could not be, by name."""
        with self._lock:
            return dict(self._known), dict(self._failures)

    @property
    def reading(self) -> Reading:
        """How far it is."""
        with self._lock:
            return Reading(self._done, self._total, monotonic() - self._since if self._running else 0.0)

    def want(self, models: Sequence[InstalledModel]) -> None:
        """Read these, in this order, before any that were asked for earlier; each digest is read once."""
        with self._lock:
            new = [model for model in models if (model.name, model.digest) not in self._asked]
            if self._stopped or not new:
                return
            self._asked.update((model.name, model.digest) for model in new)
            if not self._running:
                self._total = self._done = 0
                self._since = monotonic()
            self._queue[:0] = new
            self._total += len(new)
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._work, name="gpudesk headers", daemon=True).start()

    def first(self, name: str) -> None:
        """Read this one next."""
        with self._lock:
            self._queue.sort(key=lambda model: model.name != name)

    def add(self, model: PlannableModel) -> None:
        """Take a model that was read from a file."""
        with self._lock:
            self._known[model.name] = model

    def stop(self) -> None:
        """Read nothing more."""
        with self._lock:
            self._stopped = True
            self._queue.clear()

    def _work(self) -> None:
        while True:
            with self._lock:
                batch, self._queue[:AT_ONCE] = self._queue[:AT_ONCE], []
                if not batch:
                    self._running = False
                    break
            known, failures = self._read(batch)
            with self._lock:
                self._known.update((model.name, model) for model in known)
                self._failures.update(failures)
                for model in known:
                    self._failures.pop(model.name, None)
                self._done += len(batch)
            if not self._stopped:
                self._tell()
        if not self._stopped:
            self._tell()

    def _read(self, batch: Sequence[InstalledModel]) -> tuple[Sequence[PlannableModel], Sequence[tuple[str, str]]]:
        try:
            return self._planning.read(batch)
        except GpudeskError as error:
            message = error.message
        except Exception as error:  # noqa: BLE001 - whatever a reader does, the other models are read all the same
            message = f"{type(error).__name__}: {error}"
        return (), [(model.name, message) for model in batch]
