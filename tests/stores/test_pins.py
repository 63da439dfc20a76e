from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.pin import PinSample, PinWish
from gpudesk.errors import StoreError
from gpudesk.stores.pins import BrokenPinsError, TomlPinStore
from gpudesk.stores.pins_toml import spliced
from gpudesk.stores.process_lock import ProcessLock
from gpudesk.text import clean

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
URL = "http://127.0.0.1:11434"
CHAT = PinWish(URL, "qwen3:14b", "ab" * 32, 16384, restore=True, since=NOON)
EMBED = PinWish(URL, "nomic-embed-text:latest")
FAR = PinWish("http://gpu-box:11434", "qwen3:14b", context_length=4096)

BY_HAND = """\
# the desk in the cellar

[[pin]]  # chat
model = 'qwen3:14b'
engine = "http://127.0.0.1:11434/"   # this one
context = 16_384

# what Continue needs
[[ "pin" ]]
engine = "http://127.0.0.1:11434"
model = "nomic-embed-text"

# the end
"""


@pytest.fixture
def store(tmp_path: Path) -> TomlPinStore:
    return TomlPinStore(tmp_path, now=lambda: NOON)


def written(store: TomlPinStore, text: str) -> PinSample:
    """Write the file by hand and read it."""
    store.path.write_text(text, encoding="utf-8")
    return store.sample()


def test_no_file_is_no_pin_and_none_is_made(store: TomlPinStore, tmp_path: Path) -> None:
    assert store.sample() == PinSample()
    assert not store.remove(URL, "qwen3:14b")
    assert not (tmp_path / "pins.toml").exists()


def test_pins_are_put_replaced_and_removed(store: TomlPinStore) -> None:
    for wish in (CHAT, EMBED, FAR):
        store.put(wish)
    assert store.sample() == PinSample((CHAT, EMBED, FAR))
    other = PinWish(URL, "qwen3:14b", context_length=8192)
    store.put(other)
    assert store.read() == (other, EMBED, FAR)
    assert store.remove(URL, "qwen3:14b")
    assert not store.remove(URL, "qwen3:14b")
    assert TomlPinStore(store.path.parent).read() == (EMBED, FAR)
    assert store.remove(URL, "nomic-embed-text"), "latest is meant"
    assert store.remove("http://gpu-box:11434/", "qwen3:14b")
    assert store.sample() == PinSample()


def test_the_file_can_be_read_by_people(store: TomlPinStore) -> None:
    store.put(CHAT)
    store.put(EMBED)
    assert store.path.read_text() == (
        "# What gpudesk keeps in video memory. Edit it by hand if you like:\n"
        "# gpudesk changes the pin it was asked about and nothing else.\n"
        "\n"
        "[[pin]]\n"
        'engine = "http://127.0.0.1:11434"\n'
        'model = "qwen3:14b"\n'
        "context = 16384\n"
        "restore = true\n"
        f'digest = "{"ab" * 32}"\n'
        "since = 2026-11-21 12:00:00+00:00\n"
        "\n"
        "[[pin]]\n"
        'engine = "http://127.0.0.1:11434"\n'
        'model = "nomic-embed-text:latest"\n'
    )


def test_what_was_written_by_hand_is_read(store: TomlPinStore) -> None:
    assert written(store, BY_HAND) == PinSample((PinWish(URL, "qwen3:14b", context_length=16384), EMBED))


def test_every_other_line_stays_as_it_is(store: TomlPinStore) -> None:
    written(store, BY_HAND)
    store.put(FAR)
    assert store.path.read_text() == BY_HAND + (
        '\n[[pin]]\nengine = "http://gpu-box:11434"\nmodel = "qwen3:14b"\ncontext = 4096\n'
    )
    store.remove("http://gpu-box:11434", "qwen3:14b")
    assert store.path.read_text().rstrip() == BY_HAND.rstrip()
    store.put(PinWish(URL, "qwen3:14b", context_length=8192))
    assert store.path.read_text().rstrip() == BY_HAND.rstrip().replace(
        "[[pin]]  # chat\nmodel = 'qwen3:14b'\nengine = \"http://127.0.0.1:11434/\"   # this one\ncontext = 16_384\n",
        '[[pin]]\nengine = "http://127.0.0.1:11434"\nmodel = "qwen3:14b"\ncontext = 8192\n',
    )
    store.remove(URL, "nomic-embed-text:latest")
    kept = store.path.read_text()
    assert "# what Continue needs" in kept
    assert kept.rstrip().endswith("# the end")
    assert "nomic" not in kept


