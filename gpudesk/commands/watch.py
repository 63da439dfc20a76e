"""`gpudesk status --watch`: one line, or one JSON document on one line, per interval, until it is stopped."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, TextIO

from gpudesk import start
from gpudesk.commands.status import style_for
from gpudesk.errors import ExitCode
from gpudesk.output import diagnostics
from gpudesk.output.status_text import change_line, event_line
from gpudesk.workstation import NothingFoundError, Workstation, found_in, is_settled

if TYPE_CHECKING:
    from types import FrameType

    from gpudesk.domain.desk import Desk
    from gpudesk.domain.event import Event
    from gpudesk.watch.feed import DeskFeed

FIRST_SECONDS = 2.0
"""How long the first line waits for the sources."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells count it."""


def run(workstation: Workstation, out: TextIO, *, as_json: bool) -> int:
    """Print until interrupted, terminated, or nobody reads any more.

    Raises:
        BrokenPipeError: whoever read the output left.
        KeyboardInterrupt: ctrl+c.
    """
    from gpudesk.acting.opening import dismissed_elsewhere, own_folders
    from gpudesk.planning.learn_later import learn_later
    from gpudesk.watch.poller import Poller

    told = (lambda _: ()) if workstation.demo else dismissed_elsewhere(own_folders)
    limits = workstation.settings.alarms
    poller = Poller(workstation.sources, workstation.clock, limits=limits, dismissed_elsewhere=told)
    stopped = threading.Event()
    before = _on_terminate(stopped)
    start.resume_collector_soon()
    poller.start()
    # A simulated desk teaches nothing about the cards of this computer.
    stop_learning = learn_later(poller) if not workstation.demo else None
    try:
        _wait_for_first(poller, workstation, stopped)
        found = found_in(poller.desk, workstation.settings)
        if not found.anything:
            diagnostics.report(NothingFoundError(found))
        if workstation.banner is not None and not as_json:
            out.write(workstation.banner + "\n")
        _print_until(poller, workstation, out, stopped, as_json=as_json)
    finally:
        if stop_learning is not None:
            stop_learning()
        poller.stop()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    return TERMINATED if stopped.is_set() else ExitCode.OK


def _on_terminate(stopped: threading.Event) -> signal.Handlers | None:
    """Make SIGTERM end the loop after the line being written; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def terminate(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = signal.signal(signal.SIGTERM, terminate)
    return before if isinstance(before, signal.Handlers) else signal.SIG_DFL


def _wait_for_first(feed: DeskFeed, workstation: Workstation, stopped: threading.Event) -> None:
    """Wait until every source was heard and every model is joined with its runner, or for a while."""
    names = {source.name for source in workstation.sources}
    for _ in range(int(FIRST_SECONDS / 0.05)):
        desk = feed.desk
        heard = {state.source for state in desk.sources if state.last_taken_at is not None}
        joined = not desk.cards or all(model.pids or not model.local for model in desk.models)
        if (names <= heard and joined and is_settled(desk, workstation.settings)) or stopped.wait(0.05):
            return


def _print_until(
    feed: DeskFeed, workstation: Workstation, out: TextIO, stopped: threading.Event, *, as_json: bool
) -> None:
    from gpudesk.watch.changes import news

    style = style_for(out, workstation, os.environ)
    told: tuple[Event, ...] = ()
    while True:
        desk = feed.desk
        if as_json:
            out.write(_json_line(desk, workstation) + "\n")
        else:
            for event in news(told, desk.events):
                out.write(event_line(event, style) + "\n")
            out.write(change_line(desk, style) + "\n")
        told = desk.events
        out.flush()
        if stopped.wait(workstation.settings.interval_seconds):
            return


def _json_line(desk: Desk, workstation: Workstation) -> str:
    from gpudesk.output.desk_json import document, to_json

    return to_json(document(desk, problems=workstation.problems, demo=workstation.demo))
