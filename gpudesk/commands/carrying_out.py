"""Carrying a preview out for somebody at a terminal or a script: progress on one line, ctrl+c brings back what was."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from gpudesk.actions.run import run
from gpudesk.actions.values import Origin
from gpudesk.cancellation import Cancellation
from gpudesk.output import diagnostics
from gpudesk.output.action_text import progress_text
from gpudesk.output.columns import cut

if TYPE_CHECKING:
    from types import FrameType

    from gpudesk.actions.ports import Ports
    from gpudesk.actions.values import Outcome, Preview, Progress

_JOIN_SECONDS = 0.2
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PATIENT_INTERRUPTS = 3
"""At this ctrl+c the bringing back is left as it is."""


class ProgressLine:
    """One line on a terminal, written over and over; nothing at all where nobody reads along."""

    def __init__(self, stream: TextIO | None) -> None:
        readable = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._stream = stream if readable else None
        self._shown = False

    def show(self, progress: Progress) -> None:
        """Write how it goes over what stood there."""
        self._write(cut(progress_text(progress), shutil.get_terminal_size((80, 24)).columns - 1))
        self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write("")
            self._shown = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(f"\r{text}\x1b[K")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None  # the terminal is gone; the action goes on


class _Interrupts:
    """Turns signals into a cancellation while an action runs."""

    def __init__(self, cancel: Cancellation) -> None:
        self._cancel = cancel
        self._count = 0
        self._before: dict[int, signal.Handlers] = {}
        self.number: int | None = None
        """The first signal that came."""

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    before = signal.signal(number, self._came)
                    self._before[number] = before if callable(before) else signal.SIG_DFL  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _came(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self.number is None:
            self.number = number
            # In a thread: who listens closes connections, which may take a moment.
            threading.Thread(target=self._cancel.cancel, name="gpudesk cancel", daemon=True).start()
        elif self._count >= PATIENT_INTERRUPTS:
            diagnostics.say(
                "\ngpudesk: left in the middle; gpudesk restore --unfinished undo brings back what was there"
            )
            raise KeyboardInterrupt
        else:
            diagnostics.say("\ngpudesk: bringing back what was there; once more leaves it as it is")


def carry_out(preview: Preview, ports: Ports, timeout_seconds: float | None) -> tuple[Outcome, int | None]:
    """Run it in a thread of its own, so that a signal is heard at once; return also the signal that ended it.

    Raises:
        KeyboardInterrupt: ctrl+c for the third time.
    """
    cancel, line = Cancellation(), ProgressLine(sys.stderr)
    results: list[Outcome | BaseException] = []

    def work() -> None:
        try:
            outcome = run(
                preview, ports, origin=Origin.COMMAND, progress=line.show, cancel=cancel,
                timeout_seconds=timeout_seconds,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that asked
            results.append(error)
        else:
            results.append(outcome)

    with _Interrupts(cancel) as interrupts:
        thread = threading.Thread(target=work, name="gpudesk action", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_JOIN_SECONDS)
    line.clear()
    result = results[0]
    if isinstance(result, BaseException):
        raise result
    return result, interrupts.number
