"""The promise under every combination of missing and contradictory input that we could think of."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gpudesk.domain.attribution import Attribution, attribute
from gpudesk.domain.card import Card, CardProcess, ProcessAccounting
from gpudesk.domain.desk import HolderKind, MemorySource
from gpudesk.domain.engine import EngineSample
from gpudesk.domain.model import EngineModel, ModelDetails
from gpudesk.domain.process import Process, ProcessSample, Runner, RunnerKind, ServerProcess
from gpudesk.domain.serving import answers_at
from gpudesk.domain.settle import apportion, settle
from tests.domain.builders import OTHER_URL, URL, assert_adds_up, blob, manifest

PIDS = st.integers(1, 9)
NUMBERS = st.integers(1, 5)
SIZES = st.one_of(
    st.none(),
    st.integers(0, 40),
    st.integers(-5, 200),
    st.sampled_from([2**64 - 1, 2**63, -1, 100, 101]),
)
"""Small totals (100) so that limits are met all the time; the arithmetic is of whole numbers at any scale."""


@st.composite
def cards(draw: st.DrawFn) -> Card:
    return Card(
        index=draw(st.integers(0, 3)),
        memory_total_bytes=draw(st.one_of(st.just(100), SIZES)),
        memory_used_bytes=draw(SIZES),
        memory_free_bytes=draw(SIZES),
        memory_reserved_bytes=draw(SIZES),
        processes=tuple(
            draw(
                st.lists(
                    st.builds(
                        CardProcess,
                        PIDS,
                        SIZES,
                        st.booleans(),
                        st.booleans(),
                        st.one_of(st.none(), st.integers(0, 1)),
                    ),
                    max_size=6,
                )
            )
        ),
        process_accounting=draw(st.sampled_from(list(ProcessAccounting))),
        unified_memory=draw(st.booleans()),
        asleep=draw(st.booleans()),
        error=draw(st.one_of(st.none(), st.just("lost"))),
    )


MODELS = st.builds(
    EngineModel,
    name=st.sampled_from(["a:1b", "b:1b", "c:1b", "d:1b"]),
    engine_url=st.just(URL),
    digest=st.one_of(st.none(), NUMBERS.map(manifest)),
    size_bytes=SIZES,
    size_vram_bytes=SIZES,
    context_length=st.one_of(st.none(), st.just(4096)),
)
ENGINES = st.builds(
    EngineSample,
    url=st.sampled_from([URL, OTHER_URL]),
    version=st.sampled_from([None, "0.5.4", "0.12.11", "0.33.0", "0.0.0"]),
    local=st.booleans(),
    models=st.lists(MODELS, max_size=4).map(tuple),
)
RUNNERS = st.builds(
    Runner,
    kind=st.sampled_from(list(RunnerKind)),
    blob_digest=st.one_of(st.none(), NUMBERS.map(blob)),
    model_name=st.one_of(st.none(), st.sampled_from(["a:1b", "b", "z:1b"])),
    context_total=st.one_of(st.none(), st.just(4096), st.just(0)),
    parallel=st.one_of(st.none(), st.just(0), st.just(2)),
)
PROCESSES = st.builds(
    Process,
    pid=PIDS,
    name=st.one_of(st.none(), st.sampled_from(["Xorg", "python train.py"])),
    parent_pid=st.one_of(st.none(), PIDS),
    memory_resident_bytes=SIZES,
    runner=st.one_of(st.none(), RUNNERS),
    exists=st.booleans(),
    orphaned=st.booleans(),
)
ADDRESSES = st.tuples(st.sampled_from(["127.0.0.1", "0.0.0.0", "::1"]), st.sampled_from([11434, 11500, 1]))
SERVERS = st.builds(
    ServerProcess,
    pid=PIDS,
    listens=st.one_of(st.none(), st.lists(ADDRESSES, max_size=2).map(tuple)),
    exists=st.booleans(),
)
SAMPLES = st.one_of(
    st.none(),
    st.builds(
        ProcessSample,
        processes=st.lists(PROCESSES, max_size=8).map(tuple),
        in_container=st.booleans(),
        servers=st.lists(SERVERS, max_size=3, unique_by=lambda server: server.pid).map(tuple),
    ),
)
DETAILS = st.lists(
    st.builds(
        ModelDetails,
        digest=NUMBERS.map(manifest),
        blob_digests=st.lists(NUMBERS.map(blob), max_size=3).map(tuple),
        sliding_window=st.one_of(st.none(), st.just(512)),
    ),
    max_size=5,
)
Input = tuple[list[Card], list[EngineSample], ProcessSample | None, list[ModelDetails]]
INPUT = st.tuples(st.lists(cards(), max_size=3), st.lists(ENGINES, max_size=3), SAMPLES, DETAILS)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(INPUT)
def test_it_adds_up_whatever_comes_in(given_input: Input) -> None:
    _check(attribute(*given_input), given_input)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(INPUT)
def test_it_adds_up_whatever_comes_in_at_length(given_input: Input) -> None:
    result = attribute(*given_input)
    event(f"models on cards: {sum(bool(model.cards) for model in result.models)}")
    _check(result, given_input)


def _check(result: Attribution, given_input: Input) -> None:
    assert_adds_up(result)
    _check_holders(result)
    _check_models(result)
    _check_servers(result, given_input)
    listed = dict.fromkeys((engine.url, model.name) for engine in given_input[1] for model in engine.models)
    assert [(model.engine_url, model.name) for model in result.models] == list(listed)


def _check_holders(result: Attribution) -> None:
    """Models, processes, the rest; and no process on a card counted twice."""
    for state in result.cards:
        kinds = [holder.kind for holder in state.holders]
        assert kinds == sorted(kinds, key=list(HolderKind).index)
        assert kinds.count(HolderKind.UNATTRIBUTED) <= 1
        measured = [
            pid
            for holder in state.holders
            if holder.source is MemorySource.DRIVER and holder.kind is not HolderKind.UNATTRIBUTED
            for pid in holder.pids
        ]
        assert len(measured) == len(set(measured))


def _check_models(result: Attribution) -> None:
    """What models say they hold is what their holders on the cards hold."""
    held: dict[tuple[str | None, str], int] = {}
    for state in result.cards:
        for holder in state.holders:
            if holder.kind is HolderKind.MODEL:
                key = (holder.engine_url, holder.name)
                held[key] = held.get(key, 0) + holder.memory_bytes
    shown = {
        (model.engine_url, model.name): sum(share.memory_bytes for share in model.cards)
        for model in result.models
        if model.cards
    }
    assert shown == held
    for model in result.models:
        assert model.memory_bytes is None or model.memory_bytes >= 0
        if model.cards:
            assert model.memory_bytes == shown[model.engine_url, model.name]
        if not model.local:
            assert (model.cards, model.runner) == ((), None)
        if model.memory_source is MemorySource.ENGINE:
            assert model.difference_bytes is None
        elif model.difference_bytes is not None:
            assert model.memory_bytes is not None
            assert model.reported_vram_bytes == model.memory_bytes - model.difference_bytes


def _check_servers(result: Attribution, given_input: Input) -> None:
    """A runner left behind is nobody's, and an engine whose server is known has only children of that server."""
    sample = given_input[2] or ProcessSample()
    by_pid = {process.pid: process for process in sample.processes}
    local = {engine.url for engine in given_input[1] if engine.local}
    found = {
        url: [server.pid for server in sample.servers if server.exists and answers_at(server, url)] for url in local
    }
    for model in result.models:
        runners = [by_pid[pid] for pid in model.pids if by_pid[pid].runner is not None]
        parents = {process.parent_pid for process in runners if process.parent_pid is not None}
        assert not any(process.orphaned for process in runners)
        at_its_address = found.get(model.engine_url, [])
        if len(at_its_address) == 1:
            assert parents <= set(at_its_address)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(cards())
