"""Work beside the screen's thread, the newest question only.

What was asked and overtaken before its turn came is never worked out: the screen wants to know about what is chosen
now, and whoever holds a key down would otherwise wait for every step on the way.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Question = TypeVar("Question")


class Beside(Generic[Question]):
    """A daemon thread that works on one question after the other; it begins with the first."""

    def __init__(self, name: str, work: Callable[[Question], None]) -> None:
        """Begin nothing yet.

        Args:
            name: of the thread.
            work: called with each question, in the thread; it tells what comes of it and raises nothing.
        """
        self._name, self._work = name, work
        self._lock = threading.Condition()
        self._waiting: Question | None = None
        self._busy = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def ask(self, question: Question) -> None:
        """Have a question worked on, in place of the one that waits."""
        with self._lock:
            self._waiting = question
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._lock.notify()

    def drop(self) -> None:
        """Take back the question that waits."""
        with self._lock:
            self._waiting = None

    def stop(self) -> None:
        """Work on nothing more."""
        with self._lock:
            self._stopped = True
            self._waiting = None
            self._lock.notify()

    @property
    def idle(self) -> bool:
        """Everything that was asked has been worked on."""
        with self._lock:
            return self._waiting is None and not self._busy

    @property
    def overtaken(self) -> bool:
        """Nobody wants to know any more what comes of the question that is worked on, a newer one waits."""
        with self._lock:
            return self._waiting is not None or self._stopped

    @property
    def stopped(self) -> bool:
        """Nobody wants to know anything any more."""
        return self._stopped

    def _run(self) -> None:
        while True:
            with self._lock:
                self._busy = False
                while self._waiting is None and not self._stopped:
                    self._lock.wait()
                if self._waiting is None:
                    return
                question, self._waiting, self._busy = self._waiting, None, True
            self._work(question)
