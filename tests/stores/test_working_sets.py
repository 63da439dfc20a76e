from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.errors import StoreError, UsageError
from gpudesk.quantities import KEEP_ALIVE_SECONDS_MOST
from gpudesk.stores.working_set_toml import check_name, parse, to_toml
from gpudesk.stores.working_sets import ListedSet, WorkingSetStore
from gpudesk.text import clean

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
CHAT = SetModel("qwen3:14b", 16384, FOREVER, pinned=True)
COMPLETE = SetModel("qwen2.5-coder:1.5b", 4096, KeepAliveWish(5400.0))
EMBED = SetModel("nomic-embed-text:latest", engine_url="http://gpu-box:11434")
CODING = WorkingSet("coding", (CHAT, COMPLETE, EMBED), "chat and “more”", ("base",), keeps_others=True, key="1")

CODING_TEXT = """\
description = "chat and “more”"
key = "1"
includes = [
    "base",
]
keeps_others = true

[[model]]
name = "qwen3:14b"
context = 16384
keep_alive = "forever"
pinned = true

[[model]]
name = "qwen2.5-coder:1.5b"
context = 4096
keep_alive = "1h30m"

[[model]]
name = "nomic-embed-text:latest"
engine = "http://gpu-box:11434"
"""


@pytest.fixture
def store(tmp_path: Path) -> WorkingSetStore:
    return WorkingSetStore(tmp_path, now=lambda: NOON)


def put(store: WorkingSetStore, **texts: str) -> None:
    """Write sets by hand."""
    store.folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (store.folder / f"{name}.toml").write_text(text, encoding="utf-8")


def models(*names: str) -> str:
    """Return the text of a set of models."""
    return "".join(f'[[model]]\nname = "{name}"\n' for name in names)


def test_a_set_is_written_to_be_read() -> None:
    assert to_toml(CODING) == CODING_TEXT
    assert parse(CODING_TEXT, "coding") == CODING
    assert to_toml(WorkingSet("empty")) == ""
    assert parse("", "empty") == WorkingSet("empty")


def test_what_people_write_is_read() -> None:
    text = (
        "\ufeff# mine\r\n[[model]]\r\nname = 'a:b' # chat\r\nkeep_alive = -1\r\nengine = 'http://x/'\r\n"
        "[[model]]\r\nname = 'c:d'\r\nkeep_alive = 0\r\n[[model]]\r\nname = 'a:b'\r\nengine = 'http://y'\r\n"
        "[[model]]\nname = 'e:f'\nkeep_alive = ' 90 Minutes '\n"
    )
    with pytest.raises(UsageError, match=r"model 4\.keep_alive"):
        parse(text, "mine")
    assert parse(text.replace("' 90 Minutes '", "'90 Minutes'"), "mine").models == (
        SetModel("a:b", keep_alive=FOREVER, engine_url="http://x"),
        SetModel("c:d", keep_alive=KeepAliveWish(0.0)),
        SetModel("a:b", engine_url="http://y"),
        SetModel("e:f", keep_alive=KeepAliveWish(5400.0)),
    )


def test_the_same_model_said_twice_alike_is_one() -> None:
    assert parse(models("a:b", "c:d", "a:b"), "mine").models == (SetModel("a:b"), SetModel("c:d"))


