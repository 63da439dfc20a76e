"""What each command does to the engine, the pins and the files of gpudesk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gpudesk.actions.values import ActionId, Load, Preview, Step, StepKind
from gpudesk.domain.keep_alive import FOREVER
from gpudesk.domain.pin import PinWish
from gpudesk.files import write_whole
from gpudesk.output.action_json import LOAD_FIELDS, LOG_FIELDS, SET_FIELDS
from gpudesk.records import replace
from gpudesk.stores.freed import Freed, FreedStore
from gpudesk.stores.journal import FileJournal
from gpudesk.stores.pins import TomlPinStore
from gpudesk.stores.unfinished import UnfinishedAction, UnfinishedStore
from gpudesk.stores.value_json import to_json
from gpudesk.stores.working_sets import WorkingSetStore
from tests.commands.acting_rig import BIG, CHAT, CODE, EMBED, SMALL, CommandRig
from tests.commands.test_acting import check_documented

TWO = ((CHAT, 8192, 1800), (EMBED, 2048, -1))
NO_PROCESS = 4_000_000
"""More than any process number of Linux (PID_MAX_LIMIT)."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[CommandRig]:
    with CommandRig(tmp_path, *TWO) as running:
        yield running


@pytest.mark.slow
def test_load_with_context_keep_alive_and_pin(rig: CommandRig) -> None:
    done = rig.run("load", f"{CODE}@4k", "--keep-alive", "2h30m")
    assert (done.code, done.err) == (0, "")
    assert f"{CODE} is loaded after " in done.out
    assert "context 4096" in done.out
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048, CODE: 4096}
    assert rig.session_seconds(CODE) == 9000
    assert rig.run("load", CODE, "--ctx", "4k").out.startswith(f"{CODE}: it is so already")
    rig.settings = replace(rig.settings, restore_pins=True)
    assert rig.run("load", CODE, "--pin").code == 0
    assert [(pin.name, pin.context_length, pin.restore) for pin in rig.pins()] == [(CODE, 4096, True)]
    assert rig.journal() == [("load", "command", "done")] * 3


@pytest.mark.slow
def test_unload_of_several_at_once(rig: CommandRig) -> None:
    done = rig.run("unload", CHAT.upper(), EMBED.removesuffix(":latest"), SMALL)
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {}
    assert done.out.count("back on the card after") == 2


@pytest.mark.slow
def test_keep_never_loads_again(rig: CommandRig) -> None:
    for words, seconds in ((("2h", "30m"), 9000), (("-1",), None), (("1d",), 86400)):
        done = rig.run("keep", CHAT, *words)
        assert (done.code, done.err) == (0, "")
        assert "was not loaded again" in done.out
        kept = rig.session_seconds(CHAT)
        assert kept > 1e9 if seconds is None else kept == seconds
    assert rig.run("keep", CHAT, "0").code == 0
    assert rig.loaded() == {EMBED: 2048}


@pytest.mark.slow
def test_pin_and_unpin(rig: CommandRig) -> None:
    done = rig.run("pin", f"{CHAT}@8k", "--restore")
    assert (done.code, done.err) == (0, "")
    assert [(pin.name, pin.context_length, pin.restore) for pin in rig.pins()] == [(CHAT, 8192, True)]
    assert rig.session_seconds(CHAT) > 1e9
    refused = rig.run("unload", CHAT)
    assert refused.code == 4
    assert "its pin ends" in refused.err
    assert rig.run("pin", CHAT, "--no-restore").code == 0
    assert [pin.restore for pin in rig.pins()] == [False]
    done = rig.run("unpin", CHAT, EMBED)
    assert (done.code, done.err) == (0, "")
    assert rig.pins() == ()
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}


@pytest.mark.slow
def test_a_pin_ends_although_its_engine_is_gone(rig: CommandRig) -> None:
    TomlPinStore(rig.folders.data).put(PinWish(rig.url, "gone:7b"))
    rig.sim.server.stop()
    done = rig.run("unpin", "gone:7b")
    assert rig.pins() == (), done
    assert done.code == 0


@pytest.mark.slow
def test_swap_and_back(rig: CommandRig) -> None:
    done = rig.run("swap", CHAT, f"{SMALL}@8k")
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {SMALL: 8192, EMBED: 2048}


@pytest.mark.slow
def test_what_is_freed_comes_back_as_it_was_later_and_from_elsewhere(rig: CommandRig) -> None:
    assert rig.run("pin", CHAT, "--restore").code == 0
    done = rig.run("free", "--yes")
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {}
    assert rig.pins() == ()
    known = FreedStore(rig.folders.state).read()
    assert known is not None
    assert {(load.name, load.context_length, load.pinned) for load in known.loads} == {
        (CHAT, 8192, True), (EMBED, 2048, False),
    }  # fmt: skip
    again = rig.run("free", "--yes")
    assert again.code == 0
    assert FreedStore(rig.folders.state).read() == known, "freeing once more forgets nothing"
    done = rig.run("restore")
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}
    assert rig.session_seconds(EMBED) > 1e9
    assert [(pin.name, pin.restore) for pin in rig.pins()] == [(CHAT, True)]
    assert FreedStore(rig.folders.state).read() is None
    assert "put nothing aside" in rig.run("restore").out


