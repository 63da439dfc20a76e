"""What changes the disk: pull, delete, copy, create, blobs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx
import pytest

from gpudesk.sim.clock import SteppedClock
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.ollama_store import normalize
from gpudesk.sim.scenarios import Scenario
from gpudesk.sim.workstation import SimulatedWorkstation

CHAT = "qwen3:14b"


@pytest.fixture
def station() -> Iterator[SimulatedWorkstation]:
    models = tuple(model for model in catalog() if model.name != "smollm2:1.7b")
    scenario = Scenario("disk", "", lambda _stage: None, models=lambda: models)
    with SimulatedWorkstation(scenario, SteppedClock(), driver=False) as started:
        yield started


@pytest.fixture
def client(station: SimulatedWorkstation) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=station.url, timeout=10, trust_env=False) as opened:
        yield opened


def names(client: httpx.Client) -> list[str]:
    return [row["name"] for row in client.get("/api/tags").json()["models"]]


def digest_of(client: httpx.Client, name: str) -> str:
    return str(next(row["digest"] for row in client.get("/api/tags").json()["models"] if row["name"] == name))


def pulled(station: SimulatedWorkstation, client: httpx.Client, **body: object) -> list[dict[str, Any]]:
    """Pull while time passes, and return the lines."""
    lines: list[dict[str, Any]] = []

    def pull() -> None:
        with client.stream("POST", "/api/pull", json=body) as response:
            assert response.status_code == 200
            lines.extend(json.loads(line) for line in response.iter_lines())

    thread = threading.Thread(target=pull)
    thread.start()
    for _ in range(2000):
        if not thread.is_alive():
            break
        station.step(1)
        thread.join(0.005)
    assert not thread.is_alive()
    return lines


def test_a_pull_tells_how_far_it_is_and_ends_with_success(station: SimulatedWorkstation, client: httpx.Client) -> None:
    lines = pulled(station, client, model="smollm2:1.7b")
    assert [line["status"] for line in (lines[0], *lines[-3:])] == [
        "pulling manifest", "verifying sha256 digest", "writing manifest", "success",
    ]  # fmt: skip
    progress = [line for line in lines if "digest" in line]
    assert progress[0]["status"] == f"pulling {progress[0]['digest'][7:19]}"
    assert "completed" not in progress[0], "nothing yet is left out, not zero"
    weights = [line for line in progress if line["digest"] == progress[0]["digest"]]
    completed = [line["completed"] for line in weights[1:]]
    assert len(completed) == 40
    assert completed == sorted(set(completed))
    assert completed[-1] == weights[-1]["total"]
    files = {line["digest"]: line["total"] for line in progress}
    assert len(files) == 4, "weights, template, license, config"
    assert names(client)[0] == "smollm2:1.7b"
    listed = next(row["size"] for row in client.get("/api/tags").json()["models"] if row["name"] == "smollm2:1.7b")
    assert sum(files.values()) == listed


def test_a_pull_of_what_is_there_is_one_line_for_each_file(station: SimulatedWorkstation, client: httpx.Client) -> None:
    first, *files, verifying, writing, success = pulled(station, client, model=CHAT)
    assert [line["status"] for line in (first, verifying, writing, success)] == [
        "pulling manifest", "verifying sha256 digest", "writing manifest", "success",
    ]  # fmt: skip
    assert [line["completed"] for line in files] == [line["total"] for line in files]
    assert len(files) == 4


def started(station: SimulatedWorkstation, client: httpx.Client, name: str) -> Iterator[dict[str, Any]]:
    """Pull while time passes, line by line; leaving it closes the connection."""
    with client.stream("POST", "/api/pull", json={"model": name}) as response:
        lines = response.iter_lines()
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(0.002):
                station.step(1)

        thread = threading.Thread(target=tick)
        thread.start()
        try:
            yield from (json.loads(line) for line in lines)
        finally:
            ended.set()
            thread.join()


def test_a_pull_that_is_left_goes_on_where_it_was(station: SimulatedWorkstation, client: httpx.Client) -> None:
    fault = station.server.fault("pull", "hang", moment="middle")
    lines = started(station, client, "smollm2:1.7b")
    last = next(line for line in lines if line.get("completed", 0) * 2 >= line.get("total", 1))
    assert fault.reached.wait(5)
    lines.close()  # type: ignore[attr-defined]
    fault.release()
    assert "smollm2:1.7b" not in names(client)
    again = pulled(station, client, model="smollm2:1.7b")
    resumed = next(line for line in again if "digest" in line)
    assert resumed["digest"] == last["digest"]
    assert last["completed"] <= resumed["completed"] < resumed["total"]
    assert names(client)[0] == "smollm2:1.7b"


@pytest.mark.parametrize(
    "text", ["max retries exceeded: EOF", "write /blobs/sha256-x-partial: no space left on device"]
)
def test_a_pull_that_fails_half_way_is_an_error_line(
    station: SimulatedWorkstation, client: httpx.Client, text: str
) -> None:
    station.server.fault("pull", "error", moment="middle", text=text)
    lines = pulled(station, client, model="smollm2:1.7b")
    assert lines[-1] == {"error": text}
    assert lines[-2]["completed"] * 2 == pytest.approx(lines[-2]["total"], rel=0.01)


def test_without_a_way_to_the_registry_nothing_is_pulled(station: SimulatedWorkstation, client: httpx.Client) -> None:
    station.server.store.offline = True
    answer = client.post("/api/pull", json={"model": "smollm2:1.7b", "stream": False})
    assert answer.status_code == 500
    assert answer.json()["error"].startswith(
        'pull model manifest: Get "https://registry.ollama.ai/v2/library/smollm2/manifests/1.7b": dial tcp: '
    )


def test_a_new_version_of_a_name_is_another_file_and_what_is_loaded_stays_the_old_one(
    station: SimulatedWorkstation, client: httpx.Client
) -> None:
    with station.timeline.changed:
        station.stage.loaded("llama3.2:1b", keep_alive=-1)
    before = digest_of(client, "llama3.2:1b")
    old = station.server.store.find("llama3.2:1b")
    assert old is not None
    station.server.store.publish(replace(old, blob_key="llama3.2:1b of next week"))
    lines = pulled(station, client, model="llama3.2:1b")
    assert [line["status"] for line in lines[-2:]] == ["removing unused layers", "success"]
    assert digest_of(client, "llama3.2:1b") != before
    (loaded,) = client.get("/api/ps").json()["models"]
    assert loaded["digest"] == before


def test_a_pull_of_an_unknown_model_is_an_error_line_with_200(client: httpx.Client) -> None:
    answer = client.post("/api/pull", json={"model": "no-such-model"})
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]


def test_without_a_stream_the_same_is_500(client: httpx.Client) -> None:
    answer = client.post("/api/pull", json={"model": "no-such-model", "stream": False})
    assert (answer.status_code, answer.json()) == (500, {"error": "pull model manifest: file does not exist"})


def test_deleting_a_model_does_not_unload_it(station: SimulatedWorkstation, client: httpx.Client) -> None:
    with station.timeline.changed:
        station.stage.loaded(CHAT, keep_alive=-1)
    answer = client.request("DELETE", "/api/delete", json={"model": CHAT})
    assert (answer.status_code, answer.content) == (200, b"")
    assert CHAT not in names(client)
    assert [row["name"] for row in client.get("/api/ps").json()["models"]] == [CHAT]
    answer = client.request("DELETE", "/api/delete", json={"model": CHAT})
    assert (answer.status_code, answer.json()) == (404, {"error": f"model '{CHAT}' not found"})


def test_a_copy_shares_digest_and_file(client: httpx.Client) -> None:
    answer = client.post("/api/copy", json={"source": CHAT, "destination": "mine"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert names(client)[0] == "mine:latest"
    assert digest_of(client, "mine:latest") == digest_of(client, CHAT)
    files = {
        client.post("/api/show", json={"model": name}).json()["modelfile"].split("\nFROM ")[1].split("\n")[0]
        for name in ("mine", CHAT)
    }
    assert len(files) == 1


def test_copies_that_cannot_be(client: httpx.Client) -> None:
    answer = client.post("/api/copy", json={"source": "nope", "destination": "mine"})
    assert (answer.status_code, answer.json()) == (404, {"error": 'model "nope" not found'})
    answer = client.post("/api/copy", json={"source": "", "destination": "mine"})
    assert (answer.status_code, answer.json()) == (400, {"error": 'source "" is invalid'})
    answer = client.post("/api/copy", json={"source": CHAT, "destination": "a b"})
    assert answer.json() == {"error": 'destination "a b" is invalid'}


def test_a_derived_model_has_its_own_digest_and_the_same_file(client: httpx.Client) -> None:
    body = {"model": "wide", "from": CHAT, "parameters": {"num_ctx": 24576}}
    answer = client.post("/api/create", json=body)
    assert [json.loads(line)["status"] for line in answer.text.splitlines()][-2:] == ["writing manifest", "success"]
    shown = client.post("/api/show", json={"model": "wide"}).json()
    assert shown["parameters"] == "num_ctx                        24576"
    original = client.post("/api/show", json={"model": CHAT}).json()
    from_line = original["modelfile"].split("\nFROM ")[1].split("\n")[0]
    assert from_line in shown["modelfile"]
    assert digest_of(client, "wide:latest") != digest_of(client, CHAT)


def test_a_blob_is_uploaded_checked_and_made_into_a_model(client: httpx.Client) -> None:
    content = b"GGUF and so on"
    digest = sha256(content).hexdigest()
    path = f"/api/blobs/sha256:{digest}"
    assert client.head(path).status_code == 404
    refused = client.post(path, content=b"something else")
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(f'digest mismatch, expected "sha256:{digest}", got "sha256:')
    assert client.post(path, content=content).status_code == 201
    assert client.post(path, content=content).status_code == 200
    assert client.head(path).status_code == 200
    body = {"model": "own", "files": {"m.gguf": f"sha256:{digest}"}, "stream": False}
    assert client.post("/api/create", json=body).json() == {"status": "success"}
    assert "own:latest" in names(client)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"model": "own"}, "neither 'from' or 'files' was specified"),
        ({"model": "own", "modelfile": f"FROM {CHAT}"}, "neither 'from' or 'files' was specified"),
        ({"model": "a b", "from": CHAT}, "invalid model name"),
    ],
)
def test_what_cannot_be_created_since_0_5_5(client: httpx.Client, body: dict[str, Any], error: str) -> None:
    answer = client.post("/api/create", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_a_model_from_nowhere_is_tried_to_be_pulled(client: httpx.Client) -> None:
    body = {"model": "own", "from": "nowhere"}
    answer = client.post("/api/create", json=body)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (answer.status_code, lines) == (
        200, [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}],
    )  # fmt: skip
    whole = client.post("/api/create", json={**body, "stream": False})
    assert (whole.status_code, whole.json()) == (500, {"error": "pull model manifest: file does not exist"})
    assert "own:latest" not in names(client)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("qwen3", "qwen3:latest"),
        ("qwen3:14b", "qwen3:14b"),
        ("library/qwen3:14b", "qwen3:14b"),
        ("registry.ollama.ai/library/qwen3:14b", "qwen3:14b"),
        ("alice/qwen3", "alice/qwen3:latest"),
        ("hf.co/bartowski/Qwen3-GGUF:Q4_K_M", "hf.co/bartowski/Qwen3-GGUF:Q4_K_M"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("", None),
        ("a b", None),
        ("a//b", None),
        ("x:", None),
        ("a/b/c/d", None),
    ],
)
def test_names_are_shown_in_their_shortest_form(given: str, normal: str | None) -> None:
    assert normalize(given) == normal