def test_until_counts_from_now_and_needs_one() -> None:
    text = models("a:b") + 'keep_alive = "until 2026-11-21 23:59"\n'
    (model,) = parse(text, "mine", NOON).models
    assert model.keep_alive is not None
    assert model.keep_alive.seconds is not None
    with pytest.raises(UsageError, match=r"set mine line 3: .*a time of day has no meaning here"):
        parse(text, "mine")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("x = \n", "set mine: not valid TOML: Invalid value (at line 1", None),
        ('a = "', "the end of the file", None),
        ("desciption = 'x'", "set mine line 1: desciption is not known", "Did you mean description?"),
        ("[[models]]\nname = 'a:b'", "set mine line 1: models is not known", "Did you mean model?"),
        ("[model]\nname = 'a:b'", "set mine line 1: model is one table", "Write [[model]], with two brackets"),
        ("model = ['a:b']", "model 1 is 'a:b', expected a table", "Write [[model]]"),
        ("[[model]]\nnam = 'a:b'", "set mine line 2: model 1: nam is not known", "Did you mean name?"),
        (
            models("a:b") + "\n# here\n[[model]]\nname = 'c:d'\ncontxt = 5",
            "line 7: model 2: contxt is not known",
            "Did you mean context?",
        ),
        (models("a:b") + "zzz = 1", "line 3: model 1: zzz is not known", "Known are name, context"),
        ("[[model]]\ncontext = 5", "set mine line 1: model 1 has no name", 'Add name = "qwen3:14b"'),
        ("[[model]]\nname = 5", "line 2: model 1.name is 5, expected a name", None),
        ("[[model]]\nname = ''", "line 2: model 1.name is '', expected a name", None),
        ("[[model]]\nname = 'a\\tb'\n".replace("'", '"'), "line 2: model 1.name is 'a", None),
        (models("a:b") + "context = '16k'", "line 3: model 1.context is '16k', expected tokens", None),
        (models("a:b") + "context = true", "line 3: model 1.context is True, expected tokens", None),
        (models("a:b") + "context = 0", "line 3: model 1.context is 0, expected tokens", None),
        (models("a:b") + "context = 99999999", "line 3: model 1.context is 99999999, expected tokens", None),
        (models("a:b") + "context = 1.5", "line 3: model 1.context is 1.5, expected tokens", None),
        (models("a:b") + "pinned = 1", "line 3: model 1.pinned is 1, expected true or false", None),
        (models("a:b") + "engine = ['x']", "line 3: model 1.engine is ['x'], expected an address", None),
        (models("a:b") + "keep_alive = 1800", "model 1.keep_alive is 1800, without a unit", 'Write "1800s" or "1800m"'),
        (models("a:b") + "keep_alive = true", "line 3: model 1.keep_alive is True, expected a text", None),
        (models("a:b") + "keep_alive = 1.5", "line 3: model 1.keep_alive is 1.5, expected a text", None),
        (models("a:b") + "keep_alive = 'soon'", "line 3: model 1.keep_alive: soon is no keep-alive", "Write 5m, 2h30m"),
        ("includes = 'base'", "line 1: includes is 'base', expected names of sets", None),
        ("includes = [1]", "line 1: includes is [1], expected names of sets", None),
        ("keeps_others = 'yes'", "line 1: keeps_others is 'yes', expected true or false", None),
        ("description = 5", "line 1: description is 5, expected a text", None),
        ("key = 1", "line 1: key is 1, expected one key", None),
        ("key = 'f1'", "line 1: key is 'f1', expected one key", None),
        ("key = ' '", "line 1: key is ' ', expected one key", None),
        (models("a:b", "a:b") + "context = 5", "line 3: a:b is in it twice and differs", "Leave one of them"),
        (models(*(f"m:{n}" for n in range(101))), "101 models, at most 100 make a set", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "mine", NOON)
    assert message in caught.value.message
    assert hint is None or (caught.value.hint or "").startswith(hint)


