"""Actions that go well: each is done when engine and driver show it."""

from __future__ import annotations

import httpx
import pytest

from gpudesk.actions.ports import Forecast
from gpudesk.actions.run import run
from gpudesk.actions.values import ActionId, Ending, Load, Origin, Preview, Refusal, Step, StepKind
from gpudesk.cancellation import Cancellation
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.pin import PinWish
from gpudesk.errors import RefusedError, StoreError
from gpudesk.records import replace
from tests.actions.rig import BIG, CHAT, CODE, EMBED, SMALL, Rig, until


def test_a_load_is_done_when_the_engine_lists_it_and_the_driver_shows_it() -> None:
    with Rig() as rig:
        outcome = rig.run(rig.load(CHAT, 8192))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {CHAT: 8192}
        assert "9.9 GiB on the card, context 8192" in outcome.message
        assert [load.name for load in outcome.after] == [CHAT]
        assert outcome.steps[0].ok
        assert outcome.steps[0].waited_seconds <= outcome.steps[0].seconds <= outcome.seconds
        assert 2.0 <= outcome.steps[0].seconds < 10.0


def test_an_unload_tells_when_it_was_gone_and_when_the_memory_was_back() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.sim.server.fault("unload", "late-memory", seconds=4.0)
        outcome = rig.run(rig.unload(CHAT))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {}
        assert 4.0 <= outcome.steps[0].seconds < 8.0
        gone, back = (float(part.split(" s")[0]) for part in outcome.message.split("after ")[1:])
        assert gone < 3.0 < 4.0 <= back
        assert "waiting for the driver to take back 9.9 GiB" in {told.text for told in rig.told}


def test_a_busy_model_is_waited_for() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        with rig.sim.timeline.changed:
            rig.sim.stage.ask(CHAT, num_ctx=8192, tokens=400)
        outcome = rig.run(rig.unload(CHAT))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {}
        assert "waiting for qwen3:14b to end its request" in {told.text for told in rig.told}


def test_a_swap_is_done_when_the_new_model_is_on_the_card() -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {BIG: 8192}
        assert [step.ok for step in outcome.steps] == [True, True]
        assert outcome.missing == ()
        told = [event.message for event in rig.look().events if event.subject == CHAT]
        assert told == [f"{CHAT} unloaded: gpudesk asked for it"]


@pytest.mark.slow
def test_progress_is_told_ten_times_a_second_with_what_has_come_to_the_card() -> None:
    with Rig(scale=1.0, load_seconds=2.5) as rig:
        wish = replace(rig.as_load(CHAT), memory_bytes=10 << 30)
        preview = rig.preview(ActionId.LOAD, Step(StepKind.LOAD, wish, expected_seconds=3.0), verdict="fits")
        outcome = rig.run(preview)
        assert outcome.ending is Ending.DONE
        loading = [told for told in rig.told if told.text == f"loading {CHAT}"]
        assert 10 <= len(loading) <= 30
        assert all((told.number, told.total, told.expected_seconds) == (1, 1, 3.0) for told in loading)
        elapsed = [told.elapsed_seconds for told in loading]
        assert elapsed == sorted(elapsed)
        come = [told.completed_bytes for told in loading if told.completed_bytes is not None]
        assert come == sorted(come)
        assert 0 < come[-1] <= 10 << 30


def test_a_keep_alive_changes_without_a_reload() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        before = rig.pids(CODE)
        assert before
        wish = rig.as_load(CODE, None, FOREVER)
        outcome = rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, wish)))
        assert outcome.ending is Ending.DONE
        assert rig.session_seconds(CODE) > 1e8
        assert rig.pids(CODE) == before
        assert rig.loaded() == {CODE: 16384}
        wish = rig.as_load(CODE, 16384, KeepAliveWish(7200.0))
        assert rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, wish))).ending is Ending.DONE
        assert rig.session_seconds(CODE) == 7200.0


