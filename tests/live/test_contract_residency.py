"""How models come into memory, how long they stay, and what pushes them out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.models import CHAT, CODE, EMBED
from tests.live.residency import (
    FIVE_MINUTES,
    check_forever,
    check_stay,
    expiry,
    load,
    remaining_seconds,
    renewal,
    talking,
)
from tests.live.subject import Subject


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
    check_stay(own_models, CHAT, seconds)


@pytest.mark.parametrize("keep_alive", [-1, -300, "-1m", "-1s"])
def test_every_negative_keep_alive_is_forever(own_models: Subject, keep_alive: object) -> None:
    load(own_models, CHAT, keep_alive=keep_alive)
    check_forever(own_models, CHAT)


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
    check_stay(own_models, CHAT, 1200)


def test_fractions_of_a_second_count_since_0_11_8_and_are_cut_off_before(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="20m")
    before = own_models.now()
    with renewal(own_models, CHAT):
        load(own_models, CHAT, keep_alive=91.9)
    after = own_models.now()
    seconds = 91.9 if own_models.version >= (0, 11, 8) else 91
    assert (expiry(own_models, CHAT) - before).total_seconds() >= seconds - 0.001
    assert (expiry(own_models, CHAT) - after).total_seconds() <= seconds
    answer = own_models.api.post("/api/generate", model=CHAT, keep_alive="500ms")
    assert answer.json["done_reason"] == ("load" if own_models.version >= (0, 11, 8) else "unload")


@pytest.mark.slow
def test_a_model_goes_by_itself_when_its_time_is_over(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="2s")
    assert CHAT in own_models.loaded()
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "its two seconds are over")


def test_a_request_without_keep_alive_leaves_it_as_it_is(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    check_forever(own_models, CHAT)
    with renewal(own_models, CHAT):
        load(own_models, CHAT)
    with renewal(own_models, CHAT):
        own_models.api.post("/api/generate", model=CHAT, prompt="x", stream=False, options={"num_predict": 1})
    with renewal(own_models, CHAT):
        own_models.api.post("/api/embed", model=CHAT, input="x")
    check_forever(own_models, CHAT)
    load(own_models, CHAT, keep_alive="20m")
    check_stay(own_models, CHAT, 1200)
    with renewal(own_models, CHAT):
        load(own_models, CHAT, keep_alive=None)
    check_stay(own_models, CHAT, 1200)


def test_a_prompt_with_keep_alive_0_is_answered_and_then_the_model_goes(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive=-1)
    answer = own_models.api.post(
        "/api/generate", model=CHAT, prompt="x", stream=False, keep_alive=0, options={"num_predict": 2}
    )
    assert (answer.status, answer.json["done_reason"]) == (200, "length")
    own_models.api.wait_until(lambda: CHAT not in own_models.loaded(), "the model is gone")


def test_the_expiry_is_written_when_a_request_ends(own_models: Subject) -> None:
    load(own_models, CHAT, keep_alive="10m")
    with renewal(own_models, CHAT):
        load(own_models, CHAT)
    before = expiry(own_models, CHAT)
    with talking(own_models, CHAT, keep_alive="20m"):
        assert expiry(own_models, CHAT) == before
    own_models.api.wait_until(lambda: expiry(own_models, CHAT) != before, "the request ended")
    check_stay(own_models, CHAT, 1200)


def test_during_a_models_first_request_the_expiry_is_made_up_anew_each_time(own_models: Subject) -> None:
    with talking(own_models, CHAT, keep_alive="20m"):
        first = expiry(own_models, CHAT)
        check_stay(own_models, CHAT, 1200)
        assert expiry(own_models, CHAT) > first


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
    check_forever(own_models, EMBED)
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
    # `eval_duration` is whole milliseconds in old versions, and left out when that is zero.
    assert {"total_duration", "load_duration", "eval_count"} <= set(last)


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