GOOD_NAMES = ["coding", "Coding-2", "a", "1", "v1.2", "a_b", "x" * 64, "console", "com10"]
BAD_NAMES = [
    "", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", ".hidden", "-x", "_x", "a.", "con", "CON", "nul.x", "com1",
    "x" * 65, "a b", " a", "a\n", "a\x00b", "\x1b[2J", "é", "\u202ea", "c:x", "a*", "~", "a\u2044b",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_sets(store: WorkingSetStore, name: str) -> None:
    assert check_name(name) == name
    store.write(WorkingSet(name, (CHAT,)))
    assert store.names() == (name,)
    assert store.read(name).models == (CHAT,)
    store.delete(name)
    assert store.list() == ()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_names_of_sets(store: WorkingSetStore, name: str) -> None:
    store.folder.mkdir()
    for work in (
        store.read,
        store.read_as_written,
        store.delete,
        store.path,
        lambda name: store.write(WorkingSet(name)),
    ):
        with pytest.raises(UsageError) as caught:
            work(name)
        assert caught.value.hint
        assert clean(caught.value.message) == caught.value.message
    assert list(store.folder.iterdir()) == []


def test_a_set_is_stored_read_and_deleted(store: WorkingSetStore) -> None:
    assert store.list() == ()
    put(store, base=models("base:1"))
    store.write(CODING)
    assert (store.folder / "coding.toml").read_text(encoding="utf-8") == CODING_TEXT
    assert store.read_as_written("coding") == CODING
    assert store.read("coding").models == (*CODING.models, SetModel("base:1"))
    assert store.included_by("base") == ("coding",)
    assert store.included_by("coding") == ()
    store.delete("coding")
    assert store.names() == ("base",)
    with pytest.raises(UsageError, match="there is no set coding"):
        store.delete("coding")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_a_set_is_made_to_be_shared_and_linked(store: WorkingSetStore, tmp_path: Path) -> None:
    store.write(WorkingSet("coding", (CHAT,)))
    assert (store.folder / "coding.toml").stat().st_mode & 0o777 == 0o644 & ~_umask()
    (tmp_path / "dotfiles.toml").write_text(models("a:b"))
    (store.folder / "linked.toml").symlink_to(tmp_path / "dotfiles.toml")
    assert store.read("linked").models == (SetModel("a:b"),)
    store.write(WorkingSet("linked", (EMBED,)))
    assert (store.folder / "linked.toml").is_symlink()
    assert "nomic" in (tmp_path / "dotfiles.toml").read_text()
    store.delete("linked")
    assert (tmp_path / "dotfiles.toml").exists()


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_a_set_that_is_not_there_is_told_with_what_is(store: WorkingSetStore) -> None:
    with pytest.raises(UsageError, match="there is no set coding") as caught:
        store.read("coding")
    assert caught.value.hint == "There are none yet: gpudesk set save NAME makes one"
    put(store, coding=models("a:b"), writing="")
    with pytest.raises(UsageError) as caught:
        store.read("codin")
    assert caught.value.hint == "Did you mean coding?"
    with pytest.raises(UsageError) as caught:
        store.read("zzz")
    assert caught.value.hint == "There are: coding, writing"


def test_included_sets_belong_to_it_in_order_and_once(store: WorkingSetStore) -> None:
    put(
        store,
        top='includes = ["left", "right"]\n' + models("own:1"),
        left='includes = ["base"]\n' + models("left:1"),
        right='includes = ["base"]\n' + models("right:1"),
        base=models("base:1"),
    )
    top = store.read("top")
    assert [model.name for model in top.models] == ["own:1", "left:1", "base:1", "right:1"]
    assert top.includes == ("left", "right")
    assert [each.problems for each in store.list()] == [(), (), (), ()]


def test_a_missing_include_is_told_with_the_nearest(store: WorkingSetStore) -> None:
    put(store, coding='includes = ["bas"]\n', base="")
    with pytest.raises(UsageError, match="set coding includes bas, which does not exist") as caught:
        store.read("coding")
    assert caught.value.hint == "Did you mean base?"
    put(store, coding='includes = ["../base"]\n')
    with pytest.raises(UsageError, match=r"set coding includes \.\./base, which does not exist"):
        store.read("coding")


@pytest.mark.parametrize(
    ("texts", "circle"),
    [
        ({"a": '["a"]'}, "a includes a"),
        ({"a": '["b"]', "b": '["a"]'}, "a includes b includes a"),
        ({"a": '["x", "b"]', "b": '["c"]', "c": '["b"]', "x": "[]"}, "b includes c includes b"),
    ],
)
def test_sets_that_include_each_other_are_told(store: WorkingSetStore, texts: dict[str, str], circle: str) -> None:
    put(store, **{name: f"includes = {text}\n" for name, text in texts.items()})
    with pytest.raises(UsageError) as caught:
        store.read("a")
    assert caught.value.message == f"sets include each other: {circle}"
    assert caught.value.hint
    assert store.list()[0].working_set is None


def test_includes_have_a_depth_and_a_width_that_ends(store: WorkingSetStore) -> None:
    put(store, **{f"s{number}": f'includes = ["s{number + 1}"]\n' for number in range(30)}, s30="")
    with pytest.raises(UsageError, match="set s0 includes sets more than 20 deep"):
        store.read("s0")
    wide = {
        f"w{level}x{n}": f"includes = {[f'w{level + 1}x{m}' for m in range(8)]}\n"
        for level in range(15)
        for n in range(8)
    }
    put(store, **wide, **{f"w15x{n}": models(f"m:{n}") for n in range(8)})
    assert len(store.read("w0x0").models) == 8


def test_included_sets_must_agree_unless_the_set_itself_says(store: WorkingSetStore) -> None:
    put(
        store,
        top='includes = ["left", "right"]\n',
        left=models("a:b") + "context = 1\n",
        right=models("a:b") + "context = 2\n",
    )
    with pytest.raises(UsageError, match="sets left and right differ about a:b, and set top includes both") as caught:
        store.read("top")
    assert caught.value.hint == "Say in top how a:b shall be loaded"
    put(store, top='includes = ["left", "right"]\n' + models("a:b") + "context = 3\n")
    assert store.read("top").models == (SetModel("a:b", 3),)


def test_the_list_shows_every_set_and_what_is_wrong(store: WorkingSetStore) -> None:
    put(
        store,
        good='key = "1"\n',
        other='key = "1"\n',
        third='key = "2"\n',
        wrong="key = 1\n",
        above='includes = ["wrong"]',
    )
    (store.folder / "notes.txt").write_text("not a set")
    (store.folder / "b a d.toml").write_text("")
    (store.folder / ".gpudesk-1.toml").write_text("")
    (store.folder / "folder.toml").mkdir()
    (store.folder / "utf.toml").write_bytes(b"\n\xff")
    listed = {each.name: each for each in store.list()}
    assert listed["good"] == ListedSet("good", WorkingSet("good", key="1"), ("key 1 is also that of other",))
    assert listed["other"].problems == ("key 1 is also that of good",)
    assert listed["third"] == ListedSet("third", WorkingSet("third", key="2"))
    assert listed["wrong"].problems == ('set wrong line 1: key is 1, expected one key, such as "1"',)
    assert listed["above"].problems == listed["wrong"].problems
    assert "is no name for a set" in listed["b a d"].problems[0]
    assert "is a folder" in listed["folder"].problems[0]
    assert listed["utf"].problems == ("set utf: not UTF-8 at line 2. Save the file as UTF-8",)
    assert set(listed) == {"good", "other", "third", "wrong", "above", "b a d", "folder", "utf"}


def test_a_name_that_differs_in_capitals_only_is_refused(store: WorkingSetStore) -> None:
    store.write(WorkingSet("coding"))
    with pytest.raises(UsageError, match="there is a set coding"):
        store.write(WorkingSet("Coding"))
    store.write(WorkingSet("coding", (CHAT,)))


@pytest.mark.parametrize(
    "broken",
    [
        WorkingSet("x", (SetModel(""),)),
        WorkingSet("x", (SetModel("a\x1b"),)),
        WorkingSet("x", (SetModel("a", 0),)),
        WorkingSet("x", (SetModel("a"), SetModel("a", 5))),
        WorkingSet("x", key="ab"),
        WorkingSet("x", description="two\nlines"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(store: WorkingSetStore, broken: WorkingSet) -> None:
    with pytest.raises(UsageError):
        store.write(broken)
    assert store.names() == ()


def test_a_full_disk_leaves_the_earlier_set(store: WorkingSetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_values: object) -> int:
        raise OSError(28, "No space left on device")

    store.write(WorkingSet("coding", (CHAT,)))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"coding\.toml cannot be written: the disk is full"):
        store.write(WorkingSet("coding", (EMBED,)))
    assert store.read("coding").models == (CHAT,)
    assert [path.name for path in store.folder.iterdir()] == ["coding.toml"]


def test_a_file_in_place_of_the_folder_is_told(store: WorkingSetStore) -> None:
    store.folder.write_text("")
    for work in (store.names, store.list, lambda: store.read("a"), lambda: store.write(WorkingSet("a"))):
        with pytest.raises(StoreError, match="sets"):
            work()


shown = st.text(min_size=1, max_size=30).filter(lambda text: clean(text) == text)
addresses = shown.filter(lambda url: not url.endswith("/"))
wishes = (
    st.none()
    | st.none().map(KeepAliveWish)
    | st.integers(0, KEEP_ALIVE_SECONDS_MOST).map(lambda n: KeepAliveWish(float(n)))
)
set_models = st.builds(
    SetModel,
    name=shown,
    context_length=st.none() | st.integers(1, 1 << 24),
    keep_alive=wishes,
    pinned=st.booleans(),
    engine_url=st.none() | addresses,
)
sets = st.builds(
    WorkingSet,
    name=st.sampled_from(GOOD_NAMES),
    models=st.lists(set_models, max_size=5, unique_by=lambda model: (model.engine_url, model.name)).map(tuple),
    description=st.none() | shown,
    includes=st.lists(st.sampled_from(GOOD_NAMES), max_size=3, unique=True).map(tuple),
    keeps_others=st.booleans(),
    key=st.none() | st.characters(categories=("L", "N", "P")).filter(lambda key: key.isprintable()),
)


@pytest.mark.slow
@given(sets)
def test_any_set_comes_back_as_it_was(value: WorkingSet) -> None:
    assert parse(to_toml(value), value.name) == value
