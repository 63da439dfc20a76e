"""How models come into memory, how long they stay, and what pushes them out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from tests.live.models import ALIAS, CHAT, CODE, EMBED, TINY_CHAT, WIDE, WIDE_CONTEXT
from tests.live.subject import Machine, Subject

TALK = {"temperature": 0, "num_predict": -1}
"""Options with which a tiny model talks for seconds."""
FIVE_MINUTES = 300.0
LATE_SECONDS = 10.0
"""How much later than the request the expiry may be looked at: a busy machine takes its time."""


def remaining_seconds(subject: Subject, name: str) -> float:
    """How long a model will stay, as `/api/ps` tells it."""
    expires_at = datetime.fromisoformat(subject.loaded()[name]["expires_at"])
    assert expires_at.tzinfo is not None
    return (expires_at - subject.now()).total_seconds()


def stays_for(subject: Subject, name: str, seconds: float) -> bool:
    """Whether a model's keep-alive was set to this just now."""
    return seconds - LATE_SECONDS <= remaining_seconds(subject, name) <= seconds


def stays_forever(subject: Subject, name: str) -> bool:
    """Whether a model's keep-alive is 292 years, which is how "forever" shows."""
    return datetime.fromisoformat(subject.loaded()[name]["expires_at"]).year > 2300


def load(subject: Subject, name: str, **fields: Any) -> None:
    """Load a model in the way that fits it."""
    answer = subject.api.post("/api/embed" if name == EMBED else "/api/generate", model=name, **fields)
    assert answer.status == 200, answer


@contextmanager
def talking(subject: Subject, name: str, **fields: Any) -> Iterator[Iterator[str]]:
    """Keep a model busy: a request that has begun to answer and goes on; leaving closes the connection."""
    with subject.api.stream("/api/generate", model=name, prompt="x", options=TALK, **fields) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = response.iter_lines()
        next(lines)
        yield lines


def test_an_empty_prompt_loads_and_answers_in_one_piece(own_models: Subject) -> None:
    answer = own_models.api.post("/api/generate", model=CHAT)
    assert answer.status == 200
    assert set(answer.json) == {"model", "created_at", "response", "done", "done_reason"}
    assert (answer.json["response"], answer.json["done"], answer.json["done_reason"]) == ("", True, "load")
    assert answer.json["model"] == CHAT
    assert list(own_models.loaded()) == [CHAT]


@pytest.mark.parametrize("fields", [{}, {"messages": []}], ids=["none", "empty"])
def test_a_chat_without_messages_loads_too(own_models: Subject, fields: dict[str, Any]) -> None:
    answer = own_models.api.post("/api/chat", model=CHAT, **fields).json
    assert answer["message"] == {"role": "assistant", "content": ""}
    assert (answer["done"], answer["done_reason"]) == (True, "load")
    assert CHAT in own_models.loaded()


def test_ps_has_the_fields_of_its_version(own_models: Subject) -> None:
    load(own_models, CHAT, options={"num_ctx": 1024})
    model = own_models.loaded()[CHAT]
    fields = {"name", "model", "size", "digest", "details", "expires_at", "size_vram"}
    assert set(model) == fields | ({"context_length"} if own_models.version >= (0, 9, 7) else set())
    assert model["name"] == model["model"]
    assert model["digest"] == own_models.api.installed()[CHAT]["digest"]
    assert 0 <= model["size_vram"] <= model["size"]
    assert model["size"] > 5_000_000
    assert model["details"]["parent_model"] == ""
    assert model["details"]["quantization_level"] == "F16"
    assert model.get("context_length", 1024) == 1024


def test_ps_lists_the_latest_expiry_first(own_models: Subject) -> None:
    load(own_models, CODE, keep_alive="10m")
    load(own_models, CHAT, keep_alive="30m")
    assert list(own_models.loaded()) == [CHAT, CODE]
    load(own_models, CODE, keep_alive=-1)
    assert list(own_models.loaded()) == [CODE, CHAT]


def test_keep_alive_0_unloads_at_once_and_also_says_so_when_nothing_is_loaded(own_models: Subject) -> None:
    load(own_models, CHAT)
    for _ in range(2):
        answer = own_models.api.post("/api/generate", model=CHAT, keep_alive=0)
        assert (answer.status, answer.json["done_reason"]) == (200, "unload")
        own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "the model is gone")
    load(own_models, CHAT)
    assert own_models.api.post("/api/chat", model=CHAT, keep_alive="0s").json["done_reason"] == "unload"
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "the model is gone")


