"""Carrying a preview out: one step after the other, each seen to be done, and back again when one is not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gpudesk.actions.attempt import FIRST_LOOK_SECONDS, Attempt
from gpudesk.actions.lookup import loaded_now
from gpudesk.actions.roll_back import roll_back
from gpudesk.actions.steps import carry_out
from gpudesk.actions.undertaking import Undertaking
from gpudesk.actions.values import ActionId, Ending, JournalEntry, Outcome, Progress, StepKind, StepResult
from gpudesk.cancellation import CanceledError, Cancellation
from gpudesk.errors import GpudeskError, StoreError
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Origin, Preview
    from gpudesk.domain.pin import PinWish


PULL_STAYS = "What has arrived stays: pull it again and it goes on from there"


def ignore(progress: Progress) -> None:
    """Tell nobody."""


def run(
    preview: Preview,
    ports: Ports,
    *,
    origin: Origin,
    why: str | None = None,
    progress: Callable[[Progress], None] = ignore,
    cancel: Cancellation | None = None,
    timeout_seconds: float | None = None,
) -> Outcome:
    """Carry a preview out, or bring back what was there; blocks until that is so.

    Whatever goes wrong in the world is in the outcome, and every try is in the journal, the refused ones as well.

    Args:
        preview: what to do.
        ports: the world.
        origin: who wants it.
        why: what for, for the journal.
        progress: told how it goes, about ten times a second, on this thread.
        cancel: ends it; what was there is then brought back, which nothing cancels.
        timeout_seconds: how long the steps may take together; bringing back takes as long as it takes.
    """
    clock = ports.watch.clock
    at, began = clock.now(), clock.monotonic()
    cancel = cancel or Cancellation()
    undertaken = _Run(preview, ports, progress, cancel, timeout_seconds)
    try:
        outcome = undertaken.outcome()
    except BaseException as error:
        outcome = Outcome(Ending.FAILED, f"broke off: {type(error).__name__}")
        ports.journal.append(_entry(preview, outcome, origin, why, at, clock.monotonic() - began))
        raise
    outcome = replace(outcome, seconds=clock.monotonic() - began)
    ports.journal.append(_entry(preview, outcome, origin, why, at, outcome.seconds))
    return outcome


class _Run:
    """One call of `run`."""

    def __init__(
        self,
        preview: Preview,
        ports: Ports,
        progress: Callable[[Progress], None],
        cancel: Cancellation,
        timeout_seconds: float | None,
    ) -> None:
        self._preview = preview
        self._ports = ports
        self._progress = progress
        self._cancel = cancel
        self._timeout_seconds = timeout_seconds
        self._results: list[StepResult] = []

    def outcome(self) -> Outcome:
        """Return how it ended."""
        preview = self._preview
        if preview.refusal is not None:
            return Outcome(Ending.REFUSED, preview.refusal.message, preview.refusal.hint)
        if not preview.steps:
            return Outcome(Ending.DONE, f"{preview.subject}: it is so already", after=preview.before)
        if self._cancel.canceled:
            return Outcome(Ending.UNDONE, "canceled before anything was done", canceled=True, after=preview.before)
        try:
            with self._ports.turn.take(f"{preview.action} {preview.subject}"):
                return self._noted()
        except GpudeskError as error:
            if self._results:
                raise
            return Outcome(Ending.REFUSED, error.message, error.hint, after=preview.before)

    def _noted(self) -> Outcome:
        """Carry it out with a note of it, so that it can be finished or undone should this gpudesk be killed."""
        trouble = None
        try:
            self._ports.journal.begin(self._preview)
        except StoreError as error:
            trouble = error
        try:
            outcome = self._carried_out()
        finally:
            self._forget()
        if trouble is None:
            return outcome
        lost = f"if gpudesk had been killed meanwhile, it could not have offered to finish: {trouble.message}"
        return replace(outcome, message=f"{outcome.message}; {lost}", hint=outcome.hint or trouble.hint)

    def _forget(self) -> None:
        """Forget the note; one that cannot be removed is offered at the next start, and found to be done."""
        with contextlib.suppress(StoreError):
            self._ports.journal.finish()

    def _carried_out(self) -> Outcome:
        attempt = Attempt(
            self._ports,
            self._progress,
            self._cancel,
            allowed_seconds=self._timeout_seconds,
            total=len(self._preview.steps),
        )
        attempt.look(seconds=FIRST_LOOK_SECONDS)
        undertaking = Undertaking(self._preview, attempt.desk, self._pins())
        try:
            self._steps(attempt, undertaking)
        except (GpudeskError, KeyboardInterrupt) as error:
            return self._back(undertaking, error)
        except BaseException as error:
            # A fault of gpudesk's own, or its end: what was there is brought back before anybody is told.
            self._back(undertaking, GpudeskError(f"unexpected {type(error).__name__}"), report=ignore)
            raise
        return self._done(attempt, undertaking)

    def _pins(self) -> tuple[PinWish, ...]:
        """Return the pins as they are, where they are about to change."""
        touches = any(step.kind in (StepKind.PIN, StepKind.UNPIN) for step in self._preview.steps)
        return self._ports.pins.read() if touches else ()

    def _steps(self, attempt: Attempt, undertaking: Undertaking) -> None:
        for number, step in enumerate(self._preview.steps, 1):
            attempt.begin(step, number)
            try:
                seen = carry_out(attempt, undertaking, step)
            except GpudeskError as error:
                seconds, waited = attempt.elapsed_seconds, attempt.waited_seconds
                self._results.append(StepResult(step, False, seconds, error.message, waited))
                raise
            self._results.append(StepResult(step, True, attempt.elapsed_seconds, seen, attempt.waited_seconds))
        self._cancel.check()

    def _done(self, attempt: Attempt, undertaking: Undertaking) -> Outcome:
        undertaking.strangers(attempt.desk)
        gone = undertaking.gone(attempt.desk)
        words = [result.seen for result in self._results]
        words += undertaking.noticed.values()
        words += [f"{load.name} went meanwhile, not by gpudesk" for load in gone]
        return Outcome(
            Ending.DONE,
            "; ".join(words),
            steps=tuple(self._results),
            missing=gone,
            after=loaded_now(attempt.desk, undertaking.urls),
        )

    def _back(
        self, undertaking: Undertaking, error: BaseException, report: Callable[[Progress], None] | None = None
    ) -> Outcome:
        """Bring back what was there and say how that went."""
        canceled = self._cancel.canceled or isinstance(error, CanceledError | KeyboardInterrupt)
        attempt = Attempt(self._ports, report or self._progress, Cancellation(), total=len(self._preview.steps))
        attempt.begin(None, len(self._results))
        back = roll_back(attempt, undertaking, canceled=canceled)
        reason = "canceled" if canceled else getattr(error, "message", str(error))
        pulled = self._preview.action is ActionId.PULL
        hint = getattr(error, "hint", None) if not canceled else PULL_STAYS if pulled else None
        hints = [each for each in dict.fromkeys((hint, back.hint)) if each]
        return Outcome(
            Ending.UNDONE if back.whole else Ending.FAILED,
            f"{reason}; {back.message}",
            ". ".join(hints) or None,
            steps=tuple(self._results),
            canceled=canceled,
            missing=back.missing,
            after=loaded_now(attempt.desk, undertaking.urls),
        )


def _entry(
    preview: Preview, outcome: Outcome, origin: Origin, why: str | None, at: datetime, seconds: float
) -> JournalEntry:
    """Return the line of the journal."""
    return JournalEntry(
        at=at,
        action=str(preview.action),
        subject=preview.subject,
        who=origin,
        ending=outcome.ending,
        message=outcome.message,
        seconds=seconds,
        why=why,
        before=preview.before,
        after=outcome.after,
        steps=tuple(result.seen for result in outcome.steps),
        hint=outcome.hint,
    )
