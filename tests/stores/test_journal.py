from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.actions.values import (
    ActionId,
    Danger,
    Ending,
    JournalEntry,
    Load,
    Origin,
    Preview,
    Refusal,
    Step,
    StepKind,
)
from gpudesk.clock import Clock
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.errors import StoreError
from gpudesk.stores.journal import FILE_NAME, OLDER_NAME, FileJournal
from gpudesk.stores.unfinished import UnfinishedAction
from gpudesk.stores.value_json import from_json, to_json

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
CHAT = Load("http://127.0.0.1:11434", "qwen3:14b", 16384, FOREVER, pinned=True, digest="ab" * 32, memory_bytes=9 << 30)
EMBED = Load("http://127.0.0.1:11434", "nomic-embed-text:latest", None, KeepAliveWish(1800.0), embedding=True)
SWAP = Preview(
    ActionId.SWAP,
    "qwen3:14b to gpt-oss:20b",
    steps=(
        Step(StepKind.UNLOAD, CHAT, 0.9, why="makes room for gpt-oss:20b"),
        Step(StepKind.PIN, EMBED, restore_pin=True),
    ),
    danger=Danger.REVERSIBLE,
    loses=("qwen3:14b is unloaded",),
    notes=("a note",),
    verdict="tight",
    needs_bytes=13 << 30,
    frees_bytes=0,
    expected_seconds=12.5,
    before=(CHAT, EMBED),
    refusal=Refusal("no", "why"),
)


def entry(number: int = 0, **changes: object) -> JournalEntry:
    """Make an entry."""
    values: dict[str, object] = {
        "at": NOON + timedelta(seconds=number),
        "action": "swap",
        "subject": f"model {number}",
        "who": Origin.GUARD,
        "ending": Ending.UNDONE,
        "message": "the engine said\nno “✓” \ud83d",
        "seconds": 1.25,
        "before": (CHAT,),
        "after": (CHAT, EMBED),
        "steps": ("gone after 0.2 s",),
        "why": "because",
        "hint": None,
    }
    return JournalEntry(**(values | changes))  # type: ignore[arg-type]


def test_what_is_written_is_read_newest_last(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "state")
    entries = [entry(number) for number in range(5)]
    for each in entries:
        journal.append(each)
    assert journal.problem is None
    assert journal.read(10) == entries
    assert journal.read(2) == entries[-2:]
    assert journal.read(0) == []
    assert len((tmp_path / "state" / FILE_NAME).read_bytes().splitlines()) == 5


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert FileJournal(tmp_path / "none").read(10) == []
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(1))
    (tmp_path / OLDER_NAME).mkdir()
    assert journal.read(10) == [entry(1)]
    assert journal.read_problem is not None
    assert OLDER_NAME in journal.read_problem
    assert "cannot be read: Is a directory" in journal.read_problem
    assert journal.problem is None
    (tmp_path / OLDER_NAME).rmdir()
    assert journal.read(10) == [entry(1)]
    assert journal.read_problem is None


def test_a_torn_last_line_spoils_only_itself(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(1))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"at":"2026-11-21T12:0')
    assert journal.read(10) == [entry(1)]
    journal.append(entry(2))
    assert journal.read(10) == [entry(1), entry(2)]


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"{}", b"\xff\x00", b"[" * 5000, b'{"at": 5}', b'{"at":"2026-11-21T12:00:00","action":"x"}'],
)
def test_lines_that_are_no_entries_are_passed_over(tmp_path: Path, line: bytes) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(1))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(line + b"\n")
    journal.append(entry(2))
    assert journal.read(10) == [entry(1), entry(2)]


def test_entries_of_a_newer_gpudesk_are_read_as_far_as_they_are_known(tmp_path: Path) -> None:
    data = to_json(entry(1)) | {"mood": "fine"}
    data["before"][0]["color"] = "red"
    (tmp_path / FILE_NAME).write_text(json.dumps(data) + "\n")
    assert FileJournal(tmp_path).read(1) == [entry(1)]


def test_at_its_bound_the_journal_keeps_one_older_file(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, bound_bytes=2000)
    for number in range(40):
        journal.append(entry(number))
        for name in (FILE_NAME, OLDER_NAME):
            if (tmp_path / name).exists():
                assert (tmp_path / name).stat().st_size <= 2000
    read = journal.read(100)
    assert 2 <= len(read) < 40
    assert read == [entry(number) for number in range(40 - len(read), 40)]
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, OLDER_NAME, "journal.lock"}


