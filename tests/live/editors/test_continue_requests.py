"""An editor's requests for the configuration that gpudesk writes leave pins and contexts alone; its defaults do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gpudesk.domain.event import EventKind
from gpudesk.domain.keep_alive import FOREVER
from gpudesk.domain.pin import Pin, PinCause
from gpudesk.exports.editor import Surroundings
from gpudesk.exports.editors.continue_dev import Continue
from gpudesk.exports.text_file import read_text
from gpudesk.exports.values import Chosen, ChosenModel, Role, Way
from gpudesk.exports.yaml_tree import read
from tests.live.editors.continue_requests import ContinueModel
from tests.live.editors.watching import WatchedEngine
from tests.live.models import CHAT, CODE, EMBED, PREFIX, WIDE, WIDE_CONTEXT
from tests.live.residency import check_forever, check_stay, load, settle
from tests.live.subject import Machine, Subject

CHAT_CONTEXT = 1024
TAB_CONTEXT = 768
TOKENS = 4
"""As many as a tiny model shall say, so that a test takes no minutes."""
CHATS = 10
COMPLETIONS = 100
HALF_HOUR = 1800.0
TALKING = (Role.CHAT, Role.EDIT, Role.APPLY)
FILLING = f"{PREFIX}filling:latest"
"""A model whose template fills in the middle by itself."""


@pytest.fixture(autouse=True)
def hurried(machine: Machine) -> Iterator[None]:
    """Answers as fast as they can be."""
    with machine.hurried():
        yield


@pytest.fixture
def watched(own_models: Subject, machine: Machine, tmp_path: Path) -> Iterator[WatchedEngine]:
    """gpudesk, looking at the engine."""
    watched = WatchedEngine(own_models, machine, tmp_path / "watched")
    yield watched
    watched.close()


@pytest.fixture
def played() -> Iterator[ExitStack]:
    """Closes every model that a test plays."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def filling(own_models: Subject) -> Iterator[str]:
    """The model whose template fills in the middle; deleted again."""
    template = "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}"
    if own_models.version < (0, 5, 5):
        recipe: dict[str, Any] = {"modelfile": f'FROM {CODE}\nTEMPLATE """{template}"""\n'}
    else:
        recipe = {"from": CODE, "template": template}
    made = own_models.api.post("/api/create", model=FILLING, stream=False, **recipe)
    assert made.status == 200, made
    yield FILLING
    own_models.api.unload(FILLING)
    assert own_models.api.request("DELETE", "/api/delete", {"model": FILLING}).status == 200


def chosen(subject: Subject, name: str, *roles: Role, context: int | None, baked_in: bool = False) -> ChosenModel:
    """A model as a user of gpudesk chooses it; answers are short here."""
    return ChosenModel(name, roles, subject.api.url, context, baked_in, FOREVER, TOKENS)


def written(tmp_path: Path, way: Way, *models: ChosenModel) -> list[Mapping[str, Any]]:
    """Write a configuration as gpudesk does, and return the entries that Continue then has."""
    around = Surroundings(tmp_path, {}, "linux")
    folder = tmp_path / ".continue"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "name: Local Config\nversion: 1.0.0\nschema: v1\nmodels: []\n", encoding="utf-8"
    )
    for change in Continue().export(Chosen(models), around, way).changes:
        assert change.after is not None
        change.path.parent.mkdir(exist_ok=True)
        change.path.write_bytes(change.after)
    files = [folder / "config.yaml", *folder.glob("models/*.yaml")]
    documents = [read(read_text(path).text) for path in files]
    return [entry for document in documents for entry in document.data(document.root)["models"]]


def of_role(entries: list[Mapping[str, Any]], role: Role) -> Mapping[str, Any]:
    """Return the one entry that has a role."""
    (entry,) = [each for each in entries if role.value in each["roles"]]
    return entry


def defaults(subject: Subject, name: str, role: Role, **options: Any) -> Mapping[str, Any]:
    """An entry as most people have it: nothing is said of residency."""
    entry: dict[str, Any] = {"name": "mine", "provider": "ollama", "model": name, "apiBase": subject.api.url}
    return {**entry, "roles": [role.value], "defaultCompletionOptions": {"maxTokens": TOKENS, **options}}


def pinned(subject: Subject, watched: WatchedEngine, contexts: Mapping[str, int | None]) -> None:
    """Load models for good, and pin them, as gpudesk does."""
    for name, context in contexts.items():
        load(subject, name, keep_alive=-1, **({} if context is None else {"options": {"num_ctx": context}}))
        watched.pin(name, context)
    watched.look()
    assert [(state.pin, state.cause) for state in watched.look().pins] == [(Pin.HELD, None)] * len(contexts)


