"""Taking something back that is running in another thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError

if TYPE_CHECKING:
    from collections.abc import Callable


class CanceledError(GpudeskError):
    """It was taken back while it ran."""

    def __init__(self) -> None:
        super().__init__("canceled")


class Cancellation:
    """Says that something shall end; made by whoever starts it. Thread-safe, final."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def canceled(self) -> bool:
        """It was taken back."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Take it back; every listener is called once, on this thread."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def on_cancel(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when it is taken back, at once if it has been; return what withdraws the listener."""
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return lambda: self._withdraw(listener)
        listener()
        return lambda: None

    def _withdraw(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait(self, seconds: float) -> bool:
        """Wait, at most so long; tell whether it was taken back."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise `CanceledError` when it was taken back."""
        if self._event.is_set():
            raise CanceledError