def test_an_entry_larger_than_the_bound_is_kept_all_the_same(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, bound_bytes=100)
    journal.append(entry(1))
    journal.append(entry(2))
    assert journal.read(5) == [entry(1), entry(2)]
    journal.append(entry(3))
    assert journal.read(5) == [entry(2), entry(3)]


APPEND = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gpudesk.actions.values import Ending, JournalEntry, Origin
from gpudesk.stores.journal import FileJournal
journal = FileJournal(Path(sys.argv[1]), bound_bytes=60_000)
for number in range(200):
    at = datetime(2026, 11, 21, tzinfo=UTC)
    journal.append(JournalEntry(at, "load", f"{sys.argv[2]} {number}", Origin.KEY, Ending.DONE, "x" * 50, 1.0))
    assert journal.problem is None, journal.problem
"""


def test_two_gpudesks_that_write_lose_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", APPEND, str(tmp_path)]
    children = [subprocess.Popen([*arguments, name]) for name in ("a", "b")]
    assert [child.wait(60) for child in children] == [0, 0]
    subjects = [each.subject for each in FileJournal(tmp_path, bound_bytes=60_000).read(1000)]
    assert sorted(subjects) == sorted(f"{name} {number}" for name in "ab" for number in range(200))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_remembered_and_what_is_there_stays(tmp_path: Path) -> None:
    """The limit on the size of files is real: the kernel takes a part of the line and then nothing."""
    code = (
        "import resource, sys; from pathlib import Path; from tests.stores.test_journal import entry\n"
        "from gpudesk.stores.journal import FileJournal\n"
        "journal = FileJournal(Path(sys.argv[1])); journal.append(entry(1))\n"
        "size = journal.path.stat().st_size\n"
        "for more in (20, 0):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, resource.RLIM_INFINITY))\n"
        "    journal.append(entry(2)); print(journal.problem)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "journal.append(entry(3)); print(journal.problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    first, second, third = done.stdout.splitlines()
    assert first.endswith("journal.jsonl cannot be written: No space left on device")
    assert "journal.jsonl cannot be written: File too large" in second
    assert third == "None"
    assert FileJournal(tmp_path).read(10) == [entry(1), entry(3)]


def test_a_line_that_cannot_be_written_raises_nothing_a_note_does(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    journal = FileJournal(tmp_path / "state")
    journal.append(entry(1))
    assert "journal.jsonl cannot be written" in (journal.problem or "")
    assert journal.read(3) == []
    with pytest.raises(StoreError, match=r"unfinished\.json cannot be written"):
        journal.begin(SWAP)
    with pytest.raises(StoreError, match=r"unfinished\.json cannot be read"):
        journal.finish()


def test_what_cannot_be_written_as_json_is_remembered(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(1, seconds=float("nan")))
    problems = [journal.problem]
    journal.append(entry(2))
    problems.append(journal.problem)
    assert problems == [f"{journal.path} cannot be written: Out of range float values are not JSON compliant", None]
    assert journal.read(5) == [entry(2)]


BEGIN = """
import sys
from pathlib import Path
from gpudesk.stores.journal import FileJournal
from tests.stores.test_journal import SWAP
journal = FileJournal(Path(sys.argv[1])); journal.begin(SWAP); print("begun", flush=True); sys.stdin.readline()
"""


def test_what_a_killed_gpudesk_was_doing_is_told_once_it_is_dead(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    arguments = [sys.executable, "-c", BEGIN, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        assert journal.unfinished() is None, "whoever does it still runs"
        journal.finish()
        assert (tmp_path / "unfinished.json").exists(), "it is not ours to forget"
        child.send_signal(signal.SIGKILL)
        child.wait()
    action = journal.unfinished_action()
    assert action is not None
    assert (action.preview, action.pid, journal.unfinished()) == (SWAP, child.pid, SWAP)
    journal.finish()
    assert journal.unfinished() is None
    assert not (tmp_path / "unfinished.json").exists()


def test_a_pid_that_was_given_out_again_is_another_process(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, clock=Clock(now=lambda: NOON))
    journal.begin(SWAP)
    assert journal.unfinished() is None
    path = tmp_path / "unfinished.json"
    data = json.loads(path.read_text())
    data["identity"] = "boot 1 tick 1"
    path.write_text(json.dumps(data))
    assert journal.unfinished_action() == UnfinishedAction(SWAP, NOON, os.getpid(), "boot 1 tick 1")


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.begin(SWAP)
    journal.finish()
    journal.finish()
    assert (journal.problem, journal.unfinished(), list(tmp_path.iterdir())) == (None, None, [])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"preview": {}}', b"\xff", b"[" * 5000])
def test_a_damaged_note_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "unfinished.json").write_bytes(content)
    journal = FileJournal(tmp_path)
    assert journal.unfinished() is None
    assert "what an earlier gpudesk was doing cannot be told" in (journal.problem or "")
    kept = list(tmp_path.iterdir())
    assert [path.read_bytes() for path in kept] == [content]
    assert kept[0].suffix == ".wrong"
    assert journal.unfinished() is None


def test_a_full_disk_while_beginning_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_values: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = FileJournal(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match=r"unfinished\.json cannot be written: the disk is full"):
            journal.begin(SWAP)
    assert list(tmp_path.iterdir()) == []


loads = st.builds(
    Load,
    engine_url=st.text(),
    name=st.text(),
    context_length=st.none() | st.integers(1, 1 << 24),
    keep_alive=st.none() | st.builds(KeepAliveWish, st.none() | st.floats(0, 1e9)),
    pinned=st.booleans(),
    embedding=st.booleans(),
    digest=st.none() | st.text(),
    memory_bytes=st.none() | st.integers(0, 1 << 50),
)
entries = st.builds(
    JournalEntry,
    at=st.datetimes(timezones=st.just(UTC)),
    action=st.sampled_from(ActionId).map(str),
    subject=st.text(),
    who=st.sampled_from(Origin),
    ending=st.sampled_from(Ending),
    message=st.text(),
    seconds=st.floats(0, 1e9),
    why=st.none() | st.text(),
    before=st.lists(loads, max_size=3).map(tuple),
    after=st.lists(loads, max_size=3).map(tuple),
    steps=st.lists(st.text(), max_size=3).map(tuple),
)


@pytest.mark.slow
@given(entries)
def test_every_entry_comes_back_as_it_was(value: JournalEntry) -> None:
    for whole in (False, True):
        assert from_json(JournalEntry, json.loads(json.dumps(to_json(value, whole=whole)))) == value


def test_a_whole_value_names_every_field() -> None:
    assert set(to_json(KeepAliveWish(), whole=True)) == {"seconds"}
    assert to_json(KeepAliveWish()) == {}
    assert to_json(SWAP, whole=True)["free_after_bytes"] is None


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"pinned": 1}, "Load.pinned is 1, expected bool"),
        ({"context_length": True}, "Load.context_length is True, expected int"),
        ({"context_length": "16k"}, "Load.context_length is '16k', expected int"),
        ({"name": None}, "Load.name is None, expected str"),
        ({"keep_alive": 5}, "Load.keep_alive is 5, expected an object"),
        ({"keep_alive": {"seconds": "5"}}, "Load.keep_alive.seconds is '5', expected float"),
    ],
)
def test_a_wrong_type_is_named(change: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        from_json(Load, to_json(CHAT) | change)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="Load has no engine_url, name"):
        from_json(Load, {})
    with pytest.raises(ValueError, match="kind is 'jump', which is none of them"):
        from_json(Step, {"kind": "jump", "load": to_json(CHAT)})


def test_what_any_gpudesk_asked_to_go_lately_is_told(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(0, before=(EMBED,), after=(), seconds=2.0))
    journal.append(entry(60, before=(CHAT, EMBED), after=(EMBED,), seconds=2.0))
    url, lately = CHAT.engine_url, NOON + timedelta(seconds=60)
    assert journal.dismissed(NOON + timedelta(seconds=62)) == [(url, CHAT.name, lately)]
    assert journal.dismissed(NOON + timedelta(seconds=63)) == []
    assert journal.dismissed(NOON) == [(url, EMBED.name, NOON), (url, CHAT.name, lately)]


def test_what_is_being_unloaded_now_is_told(tmp_path: Path) -> None:
    at = NOON + timedelta(minutes=5)
    FileJournal(tmp_path, clock=Clock(now=lambda: at, monotonic=lambda: 0.0)).begin(SWAP)
    assert FileJournal(tmp_path).dismissed(NOON) == [(CHAT.engine_url, CHAT.name, at)], "the pinned model stays"


def test_a_note_that_cannot_be_read_hides_no_entry(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.append(entry(0, before=(CHAT,), after=()))
    (tmp_path / "unfinished.json").write_text("{")
    assert [name for _, name, _ in journal.dismissed(NOON)] == [CHAT.name]
