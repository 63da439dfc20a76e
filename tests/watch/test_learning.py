from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gpudesk.domain.card import Card
from gpudesk.domain.desk import CardShare, CardState, Desk, LoadedModel, MemorySource
from gpudesk.domain.engine import Engine, Era
from gpudesk.domain.model import ModelDetails
from gpudesk.domain.process import Process, Runner, RunnerKind
from gpudesk.domain.reading import Failure
from gpudesk.errors import FailureKind
from gpudesk.fit.points import Conditions
from gpudesk.watch.learning import LearnedLoad, Learning, learn
from tests.desks import LOCAL, NOW, source

MIB = 1 << 20
SIZE = 9216 * MIB
RUNNER = Runner(
    RunnerKind.LLAMA_SERVER, blob_digest="b" * 64, context_total=16384, parallel=2, batch_size=512,
    kv_cache_type_k="q8_0", kv_cache_type_v="q8_0", flash_attention="auto",
)  # fmt: skip
MODEL = LoadedModel(
    "qwen3:14b", LOCAL, digest="a" * 64, memory_bytes=SIZE, memory_source=MemorySource.DRIVER,
    reported_bytes=8900 * MIB, reported_vram_bytes=8900 * MIB, cards=(CardShare(0, SIZE),), context_length=8192,
    parallel=2, kv_cache_type="q8_0", cpu_ratio=0.0, pids=(4711,), runner=RUNNER,
)  # fmt: skip
CONDITIONS = Conditions(
    "NVIDIA GeForce RTX 4090", "b" * 64, 8192, 2, "q8_0", "q8_0", engine_version="0.33.0", batch_size=512,
    flash_attention="auto",
)  # fmt: skip


def desk(seconds: float, model: LoadedModel | None = MODEL, **changes: Any) -> Desk:
    """One look at a card with one model, so many seconds after the first."""
    at = NOW + timedelta(seconds=seconds)
    states = tuple(CardState(Card(index, name="NVIDIA GeForce RTX 4090")) for index in range(2))
    made = Desk(
        at, cards=states, models=() if model is None else (model,), engines=(Engine(LOCAL, version="0.33.0"),),
        details=(ModelDetails("a" * 64),), processes=(Process(4711, "llama-server", started_at=NOW),),
        sources=(replace(source("nvml"), last_taken_at=at, last_value_at=at),),
    )  # fmt: skip
    return replace(made, **changes)


def learned(desks: Iterable[Desk]) -> list[LearnedLoad]:
    state = Learning()
    found: list[LearnedLoad] = []
    for each in desks:
        state, new = learn(state, each)
        found += new
    return found


def with_model(**changes: Any) -> list[Desk]:
    return [desk(second, replace(MODEL, **changes)) for second in range(6)]


def test_a_load_that_holds_still_is_learned_once_with_all_its_conditions() -> None:
    (load,) = learned(desk(second) for second in range(20))
    assert load == LearnedLoad(
        f"4711@{NOW.isoformat(timespec='seconds')}", NOW + timedelta(seconds=2), CONDITIONS, SIZE, "a" * 64, 8900 * MIB
    )


def test_two_samples_are_not_enough() -> None:
    assert learned([desk(0), desk(1)]) == []
    assert len(learned([desk(0), desk(1), desk(2)])) == 1


def test_the_same_sample_seen_again_counts_once() -> None:
    assert learned([desk(0)] * 10) == []


def test_a_load_that_grows_is_waited_for() -> None:
    sizes = [1000, 3000, 5000, 9216, 9216, 9216]
    desks = [desk(second, replace(MODEL, memory_bytes=size * MIB)) for second, size in enumerate(sizes)]
    assert [load.measured_bytes for load in learned(desks)] == [SIZE]


@pytest.mark.parametrize(("growth", "told"), [(200, 2), (8, 2), (7, 1), (-300, 1)])
def test_what_the_first_request_adds_replaces_the_figure(growth: int, told: int) -> None:
    later = replace(MODEL, memory_bytes=SIZE + growth * MIB)
    found = learned([*(desk(second) for second in range(4)), *(desk(second, later) for second in range(4, 9))])
    assert len(found) == told
    assert len({load.load for load in found}) == 1
    assert found[-1].measured_bytes == (SIZE + growth * MIB if told == 2 else SIZE)


