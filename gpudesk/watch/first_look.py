"""The first look at everything, taken by a process of its own while this one imports the screen.

Python runs one thread at a time: importing Textual, and importing and doing what reads (httpcore, h11, pynvml, psutil,
the sources, the watch), would wait for each other, a third of the time until the first paint, however many cores there
are. The process is forked before any of that is imported. It reads each source once, hands what it saw back through a
pipe and ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import time
from threading import Condition, Event, Lock, Thread, active_count
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpudesk.clock import Clock
    from gpudesk.domain.alarm import AlarmLimits
    from gpudesk.domain.desk import Desk
    from gpudesk.sources.base import Source
    from gpudesk.watch.watched import Watched

LOOK_SECONDS = 10.0
"""What the other process may take; it is ended before that when it is no longer waited for."""
YIELDING = 5
"""How much nicer the other process is: where processors are scarce, the one that imports the screen goes first."""
SPACING_SECONDS = 0.05
"""Desks are handed over at most this often, until the last one: what came a moment ago is in the next."""


def begin_first_look(sources: Sequence[Source], clock: Clock, limits: AlarmLimits) -> FirstLook | None:
    """Fork a process that reads the sources; None where there is no safe `fork`, or no room for one.

    Linux is the one system that has it and NVIDIA cards, and other threads may hold locks that nobody would release in
    the copy. What the driver's library opened here (`make run` asks who is there first) is not the copy's to use.
    Limits on files and processes (`ulimit`) may forbid it; the watch begins at once then.
    """
    if sys.platform != "linux" or active_count() > 1 or "pynvml" in sys.modules:
        return None
    try:
        reader, writer = os.pipe()
    except OSError:
        return None
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if pid == 0:
        os.close(reader)  # whoever holds this end too never learns that the original is gone
        _look(sources, clock, limits, writer)
    os.close(writer)
    return FirstLook(pid, os.fdopen(reader, "rb"))


class FirstLook:
    """What the other process has told so far."""

    def __init__(self, pid: int, answers: BinaryIO) -> None:
        self.ended = Event()
        """It will tell nothing more."""
        self._pid: int | None = pid
        self._came = Condition()
        self._desk: Desk | None = None
        self._watched: bytes | None = None
        self._listener: Callable[[Desk], None] = lambda _: None
        Thread(target=self._receive, args=(answers,), name="gpudesk first look", daemon=True).start()

    @property
    def desk(self) -> Desk | None:
        """The newest desk."""
        return self._desk

    @property
    def watched(self) -> Watched | None:
        """The newest desk with the samples it was made of."""
        told = self._watched
        if told is None:
            return None
        watched: Watched = pickle.loads(told)  # noqa: S301 - written by our own copy
        return watched

    def tell(self, listener: Callable[[Desk], None]) -> None:
        """Hand every desk to `listener` from now on, on a thread of its own, and the newest one at once."""
        with self._came:
            self._listener = listener
            if self._desk is not None:
                listener(self._desk)

    def stop(self) -> None:
        """End the other process, which may hang in a driver call, and tell nothing more."""
        with self._came:
            self._listener = lambda _: None
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)  # it was not waited for: the number is still its own

    def _receive(self, answers: BinaryIO) -> None:
        with answers, contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                desk, watched = pickle.load(answers)  # noqa: S301 - written by our own copy
                with self._came:
                    self._desk, self._watched = desk, watched
                    self._listener(desk)
        self.ended.set()
        with self._came:
            pid, self._pid = self._pid, None
        if pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


class _Teller:
    """Writes what is known into the pipe, now and then, and ends the process when nobody reads it any more."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._writing = Lock()
        self._news = Event()
        self._newest: Watched | None = None
        self._told: Watched | None = None
        Thread(target=self._tell_on, name="gpudesk teller", daemon=True).start()
        Thread(target=self._leave_with_the_original, name="gpudesk pipe", daemon=True).start()

    def took(self, watched: Watched) -> None:
        """Take what is known after a reading."""
        self._newest = watched
        self._news.set()

    def tell(self) -> None:
        """Write what was not told yet; the samples apart, as whoever shows the desk has no need of their classes."""
        with self._writing:
            newest = self._newest
            if newest is not None and newest is not self._told:
                pickle.dump((newest.desk, pickle.dumps(newest)), self._out)
                self._out.flush()
                self._told = newest

    def _tell_on(self) -> None:
        """Tell at once, then not again for a moment: not the next reading is waited for, which may never come."""
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more
            while True:
                self._news.wait()
                self._news.clear()
                self.tell()
                time.sleep(SPACING_SECONDS)

    def _leave_with_the_original(self) -> None:
        """End when the other end of the pipe is closed, however that came about: a look that hangs is of no use."""
        gone = select.poll()
        gone.register(self._out, 0)  # errors are always told of
        gone.poll()
        os._exit(0)


def _look(sources: Sequence[Source], clock: Clock, limits: AlarmLimits, writer: int) -> NoReturn:
    """Be the other process: read every source once and tell, then end without cleaning up after the original."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.nice(YIELDING)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # the terminal is the original's
            os.dup2(nothing, stream)
        out = os.fdopen(writer, "wb")
        teller = _Teller(out)
        from gpudesk.watch.names import is_details
        from gpudesk.watch.once import sample_once

        seen = [source for source in sources if not is_details(source.name)]
        sample_once(seen, clock, LOOK_SECONDS, limits=limits, told=teller.took)
        teller.tell()
    finally:
        os._exit(0)
