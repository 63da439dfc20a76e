"""Plans beside the screen's thread, the newest question only.

Small plans are made at once, at the key press. Where the last one took longer than the screen should wait, only its
quick part (the verdict, without alternatives) is made at once, the whole in a thread of its own; questions that were
overtaken meanwhile are never asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError
from gpudesk.ui.beside import Beside

if TYPE_CHECKING:
    from gpudesk.fit.values import Plan

AT_ONCE_SECONDS = 0.020
"""Plans that take no longer than this are made on the screen's own thread."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan or why there is none."""

    sequence: int
    plan: Plan | None
    problem: str | None
    seconds: float
    partial: bool = False
    """The quick part; the whole follows."""


Question = Callable[[], "Plan"]


class Thinking:
    """Turns questions into answers, in order, dropping those that are no longer wanted."""

    def __init__(self, tell: Callable[[Answer], None]) -> None:
        """Begin.

        Args:
            tell: called with each answer made in the thread, from that thread.
        """
        self._tell = tell
        self._sequence = 0
        self._last_seconds: float | None = None
        self._last_quick_seconds: float | None = None
        self._beside: Beside[tuple[int, Question, Question | None]] = Beside("gpudesk plan", self._think)

    @property
    def sequence(self) -> int:
        """Number of the newest question; answers to older ones are not shown."""
        return self._sequence

    def ask(self, question: Question, quick: Question | None = None) -> Answer | None:
        """Answer at once where that is quick, otherwise later through `tell`.

        Args:
            question: makes the plan.
            quick: makes the part of it that should not be waited for.
        """
        self._sequence += 1
        if self._last_seconds is not None and self._last_seconds <= AT_ONCE_SECONDS:
            self._beside.drop()
            return self._answer(self._sequence, question)
        self._beside.ask((self._sequence, question, quick))
        if quick is not None and self._is_quick():
            return self._answer(self._sequence, quick, partial=True)
        return None

    def drop(self) -> None:
        """Ask nothing: answers to what was asked before are no longer wanted."""
        self._sequence += 1
        self._beside.drop()

    def stop(self) -> None:
        """Answer nothing more."""
        self._beside.stop()

    def _think(self, asked: tuple[int, Question, Question | None]) -> None:
        sequence, question, quick = asked
        if quick is not None and not self._is_quick():
            self._tell(self._answer(sequence, quick, partial=True))
        answer = self._answer(sequence, question)
        if not self._beside.stopped:
            self._tell(answer)

    def _is_quick(self) -> bool:
        """Tell whether the quick part was made at once."""
        return self._last_quick_seconds is not None and self._last_quick_seconds <= AT_ONCE_SECONDS

    def _answer(self, sequence: int, question: Question, *, partial: bool = False) -> Answer:
        start = perf_counter()
        plan, problem = None, None
        try:
            plan = question()
        except GpudeskError as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - a wrong formula must not take the screen down with it
            problem = f"this cannot be planned: {type(error).__name__}: {error}"
        seconds = perf_counter() - start
        if partial:
            self._last_quick_seconds = seconds
        else:
            self._last_seconds = seconds
        return Answer(sequence, plan, problem, seconds, partial)