def test_keys_nobody_knows_are_told_and_stay(store: TomlPinStore) -> None:
    text = (
        f'version = 2\n[[pin]]\nengine = "{URL}"\nmodel = "qwen3:14b"\ncontxt = 4096\nzzz = "fine"\n[[pins]]\nx = 1\n'
    )
    where = str(store.path)
    assert written(store, text).problems == (
        f"{where}: version is not known",
        f"{where}: pins is not known; did you mean [[pin]]?",
        f"{where} line 2: pin 1: contxt is not known and is ignored; did you mean context?",
        f"{where} line 2: pin 1: zzz is not known and is ignored",
    )
    store.put(CHAT)
    store.put(EMBED)
    data = tomllib.loads(store.path.read_text())
    assert data["version"] == 2
    assert data["pins"] == [{"x": 1}]
    assert data["pin"][0]["zzz"] == "fine"
    assert data["pin"][0]["contxt"] == 4096
    assert store.read() == (CHAT, EMBED)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('model = "a:b"', "engine is missing, expected an address"),
        (f'engine = "{URL}"', "model is missing, expected a name"),
        (f'engine = "{URL}"\nmodel = ""', "model is '', expected a name"),
        (f'engine = "{URL}"\nmodel = "a\\u001b[2J"', "model is 'a"),
        ('engine = 5\nmodel = "a:b"', "engine is 5, expected an address"),
        (f'engine = "{URL}"\nmodel = "a:b"\ncontext = "16k"', "context is '16k', expected tokens"),
        (f'engine = "{URL}"\nmodel = "a:b"\ncontext = true', "context is True, expected tokens"),
        (f'engine = "{URL}"\nmodel = "a:b"\ncontext = 0', "context is 0, expected tokens"),
        (f'engine = "{URL}"\nmodel = "a:b"\ncontext = 16777217', "context is 16777217, expected tokens"),
        (f'engine = "{URL}"\nmodel = "a:b"\nrestore = "yes"', "restore is 'yes', expected true or false"),
        (f'engine = "{URL}"\nmodel = "a:b"\nsince = "today"', "since is 'today', expected a time with its zone"),
        (f'engine = "{URL}"\nmodel = "a:b"\nsince = 2026-11-21T12:00:00', "expected a time with its zone"),
        (f'engine = "{URL}"\nmodel = "a:b"\nsince = 2026-11-21', "expected a time with its zone"),
        (f'engine = "{URL}"\nmodel = "a:b"\ndigest = 5', "digest is 5, expected the digest in quotes"),
    ],
)
def test_a_pin_that_cannot_be_is_told_with_its_line_and_the_others_count(
    store: TomlPinStore, lines: str, complaint: str
) -> None:
    sample = written(store, f'[[pin]]\n{lines}\n[[pin]]\nengine = "{URL}"\nmodel = "c:d"\n')
    assert sample.wishes == (PinWish(URL, "c:d"),)
    (problem,) = sample.problems
    assert problem.startswith(f"{store.path} line 1: pin 1: ")
    assert complaint in problem
    assert "\x1b" not in problem
    store.put(EMBED)
    assert lines.splitlines()[0] in store.path.read_text(), "what is wrong is not thrown away"