@pytest.mark.slow
def test_two_times_freed_is_one_restore(rig: CommandRig) -> None:
    assert rig.run("free", "15GiB", "--yes").code == 0
    assert rig.loaded() == {EMBED: 2048}
    assert rig.run("free", "--yes").code == 0
    assert rig.run("restore").code == 0
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}


@pytest.mark.slow
def test_what_cannot_come_back_can_be_tried_again(rig: CommandRig) -> None:
    assert rig.run("free", "--yes").code == 0
    rig.sim.server.fault("load", "error", model=CHAT, times=None)
    assert rig.run("restore").code == 1
    known = FreedStore(rig.folders.state).read()
    assert known is not None
    assert CHAT in {load.name for load in known.loads}
    rig.sim.server.step_faults.clear()
    assert rig.run("restore").code == 0
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}


@pytest.mark.slow
def test_what_was_deleted_meanwhile_does_not_keep_the_rest_away(rig: CommandRig) -> None:
    gone = Load(rig.url, "gone:7b", 4096)
    FreedStore(rig.folders.state).add([gone, Load(rig.url, CODE, 4096, FOREVER)])
    done = rig.run("restore")
    assert done.code == 0
    assert rig.loaded()[CODE] == 4096
    assert FreedStore(rig.folders.state).read() is None


def test_a_damaged_note_of_what_was_freed_is_set_aside_and_told(rig: CommandRig) -> None:
    path = FreedStore(rig.folders.state).path
    write_whole(path, b'{"at": "yesterday"}')
    done = rig.run("restore")
    assert done.code == 1
    assert "is damaged" in done.err
    assert "set aside as" in done.err
    assert not path.exists()


def test_what_was_freed_survives_the_file(tmp_path: Path) -> None:
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    store = FreedStore(tmp_path)
    first, second = Load("http://a", "x:1b", 4096, FOREVER, pinned=True), Load("http://a", "y:1b")
    store.add([first], at)
    store.add([second, replace(first, context_length=8192)])
    assert store.read() == Freed(at, (replace(first, context_length=8192), second))
    store.keep_only([second])
    assert store.read() == Freed(at, (second,))
    store.keep_only([])
    assert store.read() is None
    store.add([])
    assert not store.path.exists()


# -- unfinished ------------------------------------------------------------------------------------------------------


def cut_off(rig: CommandRig, *steps: Step, before: tuple[Load, ...]) -> Preview:
    """Leave the note of an action as a gpudesk leaves it that is killed."""
    preview = Preview(ActionId.SWAP, f"{CHAT} to {SMALL}", steps, before=before)
    action = UnfinishedAction(preview, datetime.now(UTC), NO_PROCESS, "an earlier one")
    import json

    write_whole(UnfinishedStore(rig.folders.state).path, json.dumps(to_json(action)).encode())
    return preview


def half_a_swap(rig: CommandRig) -> Preview:
    """A swap whose first half was done."""
    chat = Load(rig.url, CHAT, 8192, FOREVER)
    assert rig.run("unload", CHAT).code == 0
    big = Load(rig.url, SMALL, 8192)
    return cut_off(rig, Step(StepKind.UNLOAD, chat), Step(StepKind.LOAD, big), before=(chat,))


@pytest.mark.slow
@pytest.mark.parametrize(("how", "there"), [("finish", SMALL), ("undo", CHAT)])
def test_what_was_cut_off_is_told_and_finished_or_undone(rig: CommandRig, how: str, there: str) -> None:
    half_a_swap(rig)
    told = rig.run("keep", EMBED, "forever", "--dry-run")
    assert f"killed in the middle of: swap {CHAT} to {SMALL} (" in told.err
    assert "gpudesk restore --unfinished finish" in told.err
    done = rig.run("restore", "--unfinished", how, "--yes")
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {there: 8192, EMBED: 2048}
    assert FileJournal(rig.folders.state).unfinished() is None
    assert rig.run("unload", CODE).err == "", "it is not mentioned again"


@pytest.mark.slow
def test_what_was_done_after_all_is_only_forgotten(rig: CommandRig) -> None:
    embed = Load(rig.url, EMBED, 2048, FOREVER)
    cut_off(rig, Step(StepKind.LOAD, embed), before=())
    done = rig.run("restore", "--unfinished", "finish")
    assert done.code == 0
    assert "nothing is left to do" in done.out
    assert FileJournal(rig.folders.state).unfinished() is None
    assert "killed in the middle of anything" in rig.run("restore", "--unfinished", "undo").out