def test_a_load_that_ended_and_came_again_is_another() -> None:
    again = (Process(4711, "llama-server", started_at=NOW + timedelta(seconds=60)),)
    found = learned([
        *(desk(second) for second in range(4)),
        desk(10, None),
        *(desk(second, processes=again) for second in range(60, 64)),
    ])  # fmt: skip
    assert len({load.load for load in found}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu_ratio": 0.2},
        {"cpu_ratio": None},
        {"memory_source": MemorySource.ENGINE},
        {"memory_bytes": None},
        {"memory_bytes": 0},
        {"local": False},
        {"pids": ()},
        {"runner": None},
        {"context_length": None},
        {"kv_cache_type": None},
        {"cards": ()},
        {"cards": (CardShare(7, SIZE),)},
        {"engine_url": "http://elsewhere"},
        {"runner": replace(RUNNER, blob_digest=None)},
        {"runner": replace(RUNNER, parallel=None)},
        {"runner": replace(RUNNER, lora_count=1)},
        {"runner": replace(RUNNER, draft_model=True)},
    ],
    ids=str,
)
def test_what_could_mislead_is_not_learned(changes: dict[str, Any]) -> None:
    assert learned(with_model(**changes)) == []


@pytest.mark.parametrize(
    "card",
    [{"name": None}, {"name": "NVIDIA GeForce RTX 3060"}, {"unified_memory": True}],
    ids=str,
)
def test_cards_that_cannot_be_compared_are_not_learned_from(card: dict[str, Any]) -> None:
    both = replace(MODEL, cards=(CardShare(0, SIZE // 2), CardShare(1, SIZE // 2)))
    states = (
        CardState(Card(0, name="NVIDIA GeForce RTX 4090")),
        CardState(Card(1, **{"name": "NVIDIA GeForce RTX 4090", **card})),
    )
    assert learned(desk(second, both, cards=states) for second in range(5)) == []


def test_a_load_over_two_equal_cards_counts_both() -> None:
    both = replace(MODEL, cards=(CardShare(0, SIZE // 2), CardShare(1, SIZE // 2)))
    (load,) = learned(desk(second, both) for second in range(5))
    assert load.conditions == replace(CONDITIONS, card_count=2)


@pytest.mark.parametrize("version", [None, "0.0.0", "main"])
def test_an_engine_of_unknown_version_teaches_nothing(version: str | None) -> None:
    engines = (Engine(LOCAL, version=version),)
    assert learned(desk(second, engines=engines) for second in range(5)) == []


def test_a_driver_that_fails_teaches_nothing() -> None:
    failed = replace(source("nvml"), failure=Failure(FailureKind.LOST, "gone"))
    assert learned(desk(second, sources=(failed,)) for second in range(5)) == []
    assert learned(desk(second, sources=()) for second in range(5)) == []


@pytest.mark.parametrize(
    ("details", "version", "told"),
    [
        (ModelDetails("a" * 64), "0.33.0", 8900 * MIB),
        (ModelDetails("a" * 64, sliding_window=1024), "0.33.0", None),
        (ModelDetails("a" * 64, has_projector=True), "0.33.0", None),
        (ModelDetails("a" * 64, has_draft=True), "0.33.0", None),
        (ModelDetails("c" * 64), "0.33.0", None),
        (ModelDetails("a" * 64), "0.12.6", None),
        (ModelDetails("a" * 64), "0.24.0", None),
    ],
)
def test_the_engine_s_figure_counts_where_it_is_complete(details: ModelDetails, version: str, told: int | None) -> None:
    engines = (Engine(LOCAL, version=version),)
    (load,) = learned(desk(second, details=(details,), engines=engines) for second in range(5))
    assert load.engine_buffers_bytes == told


def test_keys_and_values_of_different_types() -> None:
    (load,) = learned(with_model(kv_cache_type="q8_0/q4_0"))
    assert (load.conditions.kv_cache_type_k, load.conditions.kv_cache_type_v) == ("q8_0", "q4_0")


def test_it_says_whether_looking_again_may_teach_more() -> None:
    state, _ = learn(Learning(), desk(0))
    assert state.waiting
    for second in range(1, 3):
        state, _ = learn(state, desk(second))
    assert not state.waiting
    assert not learn(state, desk(3, None))[0].waiting


def test_the_era_is_that_of_the_engine() -> None:
    engines = (Engine(LOCAL, version="0.12.6"),)
    (load,) = learned(desk(second, engines=engines) for second in range(5))
    assert load.conditions.era is Era.ESTIMATE