def test_a_model_that_is_pinned_twice_is_told_and_can_be_unpinned(store: TomlPinStore) -> None:
    entry = f'[[pin]]\nengine = "{URL}"\nmodel = "a:b"\n'
    sample = written(store, entry + "context = 1\n" + entry + "context = 2\n")
    assert sample.wishes == (PinWish(URL, "a:b", context_length=1),)
    assert sample.problems == (f"{store.path} line 5: a:b is pinned twice; the first one counts",)
    assert store.remove(URL, "a:b")
    assert store.sample() == PinSample()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[[pin]]\nengine = \n", "not valid TOML: Invalid value (at line 2, column 10)"),
        (b"[[pin", "not valid TOML"),
        (b"\n\xff", "not UTF-8 at line 2"),
        (b"x = " + b"[" * 5000, "is "),
        (b"pin = 5", "wrong: pin is no list"),
        (b"[pin]\nmodel = 1", "wrong: pin is no list"),
        (b"x = 1" + b"0" * 5000, "not valid TOML"),
    ],
)
def test_a_broken_file_is_not_believed_and_never_lost(store: TomlPinStore, content: bytes, reason: str) -> None:
    store.path.write_bytes(content)
    sample = store.sample()
    assert sample.wishes == ()
    assert reason in sample.problems[0]
    with pytest.raises(BrokenPinsError, match=r"pins\.toml is "):
        store.remove(URL, "a:b")
    assert store.path.read_bytes() == content, "reading sets nothing aside: an editor may be at it"
    store.put(CHAT)
    assert store.sample() == PinSample(
        (CHAT,),
        ("pins.toml.20261121T120000Z.wrong holds pins that could not be read: put them back by hand, or delete it",),
    )
    assert (store.path.parent / "pins.toml.20261121T120000Z.wrong").read_bytes() == content


def test_pins_that_were_known_outlive_a_file_that_breaks(store: TomlPinStore) -> None:
    store.put(CHAT)
    assert store.read() == (CHAT,)
    assert written(store, "[[pi").wishes == (CHAT,)
    store.put(EMBED)
    assert TomlPinStore(store.path.parent).read() == (CHAT, EMBED)


def test_pins_are_gone_when_their_file_is(store: TomlPinStore) -> None:
    store.put(CHAT)
    assert store.read() == (CHAT,)
    store.path.unlink()
    assert store.sample() == PinSample()


def test_inline_tables_are_understood_and_written_anew(store: TomlPinStore) -> None:
    sample = written(store, f'pin = [{{engine = "{URL}", model = "a:b"}}, {{engine = "{URL}", model = "c:d"}}]\n')
    assert sample == PinSample((PinWish(URL, "a:b"), PinWish(URL, "c:d")))
    store.put(CHAT)
    store.remove(URL, "a:b")
    assert store.sample() == PinSample((PinWish(URL, "c:d"), CHAT))


def test_text_that_looks_like_a_header_confuses_nothing(store: TomlPinStore) -> None:
    text = f'note = """\n[[pin]]\n[[pin]]\n"""\n[[pin]]\nengine = "{URL}"\nmodel = "a:b"\n[pin.extra]\nx = 1\n'
    assert written(store, text).wishes == (PinWish(URL, "a:b"),)
    store.put(CHAT)
    assert store.remove(URL, "a:b")
    assert store.read() == (CHAT,)
    assert tomllib.loads(store.path.read_text())["note"] == "[[pin]]\n[[pin]]\n"


@pytest.mark.parametrize(
    "wish", [PinWish(URL, ""), PinWish("", "a:b"), PinWish(URL, "a\x1b:b"), PinWish(URL, "a:b", context_length=0)]
)
def test_what_could_not_be_read_back_is_not_written(store: TomlPinStore, wish: PinWish) -> None:
    with pytest.raises(StoreError, match=r"cannot be pinned: it: .* expected"):
        store.put(wish)
    assert not store.path.exists()


def test_a_time_of_another_zone_is_the_same_time(store: TomlPinStore) -> None:
    store.put(PinWish(URL, "a:b", since=NOON.astimezone(timezone(timedelta(hours=5)))))
    assert store.read() == (PinWish(URL, "a:b", since=NOON),)
    assert store.read()[0].since is not None
    assert (
        written(store, f'[[pin]]\nengine="{URL}"\nmodel="a:b"\nsince=2026-11-21T17:00:00+05:00').wishes[0].since == NOON
    )


