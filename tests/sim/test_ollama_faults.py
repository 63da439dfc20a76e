"""What can go wrong at each step, and that nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from gpudesk.sim import ollama_faults
from gpudesk.sim.engine_runner import RequestState
from gpudesk.sim.scenarios import SCENARIOS
from gpudesk.sim.workstation import SimulatedWorkstation
from tests.sim.http_desk import CHAT, COMPLETE, EMBED, Desk
from tests.waiting import until


def held(desk: Desk) -> int:
    """What processes hold on the card."""
    return sum(process.memory_bytes for process in desk.station.cards.cards[0].processes.values())


# -- which request is which step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "method", "path", "body"),
    [
        ("version", "GET", "/api/version", None),
        ("tags", "GET", "/api/tags", None),
        ("ps", "GET", "/api/ps", None),
        ("show", "POST", "/api/show", {"model": CHAT}),
        ("load", "POST", "/api/generate", {"model": CHAT}),
        ("load", "POST", "/api/chat", {"model": CHAT, "messages": []}),
        ("load", "POST", "/api/embed", {"model": EMBED, "keep_alive": -1}),
        ("load", "POST", "/api/generate", {"model": COMPLETE, "options": {"num_ctx": 8192}}),
        ("keep", "POST", "/api/generate", {"model": COMPLETE, "keep_alive": -1, "options": {"num_ctx": 4096}}),
        ("unload", "POST", "/api/generate", {"model": COMPLETE, "keep_alive": 0}),
        ("unload", "POST", "/api/chat", {"model": CHAT, "keep_alive": "0s"}),
        ("ask", "POST", "/api/generate", {"model": COMPLETE, "prompt": "x", "keep_alive": 0}),
        ("ask", "POST", "/v1/chat/completions", {"model": COMPLETE, "messages": [{"role": "user", "content": "x"}]}),
        ("pull", "POST", "/api/pull", {"model": CHAT}),
        ("delete", "DELETE", "/api/delete", {"model": CHAT}),
        ("copy", "POST", "/api/copy", {"source": CHAT, "destination": "mine"}),
        ("create", "POST", "/api/create", {"model": "mine", "from": CHAT}),
    ],
)
def test_a_fault_meets_its_step_and_no_other(
    desk: Desk, step: str, method: str, path: str, body: dict[str, object] | None
) -> None:
    desk.load(COMPLETE, keep_alive=600, options={"num_ctx": 4096})
    others = {"version", "tags", "ps", "show", "load", "keep", "unload", "ask", "pull", "delete", "copy", "create"}
    unmet = [desk.station.server.fault(other, "close") for other in sorted(others - {step})]
    fault = desk.station.server.fault(step, "error", status=502, text="bad gateway")
    answer = desk.client.request(method, path, json=body)
    assert (answer.status_code, answer.json()) == (502, {"error": "bad gateway"})
    assert (fault.calls, fault.over, fault.reached.is_set()) == (1, True, True)
    assert not any(other.calls for other in unmet)
    desk.station.server.step_faults.clear()


def test_a_fault_may_be_for_one_model_and_for_more_than_one_time(desk: Desk) -> None:
    fault = desk.station.server.fault("show", "error", model=CHAT, times=2)
    statuses = [desk.post("/api/show", model=name).status_code for name in (COMPLETE, CHAT, CHAT, CHAT)]
    assert statuses == [200, 500, 500, 200]
    assert fault.calls == 2
    lasting = desk.station.server.fault("*", "error", times=None)
    assert [desk.client.get("/api/ps").status_code for _ in range(3)] == [500] * 3
    lasting.remove()
    assert desk.client.get("/api/ps").status_code == 200


@pytest.mark.parametrize(
    ("step", "kind", "moment"),
    [("lode", "hang", "before"), ("load", "hank", "before"), ("load", "hang", "later"), ("ps", "cpu", "before"),
     ("load", "late-memory", "before")],
)  # fmt: skip
def test_what_there_is_none_of_is_refused(desk: Desk, step: str, kind: str, moment: str) -> None:
    with pytest.raises(ValueError, match="is none of: "):
        desk.station.server.fault(step, kind, moment=moment)


# -- answers -----------------------------------------------------------------------------------------------------------


def test_garbage_is_whatever_it_is_told_to_be(desk: Desk) -> None:
    server = desk.station.server
    server.fault("ps", "garbage")
    answer = desk.client.get("/api/ps")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    server.fault("ps", "garbage", body=b"[]")
    assert desk.client.get("/api/ps").json() == []
    assert desk.client.get("/api/ps").json() == {"models": []}


@pytest.mark.parametrize("kind", ["close", "truncated"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_answer_that_breaks_off(desk: Desk, kind: str, moment: str) -> None:
    desk.station.server.fault("tags", kind, moment=moment)
    with pytest.raises(httpx.RemoteProtocolError):
        desk.client.get("/api/tags")
    assert desk.client.get("/api/tags").status_code == 200


@pytest.mark.parametrize("kind", sorted(ollama_faults.ANSWER_KINDS - {"hang", "call", "stop", "kill"}))
def test_before_nothing_is_done_and_after_all_of_it(desk: Desk, kind: str) -> None:
    desk.load(COMPLETE, keep_alive=-1)
    for moment, left in (("before", [COMPLETE]), ("after", [])):
        desk.station.server.fault("unload", kind, moment=moment)
        try:
            answer = desk.post("/api/generate", model=COMPLETE, keep_alive=0)
        except httpx.RemoteProtocolError:
            assert kind in ("close", "truncated")
        else:
            assert "done_reason" not in answer.text
        assert desk.names() == left


def test_a_request_that_hangs_goes_on_when_it_is_let_go(desk: Desk) -> None:
    fault = desk.station.server.fault("unload", "hang")
    desk.load(COMPLETE, keep_alive=-1)
    future = desk.submit("/api/generate", model=COMPLETE, keep_alive=0)
    assert fault.reached.wait(5)
    assert desk.names() == [COMPLETE], "the server itself answers"
    fault.release()
    assert future.result(5).json()["done_reason"] == "unload"
    assert desk.names() == []


def test_somebody_else_comes_in_between(desk: Desk) -> None:
    stage = desk.station.stage
    desk.load(COMPLETE, keep_alive=-1)
    desk.station.server.fault("unload", "call", moment="after", action=lambda: stage.ask(EMBED, keep_alive=-1))
    assert desk.post("/api/generate", model=COMPLETE, keep_alive=0).json()["done_reason"] == "unload"
    desk.station.step(5)
    assert desk.names() == [EMBED]


# -- in the middle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "left"), [("close", []), ("error", []), ("garbage", []), ("stop", []), ("kill", None), ("call", [CHAT])]
)
def test_in_the_middle_half_of_a_load_is_there(desk: Desk, kind: str, left: list[str] | None) -> None:
    seen: list[int] = []
    server = desk.station.server
    first = server.fault("load", "call", moment="middle", action=lambda: seen.append(held(desk)))
    loading = desk.start("/api/generate", model=CHAT)
    desk.station.step(10)
    assert first.reached.wait(5)
    until(lambda: desk.station.server.scheduler.goes_on)
    desk.station.step(2)
    assert loading.result(5).status_code == 200
    whole = held(desk)
    assert 0.4 * whole < seen[0] < 0.6 * whole
    desk.post("/api/generate", model=CHAT, keep_alive=0)
    desk.station.step(1)
    fault = server.fault("load", kind, moment="middle")
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(0.9)
    assert not fault.reached.is_set()
    desk.station.step(0.1)
    assert fault.reached.wait(5)
    until(lambda: server.scheduler.goes_on if kind == "call" else future.done())
    desk.station.step(3)
    if kind == "call":
        assert future.result(5).json()["done_reason"] == "load"
    if kind in ("stop", "kill"):
        until(lambda: not server.running)
        server.restart()
    assert desk.names() == (left or [])
    assert (held(desk) > 0) is (left != []), "a killed server's runner stays behind"


def test_a_load_that_hangs_in_the_middle_gets_no_further_until_it_is_let_go(desk: Desk) -> None:
    fault = desk.station.server.fault("load", "hang", moment="middle")
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(60)
    assert fault.reached.wait(5)
    half = held(desk)
    desk.station.step(60)
    assert desk.names() == []
    assert held(desk) == half
    assert not future.done()
    fault.release()
    until(lambda: desk.station.server.scheduler.goes_on)
    desk.station.step(1)
    assert future.result(5).json()["done_reason"] == "load"


# -- inside the engine -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.33.0", "llama-server reported out-of-memory during startup: "),
        ("0.12.6", "llama runner process has terminated: cudaMalloc failed: out of memory"),
    ],
)
def test_a_card_that_gives_nothing(desks: Callable[..., Desk], version: str, text: str) -> None:
    desk = desks(version=version)
    desk.station.server.fault("load", "out-of-memory", model=CHAT)
    desk.load(COMPLETE, keep_alive=-1)
    future = desk.submit("/api/generate", model=CHAT)
    until(lambda: desk.step_until(future))
    answer = future.result(5)
    assert answer.status_code == 500
    assert answer.json()["error"].startswith(text)
    assert CHAT not in desk.names()
    assert (COMPLETE in desk.names()) is (version != "0.33.0"), "llama-server's era first tries without all others"
    desk.load(CHAT)
    assert CHAT in desk.names()


def test_a_model_that_comes_to_lie_in_host_memory(desk: Desk) -> None:
    desk.station.server.fault("load", "cpu")
    desk.load(COMPLETE)
    (row,) = desk.ps()
    assert (row["size_vram"], row["size"] > 0, held(desk)) == (0, True, 0)
    desk.post("/api/generate", model=COMPLETE, keep_alive=0)
    desk.load(COMPLETE)
    assert desk.ps()[0]["size_vram"] > 0


def test_a_load_that_gets_nowhere_ends_after_five_minutes(desk: Desk) -> None:
    desk.station.server.fault("load", "stall", model=CHAT)
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(299)
    assert not future.done()
    desk.station.step(1)
    assert future.result(5).json()["error"].startswith("timed out waiting for llama-server to start - ")
    desk.load(CHAT)


def test_a_runner_that_dies_while_it_loads(desk: Desk) -> None:
    desk.station.server.fault("load", "crash")
    future = desk.start("/api/generate", model=CHAT)
    desk.station.step(1)
    answer = future.result(5)
    assert (answer.status_code, answer.json()) == (
        500, {"error": "llama-server process has terminated: signal: killed"},
    )  # fmt: skip
    assert held(desk) == 0


def test_trouble_is_for_loads_and_waits_for_one(desk: Desk) -> None:
    desk.load(COMPLETE)
    fault = desk.station.server.fault("load", "crash")
    desk.post("/api/generate", model=COMPLETE)
    assert fault.calls == 0
    request = desk.station.stage.ask(CHAT)
    desk.station.step(5)
    assert request is not None
    assert request.state is RequestState.FAILED
    assert fault.calls == 1


# -- memory that stays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3.0, None])
def test_a_driver_that_gives_memory_back_late_or_never(desk: Desk, seconds: float | None) -> None:
    card = desk.station.cards.cards[0]
    before = card.memory_used_bytes
    desk.load(CHAT, keep_alive=-1)
    full = card.memory_used_bytes
    desk.station.server.fault("unload", "late-memory", seconds=seconds)
    assert desk.post("/api/generate", model=CHAT, keep_alive=0).json()["done_reason"] == "unload"
    assert desk.names() == []
    assert card.processes == {}
    assert card.memory_used_bytes == full, "used, and nobody's"
    desk.station.step(2.9)
    assert card.memory_used_bytes == full
    desk.station.step(0.2)
    assert card.memory_used_bytes == (before if seconds else full)
    desk.load(COMPLETE)
    desk.post("/api/generate", model=COMPLETE, keep_alive=0)
    assert card.memory_used_bytes == (before if seconds else full), "it was for one time"


def test_the_server_waits_five_seconds_for_memory_that_does_not_come(desks: Callable[..., Desk]) -> None:
    desk = desks(max_loaded_models=1)
    desk.load(COMPLETE, keep_alive=-1)
    desk.station.server.fault("unload", "late-memory")
    future = desk.start("/api/generate", model=EMBED, keep_alive=0)
    assert future.result(5).json()["done_reason"] == "unload", "nothing was there to unload, and nothing was met"
    loading = desk.station.stage.ask(EMBED)
    assert loading is not None
    desk.station.step(4.9)
    waited = loading.state
    desk.station.step(0.2)
    assert (waited, loading.state) == (RequestState.QUEUED, RequestState.LOADING)


# -- a server that is killed -------------------------------------------------------------------------------------------


def test_a_killed_server_leaves_its_runners_and_the_next_knows_nothing_of_them(desk: Desk) -> None:
    station = desk.station
    desk.load(COMPLETE, keep_alive=-1)
    (runner,) = station.server.scheduler.loaded.values()
    before = held(desk)
    station.server.kill()
    with pytest.raises(httpx.TransportError):
        desk.client.get("/api/ps")
    assert held(desk) == before
    described = station.process_table.describe(runner.pid)
    assert described is not None
    assert described.parent_pid == 1
    station.server.restart()
    assert desk.names() == []
    assert held(desk) == before
    desk.load(COMPLETE)
    assert held(desk) > before
    station.stage.quit(runner.pid)
    assert held(desk) == before


# -- documentation -----------------------------------------------------------------------------------------------------


def test_every_kind_is_told_of() -> None:
    text = ollama_faults.__doc__ or ""
    words = ollama_faults.STEPS | ollama_faults.ANSWER_KINDS | ollama_faults.LOAD_KINDS | ollama_faults.MOMENTS
    for word in (*words, ollama_faults.MEMORY_KIND):
        assert f"`{word}`" in text, word


def test_a_scenario_can_go_wrong_too() -> None:
    with SimulatedWorkstation(SCENARIOS["idle"], driver=False) as station:
        station.server.fault("version", "garbage", body=b'{"version": 7}')
        answer = httpx.get(f"{station.url}/api/version", trust_env=False)
        assert answer.json() == {"version": 7}