def test_a_settled_card_is_free_of_contradictions(card: Card) -> None:
    settled = settle(card)
    assert settled.measured_bytes == sum(share for share in settled.shares.values() if share)
    assert settled.rest_bytes >= 0
    if settled.occupied_bytes is not None:
        assert settled.occupied_bytes == settled.measured_bytes + settled.reserved_bytes + settled.rest_bytes
        assert settled.total_bytes is None or settled.occupied_bytes <= settled.total_bytes


@given(st.lists(st.integers(-5, 2**40), max_size=12), st.integers(-3, 2**41))
def test_apportioning_loses_no_byte_and_grants_nobody_more_than_asked(wishes: list[int], limit: int) -> None:
    granted = apportion(wishes, limit)
    wanted = sum(max(0, wish) for wish in wishes)
    assert sum(granted) == min(max(0, limit), wanted)
    assert all(0 <= part <= max(0, wish) for part, wish in zip(granted, wishes, strict=True))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.integers(0, 10**6))
def test_apportioning_is_proportional_to_within_one(wishes: list[int], limit: int) -> None:
    granted = apportion(wishes, limit)
    total = sum(wishes)
    if total > limit:
        assert all(abs(part - wish * limit / total) < 1 for part, wish in zip(granted, wishes, strict=True))
