"""What an engine does when it is told to change something: pull, derive, load, give up; and on its bad days."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.live.api import Answer
from tests.live.models import CHAT, CODE, EMBED, PREFIX, WIDE
from tests.live.registry import Registry
from tests.live.residency import check_forever, check_stay, load, talking
from tests.live.subject import Machine, Subject

DERIVED = f"{PREFIX}derived:latest"
SHORT_SECONDS = 0.3


@pytest.fixture
def registry(own_models: Subject, machine: Machine) -> Iterator[Registry]:
    """A registry with one model, which is gone from the engine afterwards."""
    with machine.registry() as opened:
        yield opened
        own_models.api.request("DELETE", "/api/delete", {"model": opened.installed_name})


@pytest.fixture
def derived(own_models: Subject) -> Iterator[Subject]:
    """The engine under test, for tests that make a model of their own."""
    yield own_models
    own_models.api.request("DELETE", "/api/delete", {"model": DERIVED})


def pull(subject: Subject, name: str, **fields: Any) -> Answer:
    return subject.api.post("/api/pull", model=name, insecure=True, **fields)


def derive(subject: Subject, origin: str, parameters: dict[str, Any], **fields: Any) -> Answer:
    """Make a model of another one, in the form the version takes."""
    if subject.version >= (0, 5, 5):
        return subject.api.post("/api/create", model=DERIVED, **{"from": origin}, parameters=parameters, **fields)
    lines = [f"FROM {origin}", *(f"PARAMETER {name} {value}" for name, value in parameters.items())]
    return subject.api.post("/api/create", model=DERIVED, modelfile="\n".join(lines), **fields)


def file_of(subject: Subject, name: str) -> str:
    """The line of a Modelfile that names the weights."""
    shown = subject.api.post("/api/show", model=name).json["modelfile"]
    (line,) = re.findall(r"^FROM /.*$", shown, re.MULTILINE)
    return str(line)


# -- pull --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pull_tells_file_by_file_how_far_it_is(own_models: Subject, registry: Registry) -> None:
    answer = pull(own_models, registry.name)
    first, *progress, verifying, writing, success = answer.lines
    assert answer.status == 200
    assert [line["status"] for line in (first, verifying, writing, success)] == [
        "pulling manifest", "verifying sha256 digest", "writing manifest", "success",
    ]  # fmt: skip
    files: dict[str, list[dict[str, Any]]] = {}
    for line in progress:
        assert set(line) - {"completed"} == {"status", "digest", "total"}
        assert line["status"] == f"pulling {line['digest'].removeprefix('sha256:')[:12]}"
        files.setdefault(line["digest"], []).append(line)
    for lines in files.values():
        completed = [line.get("completed", 0) for line in lines]
        assert completed == sorted(completed)
        assert completed[-1] == lines[0]["total"] == lines[-1]["total"]
    size = own_models.api.installed()[registry.installed_name]["size"]
    assert sum(lines[0]["total"] for lines in files.values()) == size
    load(own_models, registry.installed_name)
    own_models.api.unload(registry.installed_name)


@pytest.mark.slow
def test_a_pull_of_what_is_there_is_one_line_for_each_file(own_models: Subject, registry: Registry) -> None:
    assert pull(own_models, registry.name, stream=False).json == {"status": "success"}
    first, *files, _verifying, _writing, success = pull(own_models, registry.name).lines
    assert (first["status"], success["status"]) == ("pulling manifest", "success")
    assert len({line["digest"] for line in files}) == len(files) > 1
    assert [line["completed"] for line in files] == [line["total"] for line in files]


@pytest.mark.slow
def test_a_pull_that_is_broken_off_goes_on_where_it_was(own_models: Subject, registry: Registry) -> None:
    registry.hold()
    with own_models.api.stream("/api/pull", model=registry.name, insecure=True) as response:
        lines = (json.loads(line) for line in response.iter_lines())
        last = next(line for line in lines if line.get("completed", 0) > 0 and line["completed"] * 2 >= line["total"])
    assert last["completed"] < last["total"]
    assert registry.installed_name not in own_models.api.installed()
    registry.let_go()
    own_models.api.wait_until(lambda: _can_be_asked(own_models), "the server has noticed")
    resumed = next(line for line in pull(own_models, registry.name).lines if line.get("digest") == last["digest"])
    assert resumed["completed"] >= last["completed"]
    assert [start >= last["completed"] for start in registry.starts[1:]] == [True] * len(registry.starts[1:])
    assert registry.installed_name in own_models.api.installed()


def _can_be_asked(subject: Subject) -> bool:
    return subject.api.get("/api/version").status == 200


def test_what_the_registry_does_not_have_is_an_error_line_after_status_200(
    own_models: Subject, registry: Registry
) -> None:
    answer = pull(own_models, registry.unknown)
    assert answer.status == 200
    assert answer.lines == [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    whole = pull(own_models, registry.unknown, stream=False)
    assert (whole.status, whole.error) == (500, "pull model manifest: file does not exist")


def test_a_name_that_is_none_cannot_be_pulled(own_models: Subject) -> None:
    for fields in ({"model": "a b"}, {"model": ""}, {}):
        answer = own_models.api.post("/api/pull", **fields)
        assert (answer.status, answer.error) == (400, "invalid model name")


# -- derive ------------------------------------------------------------------------------------------------------------


def test_a_derived_model_tells_its_layers_and_shares_the_file(derived: Subject) -> None:
    answer = derive(derived, CHAT, {"num_ctx": 700})
    *layers, writing, success = [line["status"] for line in answer.lines]
    assert answer.status == 200
    assert (writing, success) == ("writing manifest", "success")
    blob = file_of(derived, CHAT).rpartition("-")[2]
    assert layers[0] == f"using existing layer sha256:{blob}"
    assert all(re.fullmatch(r"(using existing|creating new) layer sha256:[0-9a-f]{64}", layer) for layer in layers)
    assert any(layer.startswith("creating new layer ") for layer in layers[1:])
    shown = derived.api.post("/api/show", model=DERIVED).json
    assert file_of(derived, DERIVED) == file_of(derived, CHAT)
    assert shown["parameters"].split() == ["num_ctx", "700"]
    assert shown["details"]["parent_model"] == CHAT
    installed = derived.api.installed()
    assert installed[DERIVED]["digest"] != installed[CHAT]["digest"]


def test_a_model_derived_again_has_the_last_word(derived: Subject) -> None:
    assert derive(derived, WIDE, {"num_ctx": 700, "temperature": 0.5}, stream=False).json == {"status": "success"}
    assert derived.api.post("/api/show", model=DERIVED).json["parameters"].split() == [
        "num_ctx", "700", "temperature", "0.5",
    ]  # fmt: skip
    before = derived.api.installed()[DERIVED]["digest"]
    assert derive(derived, WIDE, {"num_ctx": 800}, stream=False).status == 200
    assert derived.api.installed()[DERIVED]["digest"] != before
    assert derived.api.post("/api/show", model=DERIVED).json["parameters"].split() == ["num_ctx", "800"]


def test_what_no_model_can_be_made_of(derived: Subject) -> None:
    create = "/api/create"
    old = derived.version < (0, 5, 5)
    nothing = derived.api.post(create, model=DERIVED)
    expected = "path or Modelfile are required" if old else "neither 'from' or 'files' was specified"
    assert (nothing.status, nothing.error) == (400, expected)
    other_form = {"from": CHAT} if old else {"modelfile": f"FROM {CHAT}"}
    assert derived.api.post(create, model=DERIVED, **other_form).error == expected
    named = derived.api.post(create, model="a b", **({"modelfile": f"FROM {CHAT}"} if old else {"from": CHAT}))
    assert (named.status, named.error) == (400, "invalid model name")


def test_a_modelfile_that_says_nonsense(derived: Subject) -> None:
    if derived.version >= (0, 5, 5):
        pytest.skip("Modelfiles are read by the client since 0.5.5")

    def made(text: str) -> Answer:
        return derived.api.post("/api/create", model=DERIVED, modelfile=text)

    assert (made("PARAMETER num_ctx 4").status, made("PARAMETER num_ctx 4").error) == (400, "no FROM line")
    unknown = made(f"FROM {CHAT}\nFOO x")
    commands = '"from", "license", "template", "system", "adapter", "parameter", or "message"'
    assert (unknown.status, unknown.error) == (400, f"(line 2): command must be one of {commands}")
    mistyped = made(f"FROM {CHAT}\nPARAMETER num_ctx abc")
    assert (mistyped.status, mistyped.lines[-1]) == (200, {"error": "invalid int value [abc]"})
    assert DERIVED not in derived.api.installed()


def test_every_client_agrees_on_the_context_of_a_derived_model(derived: Subject, machine: Machine) -> None:
    derive(derived, CHAT, {"num_ctx": 700}, stream=False)
    load(derived, DERIVED, keep_alive=-1)
    before = machine.runners()
    derived.api.post("/api/generate", model=DERIVED, prompt="x", stream=False, options={"num_predict": 1})
    said = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    assert derived.api.post("/v1/chat/completions", model=DERIVED, **said).status == 200
    assert machine.runners() == before
    check_forever(derived, DERIVED)
    derived.api.unload(DERIVED)


# -- loads that do not end as they should ------------------------------------------------------------------------------


def test_a_load_ends_when_nobody_waits_for_it(own_models: Subject, machine: Machine) -> None:
    with machine.stalled_loads(), httpx.Client(base_url=own_models.api.url, trust_env=False) as impatient:
        timeout = httpx.Timeout(5, read=SHORT_SECONDS)
        with pytest.raises(httpx.ReadTimeout):
            impatient.post("/api/generate", json={"model": CODE, "keep_alive": -1}, timeout=timeout)
        own_models.api.wait_until(
            lambda: not own_models.loaded() and not machine.runners(), "the load has been given up"
        )
    load(own_models, CODE)
    assert list(own_models.loaded()) == [CODE]


def test_a_runner_that_is_killed_while_it_loads_is_500_and_the_next_load_works(
    own_models: Subject, machine: Machine
) -> None:
    with ThreadPoolExecutor(1) as pool, machine.stalled_loads():
        loading = pool.submit(own_models.api.post, "/api/generate", model=CODE)
        own_models.api.wait_until(lambda: len(machine.runners()) == 1, "a runner is there")
        machine.kill_runner(machine.runners()[0].pid)
        answer = loading.result(15)
    assert answer.status == 500
    process = "llama-server process" if own_models.version >= (0, 30) else "llama runner process"
    assert answer.error == f"{process} has terminated: signal: killed"
    own_models.api.wait_until(lambda: not own_models.loaded(), "nothing is left of it")
    load(own_models, CODE)


def test_when_all_are_busy_a_load_waits_for_one_of_them(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive="10m")
    load(own_models, CODE, keep_alive="60m")
    with ThreadPoolExecutor(1) as pool, talking(own_models, CODE):
        with talking(own_models, CHAT):
            waiting = pool.submit(load, own_models, EMBED)
            own_models.api.wait_until(lambda: machine.runners() != (), "the runners are listed")
            assert set(own_models.loaded()) == {CHAT, CODE}
            assert not waiting.done()
        waiting.result(15)
        assert set(own_models.loaded()) == {CODE, EMBED}


# -- other clients -----------------------------------------------------------------------------------------------------


def test_an_editor_takes_a_pin_away_and_with_another_context_the_runner_too(
    own_models: Subject, machine: Machine
) -> None:
    """What Continue sends (core/llm/llms/Ollama.ts): its own keep-alive and context with every chat."""

    def chat(num_ctx: int) -> Answer:
        return own_models.api.post(
            "/api/chat", model=CHAT, messages=[{"role": "user", "content": "x"}], stream=False, keep_alive=1800,
            options={"num_predict": 2, "num_ctx": num_ctx},
        )  # fmt: skip

    assert own_models.api.post("/api/show", name=CHAT).status == 200
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 1024})
    before = machine.runners()
    assert chat(1024).status == 200
    check_stay(own_models, CHAT, 1800)
    assert machine.runners() == before
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 1024})
    check_forever(own_models, CHAT)
    assert chat(512).status == 200
    check_stay(own_models, CHAT, 1800)
    (runner,) = machine.runners()
    assert runner not in before


# -- a server that is killed -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_server_leaves_its_runner_and_its_successor_knows_nothing_of_it(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    machine.kill()
    try:
        with pytest.raises(httpx.TransportError):
            own_models.api.get("/api/version")
    finally:
        machine.start()
    try:
        assert own_models.loaded() == {}
        table = machine.process_table()
        left = table.describe(runner.pid)
        assert left is not None
        assert left.parent_pid == 1
        load(own_models, CHAT)
        assert runner.pid not in {each.pid for each in machine.runners() if each.pid != runner.pid}
        assert table.describe(runner.pid) is not None, "two hold the same model now"
    finally:
        machine.end_orphan(runner.pid)
    with suppress(AssertionError):
        own_models.api.unload(CHAT)