@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [(None, FIVE_MINUTES), (90, 90), ("10m", 600), ("1h30m", 5400), ("90.5s", 90.5)],
)
def test_keep_alive_is_counted_from_the_end_of_the_request(
    own_models: Subject, keep_alive: object, seconds: float
) -> None:
    load(own_models, CHAT, keep_alive=keep_alive)
    assert stays_for(own_models, CHAT, seconds)


@pytest.mark.parametrize("keep_alive", [-1, -300, "-1m", "-1s"])
def test_every_negative_keep_alive_is_forever(own_models: Subject, keep_alive: object) -> None:
    load(own_models, CHAT, keep_alive=keep_alive)
    assert stays_forever(own_models, CHAT)


@pytest.mark.parametrize(
    ("keep_alive", "error"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("300", 'time: missing unit in duration "300"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        (True, "Unsupported type: 'bool'"),
        ([], "Unsupported type: '[]interface {}'"),
    ],
)
def test_a_keep_alive_that_is_none_is_400_and_changes_nothing(
    own_models: Subject, keep_alive: object, error: str
) -> None:
    load(own_models, CHAT, keep_alive="20m")
    for path in ("generate", "chat", "embed"):
        answer = own_models.api.post(f"/api/{path}", model=CHAT, keep_alive=keep_alive)
        assert (answer.status, answer.error) == (400, error), path
    assert stays_for(own_models, CHAT, 1200)


def test_fractions_of_a_second_count_since_0_11_8_and_are_cut_off_before(own_models: Subject) -> None:
    before = own_models.now()
    load(own_models, CHAT, keep_alive=91.9)
    after = own_models.now()
    expires_at = datetime.fromisoformat(own_models.loaded()[CHAT]["expires_at"])
    seconds = 91.9 if own_models.version >= (0, 11, 8) else 91
    assert (expires_at - before).total_seconds() >= seconds - 0.001
    assert (expires_at - after).total_seconds() <= seconds
    answer = own_models.api.post("/api/generate", model=CHAT, keep_alive="500ms")
    assert answer.json["done_reason"] == ("load" if own_models.version >= (0, 11, 8) else "unload")


@pytest.mark.slow
def test_a_model_goes_by_itself_when_its_time_is_over(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="2s")
    assert CHAT in own_models.loaded()
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "its two seconds are over")


