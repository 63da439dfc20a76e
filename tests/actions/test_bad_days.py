"""Bad days other than the engine's: memory, cards, other programs, other gpudesks, cancels, full disks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpudesk.actions.ports import Forecast
from gpudesk.actions.values import ActionId, Ending, Step, StepKind
from gpudesk.cancellation import Cancellation
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.pin import PinWish
from gpudesk.errors import StoreError
from gpudesk.records import replace
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.turn import FileTurn
from tests.actions.rig import BIG, CHAT, CODE, SMALL, Rig, until


def test_a_load_that_runs_out_of_memory_brings_the_old_model_back_as_it_was() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.pins.wishes[rig.url, CHAT] = PinWish(rig.url, CHAT)
        rig.sim.server.fault("load", "out-of-memory", model=BIG)
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.UNDONE
        assert "out of memory" in outcome.message.casefold() or "out-of-memory" in outcome.message
        assert f"{CHAT} is back (context 8192" in outcome.message
        assert rig.loaded() == {CHAT: 8192}
        assert rig.session_seconds(CHAT) > 1e8
        assert [pin.name for pin in rig.pins.read()] == [CHAT]
        assert [step.ok for step in outcome.steps] == [True, False]


def test_what_was_left_of_a_timer_is_given_back() -> None:
    with Rig((CHAT, 8192, 600)) as rig:
        rig.sim.server.fault("load", "crash", model=BIG)
        assert rig.run(rig.swap(CHAT, BIG)).ending is Ending.UNDONE
        assert rig.loaded() == {CHAT: 8192}
        assert 590 <= rig.session_seconds(CHAT) <= 600


def test_a_new_model_on_the_cpu_is_a_failure_of_a_swap() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("load", "cpu", model=BIG)
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.UNDONE
        assert "on the CPU by 100 %" in outcome.message
        assert f"{BIG} is unloaded again" in outcome.message
        assert rig.loaded() == {CHAT: 8192}


def test_so_it_is_of_a_load_that_was_said_to_fit() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        rig.sim.server.fault("load", "cpu", model=SMALL)
        outcome = rig.run(rig.load(SMALL, 4096, verdict="tight"))
        assert outcome.ending is Ending.UNDONE
        assert rig.loaded() == {CODE: 16384}


def test_a_load_that_gets_nowhere_can_be_canceled() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        stalled = rig.sim.server.fault("load", "stall", model=SMALL)
        cancel = Cancellation()
        running = rig.running(rig.load(SMALL, 4096), cancel)
        assert stalled.reached.wait(5)
        cancel.cancel()
        outcome = running.outcome()
        assert (outcome.ending, outcome.canceled) == (Ending.UNDONE, True)
        assert rig.loaded() == {CODE: 16384}
        assert until(lambda: rig.sim.server.scheduler.loading is None)


@pytest.mark.slow
def test_a_driver_that_never_gives_memory_back_is_named_with_how_much_and_the_old_model_is_back() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("unload", "late-memory", model=CHAT, seconds=None)
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert re.search(r"the driver has not given back 9.9 GiB after 3\d s", outcome.message)
        assert outcome.hint is not None
        assert "nvidia-smi" in outcome.hint
        assert BIG not in rig.loaded()
        assert rig.loaded() == {CHAT: 8192}
        assert f"{CHAT} is back" in outcome.message


@pytest.mark.slow
def test_an_unload_whose_memory_does_not_come_back_is_not_loaded_again() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("unload", "late-memory", model=CHAT, seconds=None)
        outcome = rig.run(rig.unload(CHAT))
        assert outcome.ending is Ending.FAILED
        assert outcome.missing == ()
        assert rig.loaded() == {}
        assert "has not given back" in outcome.message


@pytest.mark.parametrize("step", ["unload", "load"])
def test_a_swap_that_is_canceled_anywhere_gives_back_what_was_there(step: str) -> None:
    with Rig((CHAT, 8192, -1), (CODE, 16384, -1)) as rig:
        at = rig.sim.server.fault(step, "hang", moment="after" if step == "unload" else "middle")
        cancel = Cancellation()
        running = rig.running(rig.swap(CHAT, BIG), cancel)
        assert at.reached.wait(5)
        cancel.cancel()
        outcome = running.outcome()
        assert (outcome.ending, outcome.canceled) == (Ending.UNDONE, True)
        assert rig.loaded() == {CHAT: 8192, CODE: 16384}
        assert outcome.message.startswith("canceled; ")
        assert rig.journal.entries[0].ending is Ending.UNDONE


def test_an_unload_that_is_canceled_while_its_model_answers_is_taken_back() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        with rig.sim.timeline.changed:
            request = rig.sim.stage.ask(CHAT, num_ctx=8192, tokens=4000)
        assert request is not None
        cancel = Cancellation()
        running = rig.running(rig.unload(CHAT), cancel)
        assert until(lambda: any("end its request" in told.text for told in rig.told))
        cancel.cancel()
        assert until(lambda: any(told.step is None for told in rig.told))
        with rig.sim.timeline.changed:
            rig.sim.server.scheduler.cancel(request)
        assert running.outcome().ending is Ending.UNDONE
        assert rig.loaded() == {CHAT: 8192}
        assert rig.session_seconds(CHAT) > 1e8


def test_what_somebody_else_loads_in_between_is_named_and_not_pushed_out() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.oracle.answer = Forecast(verdict="does not fit", short_bytes=1 << 30, would_evict=(SMALL,))
        rig.sim.server.fault("unload", "call", moment="after", action=lambda: somebody_loads(rig, SMALL))
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.FAILED
        assert [load.name for load in outcome.missing] == [CHAT]
        assert rig.loaded() == {SMALL: 4096}
        assert f"{SMALL} was loaded by another program meanwhile" in outcome.message
        assert outcome.hint is not None
        assert f"gpudesk load {CHAT} --ctx 8192" in outcome.hint


def test_somebody_else_who_takes_nothing_away_is_only_named() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("unload", "call", moment="after", action=lambda: somebody_loads(rig, SMALL))
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.DONE
        assert f"{SMALL} was loaded by another program meanwhile" in outcome.message
        assert rig.loaded()[BIG] == 8192


def somebody_loads(rig: Rig, name: str) -> None:
    with rig.sim.timeline.changed:
        rig.sim.stage.loaded(name, num_ctx=4096, keep_alive=300)


def test_a_model_another_program_loaded_with_its_own_context_is_left_alone() -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        rig.sim.server.fault("unload", "call", moment="after", action=lambda: somebody_loads(rig, SMALL))
        outcome = rig.run(rig.swap(CHAT, SMALL, 16384))
        assert outcome.ending is Ending.UNDONE
        assert "another program loaded llama3.2:3b meanwhile, with context 4096 instead of 16384" in outcome.message
        assert rig.loaded() == {CHAT: 8192, SMALL: 4096}


def test_an_editor_that_loads_a_model_again_while_it_is_unloaded_is_named() -> None:
    with Rig((CHAT, 8192, -1)) as rig:

        def again() -> None:
            with rig.sim.timeline.changed:
                rig.sim.stage.loaded(CHAT, num_ctx=8192, keep_alive=1800)

        rig.sim.server.fault("unload", "call", moment="after", action=again)
        outcome = rig.run(rig.unload(CHAT))
        assert "another program loaded qwen3:14b again" in outcome.message
        assert rig.loaded() == {CHAT: 8192}


def test_a_keep_alive_that_would_load_again_is_noticed() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        real = rig.control.keep_alive
        wrong = lambda load, cancel: real(replace(load, context_length=4096), cancel)  # noqa: E731
        rig.control.keep_alive = wrong  # type: ignore[method-assign]
        outcome = rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, rig.as_load(CODE, None, FOREVER))))
        assert "was loaded again, with context 4096" in outcome.message
        assert outcome.ending is Ending.UNDONE
        assert rig.loaded() == {CODE: 16384}


def test_what_goes_by_its_own_timer_meanwhile_is_not_missed() -> None:
    with Rig((CHAT, 8192, -1), (CODE, 16384, 3)) as rig:
        rig.sim.server.fault("load", "crash", model=BIG)
        rig.sim.server.fault("unload", "late-memory", model=CHAT, seconds=10.0)
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.UNDONE, outcome
        assert rig.loaded() == {CHAT: 8192}, outcome


def test_a_full_disk_does_not_stop_an_action_but_is_told() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.journal.trouble = StoreError("the note cannot be written: no space left on device", "make room")
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {BIG: 8192}
        assert "no space left on device" in outcome.message
        assert outcome.hint == "make room"


def test_of_two_gpudesks_the_second_is_told_what_the_first_does(tmp_path: Path) -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.ports = replace(rig.ports, turn=FileTurn(tmp_path), journal=FileJournal(tmp_path))
        hangs = rig.sim.server.fault("load", "hang", moment="middle", model=BIG)
        first = rig.running(replace(rig.swap(CHAT, BIG), subject=f"{CHAT} to {BIG}"), Cancellation())
        assert hangs.reached.wait(5)
        second = rig.run(rig.load(SMALL, 4096))
        assert second.ending is Ending.REFUSED
        assert f"swap {CHAT} to {BIG}" in second.message
        hangs.release()
        assert first.outcome().ending is Ending.DONE
        assert rig.loaded() == {BIG: 8192}
        assert rig.run(rig.load(SMALL, 4096)).ending is Ending.DONE


def test_the_time_that_is_allowed_ends_it_and_what_was_there_is_back() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("load", "stall", model=BIG)
        outcome = rig.run(rig.swap(CHAT, BIG), timeout_seconds=12.0)
        assert outcome.ending is Ending.UNDONE
        assert "not done within the 12 s allowed" in outcome.message
        assert not outcome.canceled
        assert rig.loaded() == {CHAT: 8192}


def test_a_model_that_was_there_for_another_time_keeps_it_when_a_set_fails() -> None:
    with Rig((CODE, 16384, 600)) as rig:
        steps = (
            Step(StepKind.KEEP_ALIVE, rig.as_load(CODE, 16384, KeepAliveWish(7200.0))),
            Step(StepKind.LOAD, rig.as_load(SMALL, 4096)),
        )
        rig.sim.server.fault("load", "crash", model=SMALL)
        assert rig.run(rig.preview(ActionId.APPLY, *steps)).ending is Ending.UNDONE
        assert 590 <= rig.session_seconds(CODE) <= 600