def check_untouched(subject: Subject, watched: WatchedEngine, machine: Machine, before: object, *names: str) -> None:
    """Everything is as it was: processes, keep-alive, pins, and nothing was told."""
    settle(subject)
    assert machine.runners() == before, "a model was loaded anew"
    for name in names:
        check_forever(subject, name)
    desk = watched.look()
    assert {(state.wish.name, state.pin, state.losses) for state in desk.pins} == {(n, Pin.HELD, ()) for n in names}
    told = {EventKind.PIN_LOST, EventKind.RELOADED, EventKind.KEEP_ALIVE_CHANGED, EventKind.EVICTED}
    assert [event.message for event in desk.events if event.kind in told] == []


@pytest.mark.slow
@pytest.mark.parametrize("knows_keep_alive", [True, False], ids=["1.2.19 and later", "before 1.2.19"])
@pytest.mark.parametrize("way", [Way.OWN_FILE, Way.MERGE])
def test_pins_and_contexts_survive_ten_chats_and_a_hundred_completions(
    own_models: Subject,
    machine: Machine,
    watched: WatchedEngine,
    played: ExitStack,
    tmp_path: Path,
    way: Way,
    knows_keep_alive: bool,
) -> None:
    entries = written(
        tmp_path,
        way,
        chosen(own_models, CHAT, *TALKING, context=CHAT_CONTEXT),
        chosen(own_models, CODE, Role.AUTOCOMPLETE, context=TAB_CONTEXT),
    )
    chat, tab = (
        ContinueModel(of_role(entries, role), knows_keep_alive=knows_keep_alive)
        for role in (Role.CHAT, Role.AUTOCOMPLETE)
    )
    played.callback(chat.close)
    played.callback(tab.close)
    pinned(own_models, watched, {CHAT: CHAT_CONTEXT, CODE: TAB_CONTEXT})
    before = machine.runners()
    assert len(before) == 2
    for round_ in range(CHATS):
        chat.chat(until_end=round_ % 2 == 0)
        for press in range(COMPLETIONS // CHATS):
            tab.complete(until_end=press % 3 == 0)
        watched.look()
    assert [path for path, _ in chat.sent] == ["/api/show", *["/api/chat"] * CHATS]
    assert [path for path, _ in tab.sent] == ["/api/show", *["/api/generate"] * COMPLETIONS]
    check_untouched(own_models, watched, machine, before, CHAT, CODE)


def test_embeddings_leave_the_pin_of_their_model_alone(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, tmp_path: Path
) -> None:
    entries = written(tmp_path, Way.OWN_FILE, chosen(own_models, EMBED, Role.EMBED, context=None))
    embed = ContinueModel(of_role(entries, Role.EMBED))
    played.callback(embed.close)
    pinned(own_models, watched, {EMBED: None})
    before = machine.runners()
    for _ in range(CHATS):
        embed.embed("def add", "return a")
    assert embed.sent[-1] == ("/api/embed", {"model": EMBED, "input": ["def add", "return a"], "keep_alive": -1})
    check_untouched(own_models, watched, machine, before, EMBED)


def test_a_first_embedding_loads_its_model_for_good(
    own_models: Subject, watched: WatchedEngine, played: ExitStack, tmp_path: Path
) -> None:
    entries = written(tmp_path, Way.OWN_FILE, chosen(own_models, EMBED, Role.EMBED, context=None))
    embed = ContinueModel(of_role(entries, Role.EMBED))
    played.callback(embed.close)
    embed.embed("def add")
    check_forever(own_models, EMBED)


def test_one_model_for_two_roles_is_not_loaded_anew(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, tmp_path: Path
) -> None:
    both = chosen(own_models, CHAT, *TALKING, Role.AUTOCOMPLETE, context=CHAT_CONTEXT)
    entries = written(tmp_path, Way.OWN_FILE, both)
    chat, tab = (ContinueModel(of_role(entries, role)) for role in (Role.CHAT, Role.AUTOCOMPLETE))
    played.callback(chat.close)
    played.callback(tab.close)
    pinned(own_models, watched, {CHAT: CHAT_CONTEXT})
    before = machine.runners()
    for _ in range(3):
        chat.chat()
        tab.complete()
    check_untouched(own_models, watched, machine, before, CHAT)


def test_with_a_context_baked_in_every_client_agrees(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, tmp_path: Path
) -> None:
    entries = written(tmp_path, Way.MERGE, chosen(own_models, WIDE, *TALKING, context=WIDE_CONTEXT, baked_in=True))
    chat = ContinueModel(of_role(entries, Role.CHAT))
    played.callback(chat.close)
    pinned(own_models, watched, {WIDE: None})
    before = machine.runners()
    for _ in range(3):
        chat.chat()
        messages = [{"role": "user", "content": "x"}]
        answer = own_models.api.post("/v1/chat/completions", model=WIDE, messages=messages, max_tokens=TOKENS)
        assert answer.status == 200, answer
    assert chat.sent[-1][1]["options"]["num_ctx"] == WIDE_CONTEXT, "read from the model, as nothing is written"
    check_untouched(own_models, watched, machine, before, WIDE)


def test_a_template_that_fills_in_the_middle_is_asked_to_from_the_second_completion_on(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, tmp_path: Path, filling: str
) -> None:
    entries = written(tmp_path, Way.OWN_FILE, chosen(own_models, filling, Role.AUTOCOMPLETE, context=TAB_CONTEXT))
    tab = ContinueModel(of_role(entries, Role.AUTOCOMPLETE))
    played.callback(tab.close)
    pinned(own_models, watched, {filling: TAB_CONTEXT})
    before = machine.runners()
    for _ in range(CHATS):
        tab.complete("x", "y")
    (_, first), (_, second), *_ = tab.sent[1:]
    assert (first["raw"], "suffix" in first) == (True, False)
    assert ("raw" in second, second["prompt"], second["suffix"]) == (False, "x", "y")
    check_untouched(own_models, watched, machine, before, filling)


# What happens otherwise


@pytest.mark.parametrize(("name", "role"), [(CHAT, Role.CHAT), (CODE, Role.AUTOCOMPLETE)])
def test_the_default_keep_alive_loses_the_pin_and_the_desk_names_continue(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, name: str, role: Role
) -> None:
    model = ContinueModel(defaults(own_models, name, role, contextLength=CHAT_CONTEXT))
    played.callback(model.close)
    pinned(own_models, watched, {name: CHAT_CONTEXT})
    before = machine.runners()
    model.chat() if role is Role.CHAT else model.complete()
    settle(own_models)
    check_stay(own_models, name, HALF_HOUR)
    assert machine.runners() == before, "only the keep-alive is another"
    lost = watched.pin_of(name)
    assert (lost.pin, lost.cause) == (Pin.LOST, PinCause.KEEP_ALIVE)
    assert lost.reason == "keep-alive changed from forever to 30m (Continue sends 30m by default)"
    told = [event for event in watched.look().events if event.kind is EventKind.PIN_LOST]
    assert [event.message for event in told] == [f"the pin of {name} is lost: {lost.reason}"]


@pytest.mark.parametrize(("name", "role"), [(CHAT, Role.CHAT), (CODE, Role.AUTOCOMPLETE)])
def test_the_default_context_loads_the_model_anew_and_the_desk_says_so(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack, name: str, role: Role
) -> None:
    model = ContinueModel(defaults(own_models, name, role))
    played.callback(model.close)
    pinned(own_models, watched, {name: CHAT_CONTEXT})
    (before,) = machine.runners()
    model.chat() if role is Role.CHAT else model.complete()
    settle(own_models)
    asked = model.sent[-1][1]
    assert (asked["options"]["num_ctx"], asked["keep_alive"]) == (8192, 1800)
    (after,) = machine.runners()
    assert after.pid != before.pid
    check_stay(own_models, name, HALF_HOUR)
    lost = watched.pin_of(name)
    assert (lost.pin, lost.cause) == (Pin.LOST, PinCause.CONTEXT)
    hint = {
        8192: " (Continue asks for 8192 by default)",
        4096: "",
    }  # newer engines give no more than it was trained for
    assert lost.reason in {f"it was loaded with context {n} instead of {CHAT_CONTEXT}{hint[n]}" for n in hint}


def test_two_contexts_for_one_model_load_it_anew_at_every_switch(
    own_models: Subject, machine: Machine, watched: WatchedEngine, played: ExitStack
) -> None:
    chat = ContinueModel(defaults(own_models, CHAT, Role.CHAT, contextLength=CHAT_CONTEXT))
    tab = ContinueModel(defaults(own_models, CHAT, Role.AUTOCOMPLETE, contextLength=TAB_CONTEXT))
    played.callback(chat.close)
    played.callback(tab.close)
    seen = []
    for _ in range(2):
        for ask in (chat.chat, tab.complete):
            ask()
            settle(own_models)
            seen.append(machine.runners())
    assert len(set(seen)) == 4


def test_a_version_that_drops_keep_alive_needs_the_extra_body(own_models: Subject, played: ExitStack) -> None:
    entry = defaults(own_models, CHAT, Role.CHAT, keepAlive=-1)
    old = ContinueModel(entry, knows_keep_alive=False)
    played.callback(old.close)
    old.chat()
    settle(own_models)
    check_stay(own_models, CHAT, HALF_HOUR)