@pytest.mark.slow
def test_what_was_cut_off_is_in_the_journal_when_something_else_is_done(rig: CommandRig) -> None:
    half_a_swap(rig)
    assert rig.run("load", f"{CODE}@4k", "--yes").code == 0
    entries = FileJournal(rig.folders.state).read(9)
    assert [(entry.action, entry.message) for entry in entries[1:2]] == [("swap", "cut off: gpudesk was killed")]
    assert [load.name for load in entries[1].before] == [CHAT]


def test_forgetting_what_was_cut_off_touches_no_model(rig: CommandRig) -> None:
    cut_off(rig, Step(StepKind.LOAD, Load(rig.url, SMALL)), before=())
    done = rig.run("restore", "--unfinished", "forget")
    assert (done.code, done.out) == (0, f"forgotten: swap {CHAT} to {SMALL}\n")
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}
    assert FileJournal(rig.folders.state).unfinished() is None


# -- stored models ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_derive_pull_and_rm(rig: CommandRig) -> None:
    done = rig.run("derive", CHAT, "--ctx", "16k")
    assert (done.code, done.err) == (0, "")
    assert "qwen3-16k:14b" in done.out
    assert rig.run("load", "qwen3-16k:14b", "--dry-run").code == 0
    refused = rig.run("rm", "qwen3-16k:14b")
    assert refused.code == 4
    assert "--yes" in refused.err
    assert rig.run("rm", "qwen3-16k:14b", "--yes").code == 0
    assert rig.run("rm", "qwen3-16k:14b", "--yes").code == 2
    unknown = rig.run("pull", "no-such-model:1b")
    assert unknown.code == 1
    assert "no model no-such-model:1b" in unknown.err
    assert rig.run("pull", CHAT).code == 0


# -- working sets ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_working_set_from_saving_to_deleting(rig: CommandRig) -> None:
    assert rig.run("set", "list").out.startswith("no working sets")
    assert rig.run("pin", CHAT).code == 0
    saved = rig.run("set", "save", "coding")
    assert (saved.code, saved.err) == (0, "")
    assert rig.run("set", "save", "coding").out == "set coding is so already\n"
    assert rig.run("unload", EMBED).code == 0
    assert rig.run("load", f"{CODE}@4k").code == 0
    done = rig.run("apply", "coding", "--yes")
    assert (done.code, done.err) == (0, "")
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}
    refused = rig.run("apply", "coding", "--timeout", "5m")
    assert refused.out.startswith("coding: it is so already")
    listed = rig.run("set", "list", "--json").document
    check_documented(listed, SET_FIELDS)
    assert listed["schema_version"] == 1
    (entry,) = listed["sets"]
    assert (entry["name"], entry["problems"]) == ("coding", [])
    assert {model["model"]: model["pinned"] for model in entry["set"]["models"]} == {CHAT: True, EMBED: False}
    shown = rig.run("set", "show", "coding")
    assert f'name = "{CHAT}"' in shown.out
    assert rig.run("set", "show", "coding", "--json").document["set"] == entry["set"]
    assert rig.run("set", "delete", "coding").code == 4
    assert rig.run("set", "delete", "coding", "--dry-run").out == "would delete set coding\n"
    assert rig.run("set", "delete", "coding", "--yes").code == 0
    assert rig.run("set", "delete", "coding", "--yes").code == 2


@pytest.mark.slow
def test_saving_over_a_set_is_asked_about_and_keeps_what_was_said_of_it(rig: CommandRig) -> None:
    store = WorkingSetStore(rig.folders.data)
    store.write_text("coding", f'description = "work"\nkey = "1"\n[[model]]\nname = "{BIG}"\n')
    refused = rig.run("set", "save", "coding")
    assert refused.code == 4
    assert BIG in refused.err
    assert [model.name for model in store.read("coding").models] == [BIG]
    assert rig.run("set", "save", "coding", answer="y\n").code == 0
    saved = store.read("coding")
    assert (saved.description, saved.key) == ("work", "1")
    assert {model.name for model in saved.models} == {CHAT, EMBED}


@pytest.mark.slow
def test_a_set_that_cannot_fit_is_refused_before_anything_moves(rig: CommandRig) -> None:
    models = "".join(f'[[model]]\nname = "{name}"\ncontext = 32768\n' for name in (CHAT, BIG, "mistral-small3.2:24b"))
    WorkingSetStore(rig.folders.data).write_text("greedy", models)
    done = rig.run("apply", "greedy", "--yes")
    assert done.code == 4
    assert "greedy does not fit" in done.err
    assert "GiB too much" in done.err
    assert rig.loaded() == {CHAT: 8192, EMBED: 2048}


