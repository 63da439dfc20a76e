"""The simulated server over HTTP: bodies, statuses, streams and clients that go away."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.ollama_faults import Fault
from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation
from tests.sim.http_desk import CHAT, COMPLETE, EMBED, Desk
from tests.waiting import until

CLOUD = "gpt-oss:120b-cloud"


# -- small things ------------------------------------------------------------------------------------------------------


def test_the_root_version_and_status(desk: Desk) -> None:
    assert desk.client.get("/").text == "Ollama is running"
    assert desk.client.head("/").status_code == 200
    assert desk.client.get("/api/version").json() == {"version": "0.33.0"}
    assert desk.client.head("/api/version").status_code == 200
    assert desk.client.get("/api/status").json() == {"cloud": {"disabled": False, "source": "none"}}


def test_an_old_server_knows_no_status(desks: Callable[..., Desk]) -> None:
    assert desks(version="0.12.6").client.get("/api/status").status_code == 404


def test_a_wrong_method_is_405_and_was_404(desk: Desk, desks: Callable[..., Desk]) -> None:
    answer = desk.client.get("/api/generate")
    assert (answer.status_code, answer.text) == (405, "405 method not allowed")
    assert desk.client.post("/api/ps").status_code == 405
    assert desks(version="0.5.4").client.get("/api/generate").status_code == 404


def test_an_unknown_path_is_404_in_plain_text(desk: Desk) -> None:
    answer = desk.client.get("/metrics")
    assert (answer.status_code, answer.text) == (404, "404 page not found")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403), ("evil.example:11434", 403), ("localhost", 200), ("localhost:11434", 200),
        ("127.0.0.1:1", 200), ("[::1]:11434", 200), ("192.168.1.20:11434", 200), ("8.8.8.8", 403),
        ("desk.local", 200), ("host.docker.internal:11434", 200), ("a.localhost", 200),
    ],
)  # fmt: skip
def test_a_foreign_host_header_is_refused_without_a_word(desk: Desk, host: str, status: int) -> None:
    answer = desk.client.get("/api/version", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert answer.content == b""


def test_connections_are_kept(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", int(desk.station.url.rpartition(":")[2]))) as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert json.loads(stream.read(length)) == {"version": "0.33.0"}
        stream.close()


def test_the_date_is_the_server_s_own(desks: Callable[..., Desk]) -> None:
    desk = desks(clock_skew_seconds=-3600.0)
    desk.station.step(30)
    date = parsedate_to_datetime(desk.client.get("/api/version").headers["date"])
    assert (desk.station.clock.now() - date).total_seconds() == 3600


def test_json_is_told_as_json(desk: Desk) -> None:
    assert desk.client.get("/api/ps").headers["content-type"] == "application/json; charset=utf-8"
    assert "server" not in desk.client.get("/api/ps").headers


# -- lists -------------------------------------------------------------------------------------------------------------


def test_tags_list_the_latest_first_with_the_manifest_s_digest(desk: Desk) -> None:
    models = desk.client.get("/api/tags").json()["models"]
    assert [row["modified_at"] for row in models] == sorted((row["modified_at"] for row in models), reverse=True)
    row = next(row for row in models if row["name"] == CHAT)
    assert row["model"] == CHAT
    assert len(row["digest"]) == 64
    assert row["capabilities"] == ["completion", "tools", "thinking"]
    assert row["details"] == {
        "parent_model": "", "format": "gguf", "family": "qwen3", "families": ["qwen3"], "parameter_size": "14.8B",
        "quantization_level": "Q4_K_M", "context_length": 40960, "embedding_length": 5120,
    }  # fmt: skip
    assert row["size"] > 8_900_000_000
    cloud = next(row for row in models if row["name"] == CLOUD)
    assert (cloud["remote_host"], cloud["remote_model"]) == ("https://ollama.com:443", "gpt-oss:120b")
    assert cloud["size"] < 1000


def test_an_old_server_tells_neither_capabilities_nor_contexts(desks: Callable[..., Desk]) -> None:
    desk = desks(version="0.5.4")
    row = desk.client.get("/api/tags").json()["models"][0]
    assert "capabilities" not in row
    assert "context_length" not in row["details"]
    desk.load(COMPLETE)
    assert "context_length" not in desk.ps()[0]


@pytest.mark.parametrize("version", ["0.9.7", "0.12.11", "0.24.0", "0.33.0"])
def test_a_loaded_model_as_each_era_lists_it(desks: Callable[..., Desk], version: str) -> None:
    desk = desks(version=version)
    desk.load(COMPLETE, options={"num_ctx": 4096})
    (row,) = desk.ps()
    assert list(row) == [
        "name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length",
    ]  # fmt: skip
    assert row["context_length"] == 4096
    assert row["size"] >= row["size_vram"] > 1_000_000_000
    tag = next(t for t in desk.client.get("/api/tags").json()["models"] if t["name"] == COMPLETE)
    assert tag["digest"] == row["digest"]


def test_times_are_written_with_nanoseconds_and_the_server_s_offset(desks: Callable[..., Desk]) -> None:
    desk = desks(utc_offset_minutes=-210)
    desk.load(EMBED, keep_alive=-1)
    expires_at = desk.ps()[0]["expires_at"]
    assert expires_at.startswith("2318-06-12T05:")
    assert expires_at.endswith("-03:30")
    assert len(expires_at.split(".")[1].removesuffix("-03:30")) == 9


def test_the_context_is_the_slot_s_and_not_multiplied(desks: Callable[..., Desk]) -> None:
    desk = desks(num_parallel=4)
    desk.load(COMPLETE, options={"num_ctx": 8192})
    assert desk.ps()[0]["context_length"] == 8192


def test_the_list_waits_for_the_lock_of_an_unload(desks: Callable[..., Desk]) -> None:
    desk = desks(ps_stall_seconds=5.0)
    desk.load(EMBED, keep_alive=-1)
    desk.station.step(5)
    assert desk.names() == [EMBED]
    desk.post("/api/generate", model=EMBED, keep_alive=0)
    pool = ThreadPoolExecutor(1)
    waiting = pool.submit(desk.client.get, "/api/ps")
    until(lambda: desk.station.server.requests["/api/ps"] == 2)
    assert desk.client.get("/api/version").status_code == 200
    assert not waiting.done()
    desk.station.step(5)
    assert waiting.result(5).json() == {"models": []}
    pool.shutdown()


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_leads_from_a_name_to_its_file(desk: Desk) -> None:
    answer = desk.post("/api/show", model=CHAT).json()
    digest = desk.station.server.store.find(CHAT).blob_digest  # type: ignore[union-attr]
    assert f"\nFROM /usr/share/ollama/.ollama/models/blobs/sha256-{digest}\n" in answer["modelfile"]
    assert answer["capabilities"] == ["completion", "tools", "thinking"]
    info = answer["model_info"]
    assert info["general.architecture"] == "qwen3"
    assert (info["qwen3.block_count"], info["qwen3.attention.head_count_kv"]) == (40, 8)
    assert info["tokenizer.ggml.tokens"] is None
    assert answer["tensors"][0] == {"name": "token_embd.weight", "type": "Q4_K", "shape": [5120, 151936]}
    assert "projector_info" not in answer


def test_show_verbose_tells_the_arrays(desk: Desk) -> None:
    plain = desk.post("/api/show", model=CHAT)
    verbose = desk.post("/api/show", model=CHAT, verbose=True)
    assert len(verbose.json()["model_info"]["tokenizer.ggml.tokens"]) > 1000
    assert len(verbose.content) > 2 * len(plain.content)


def test_show_takes_the_old_field_and_any_spelling(desk: Desk) -> None:
    for name in ("nomic-embed-text", "registry.ollama.ai/library/nomic-embed-text:latest", "NOMIC-EMBED-TEXT"):
        assert desk.post("/api/show", name=name).json()["details"]["family"] == "nomic-bert"


def test_show_lists_a_projector_of_its_own_and_an_embedded_one(desk: Desk) -> None:
    own = desk.post("/api/show", model="llava:7b").json()
    assert own["projector_info"]["clip.vision.block_count"] == 24
    assert own["modelfile"].count("\nFROM ") == 2
    embedded = desk.post("/api/show", model="gemma3:12b").json()
    assert "projector_info" not in embedded
    assert any(tensor["name"].startswith("v.blk.") for tensor in embedded["tensors"])
    assert embedded["model_info"]["gemma3.attention.sliding_window"] == 1024


def test_show_writes_parameters_in_columns(desk: Desk) -> None:
    answer = desk.post("/api/show", model="qwen3-desk:14b").json()
    assert answer["parameters"] == "num_ctx                        16384\ntemperature                    0.6"
    assert answer["details"]["parent_model"] == CHAT


def test_show_of_what_is_not_there(desk: Desk) -> None:
    answer = desk.post("/api/show", model="nope")
    assert (answer.status_code, answer.json()) == (404, {"error": "model 'nope:latest' not found"})
    assert desk.post("/api/show").json() == {"error": "model is required"}


# -- load, unload, generate --------------------------------------------------------------------------------------------


def test_a_load_blocks_until_the_model_is_there(desk: Desk) -> None:
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(1.9)
    assert not future.done()
    assert desk.names() == []
    desk.station.step(0.1)
    answer = future.result(5)
    assert answer.status_code == 200
    body = answer.json()
    assert {**body, "created_at": ""} == {
        "model": CHAT, "created_at": "", "response": "", "done": True, "done_reason": "load",
    }  # fmt: skip
    assert desk.names() == [CHAT]


def test_a_chat_without_messages_loads_as_well(desk: Desk) -> None:
    future = desk.start("/api/chat", model=CHAT, messages=[])
    desk.station.step(2)
    body = future.result(5).json()
    assert body["message"] == {"role": "assistant", "content": ""}
    assert (body["done"], body["done_reason"]) == (True, "load")


def test_unload_answers_at_once_and_always_the_same(desk: Desk) -> None:
    desk.load(CHAT, keep_alive=-1)
    for path in ("/api/generate", "/api/chat"):
        body = desk.post(path, model=CHAT, keep_alive=0).json()
        assert (body["done"], body["done_reason"]) == (True, "unload")
    assert desk.names() == []
    assert desk.post("/api/generate", model="nope", keep_alive=0).status_code == 404


def test_an_embedding_model_unloads_by_generate_and_loads_by_embed(desk: Desk) -> None:
    desk.load(EMBED, keep_alive=-1)
    assert desk.ps()[0]["expires_at"].startswith("2318-")
    body = desk.post("/api/generate", model=EMBED, keep_alive="0s").json()
    assert body["done_reason"] == "unload"
    assert desk.names() == []


@pytest.mark.parametrize("given", [{}, {"input": ""}, {"input": []}])
def test_embedding_nothing_only_loads(desk: Desk, given: dict[str, object]) -> None:
    future = desk.start("/api/embed", model=EMBED, **given)
    desk.station.step(2)
    assert future.result(5).json() == {"model": EMBED, "embeddings": []}
    assert desk.names() == [EMBED]


def test_embedding_with_zero_loads_and_unloads(desk: Desk) -> None:
    future = desk.start("/api/embed", model=EMBED, keep_alive=0)
    desk.station.step(2)
    assert future.result(5).status_code == 200
    assert desk.names() == []
    assert desk.station.server.scheduler.loaded == {}


def test_embedding_texts(desk: Desk) -> None:
    desk.load(EMBED)
    future = desk.start("/api/embed", model=EMBED, input=["a", "b"])
    desk.station.step(1)
    body = future.result(5).json()
    assert [len(vector) for vector in body["embeddings"]] == [768, 768]
    assert body["embeddings"][0] != body["embeddings"][1]
    assert desk.post("/api/embed", model=EMBED, input=[1]).json() == {"error": "invalid input type"}
    assert desk.post("/api/embeddings", model=EMBED, prompt="").json() == {"embedding": []}


def test_an_embedding_model_neither_generates_nor_chats(desk: Desk) -> None:
    answer = desk.post("/api/generate", model="nomic-embed-text", prompt="x")
    assert (answer.status_code, answer.json()) == (400, {"error": '"nomic-embed-text" does not support generate'})
    answer = desk.post("/api/chat", model=EMBED, messages=[{"role": "user", "content": "x"}])
    assert answer.json() == {"error": f'"{EMBED}" does not support chat'}


def test_missing_capabilities_are_named(desk: Desk) -> None:
    answer = desk.post("/api/generate", model="phi4:14b", prompt="x", think=True)
    assert (answer.status_code, answer.json()["error"]) == (400, '"phi4:14b" does not support thinking')
    answer = desk.post("/api/generate", model="phi4:14b", prompt="x", suffix="y")
    assert answer.json()["error"] == "registry.ollama.ai/library/phi4:14b does not support insert"
    tools = [{"type": "function"}]
    answer = desk.post("/api/chat", model="phi4:14b", messages=[{"role": "user", "content": "x"}], tools=tools)
    assert answer.json()["error"] == "registry.ollama.ai/library/phi4:14b does not support tools"


def test_an_answer_is_streamed_line_by_line_as_time_passes(desk: Desk) -> None:
    desk.load(CHAT)
    lines: list[dict[str, Any]] = []
    got = threading.Event()

    def read() -> None:
        body = {"model": CHAT, "prompt": "hello", "options": {"num_predict": 20, "num_ctx": 32768}}
        with desk.client.stream("POST", "/api/generate", json=body) as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            for line in response.iter_lines():
                lines.append(json.loads(line))
                got.set()

    thread = threading.Thread(target=read)
    thread.start()
    until(lambda: bool(desk.busy()))
    desk.station.step(1)
    assert got.wait(5), "the first words come before the answer is complete"
    assert not any(line["done"] for line in lines)
    desk.station.step(2)
    thread.join(5)
    assert lines[-1]["done_reason"] == "length"
    assert lines[-1]["eval_count"] == 20
    assert len("".join(line["response"] for line in lines).split()) == 20


def test_an_answer_in_one_piece(desk: Desk) -> None:
    desk.load(CHAT)
    messages = [{"role": "user", "content": "hello"}]
    future = desk.start("/api/chat", model=CHAT, messages=messages, stream=False)
    desk.station.step(10)
    body = future.result(5).json()
    assert body["done_reason"] == "stop"
    assert len(body["message"]["content"].split()) == 48
    assert body["load_duration"] < body["total_duration"]


def test_a_client_that_hangs_up_aborts_the_load(desk: Desk) -> None:
    connection = socket.create_connection(("127.0.0.1", int(desk.station.url.rpartition(":")[2])))
    body = json.dumps({"model": CHAT}).encode()
    head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.sendall(head + body)
    scheduler = desk.station.server.scheduler
    until(lambda: scheduler.loading is not None)
    connection.close()
    until(lambda: scheduler.loading is None)
    desk.station.step(5)
    assert desk.names() == []
    assert desk.station.cards.cards[0].processes == {}


def test_a_client_that_hangs_up_ends_its_generation(desk: Desk) -> None:
    desk.load(CHAT, keep_alive=60)
    (runner,) = desk.station.server.scheduler.loaded.values()
    connection = socket.create_connection(("127.0.0.1", int(desk.station.url.rpartition(":")[2])))
    body = json.dumps({"model": CHAT, "prompt": "hello"}).encode()
    connection.sendall(f"POST /api/generate HTTP/1.1\r\nHost: x.local\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    connection.sendall(body)
    until(lambda: bool(desk.busy()))
    connection.close()
    until(lambda: runner.references == 0)
    assert not desk.busy()
    assert runner.expires_at is not None
    assert (runner.expires_at - desk.station.clock.now()).total_seconds() == 60


def test_a_runner_that_dies_after_the_first_word_is_an_error_line_with_200(desk: Desk) -> None:
    desk.load(CHAT)
    future = desk.start("/api/generate", model=CHAT, prompt="hello")
    (runner,) = desk.station.server.scheduler.loaded.values()
    desk.station.step(2)
    until(lambda: bool(runner.running) and runner.running[0].tokens_told > 0)
    desk.station.server.scheduler.crash(runner)
    answer = future.result(5)
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "response" in lines[0]
    assert lines[-1] == {"error": "an error was encountered while running the model: unexpected EOF"}


def test_a_load_that_fails_is_500(desk: Desk) -> None:
    desk.station.server.scheduler.next_load_error = "llama-server process has terminated: exit status 1: boom"
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(2)
    answer = future.result(5)
    assert (answer.status_code, answer.json()["error"][-4:]) == (500, "boom")


def test_a_full_queue_is_503(desks: Callable[..., Desk]) -> None:
    desk = desks(max_queue=1)
    first = desk.start("/api/generate", model=CHAT)
    second = desk.start("/api/generate", model=COMPLETE)
    until(lambda: desk.station.server.scheduler.waiting == 1)
    answer = desk.post("/api/generate", model="llama3.2:1b")
    assert answer.status_code == 503
    assert answer.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}
    desk.station.step(10)
    assert [first.result(5).status_code, second.result(5).status_code] == [200, 200]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "missing request body"),
        (b"{", "unexpected EOF"),
        (b"not json", "invalid character 'o' in literal null (expecting 'u')"),
        (b"<html>", "invalid character '<' looking for beginning of value"),
        (b'{"model": 5}', "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.GenerateRequest"),
        (b'{"model": "x", "keep_alive": "1d"}', 'time: unknown unit "d" in duration "1d"'),
        (b'{"model": "x", "keep_alive": "-1"}', 'time: missing unit in duration "-1"'),
        (b'{"model": "x", "keep_alive": false}', "Unsupported type: 'bool'"),
    ],
)
def test_bodies_that_make_no_sense_are_400(desk: Desk, content: bytes, error: str) -> None:
    answer = desk.client.post("/api/generate", content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_an_option_of_the_wrong_type_is_500(desk: Desk) -> None:
    answer = desk.post("/api/generate", model=CHAT, options={"num_ctx": "8192"})
    assert (answer.status_code, answer.json()) == (500, {"error": 'option "num_ctx" must be of type integer'})
    answer = desk.post("/api/generate", model=CHAT, options={"stop": ["a", 1]})
    assert answer.json()["error"] == 'option "stop" must be of an array of strings'


def test_unknown_models_in_two_wordings(desk: Desk) -> None:
    assert desk.post("/api/generate", model="nope").json() == {"error": "model 'nope' not found"}
    assert desk.post("/api/chat", model="nope").json() == {"error": "model 'nope' not found"}
    assert desk.post("/api/chat").json() == {"error": "model is required"}
    answer = desk.post("/api/embed", model="nope")
    assert answer.json() == {"error": 'model "nope" not found, try pulling it first'}
    assert answer.status_code == 404


def test_a_cloud_model_is_never_loaded_here(desk: Desk, desks: Callable[..., Desk]) -> None:
    assert desk.post("/api/generate", model=CLOUD, prompt="x").status_code == 401
    off = desks(cloud_disabled=True).post("/api/generate", model=CLOUD, prompt="x")
    assert (off.status_code, off.json()["error"][:25]) == (403, "ollama cloud is disabled:")


# -- OpenAI ------------------------------------------------------------------------------------------------------------


def test_openai_clients_neither_pin_nor_say_a_context(desk: Desk) -> None:
    desk.load(COMPLETE, keep_alive=-1)
    messages = [{"role": "user", "content": "x"}]
    future = desk.start("/v1/chat/completions", model=COMPLETE, messages=messages, keep_alive=5, max_tokens=5)
    desk.station.step(5)
    body = future.result(5).json()
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["usage"]["completion_tokens"] == 5
    assert desk.ps()[0]["expires_at"].startswith("2318-")


def test_openai_streams_events(desk: Desk) -> None:
    desk.load(COMPLETE)
    future = desk.start("/v1/completions", model=COMPLETE, prompt="x", stream=True, max_tokens=5)
    until(lambda: bool(desk.busy()))
    desk.station.step(5)
    answer = future.result(5)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.endswith("data: [DONE]\n\n")


def test_openai_errors_have_another_shape(desk: Desk) -> None:
    answer = desk.post("/v1/chat/completions", model="nope", messages=[{"role": "user", "content": "x"}])
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "model 'nope' not found"


# -- faults and life ---------------------------------------------------------------------------------------------------


def test_a_fault_replaces_an_answer_until_it_is_taken_away(desk: Desk) -> None:
    desk.station.server.faults["/api/ps"] = Fault(502, b"<html>bad gateway</html>", "text/html")
    answer = desk.client.get("/api/ps")
    assert (answer.status_code, answer.text) == (502, "<html>bad gateway</html>")
    assert desk.client.get("/api/version").status_code == 200
    del desk.station.server.faults["/api/ps"]
    assert desk.client.get("/api/ps").json() == {"models": []}


def test_a_server_that_is_stopped_refuses_and_comes_back_empty_on_its_port(desk: Desk) -> None:
    desk.load(EMBED, keep_alive=-1)
    url = desk.station.url
    desk.station.server.stop()
    with pytest.raises(httpx.TransportError):
        desk.client.get("/api/ps")
    assert desk.station.cards.cards[0].processes == {}
    assert desk.station.process_table.pids() == ()
    desk.station.server.start()
    assert desk.station.url == url
    assert desk.names() == []


def test_stopping_during_a_load_cuts_the_client_off(desk: Desk) -> None:
    future = desk.start("/api/generate", model=CHAT)
    desk.station.server.stop()
    error = future.exception(5)
    assert isinstance(error, httpx.TransportError) or future.result(0).status_code == 499
    assert desk.station.cards.cards[0].processes == {}


@pytest.mark.slow
def test_every_scenario_answers_the_four_questions() -> None:
    for name in SCENARIOS:
        with (
            SimulatedWorkstation(name, SteppedClock(), driver=False) as station,
            httpx.Client(base_url=station.url, trust_env=False) as client,
        ):
            for path in ("/api/version", "/api/ps", "/api/tags", "/"):
                assert client.get(path).status_code == 200, (name, path)
