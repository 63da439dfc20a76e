"""A server that ends, or loses a runner, between two looks: what gpudesk says became of the models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpudesk.domain.desk import LoadedModel
from gpudesk.domain.event import EventKind
from gpudesk.domain.pin import Pin, PinCause
from gpudesk.sources.ollama import OllamaSource
from gpudesk.sources.processes import ProcessSource
from tests.live.editors.watching import WatchedEngine
from tests.live.models import CHAT, CODE
from tests.live.residency import load, settle
from tests.live.subject import Machine, Subject


@pytest.fixture
def engine(own_models: Subject, machine: Machine, tmp_path: Path) -> Iterator[WatchedEngine]:
    """gpudesk watching the engine, with a pinned model that is loaded forever and was seen with its runner."""
    engine = WatchedEngine(own_models, machine, tmp_path)
    load(own_models, CHAT, keep_alive=-1)
    settle(own_models)
    engine.pin(CHAT, None)
    engine.look()
    engine.look()
    assert only(engine).pids == tuple(runner.pid for runner in machine.runners())
    assert engine.pin_of(CHAT).pin is Pin.HELD
    try:
        yield engine
    finally:
        engine.close()


def only(engine: WatchedEngine) -> LoadedModel:
    (model,) = engine.look().models
    return model


def told(engine: WatchedEngine) -> list[str]:
    return [event.message for event in engine.look().events]


@contextmanager
def orphan(machine: Machine) -> Iterator[int]:
    """Kill the server alone, which leaves its one runner behind, and start it again."""
    (left,) = machine.runners()
    machine.kill()
    machine.start()
    try:
        yield left.pid
    finally:
        machine.end_orphan(left.pid)


def test_a_restart_between_two_looks_is_named(engine: WatchedEngine, machine: Machine) -> None:
    machine.restart()
    reason = f"{engine.url} was restarted"
    assert told(engine) == [reason, f"{CHAT} unloaded: {reason}", f"the pin of {CHAT} is lost: {reason}"]
    state = engine.pin_of(CHAT)
    assert (state.pin, state.cause, state.reason) == (Pin.LOST, PinCause.RESTARTED, reason)


def test_a_restart_is_named_although_the_engine_was_looked_at_first(engine: WatchedEngine, machine: Machine) -> None:
    machine.restart()
    desk = engine.look(OllamaSource)
    assert [event.message for event in desk.events] == [
        f"{CHAT} unloaded although its keep-alive was forever: asked for, or its process ended"
    ]
    assert desk.pins[0].pin is Pin.HELD, "not judged before the processes were looked at"
    desk = engine.look(ProcessSource)
    reason = f"{engine.url} was restarted"
    assert [event.message for event in desk.events] == [
        f"{CHAT} unloaded: {reason}",
        reason,
        f"the pin of {CHAT} is lost: {reason}",
    ]
    assert desk.pins[0].cause is PinCause.RESTARTED


def test_a_restart_after_which_somebody_loads_the_model_again_is_named(
    own_models: Subject, engine: WatchedEngine, machine: Machine
) -> None:
    machine.restart()
    load(own_models, CHAT, keep_alive="10m")
    settle(own_models)
    messages = told(engine)
    assert f"{engine.url} was restarted" in messages
    assert f"{CHAT} reloaded with the same settings: {engine.url} was restarted" in told(engine)
    state = engine.pin_of(CHAT)
    assert (state.pin, state.cause) == (Pin.LOST, PinCause.KEEP_ALIVE)
    assert state.reason in {
        f"{engine.url} was restarted, and it was loaded again without forever",
        f"keep-alive changed from forever to 10m: {engine.url} was restarted",
    }


def test_a_restart_and_a_load_are_named_in_two_looks(
    own_models: Subject, engine: WatchedEngine, machine: Machine
) -> None:
    machine.restart()
    engine.look()
    load(own_models, CHAT, keep_alive="10m")
    settle(own_models)
    state = engine.pin_of(CHAT)
    assert (state.pin, state.cause) == (Pin.LOST, PinCause.KEEP_ALIVE)
    assert state.reason == f"{engine.url} was restarted, and it was loaded again without forever"


def test_an_unload_is_no_restart(own_models: Subject, engine: WatchedEngine) -> None:
    own_models.api.unload(CHAT)
    kinds = [event.kind for event in engine.look().events]
    assert EventKind.ENGINE_RESTARTED not in kinds
    assert engine.pin_of(CHAT).cause is PinCause.UNLOADED
    assert "restarted" not in (engine.pin_of(CHAT).reason or "")


def test_a_runner_left_behind_by_a_killed_server_is_nobodys(
    own_models: Subject, engine: WatchedEngine, machine: Machine
) -> None:
    with orphan(machine) as pid:
        desk = engine.look()
        assert f"{engine.url} was restarted" in [event.message for event in desk.events]
        assert engine.pin_of(CHAT).cause is PinCause.RESTARTED
        assert [process.orphaned for process in desk.processes if process.pid == pid] == [True]
        load(own_models, CHAT, keep_alive=-1)
        settle(own_models)
        engine.look()
        assert pid not in only(engine).pids
        assert only(engine).pids == tuple(runner.pid for runner in machine.runners() if runner.pid != pid)
        assert engine.pin_of(CHAT).pin is Pin.HELD


def test_a_runner_left_behind_before_the_first_look_is_nobodys(
    own_models: Subject, engine: WatchedEngine, machine: Machine, tmp_path: Path
) -> None:
    with orphan(machine) as pid:
        load(own_models, CODE)
        late = WatchedEngine(own_models, machine, tmp_path)
        late.look()
        assert pid not in only(late).pids
        assert only(late).pids
        late.close()
    assert EventKind.RUNNER_ENDED not in [event.kind for event in engine.look().events]
