"""Engines whose server ended and came back, told by its process.

A service restarts in a second, between two looks at the engine: all that the engine then shows is that nothing is
loaded. The process that started the runners tells what happened, and a version that changed tells it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gpudesk.domain.event import Event, EventKind, Severity
from gpudesk.domain.serving import answers_at
from gpudesk.records import dataclass, replace
from gpudesk.watch.names import PROCESSES, engine_source

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.process import ServerProcess


START_SLACK = timedelta(seconds=2)
"""The system tells the start of a process by the time since its own, which it knows to the second."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an engine's server."""

    alive_at: datetime
    """When it was last seen."""
    ended_at: datetime
    """When it was found gone."""
    back_at: datetime | None = None
    """When another was seen in its place, or the engine answered; None until then."""

    def text(self, url: str) -> str:
        """Say it in words."""
        return f"the server at {url} ended" if self.back_at is None else f"{url} was restarted"


@dataclass(frozen=True, slots=True)
class Life:
    """The server of one engine."""

    pid: int | None
    """None: it is not known at present."""
    started_at: datetime | None = None
    ending: Ending | None = None
    """How the one before it ended, or it itself while `pid` is None."""

    @property
    def is_over(self) -> bool:
        """It ended, and nothing is known of another."""
        return self.ending is not None and self.ending.back_at is None


Lives = Mapping[str, Life]
"""By engine."""


def next_lives(lives: Lives, before: Desk, after: Desk) -> Lives:
    """Return what is known of the engines' servers after one more look; the same object when nothing is new."""
    if before.servers is after.servers and not any(life.is_over for life in lives.values()):
        return lives
    read = after.source(PROCESSES)
    now: dict[str, Life] = {}
    for engine in after.engines:
        life = lives.get(engine.url)
        if engine.local and read is not None and read.failure is None:
            life = _followed(life, engine.url, before, after)
        if life is not None:
            now[engine.url] = _answered(life, engine.url, after)
    return lives if now == lives else now


def restarted(before: Lives, after: Lives, gone: frozenset[str], at: datetime) -> list[Event]:
    """Tell of engines that were restarted; those whose outage was told are told to be back instead."""
    return [
        Event(EventKind.ENGINE_RESTARTED, at, url, f"{url} was restarted", Severity.WARNING, engine_url=url)
        for url, life in after.items()
        if _is_back(life) and not _same_ending(before.get(url), life) and engine_source(url) not in gone
    ]


def _is_back(life: Life) -> bool:
    return life.ending is not None and life.ending.back_at is not None


def _same_ending(was: Life | None, life: Life) -> bool:
    return was is not None and was.ending == life.ending


def _followed(life: Life | None, url: str, before: Desk, after: Desk) -> Life | None:
    """Compare the processes with the server that was known."""
    servers = [server for server in after.servers if server.exists]
    current = next((server for server in servers if url in server.engine_urls), None)
    if life is not None and life.pid is not None:
        if any(_is(life, server) for server in servers):
            # What only the file of a runner tells may be wrong: another server may hold the same weights.
            moved = current is not None and answers_at(current, url) and not _is(life, current)
            return Life(current.pid, current.started_at, life.ending) if moved and current is not None else life
        seen = before.source(PROCESSES)
        alive_at = after.taken_at if seen is None or seen.last_value_at is None else seen.last_value_at
        life = Life(None, None, Ending(alive_at, after.taken_at))
    if current is None or (life is not None and not _follows(current, life)):
        return life
    return Life(current.pid, current.started_at, None if life is None else life.ending)


def _follows(server: ServerProcess, life: Life) -> bool:
    """Tell whether a server may have come in the place of one that ended: it is younger."""
    if life.ending is None or server.started_at is None:
        return True
    return server.started_at >= life.ending.alive_at - START_SLACK


def _is(life: Life, server: ServerProcess) -> bool:
    return (server.pid, server.started_at) == (life.pid, life.started_at)


def _answered(life: Life, url: str, after: Desk) -> Life:
    """Note that an engine whose server ended has another one."""
    ending = life.ending
    if ending is None or ending.back_at is not None:
        return life
    if life.pid is None:
        state = after.source(engine_source(url))
        if state is None or state.failure is not None or state.last_value_at is None:
            return life
        if state.last_value_at <= ending.ended_at:
            return life
    return replace(life, ending=replace(ending, back_at=after.taken_at))
