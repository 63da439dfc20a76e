"""An engine that dies, hangs or answers garbage at every step of an action: nothing is lost silently."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpudesk.actions.values import ActionId, Ending, Load, Outcome, Preview, Step, StepKind
from gpudesk.domain.keep_alive import FOREVER
from tests.actions.rig import BIG, CHAT, CODE, EMBED, SMALL, Rig

pytestmark = pytest.mark.slow

START = ((CHAT, 8192, -1.0), (CODE, 16384, 3600.0))
ALLOWED_SECONDS = 40.0


def load_preview(rig: Rig) -> Preview:
    return rig.load(SMALL, 4096)


def unload_preview(rig: Rig) -> Preview:
    return rig.unload(CHAT)


def swap_preview(rig: Rig) -> Preview:
    return rig.swap(CHAT, BIG)


def apply_preview(rig: Rig) -> Preview:
    steps = (
        Step(StepKind.UNLOAD, rig.as_load(CHAT)),
        Step(StepKind.KEEP_ALIVE, rig.as_load(CODE, 16384, FOREVER)),
        Step(StepKind.LOAD, rig.as_load(BIG, 8192)),
        Step(StepKind.LOAD, Load(rig.url, EMBED, 2048, FOREVER, embedding=True)),
    )
    return rig.preview(ActionId.APPLY, *steps, verdict="fits", subject="coding")


ACTIONS: dict[str, tuple[Callable[[Rig], Preview], tuple[str, ...]]] = {
    "load": (load_preview, ("load",)),
    "unload": (unload_preview, ("unload",)),
    "swap": (swap_preview, ("unload", "load")),
    "apply": (apply_preview, ("unload", "keep", "load")),
}
PLACES = [(action, step) for action, (_, steps) in ACTIONS.items() for step in steps]


def check_nothing_is_lost_silently(rig: Rig, preview: Preview, outcome: Outcome) -> None:
    """Hold what the outcome says against what the engine itself has loaded."""
    there = rig.loaded()
    leaving = {step.load.name for step in preview.steps if step.kind is StepKind.UNLOAD}
    if outcome.ending is Ending.DONE:
        assert not leaving & there.keys()
        assert {s.load.name for s in preview.steps if s.kind is StepKind.LOAD} <= there.keys()
        stays = {load.name for load in preview.before} - leaving
    elif outcome.ending is Ending.UNDONE:
        stays = {load.name for load in preview.before}
    else:
        # Only what an unload was to make go may be gone without being missing.
        aimed = leaving if preview.action is ActionId.UNLOAD else set()
        stays = {load.name for load in preview.before} - {load.name for load in outcome.missing} - aimed
        assert outcome.hint, "a failure says what to press"
        for load in outcome.missing:
            assert load.name not in there
            assert load.name in outcome.message
            assert f"gpudesk load {load.name} --ctx {load.context_length}" in outcome.hint
    contexts = {load.name: load.context_length for load in preview.before}
    assert {name: there.get(name) for name in stays} == {name: contexts[name] for name in stays}
    assert [entry.ending for entry in rig.journal.entries] == [outcome.ending]
    assert rig.journal.begun == [preview]
    assert rig.journal.unfinished is None


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("kind", ["hang", "garbage", "truncated", "close", "error"])
@pytest.mark.parametrize(("action", "step"), PLACES)
def test_an_engine_that_misbehaves_once_costs_nothing(action: str, step: str, kind: str, moment: str) -> None:
    with Rig(*START) as rig:
        preview = ACTIONS[action][0](rig)
        fault = rig.sim.server.fault(step, kind, moment=moment)
        outcome = rig.run(preview, timeout_seconds=ALLOWED_SECONDS)
        assert fault.reached.is_set()
        check_nothing_is_lost_silently(rig, preview, outcome)
        assert outcome.ending in (Ending.UNDONE, Ending.DONE) or action == "unload"


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("kind", ["stop", "kill"])
@pytest.mark.parametrize(("action", "step"), PLACES)
def test_an_engine_that_dies_for_good_is_named_with_everything_that_is_gone(
    action: str, step: str, kind: str, moment: str
) -> None:
    with Rig(*START) as rig:
        preview = ACTIONS[action][0](rig)
        fault = rig.sim.server.fault(step, kind, moment=moment)
        outcome = rig.run(preview)
        assert fault.reached.is_set()
        assert outcome.ending is Ending.FAILED
        gone = {load.name for load in preview.before}
        if action == "unload":
            gone -= {CHAT}
        assert {load.name for load in outcome.missing} == gone
        assert all(f"gpudesk load {name}" in (outcome.hint or "") for name in gone)
        assert rig.journal.entries[0].ending is Ending.FAILED


@pytest.mark.parametrize("kind", ["stop", "kill"])
@pytest.mark.parametrize(("action", "step"), PLACES)
def test_an_engine_that_comes_back_gets_back_what_it_had(action: str, step: str, kind: str) -> None:
    with Rig(*START) as rig:
        preview = ACTIONS[action][0](rig)
        fault = rig.sim.server.fault(step, kind, moment="before")

        def restart_when_dead() -> None:
            if rig.sim.server.running:
                rig.sim.timeline.call_later(0.2, restart_when_dead)
            else:
                rig.sim.timeline.call_later(3.0, rig.sim.server.restart)

        restart_when_dead()
        outcome = rig.run(preview)
        assert fault.reached.is_set()
        there = rig.loaded()
        if action == "unload":
            assert outcome.ending is Ending.FAILED
            assert there == {CODE: 16384}
        else:
            assert outcome.ending is Ending.UNDONE, outcome
            assert there == {CHAT: 8192, CODE: 16384}
            assert rig.session_seconds(CHAT) > 1e8


@pytest.mark.parametrize("kind", ["hang", "garbage", "close"])
@pytest.mark.parametrize(("action", "step"), PLACES)
def test_an_engine_that_never_answers_anything_again_ends_the_action(action: str, step: str, kind: str) -> None:
    with Rig(*START, scale=60.0) as rig:
        preview = ACTIONS[action][0](rig)
        first = rig.sim.server.fault(step, "call", action=lambda: rig.sim.server.fault("*", kind, times=None))
        outcome = rig.run(preview)
        assert first.reached.is_set()
        assert outcome.ending in (Ending.FAILED, Ending.UNDONE)
        assert outcome.hint
        assert rig.url in outcome.message
