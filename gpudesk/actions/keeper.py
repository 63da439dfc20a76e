"""When a lost pin is put right, and when it is left alone. Pure.

Putting a pin right is a request like any other's, and may start a fight: an editor asks for its keep-alive with every
key press, and a model that was evicted can only come back by pushing out the one it made room for. So there is a
growing wait between tries, nothing is done while another load is under way, and three losses in ten minutes end it
until things are calm again; the thrash alarm says what to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.pin import Pin, PinCause
from gpudesk.domain.serving import answers_at
from gpudesk.records import dataclass, replace

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.domain.pin import PinState
    from gpudesk.domain.process import Process

WAITS_SECONDS = (1.0, 10.0, 60.0, 300.0)
"""Before the first try after a loss, the second, and so on; the last one goes on."""
FIGHT_LOSSES = 3
"""Losses within ten minutes (`watch.pins.LOSSES_KEPT`) after which it is left alone."""
LOADING_SECONDS = 300.0
"""A runner that is not listed for longer is no load under way: it is stuck, or not this engine's."""


@dataclass(frozen=True, slots=True)
class Tries:
    """What was tried for one pin since it was lost."""

    lost_at: datetime
    count: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeeperMemory:
    """The tries for every pin that is lost, by its key."""

    tries: Mapping[str, Tries] = field(default_factory=dict)

    def after_try(self, state: PinState, at: datetime) -> KeeperMemory:
        """Return the memory once it was tried to put this pin right."""
        was = self.tries.get(state.key)
        known = was if was is not None and was.lost_at == state.lost_at else Tries(state.lost_at or at)
        return KeeperMemory({**self.tries, state.key: replace(known, count=known.count + 1, last_at=at)})


def due(desk: Desk, memory: KeeperMemory) -> PinState | None:
    """Return the pin to be put right now; None when there is none or it is not the time.

    The first of those that are due: one at a time, each seen to be done before the next.
    """
    lost = (state for state in desk.pins if _is_due(state, desk, memory))
    return next((state for state in lost if not load_under_way(desk, state)), None)


def _is_due(state: PinState, desk: Desk, memory: KeeperMemory) -> bool:
    if not state.wish.restore or state.pin is not Pin.LOST or state.lost_at is None:
        return False
    if state.cause is PinCause.REPLACED or len(state.losses) >= FIGHT_LOSSES:
        return False
    tries = memory.tries.get(state.key)
    if tries is None or tries.lost_at != state.lost_at or tries.last_at is None:
        return (desk.taken_at - state.lost_at).total_seconds() >= WAITS_SECONDS[0]
    wait = WAITS_SECONDS[min(tries.count, len(WAITS_SECONDS) - 1)]
    return (desk.taken_at - tries.last_at).total_seconds() >= wait


def load_under_way(desk: Desk, state: PinState) -> bool:
    """Tell whether its engine may be loading or unloading something.

    A request that comes in between can revive a runner that is marked to go, and Ollama then waits for its end for
    ever (ollama/ollama issue 17408). Seen from outside: the engine stalls, a model is stopping, or a runner runs that
    is not listed yet.
    """
    url = state.wish.engine_url
    engine = next((engine for engine in desk.engines if engine.url == url), None)
    if engine is None or not engine.reachable:
        return True
    source = desk.source(f"{engine.kind.value} {url}")
    if source is not None and source.failure is not None:
        return True
    models = [model for model in desk.models if model.engine_url == url]
    if any(model.keep_alive is not None and model.keep_alive.state is KeepAliveState.STOPPING for model in models):
        return True
    if not engine.local:
        return False
    listed = {pid for model in desk.models for pid in model.pids}
    unlisted = [process for process in desk.processes if process.pid not in listed]
    return any(_is_loading(process, desk) and _may_be_its(process, desk, url) for process in unlisted)


def _may_be_its(process: Process, desk: Desk, url: str) -> bool:
    """Tell whether a runner may be an engine's, and not one that another server has started or left behind."""
    parent = next((server for server in desk.servers if server.pid == process.parent_pid), None)
    if parent is not None and parent.engine_urls:
        return url in parent.engine_urls
    if parent is not None and parent.listens is not None:
        return answers_at(parent, url)
    return process.parent_pid is None or not any(url in server.engine_urls for server in desk.servers)


def _is_loading(process: Process, desk: Desk) -> bool:
    if process.runner is None or not process.exists or process.orphaned or process.started_at is None:
        return False
    return (desk.taken_at - process.started_at).total_seconds() < LOADING_SECONDS
