"""What is left to do, or to take back, of an action that was cut off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpudesk.actions import recover
from gpudesk.actions.lookup import as_load
from gpudesk.actions.values import ActionId, Danger, Ending, Load, Preview, Step, StepKind
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinState, PinWish
from gpudesk.records import replace
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.turn import FileTurn
from tests import desks
from tests.actions.rig import BIG, CHAT, Rig

URL = desks.LOCAL


def model(name: str, context: int = 8192, **changes: object) -> LoadedModel:
    digest = f"{ord(name[0]):064x}"
    return desks.model(name, 4.0, context_length=context, keep_alive=desks.FOREVER, digest=digest, **changes)


def desk(*models: LoadedModel, **changes: object) -> Desk:
    return Desk(desks.NOW, models=models, engines=(desks.engine(),), **changes)  # type: ignore[arg-type]


def wish(name: str, context: int | None = 8192, **changes: object) -> Load:
    return Load(URL, name, context, **changes)  # type: ignore[arg-type]


def preview(*steps: Step, before: Desk) -> Preview:
    loads = tuple(as_load(each, before) for each in before.models)
    return Preview(ActionId.SWAP, "a to b", steps, Danger.REVERSIBLE, ("a goes",), before=loads, verdict="fits")


A, B = model("a:1b"), model("b:1b")
SWAP = preview(Step(StepKind.UNLOAD, wish("a:1b")), Step(StepKind.LOAD, wish("b:1b")), before=desk(A))


def kinds(found: Preview) -> list[tuple[str, str]]:
    return [(step.kind.value, step.load.name) for step in found.steps]


@pytest.mark.parametrize(
    ("now", "left", "back"),
    [
        (desk(A), [("unload", "a:1b"), ("load", "b:1b")], []),
        (desk(), [("load", "b:1b")], [("load", "a:1b")]),
        (desk(B), [], [("unload", "b:1b"), ("load", "a:1b")]),
        (desk(A, B), [("unload", "a:1b")], [("unload", "b:1b")]),
        (desk(model("b:1b", 16384)), [("load", "b:1b")], [("unload", "b:1b"), ("load", "a:1b")]),
    ],
)
def test_a_swap_is_finished_or_undone_from_wherever_it_stopped(
    now: Desk, left: list[tuple[str, str]], back: list[tuple[str, str]]
) -> None:
    finish, undo = recover.finish(SWAP, now), recover.undo(SWAP, now)
    assert (kinds(finish), kinds(undo)) == (left, back)
    assert finish.before == SWAP.before
    assert bool(finish.loses) is bool(left)
    assert (undo.danger is Danger.REVERSIBLE) is any(kind == "unload" for kind, _ in back)


def test_what_is_lost_already_is_not_asked_about_again() -> None:
    swap = replace(SWAP, loses=("a:1b (4.0 GiB, pinned, kept forever) is unloaded", "memory unknown: c:1b may go"))
    assert recover.finish(swap, desk(A)).loses == ("a:1b is unloaded", "memory unknown: c:1b may go")
    assert recover.finish(swap, desk()).loses == ("memory unknown: c:1b may go",)
    asked = recover.finish(replace(swap, loses=swap.loses[:1]), desk())
    assert (asked.loses, asked.danger, asked.runs) == ((), Danger.NONE, True)


def test_a_deletion_that_was_cut_off_still_says_what_is_deleted() -> None:
    steps = Step(StepKind.UNLOAD, wish("a:1b")), Step(StepKind.DELETE, wish("a:1b"))
    cut = replace(
        preview(*steps, before=desk(A)), loses=("a:1b, 3.0 GiB on disk: it would have to be downloaded again",)
    )
    installed = (InstalledModel("a:1b", URL),)
    assert recover.finish(cut, desk(A, installed=installed)).loses == ("a:1b is unloaded", *cut.loses)
    assert recover.finish(cut, desk(installed=installed)).loses == cut.loses


def test_what_is_brought_back_is_as_it_was() -> None:
    there = model("a:1b", 16384)
    (step,) = recover.undo(preview(Step(StepKind.UNLOAD, wish("a:1b")), before=desk(there)), desk()).steps
    assert (step.load.context_length, step.load.keep_alive) == (16384, FOREVER)


def test_a_model_that_is_loaded_again_otherwise_counts_by_its_context() -> None:
    steps = Step(StepKind.UNLOAD, wish("a:1b")), Step(StepKind.LOAD, wish("a:1b", 16384))
    longer = preview(*steps, before=desk(A))
    assert kinds(recover.finish(longer, desk(A))) == [("unload", "a:1b"), ("load", "a:1b")]
    assert kinds(recover.finish(longer, desk(model("a:1b", 16384)))) == []
    assert kinds(recover.undo(longer, desk(model("a:1b", 16384)))) == [("load", "a:1b")]
    assert kinds(recover.undo(longer, desk(A))) == []


def test_timers_and_pins_are_set_back() -> None:
    timed = replace(A, keep_alive=desks.timed(600))
    steps = (
        Step(StepKind.KEEP_ALIVE, wish("a:1b", keep_alive=FOREVER)),
        Step(StepKind.PIN, wish("a:1b")),
        Step(StepKind.UNPIN, wish("b:1b")),
    )
    done = preview(*steps, before=desk(timed, B))
    pinned = (PinState(PinWish(URL, "a:1b")),)
    undo = recover.undo(done, desk(A, B, pins=pinned))
    assert kinds(undo) == [("keep-alive", "a:1b"), ("unpin", "a:1b"), ("pin", "b:1b")]
    assert undo.steps[0].load.keep_alive == KeepAliveWish(600.0)
    assert kinds(recover.finish(done, desk(A, B, pins=pinned))) == []
    assert kinds(recover.finish(done, desk(timed, B))) == [("keep-alive", "a:1b"), ("pin", "a:1b")]


def test_what_is_on_the_disk_is_finished_by_the_list_and_cannot_be_undone() -> None:
    steps = Step(StepKind.PULL, wish("new:1b")), Step(StepKind.DELETE, wish("old:1b"))
    both = preview(*steps, before=desk())
    old, new = InstalledModel("old:1b", URL), InstalledModel("new:1b", URL)
    assert kinds(recover.finish(both, desk(installed=(old,)))) == [("pull", "new:1b"), ("delete", "old:1b")]
    assert kinds(recover.finish(both, desk(installed=(new,)))) == []
    undo = recover.undo(both, desk(installed=(new,)))
    assert undo.steps == ()
    assert len(undo.notes) == 2


def test_nothing_is_decided_about_an_engine_that_does_not_answer() -> None:
    silent = replace(desk(), engines=(desks.engine(reachable=False, hint="start it"),))
    for found in (recover.finish(SWAP, silent), recover.undo(SWAP, silent)):
        assert found.refusal is not None
        assert not found.runs


@pytest.mark.slow
@pytest.mark.parametrize("finishes", [True, False])
def test_a_gpudesk_that_is_killed_in_the_middle_is_finished_or_undone_by_the_next(
    tmp_path: Path, finishes: bool
) -> None:
    with Rig((CHAT, 8192, -1), scale=1.0, load_seconds=0.2) as rig:
        loading = rig.sim.server.fault("load", "hang", moment="middle", model=BIG)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.actions.killed_child", rig.url, str(tmp_path), CHAT, BIG],
            cwd=Path(__file__).parents[2],
        )
        try:
            assert loading.reached.wait(30)
            journal = FileJournal(tmp_path)
            assert journal.unfinished() is None, "it is still being carried out"
        finally:
            child.kill()
            child.wait(10)
        found = journal.unfinished()
        assert found is not None
        assert (found.action, found.subject) == (ActionId.SWAP, f"{CHAT} to {BIG}")
        rig.ports = replace(rig.ports, journal=journal, turn=FileTurn(tmp_path))
        loading.remove()
        now = rig.look(installed=True)
        preview = recover.finish(found, now) if finishes else recover.undo(found, now)
        outcome = rig.run(preview)
        assert outcome.ending is Ending.DONE, outcome
        assert rig.loaded() == ({BIG: 8192} if finishes else {CHAT: 8192})
        if not finishes:
            assert rig.session_seconds(CHAT) > 1e8
        assert journal.unfinished() is None
        assert len(journal.read(9)) == 1