@pytest.mark.parametrize("asked", [None, 512])
def test_a_model_that_only_embeds_is_not_loaded_again_for_its_keep_alive_nor_by_its_next_client(
    asked: int | None,
) -> None:
    short = "mxbai-embed-large:latest"  # trained for 512 tokens
    with Rig() as rig:
        assert rig.run(rig.load(short, None)).ending is Ending.DONE
        # What it was trained for is told of a model that is loaded, and known from then on.
        assert until(lambda: any(each.context_length_trained == 512 for each in rig.look().details))
        assert rig.run(rig.unload(short)).ending is Ending.DONE
        assert rig.run(rig.load(short, asked)).ending is Ending.DONE
        before = rig.pids(short)
        assert before
        wish = rig.as_load(short, None, KeepAliveWish(7200.0))
        assert rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, wish))).ending is Ending.DONE
        assert rig.session_seconds(short) == 7200.0
        assert rig.pids(short) == before
        with httpx.Client() as client:  # as every client asks
            client.post(f"{rig.url}/api/embed", json={"model": short, "input": "x"}, timeout=20).raise_for_status()
        assert rig.pids(short) == before


@pytest.mark.slow
def test_what_a_model_was_trained_for_is_asked_before_its_context_is_sent() -> None:
    short = "mxbai-embed-large:latest"  # trained for 512 tokens
    with Rig() as rig:
        rig.details.withheld.update(each.digest or "" for each in rig.look(installed=True).installed)
        assert until(lambda: not rig.look().details)
        assert rig.run(rig.load(short, 512)).ending is Ending.DONE
        before = rig.pids(short)
        with httpx.Client() as client:  # as every client asks
            client.post(f"{rig.url}/api/embed", json={"model": short, "input": "x"}, timeout=20).raise_for_status()
        assert rig.pids(short) == before
        wish = rig.as_load(short, None, KeepAliveWish(7200.0))
        assert rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, wish))).ending is Ending.DONE
        assert rig.pids(short) == before


def test_an_engine_that_does_not_tell_the_training_is_asked_as_wished() -> None:
    with Rig() as rig:
        rig.sim.server.fault("show", "garbage", times=100)
        done = rig.run(rig.load("mxbai-embed-large:latest", 512))
        assert done.ending is Ending.DONE
        assert rig.loaded() == {"mxbai-embed-large:latest": 512}


def test_a_keep_alive_of_nothing_unloads() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        wish = rig.as_load(CODE, 16384, KeepAliveWish(0.0))
        assert rig.run(rig.preview(ActionId.KEEP, Step(StepKind.KEEP_ALIVE, wish))).ending is Ending.DONE
        assert rig.loaded() == {}


def test_a_pin_is_stored_and_its_model_stays_forever() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        before = rig.pids(CODE)
        assert before
        step = Step(StepKind.PIN, rig.as_load(CODE, 16384), restore_pin=True)
        assert rig.run(rig.preview(ActionId.PIN, step)).ending is Ending.DONE
        assert rig.session_seconds(CODE) > 1e8
        assert rig.pids(CODE) == before
        (pin,) = rig.pins.read()
        assert (pin.name, pin.context_length, pin.restore) == (CODE, 16384, True)
        assert pin.digest is not None
        assert pin.since is not None
        assert rig.run(rig.preview(ActionId.UNPIN, Step(StepKind.UNPIN, rig.as_load(CODE)))).ending is Ending.DONE
        assert rig.pins.read() == ()
        assert rig.session_seconds(CODE) > 1e8


def test_a_pin_loads_a_model_that_is_not_there() -> None:
    with Rig() as rig:
        assert rig.run(rig.preview(ActionId.PIN, Step(StepKind.PIN, rig.as_load(CODE, 16384)))).ending is Ending.DONE
        assert rig.loaded() == {CODE: 16384}
        assert rig.session_seconds(CODE) > 1e8