def test_a_file_that_cannot_be_written_stays_whole(store: TomlPinStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(CHAT)
    before = store.path.read_bytes()

    def full(*_values: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for work in (lambda: store.put(EMBED), lambda: store.remove(URL, "qwen3:14b")):
            with pytest.raises(StoreError, match=r"pins\.toml cannot be written: the disk is full"):
                work()
    assert store.path.read_bytes() == before
    assert {path.name for path in store.path.parent.iterdir()} == {"pins.toml", "pins.lock"}


def test_a_folder_in_its_place_is_told(store: TomlPinStore) -> None:
    store.path.mkdir()
    assert "pins.toml is a folder" in store.sample().problems[0]
    for work in (lambda: store.put(CHAT), lambda: store.remove(URL, "a:b")):
        with pytest.raises(StoreError):
            work()


def test_a_file_of_another_kind_is_not_read_into_memory(store: TomlPinStore) -> None:
    with store.path.open("wb") as file:
        file.truncate(5 << 30)
    assert "is larger than 1 MiB" in store.sample().problems[0]


def test_a_gpudesk_that_does_not_let_go_is_told(store: TomlPinStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpudesk.stores.pins._WAIT_SECONDS", 0.0)
    with (
        ProcessLock(store.path.parent / "pins.lock").hold("changing the pin of b"),
        pytest.raises(
            StoreError, match=r"pins\.toml cannot be written: this gpudesk is at work: changing the pin of b"
        ),
    ):
        store.put(CHAT)


WRITER = """
import sys
from pathlib import Path
from gpudesk.domain.pin import PinWish
from gpudesk.stores.pins import TomlPinStore
store = TomlPinStore(Path(sys.argv[1]))
for number in range(20):
    store.put(PinWish("http://x", f"{sys.argv[2]}:{number}"))
    store.put(PinWish("http://x", f"{sys.argv[2]}:gone"))
    assert store.remove("http://x", f"{sys.argv[2]}:gone")
"""


@pytest.mark.slow
def test_gpudesks_that_write_at_once_lose_nothing(store: TomlPinStore) -> None:
    arguments = [sys.executable, "-c", WRITER, str(store.path.parent)]
    children = [subprocess.Popen([*arguments, name]) for name in "abc"]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    sample = store.sample()
    assert sample.problems == ()
    assert sorted(wish.name for wish in sample.wishes) == sorted(f"{name}:{n}" for name in "abc" for n in range(20))


shown = st.text(min_size=1, max_size=30).filter(lambda text: clean(text) == text)
wishes = st.builds(
    PinWish,
    engine_url=shown.filter(lambda url: not url.endswith("/")),
    name=shown.map(lambda name: f"{name}:x").filter(lambda name: clean(name) == name),
    digest=st.none() | shown,
    context_length=st.none() | st.integers(1, 1 << 24),
    restore=st.booleans(),
    since=st.none() | st.datetimes(timezones=st.just(UTC)),
)


@pytest.mark.slow
@given(st.lists(wishes, max_size=6), st.lists(st.integers(0, 5), max_size=3))
def test_any_pins_come_back_as_they_were_put(put: list[PinWish], removed: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        store = TomlPinStore(Path(name))
        expected: dict[tuple[str, str], PinWish] = {}
        for wish in put:
            store.put(wish)
            expected[wish.engine_url, wish.name] = wish
        for number in removed:
            if number < len(put):
                there = expected.pop((put[number].engine_url, put[number].name), None)
                assert store.remove(put[number].engine_url, put[number].name) == (there is not None)
        assert store.sample() == PinSample(tuple(expected.values()))


def test_removing_all_leaves_the_heading_and_no_pile_of_blank_lines(store: TomlPinStore) -> None:
    for _ in range(3):
        store.put(CHAT)
        store.put(EMBED)
        store.remove(URL, EMBED.name)
        store.remove(URL, CHAT.name)
    assert len(store.path.read_text().splitlines()) <= 3
    assert spliced("", {}, [], None).startswith("# What gpudesk keeps")
