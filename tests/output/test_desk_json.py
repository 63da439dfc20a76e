from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gpudesk.domain.desk import CardState, Desk, HolderKind
from gpudesk.domain.keep_alive import KeepAlive, KeepAliveState
from gpudesk.domain.problem import Problem
from gpudesk.output.desk_json import FIELDS, document, schema_fields, timestamp, to_json
from tests import desks
from tests.golden import check_golden

CONTRACT = {
    "": ["schema_version", "taken_at", "cards", "engines", "models", "host", "problems"],
    "cards[]": [
        "index", "uuid", "name", "memory_total_bytes", "memory_used_bytes", "memory_free_bytes", "utilization_ratio",
        "temperature_celsius", "power_draw_watts", "power_limit_watts", "holders", "error",
    ],
    "engines[]": ["kind", "url", "version", "reachable", "error"],
    "models[]": [
        "name", "engine", "digest", "memory_bytes", "memory_source", "reported_bytes", "reported_vram_bytes", "cards",
        "context_length", "parallel", "kv_cache_type", "cpu_ratio", "keep_alive", "pin",
    ],
    "models[].cards[]": ["index", "memory_bytes"],
    "models[].keep_alive": ["state", "expires_at", "remaining_seconds"],
    "host": ["memory_total_bytes", "memory_available_bytes"],
    "problems[]": ["source", "message", "hint"],
}  # fmt: skip
"""The keys version 1 began with; they stay first, in this order."""


def parsed(desk: Desk, **options: Any) -> dict[str, Any]:
    """What a reader of the JSON gets."""
    result: dict[str, Any] = json.loads(to_json(document(desk, **options)))
    return result


def objects(value: Any, place: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every object of a document with its place: `cards[].holders[]`."""
    if isinstance(value, list):
        return [found for item in value for found in objects(item, f"{place}[]")]
    if isinstance(value, dict):
        deeper = [found for key, item in value.items() for found in objects(item, f"{place}.{key}".lstrip("."))]
        return [(place, value), *deeper]
    return []


@pytest.mark.parametrize("name", desks.DESKS)
def test_the_whole_document(name: str) -> None:
    check_golden(f"status_{name}.json", to_json(document(desks.DESKS[name]()), indented=True) + "\n")


@pytest.mark.parametrize("name", desks.DESKS)
def test_the_contract_comes_first_and_in_order(name: str) -> None:
    for place, found in objects(parsed(desks.DESKS[name]())):
        if place in CONTRACT:
            assert list(found)[: len(CONTRACT[place])] == CONTRACT[place], place


@pytest.mark.parametrize("name", desks.DESKS)
def test_every_key_is_documented_in_its_order(name: str) -> None:
    for place, found in objects(parsed(desks.DESKS[name]())):
        documented = [key for key, _ in FIELDS[place]]
        if place == "cards[].holders[]":
            documented.remove("name" if found["kind"] == "model" else "model")
        assert list(found) == documented, place


def test_a_holder_begins_with_its_kind_and_who_it_is() -> None:
    holders = parsed(desks.one_card())["cards"][0]["holders"]
    assert [list(holder)[:4] for holder in holders[2:5]] == [
        ["kind", "model", "pids", "memory_bytes"],
        ["kind", "name", "pids", "memory_bytes"],
        ["kind", "name", "pids", "memory_bytes"],
    ]
    assert {holder["kind"] for holder in holders} == {kind.value for kind in HolderKind}


@pytest.mark.parametrize("name", ["one_card", "wsl", "remote", "spilled", "two_cards"])
def test_holders_and_free_are_the_total(name: str) -> None:
    for card in parsed(desks.DESKS[name]())["cards"]:
        if card["memory_total_bytes"] is not None:
            held = sum(holder["memory_bytes"] for holder in card["holders"])
            assert held + card["memory_free_bytes"] == card["memory_total_bytes"]


def test_unknown_is_null_and_zero_is_zero() -> None:
    document = parsed(desks.two_cards())
    asleep = document["cards"][3]
    assert asleep["memory_used_bytes"] is None
    assert asleep["utilization_ratio"] is None
    assert asleep["error"] is None
    assert document["host"] == {"memory_total_bytes": None, "memory_available_bytes": None}
    assert parsed(desks.remote())["cards"][0]["utilization_ratio"] == 0.0
    assert parsed(replace(desks.nothing(), host=None))["host"] is None
    assert parsed(desks.nothing())["driver"] is None


def test_times_are_rfc_3339_in_utc() -> None:
    assert (
        timestamp(datetime(2026, 3, 2, 10, 30, 0, 123456, tzinfo=timezone(timedelta(hours=1))))
        == "2026-03-02T09:30:00.123Z"
    )
    assert timestamp(datetime(2318, 6, 1, tzinfo=UTC)) == "2318-06-01T00:00:00.000Z"
    assert timestamp(None) is None


def test_each_keep_alive_says_its_state() -> None:
    states = [model["keep_alive"] for model in parsed(desks.one_card())["models"]]
    assert states == [
        {"state": "timed", "expires_at": "2026-03-02T09:34:32.000Z", "remaining_seconds": 272.0},
        {"state": "forever", "expires_at": None, "remaining_seconds": None},
        {"state": "stopping", "expires_at": "2026-03-02T09:30:00.000Z", "remaining_seconds": None},
    ]
    assert parsed(desks.remote())["models"][0]["keep_alive"] is None


def test_a_timer_that_ran_out_since_the_poll_is_stopping() -> None:
    desk = desks.one_card()
    late = KeepAlive(KeepAliveState.TIMED, desk.taken_at - timedelta(seconds=1))
    model = replace(desk.models[0], keep_alive=late)
    assert parsed(replace(desk, models=(model,)))["models"][0]["keep_alive"]["state"] == "stopping"


def test_what_json_has_no_word_for_is_null() -> None:
    odd = replace(desks.card(), power_draw_watts=float("nan"), temperature_celsius=float("inf"))
    card = parsed(replace(desks.one_card(), cards=(CardState(odd),)))["cards"][0]
    assert card["power_draw_watts"] is None
    assert card["temperature_celsius"] is None


def test_names_survive_any_pipe() -> None:
    text = to_json(document(desks.spilled()))
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["models"][0]["name"] == desks.spilled().models[0].name


def test_own_problems_come_first_and_demos_say_so() -> None:
    result = parsed(desks.wsl(), problems=(Problem("config", "broken", "mend it"),), demo=True)
    assert [problem["source"] for problem in result["problems"]] == ["config", "nvml"]
    assert result["problems"][0] == {"source": "config", "message": "broken", "hint": "mend it"}
    assert result["demo"] is True
    assert parsed(desks.wsl())["demo"] is False


def test_the_schema_lists_every_path_once() -> None:
    paths = [path for path, _ in schema_fields()]
    assert len(set(paths)) == len(paths)
    assert "cards[].holders[].memory_bytes" in paths
    assert "schema_version" in paths