def test_a_model_that_only_embeds_is_loaded_too() -> None:
    with Rig() as rig:
        wish = Load(rig.url, EMBED, 2048, FOREVER, embedding=True)
        outcome = rig.run(rig.preview(ActionId.LOAD, Step(StepKind.LOAD, wish), verdict="fits"))
        assert outcome.ending is Ending.DONE, outcome
        assert list(rig.loaded()) == [EMBED]


def test_a_set_is_applied_step_by_step() -> None:
    with Rig((CHAT, 8192, 300), (CODE, 16384, 300)) as rig:
        steps = (
            Step(StepKind.UNLOAD, rig.as_load(CHAT)),
            Step(StepKind.LOAD, rig.as_load(SMALL, 4096)),
            Step(StepKind.KEEP_ALIVE, rig.as_load(CODE, 16384, FOREVER)),
            Step(StepKind.PIN, rig.as_load(CODE, 16384)),
        )
        outcome = rig.run(rig.preview(ActionId.APPLY, *steps, verdict="fits", subject="coding"))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {CODE: 16384, SMALL: 4096}
        assert {told.number for told in rig.told} == {1, 2, 3, 4}


def test_pulled_deleted_and_derived_models_are_seen_in_the_list() -> None:
    with Rig() as rig:
        made = Load(rig.url, "qwen2.5-coder-16k:1.5b-base", 16384)
        assert rig.run(rig.preview(ActionId.DERIVE, Step(StepKind.DERIVE, made, source=CODE))).ending is Ending.DONE
        assert made.name in {model.name for model in rig.look(installed=True).installed}
        assert rig.run(rig.preview(ActionId.DELETE, Step(StepKind.DELETE, made))).ending is Ending.DONE
        assert made.name not in {model.name for model in rig.look(installed=True).installed}
        outcome = rig.run(rig.preview(ActionId.PULL, Step(StepKind.PULL, Load(rig.url, "nobody/has-this:1b"))))
        assert outcome.ending is Ending.UNDONE
        assert "nobody/has-this:1b" in outcome.message


def test_the_journal_says_what_why_and_who_and_what_it_was_like() -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        preview = replace(rig.swap(CHAT, BIG), subject=f"{CHAT} to {BIG}")
        outcome = rig.run(preview)
        (entry,) = rig.journal.entries
        assert (entry.action, entry.subject, entry.who, entry.why) == ("swap", f"{CHAT} to {BIG}", Origin.KEY, "a test")
        assert ([load.name for load in entry.before], [load.name for load in entry.after]) == ([CHAT], [BIG])
        assert (entry.ending, entry.message, entry.seconds) == (Ending.DONE, outcome.message, outcome.seconds)
        assert len(entry.steps) == 2
        assert rig.journal.begun == [preview]
        assert rig.journal.unfinished is None
        assert rig.turn.taken == [f"swap {CHAT} to {BIG}"]


def test_what_is_refused_changes_nothing_and_is_in_the_journal() -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        refused = replace(rig.unload(CHAT), refusal=Refusal("it is pinned", "unpin it"))
        outcome = rig.run(refused)
        assert (outcome.ending, outcome.message, outcome.hint) == (Ending.REFUSED, "it is pinned", "unpin it")
        rig.turn.trouble = RefusedError("another gpudesk is loading b", "wait for it")
        outcome = rig.run(rig.unload(CHAT))
        assert (outcome.ending, outcome.message) == (Ending.REFUSED, "another gpudesk is loading b")
        assert [entry.ending for entry in rig.journal.entries] == [Ending.REFUSED, Ending.REFUSED]
        assert rig.journal.begun == []
        assert rig.loaded() == {CHAT: 8192}


def test_what_is_so_already_is_done() -> None:
    with Rig() as rig:
        outcome = rig.run(Preview(ActionId.LOAD, CHAT))
        assert outcome.ending is Ending.DONE
        assert len(rig.journal.entries) == 1
        assert rig.turn.taken == []


def test_what_was_canceled_before_it_began_does_not_begin() -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        cancel = Cancellation()
        cancel.cancel()
        outcome = rig.run(rig.unload(CHAT), cancel)
        assert (outcome.ending, outcome.canceled) == (Ending.UNDONE, True)
        assert rig.loaded() == {CHAT: 8192}


