"""Headers of models, read beside whoever asks: a preview never waits for an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError

if TYPE_CHECKING:
    from gpudesk.domain.model import InstalledModel
    from gpudesk.watch.planning import PlannableModel, Planning

RETRY_SECONDS = 30.0
"""After which a header that could not be had is asked for again."""

_Key = tuple[str, str]
"""Name and digest."""


class Headers:
    """What is known of models by name and digest. Thread-safe."""

    def __init__(self, planning: Planning) -> None:
        """Make it; nothing is read yet."""
        self._planning = planning
        self._lock = threading.Condition()
        self._known: dict[_Key, PlannableModel] = {}
        self._failed: dict[_Key, tuple[str, float]] = {}
        """Why a header could not be had, and when that was."""
        self._asked: dict[_Key, InstalledModel] = {}
        self._reader: threading.Thread | None = None

    def get(self, model: InstalledModel) -> PlannableModel | str:
        """Return what is known of a model, or why nothing is."""
        key = _key(model)
        known = self._known.get(key)
        if known is not None:
            return known
        if model.digest is None:
            return f"{model.name}: the engine does not tell its digest, so that what it takes cannot be told"
        failed = self._failed.get(key)
        return failed[0] if failed is not None else f"{model.name}: its header is being read"

    def ask(self, models: Sequence[InstalledModel], wait_seconds: float, *, again: bool = True) -> bool:
        """Have headers read that are not known, and wait a little.

        Args:
            models: whose.
            wait_seconds: how long at most.
            again: also wait for those that were asked for before; without it only for new ones.

        Returns:
            Whether all of them were known, or known not to be had, in time.
        """
        keys = [_key(model) for model in models]
        if all(key in self._known for key in keys):
            return True
        with self._lock:
            waited = {key for key in keys if key in self._asked}
            for model in models:
                self._ask(model)
            if waited and not again:
                return False
            return self._lock.wait_for(lambda: not any(key in self._asked for key in keys), wait_seconds)

    def _ask(self, model: InstalledModel) -> None:
        """Have one read, unless it is known, being read, or was refused a moment ago. Holds the lock."""
        key = _key(model)
        if key in self._known or key in self._asked or model.digest is None or model.remote_host is not None:
            return
        failed = self._failed.get(key)
        if failed is not None and time.monotonic() - failed[1] < RETRY_SECONDS:
            return
        self._asked[key] = model
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="gpudesk headers", daemon=True)
            self._reader.start()

    def _read(self) -> None:
        """Read what was asked for, until nothing is left; models of one name, in two engines, one after the other."""
        while True:
            with self._lock:
                asked = {model.name: (key, model) for key, model in reversed(self._asked.items())}
                if not asked:
                    self._reader = None
                    return
            found, failures = self._read_these([model for _, model in asked.values()])
            by_name = {each.name: each for each in found}
            with self._lock:
                for name, (key, _) in asked.items():
                    if name in by_name:
                        self._known[key] = by_name[name]
                        self._failed.pop(key, None)
                    else:
                        reason = failures.get(name, f"{name}: its header cannot be had")
                        self._failed[key] = (reason, time.monotonic())
                    del self._asked[key]
                self._lock.notify_all()

    def _read_these(self, models: list[InstalledModel]) -> tuple[tuple[PlannableModel, ...], dict[str, str]]:
        try:
            found, failures = self._planning.read(models)
        except GpudeskError as error:
            return (), {model.name: f"{model.name}: {error.message}" for model in models}
        except Exception as error:  # noqa: BLE001 - a header nobody foresaw must not end the only reader
            reason = f"{type(error).__name__}: {error}"
            return (), {model.name: f"{model.name}: its header cannot be read: {reason}" for model in models}
        return found, dict(failures)


def _key(model: InstalledModel) -> _Key:
    return model.name, model.digest or ""