def test_a_request_without_keep_alive_leaves_it_as_it_is(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    load(own_models, CHAT)
    own_models.api.post("/api/generate", model=CHAT, prompt="x", stream=False, options={"num_predict": 1})
    own_models.api.post("/api/embed", model=CHAT, input="x")
    assert stays_forever(own_models, CHAT)
    load(own_models, CHAT, keep_alive="20m")
    load(own_models, CHAT, keep_alive=None)
    assert stays_for(own_models, CHAT, 1200)


def test_a_prompt_with_keep_alive_0_is_answered_and_then_the_model_goes(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    answer = own_models.api.post(
        "/api/generate", model=CHAT, prompt="x", stream=False, keep_alive=0, options={"num_predict": 2}
    )
    assert (answer.status, answer.json["done_reason"]) == (200, "length")
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "the model is gone")


def test_the_expiry_is_written_when_a_request_ends(own_models: Subject) -> None:
    load(own_models, CHAT)
    before = own_models.loaded()[CHAT]["expires_at"]
    with talking(own_models, CHAT, keep_alive="20m"):
        assert own_models.loaded()[CHAT]["expires_at"] == before
    own_models.api.wait_until(lambda: own_models.loaded()[CHAT]["expires_at"] != before, "the request ended")
    assert stays_for(own_models, CHAT, 1200)


def test_during_a_models_first_request_the_expiry_is_made_up_anew_each_time(own_models: Subject) -> None:
    with talking(own_models, CHAT, keep_alive="20m"):
        first = own_models.loaded()[CHAT]["expires_at"]
        assert stays_for(own_models, CHAT, 1200)
        assert own_models.loaded()[CHAT]["expires_at"] > first


def test_unloading_a_busy_model_is_accepted_and_waits_for_the_request(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    with talking(own_models, CHAT):
        answer = own_models.api.post("/api/generate", model=CHAT, keep_alive=0)
        assert answer.json["done_reason"] == "unload"
        assert remaining_seconds(own_models, CHAT) <= 0, "shown as stopping"
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "the model is gone")


@pytest.mark.slow
def test_deleting_a_loaded_model_does_not_unload_it(own_models: Subject) -> None:
    api, name = own_models.api, "gpudesk-test-copy:latest"
    api.post("/api/copy", source=CODE, destination=name)
    load(own_models, name, keep_alive="2s")
    assert api.request("DELETE", "/api/delete", {"model": name}).status == 200
    assert list(own_models.loaded()) == [name]
    unload = api.post("/api/generate", model=name, keep_alive=0)
    assert (unload.status, unload.error) == (404, f"model '{name}' not found")
    api.wait_until(lambda: not own_models.loaded(), "its two seconds are over")


def test_an_embedding_model_is_loaded_by_embed_alone_and_unloaded_by_generate(own_models: Subject) -> None:
    api = own_models.api
    for path in ("generate", "chat"):
        answer = api.post(f"/api/{path}", model=EMBED, keep_alive=-1)
        assert (answer.status, answer.error) == (400, f'"{EMBED}" does not support {path}')
    nothing: tuple[dict[str, Any], ...] = ({}, {"input": ""}, {"input": []})
    for fields in nothing:
        answer = api.post("/api/embed", model=EMBED, keep_alive=-1, **fields)
        assert (answer.status, answer.json) == (200, {"model": EMBED, "embeddings": []})
    assert stays_forever(own_models, EMBED)
    (vector,) = api.post("/api/embed", model=EMBED, input="ab").json["embeddings"]
    assert len(vector) == 128
    assert api.post("/api/embeddings", model=EMBED, prompt="").json == {"embedding": []}
    assert api.post("/api/generate", model=EMBED, keep_alive=0).json["done_reason"] == "unload"
    api.wait_until(lambda: EMBED not in own_models.loaded(), "the model is gone")


def test_bad_options_fail_and_unknown_ones_do_not(own_models: Subject) -> None:
    bad = own_models.api.post("/api/generate", model=CHAT, options={"num_ctx": "1024"})
    assert (bad.status, bad.error) == (500, 'option "num_ctx" must be of type integer')
    assert own_models.api.post("/api/generate", model=CHAT, options={"gpudesk": 1}).status == 200


def test_a_stream_ends_with_a_line_that_says_why(own_models: Subject) -> None:
    answer = own_models.api.post("/api/generate", model=CHAT, prompt="x", options={"num_predict": 2})
    *words, last = answer.lines
    assert all(line["done"] is False for line in words)
    assert (last["done"], last["done_reason"]) == (True, "length")
    assert {"total_duration", "load_duration", "eval_count", "eval_duration"} <= set(last)


# Which model has to go. Only on engines that are ours: these tests fill them up.


@pytest.mark.usefixtures("machine")
def test_the_shortest_keep_alive_goes_and_not_the_one_used_longest_ago(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="60m")
    load(own_models, CODE, keep_alive="10m")
    load(own_models, EMBED, keep_alive="5m")
    assert set(own_models.loaded()) == {CHAT, EMBED}


@pytest.mark.usefixtures("machine")
def test_forever_does_not_protect(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    load(own_models, CODE, keep_alive=-1)
    load(own_models, EMBED)
    assert EMBED in own_models.loaded()
    assert len(own_models.loaded()) == own_models.max_loaded


@pytest.mark.usefixtures("machine")
def test_an_idle_model_that_should_stay_forever_goes_before_a_busy_one(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="1m")
    load(own_models, CODE, keep_alive=-1)
    with talking(own_models, CHAT):
        load(own_models, EMBED)
        assert set(own_models.loaded()) == {CHAT, EMBED}


# Runners: what the process list shows of all this.


def test_two_names_of_one_file_share_a_runner_under_the_first_name(own_models: Subject, machine: Machine) -> None:
    load(own_models, ALIAS, keep_alive="10m")
    (runner,) = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    assert machine.runners() == (runner,)
    assert list(own_models.loaded()) == [ALIAS]
    assert stays_forever(own_models, ALIAS)
    assert own_models.api.post("/api/generate", model=CHAT, keep_alive=0).json["done_reason"] == "unload"
    own_models.api.wait_until(lambda: not own_models.loaded(), "the model is gone under both names")


def test_a_changed_keep_alive_and_sampling_options_keep_the_runner(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT)
    before = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    load(own_models, CHAT, keep_alive="20m", options={"temperature": 1, "num_predict": 3, "seed": 7})
    assert machine.runners() == before
    assert stays_for(own_models, CHAT, 1200)


def test_another_context_is_another_runner_and_the_keep_alive_is_lost(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1, options={"num_ctx": 512})
    (before,) = machine.runners()
    load(own_models, CHAT, options={"num_ctx": 512})
    assert machine.runners() == (before,)
    load(own_models, CHAT, options={"num_ctx": 1024})
    (after,) = machine.runners()
    assert after.pid != before.pid
    assert stays_for(own_models, CHAT, FIVE_MINUTES)
    assert list(own_models.loaded()) == [CHAT]


def test_a_pin_request_without_the_context_reloads_a_model_loaded_with_one(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, CHAT, options={"num_ctx": 512})
    (before,) = machine.runners()
    load(own_models, CHAT, keep_alive=-1)
    (after,) = machine.runners()
    assert after.pid != before.pid
    assert stays_forever(own_models, CHAT)


def test_a_derived_model_with_its_own_context_takes_the_runner_over(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT)
    (before,) = machine.runners()
    load(own_models, WIDE)
    (after,) = machine.runners()
    assert after.pid != before.pid
    assert after.argument("--model") == before.argument("--model")
    assert list(own_models.loaded()) == [WIDE]


def test_the_command_line_names_the_file_and_in_most_versions_the_context(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, WIDE)
    (runner,) = machine.runners()
    modelfile = own_models.api.post("/api/show", model=WIDE).json["modelfile"]
    assert f"FROM {runner.argument('--model')}" in modelfile.splitlines()
    assert re.fullmatch(r"\d+", runner.argument("--port"))
    version, slots = own_models.version, own_models.num_parallel
    if version >= (0, 30):
        assert runner.argument("-c") == str(WIDE_CONTEXT * slots)
        assert runner.argument("-np") == str(slots)
    elif version < (0, 11, 5):
        assert runner.argv[1] == "runner"
        assert runner.argument("--ctx-size") == str(WIDE_CONTEXT * slots)
        assert runner.argument("--parallel") == str(slots)
    else:
        assert runner.argv[1:] == ("runner", "--model", runner.argument("--model"), "--port", runner.argument("--port"))


def test_an_embedding_models_runner_has_one_slot(own_models: Subject, machine: Machine) -> None:
    load(own_models, EMBED)
    (runner,) = machine.runners()
    if own_models.version >= (0, 30):
        assert runner.argument("-np") == "1"
    elif own_models.version < (0, 11, 5):
        assert runner.argument("--parallel") == "1"


def test_a_context_beyond_the_trained_one_is_cut_since_0_9_3(own_models: Subject, machine: Machine) -> None:
    beyond = TINY_CHAT.context_length * 2
    load(own_models, CHAT, options={"num_ctx": beyond})
    (runner,) = machine.runners()
    if own_models.version >= (0, 9, 7):
        assert own_models.loaded()[CHAT]["context_length"] == TINY_CHAT.context_length
    elif own_models.version < (0, 9, 3):
        assert runner.argument("--ctx-size") == str(beyond * own_models.num_parallel)


def test_a_killed_runner_stays_listed_until_the_next_request_loads_anew(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    machine.kill_runner(runner.pid)
    own_models.api.wait_until(lambda: not machine.runners(), "the runner is gone")
    assert stays_forever(own_models, CHAT), "the engine has not noticed"
    load(own_models, CHAT)
    (again,) = machine.runners()
    assert again.pid != runner.pid
    assert stays_for(own_models, CHAT, FIVE_MINUTES), "the keep-alive is lost"


def test_a_runner_killed_while_it_answers_is_an_error_line_after_status_200(
    own_models: Subject, machine: Machine
) -> None:
    load(own_models, CHAT)
    (runner,) = machine.runners()
    with talking(own_models, CHAT) as lines:
        machine.kill_runner(runner.pid)
        *_, last = lines
    assert last.startswith('{"error":"')


def test_a_restarted_server_has_nothing_loaded_and_everything_installed(own_models: Subject, machine: Machine) -> None:
    load(own_models, CHAT, keep_alive=-1)
    (runner,) = machine.runners()
    installed = own_models.api.installed()
    version = own_models.api.get("/api/version").text
    machine.restart()
    own_models.api.wait_until(lambda: runner not in machine.runners(), "its runner is gone")
    assert own_models.loaded() == {}
    assert own_models.api.installed() == installed
    assert own_models.api.get("/api/version").text == version