def test_a_fault_of_gpudesk_itself_is_raised_after_everything_is_back() -> None:
    with Rig((CHAT, 8192, -1)) as rig:

        def broken(progress: object) -> None:
            if len(rig.loaded()) == 0:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run(rig.swap(CHAT, BIG), rig.ports, origin=Origin.KEY, progress=broken)
        assert rig.loaded() == {CHAT: 8192}
        assert [entry.ending for entry in rig.journal.entries] == [Ending.FAILED]
        assert rig.journal.unfinished is None


def test_what_may_lie_on_the_cpu_may() -> None:
    with Rig() as rig:
        rig.sim.server.fault("load", "cpu")
        outcome = rig.run(rig.load(CHAT, verdict="spills"))
        assert outcome.ending is Ending.DONE
        assert "100 % on the CPU" in outcome.message


def test_a_longer_context_loads_a_model_again() -> None:
    with Rig((CODE, 8192, 300)) as rig:
        before = rig.pids(CODE)
        assert before
        outcome = rig.run(rig.load(CODE, 16384))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {CODE: 16384}
        assert rig.pids(CODE) != before


def test_a_context_beyond_what_a_model_was_trained_for_is_said() -> None:
    with Rig() as rig:
        outcome = rig.run(rig.load(CODE, 65536))
        assert outcome.ending is Ending.DONE
        assert rig.loaded() == {CODE: 32768}
        assert "context 32768, not 65536: the engine limits it" in outcome.message


def test_what_the_engine_unloads_without_need_is_loaded_again() -> None:
    """Its accounting is from an earlier load (ollama issue 12247)."""
    with Rig((CHAT, 8192, -1), (CODE, 16384, -1)) as rig:
        rig.oracle.answer = Forecast(verdict="fits")
        outcome = rig.run(rig.swap(CHAT, BIG))
        assert outcome.ending is Ending.DONE, outcome
        assert rig.loaded() == {BIG: 8192, CODE: 16384}
        assert rig.session_seconds(CODE) > 1e8


def test_pins_are_as_before_when_storing_one_fails() -> None:
    with Rig((CODE, 16384, 300)) as rig:
        rig.pins.wishes[rig.url, CHAT] = PinWish(rig.url, CHAT)
        rig.pins.trouble = StoreError("no space left on device", "make room")
        outcome = rig.run(rig.preview(ActionId.PIN, Step(StepKind.PIN, rig.as_load(CODE, 16384))))
        assert outcome.ending is Ending.UNDONE
        assert "no space left on device" in outcome.message
        assert outcome.hint == "make room"
        assert [pin.name for pin in rig.pins.read()] == [CHAT]
        assert rig.session_seconds(CODE) == 300.0


@pytest.mark.parametrize(("verdict", "stays"), [(None, {BIG}), ("fits", {CHAT})])
def test_what_nobody_could_foresee_is_left_to_the_engine_and_named(verdict: str | None, stays: set[str]) -> None:
    with Rig((CHAT, 8192, 300)) as rig:
        outcome = rig.run(rig.load(BIG, 32768, verdict=verdict))
        assert set(rig.loaded()) == stays
        assert outcome.ending is (Ending.DONE if verdict is None else Ending.UNDONE)
        assert ("the engine unloaded qwen3:14b for it" in outcome.message) is (verdict is None)


def test_a_pinned_model_is_brought_back_even_where_nothing_can_be_foreseen() -> None:
    with Rig((CHAT, 8192, -1)) as rig:
        rig.pins.put(PinWish(rig.url, CHAT, context_length=8192))
        preview = rig.load(BIG, 32768, verdict=None)
        pinned = tuple(replace(load, pinned=True) for load in preview.before)
        outcome = rig.run(replace(preview, before=pinned))
        assert (outcome.ending, set(rig.loaded())) == (Ending.UNDONE, {CHAT})