EDITOR = """\
#!/bin/sh
cp "{written}" "$1"
"""


def editor(folder: Path, text: str) -> str:
    """Make an editor that writes this, whatever it is given."""
    written, script = folder / "written", folder / "editor"
    written.write_text(text)
    script.write_text(EDITOR.format(written=written))
    script.chmod(0o755)
    return f"{script} "


def test_a_set_is_edited_with_its_comments(rig: CommandRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'# mine\n[[model]]\nname = "{CHAT}"  # the big one\ncontext = 4096\n'
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor(tmp_path, text))
    done = rig.run("set", "edit", "new")
    assert (done.code, done.out, done.err) == (0, "saved new\n", "")
    assert WorkingSetStore(rig.folders.data).path("new").read_text() == text
    assert rig.run("set", "edit", "new").out == "set new is as it was\n"
    monkeypatch.setenv("VISUAL", "/no/such/editor -w")
    refused = rig.run("set", "edit", "new")
    assert refused.code == 2
    assert "/no/such/editor cannot be started" in refused.err


def test_an_editor_nobody_named_is_not_started_without_a_terminal(
    rig: CommandRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    script = tmp_path / "vi"
    script.write_text(f"#!/bin/sh\ntouch {started}\n")
    script.chmod(0o755)
    for variable, value in (("VISUAL", " "), ("EDITOR", ""), ("PATH", f"{tmp_path}:/usr/bin:/bin")):
        monkeypatch.setenv(variable, value)
    refused = rig.run("set", "edit", "new")
    assert refused.code == 4
    assert refused.err.startswith("gpudesk: there is no terminal to edit in\n  Set VISUAL to an editor, or write ")
    assert not started.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model]]\nname = 7\n", "line 2"),
        ('includes = ["new"]\n', "includes new, which does not exist"),
        ("[[model]\n", "set new"),
    ],
)
def test_a_wrong_set_is_neither_stored_nor_thrown_away(
    rig: CommandRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("VISUAL", editor(tmp_path, text))
    done = rig.run("set", "edit", "new")
    assert done.code == 2
    assert said in done.err
    kept = Path(done.err.split("What you wrote is in ")[1].strip())
    assert kept.read_text() == text
    assert not WorkingSetStore(rig.folders.data).path("new").exists()


def test_a_set_that_includes_itself_through_another_is_not_stored(
    rig: CommandRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = WorkingSetStore(rig.folders.data)
    store.write_text("a", "")
    store.write_text("b", 'includes = ["a"]\n')
    monkeypatch.setenv("VISUAL", editor(tmp_path, 'includes = ["b"]\n'))
    done = rig.run("set", "edit", "a", answer="n\n")
    assert done.code == 4
    assert "sets include each other: a includes b includes a" in done.err
    assert store.path("a").read_text() == ""


def test_names_that_set_cannot_use(rig: CommandRig) -> None:
    assert rig.run("set", "show").code == 2
    assert rig.run("set", "list", "coding").code == 2
    assert rig.run("set", "edit", "../x").code == 2


# -- the journal -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_journal_tells_who_did_what(rig: CommandRig) -> None:
    empty = rig.run("log")
    assert (empty.code, empty.out) == (0, "")
    assert rig.run("log", "--json").document == {"schema_version": 1, "entries": []}
    assert rig.run("unload", EMBED).code == 0
    assert rig.run("free", "900GiB").code == 4
    lines = rig.run("log").out.splitlines()
    assert len([line for line in lines if not line.startswith(" ")]) == 2
    assert f"command  unload {EMBED}: done in " in lines[0]
    document = rig.run("log", "--json").document
    check_documented_log(document)
    assert [entry["ending"] for entry in document["entries"]] == ["done", "refused"]
    assert [entry["action"] for entry in rig.run("log", "--json", "--limit", "1").document["entries"]] == ["free"]
    assert rig.run("log", "--limit", "0").code == 2


def test_a_journal_that_cannot_be_read_is_told_and_is_a_failure(rig: CommandRig) -> None:
    FileJournal(rig.folders.state).path.mkdir(parents=True)
    for arguments in ((), ("--json",)):
        told = rig.run("log", *arguments)
        assert told.code == 1
        assert "journal.jsonl cannot be read: Is a directory" in told.err
        assert "nothing has been done yet" not in told.err
    assert told.document == {"schema_version": 1, "entries": []}


def check_documented_log(document: object) -> None:
    fields = {
        **LOG_FIELDS,
        "entries[].before[]": LOAD_FIELDS,
        "entries[].after[]": LOAD_FIELDS,
    }
    assert {"", "entries[]"} <= check_documented(document, fields)
