"""When a lost pin is put right, and when it is left alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gpudesk.actions.keeper import KeeperMemory, due
from gpudesk.domain.desk import Desk, SourceState
from gpudesk.domain.engine import Engine
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.pin import Pin, PinCause, PinState, PinWish
from gpudesk.domain.process import Process, Runner, RunnerKind, ServerProcess
from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind
from gpudesk.records import replace
from tests.actions.preview_desks import loaded
from tests.desks import LOCAL, NOW

LOST = PinState(
    PinWish(LOCAL, "chat:14b", restore=True), Pin.LOST, PinCause.KEEP_ALIVE, "keep-alive changed", NOW, (NOW,)
)


def desk(seconds: float = 2.0, state: PinState = LOST, **changes: object) -> Desk:
    """A desk so long after the loss."""
    values: dict[str, object] = {
        "taken_at": NOW + timedelta(seconds=seconds),
        "engines": (Engine(LOCAL, reachable=True),),
        "models": (loaded("chat:14b", pids=(11,)),),
        "pins": (state,),
    }
    return Desk(**{**values, **changes})  # type: ignore[arg-type]


def test_a_lost_pin_is_put_right_a_moment_later() -> None:
    assert due(desk(0.5), KeeperMemory()) is None
    assert due(desk(1.0), KeeperMemory()) is LOST


@pytest.mark.parametrize(
    "state",
    [
        replace(LOST, wish=replace(LOST.wish, restore=False)),
        replace(LOST, pin=Pin.HELD, cause=None),
        replace(LOST, cause=PinCause.REPLACED),
        replace(LOST, losses=(NOW, NOW, NOW)),
    ],
    ids=["not wished", "held", "other weights", "a fight"],
)
def test_these_are_left_alone(state: PinState) -> None:
    assert due(desk(3600, state), KeeperMemory()) is None


def test_the_wait_grows_from_try_to_try_and_starts_anew_with_the_next_loss() -> None:
    memory = KeeperMemory()
    at = 1.0
    for wait in (10.0, 60.0, 300.0, 300.0):
        assert due(desk(at), memory) is LOST
        memory = memory.after_try(LOST, NOW + timedelta(seconds=at))
        assert due(desk(at + wait - 0.1), memory) is None
        at += wait
    again = replace(LOST, lost_at=NOW + timedelta(seconds=2000))
    assert due(desk(2001, again), memory) is again


def runner(pid: int, age_seconds: float) -> Process:
    started = NOW + timedelta(seconds=2.0 - age_seconds)
    return Process(pid, "ollama", started_at=started, runner=Runner(RunnerKind.OLLAMA_RUNNER))


def child(pid: int, parent: int) -> Process:
    """A runner that is being loaded by some server."""
    return replace(runner(pid, 5), parent_pid=parent)


OTHER = "http://127.0.0.1:11500"
STOPPING = KeepAlive(KeepAliveState.STOPPING, NOW)
FAILED = SourceState(f"ollama {LOCAL}", 1, NOW, NOW, Failure(FailureKind.TIMEOUT, "slow"))


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"engines": (Engine(LOCAL, reachable=False),)}, True),
        ({"engines": ()}, True),
        ({"sources": (FAILED,)}, True),
        ({"models": (loaded("chat:14b", pids=(11,)), loaded("other:8b", STOPPING))}, True),
        ({"processes": (runner(11, 100), runner(12, 5))}, True),
        ({"processes": (runner(11, 100),)}, False),
        ({"processes": (runner(12, 301),)}, False),
        ({"processes": (replace(runner(12, 5), exists=False),)}, False),
        ({"processes": (runner(12, 5),), "engines": (Engine(LOCAL, local=False, reachable=True),)}, False),
        ({"processes": (replace(runner(12, 5), orphaned=True),)}, False),
        ({"processes": (child(12, 7),), "servers": (ServerProcess(7, engine_urls=(LOCAL,)),)}, True),
        ({"processes": (child(12, 8),), "servers": (ServerProcess(7, engine_urls=(LOCAL,)),)}, False),
        ({"processes": (child(12, 8),), "servers": (ServerProcess(8, engine_urls=(OTHER,)),)}, False),
        ({"processes": (child(12, 8),), "servers": (ServerProcess(8), ServerProcess(9, engine_urls=(OTHER,)))}, True),
        ({"processes": (child(12, 8),), "servers": (ServerProcess(8, listens=(("127.0.0.1", 11500),)),)}, False),
        ({"processes": (child(12, 8),), "servers": (ServerProcess(8, listens=(("0.0.0.0", 11434),)),)}, True),
    ],
)
def test_nothing_is_done_while_another_load_may_be_under_way(changes: dict[str, object], waits: bool) -> None:
    seen = replace(desk(), **changes)  # type: ignore[arg-type]
    assert (due(seen, KeeperMemory()) is None) is waits
