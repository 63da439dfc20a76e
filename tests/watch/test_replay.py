"""Any sequence of readings, however contradictory, gives desks and events without raising."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudesk.domain.process import ProcessSample
from gpudesk.errors import FailureKind
from gpudesk.watch.changes import changes
from gpudesk.watch.store import EVENT_LIMIT
from gpudesk.watch.wakes import wakes
from tests.watch.build import ENGINE, GIB, Watch, card, engine, failure, forever, model, process, runner, timer

NAMES = ("qwen3:14b", "gemma3:12b", "nomic-embed-text:latest")
PIDS = st.integers(1, 5)

keep_alives = st.one_of(
    st.none(),
    st.just(forever()),
    st.floats(-50, 5000).map(timer),
    st.floats(1e6, 1e11).map(lambda far: timer(far / 100)),
)
models = st.builds(
    lambda name, keep_alive, context, vram, digest: model(
        name, keep_alive, context_length=context, size_vram_bytes=vram, digest=digest
    ),
    st.sampled_from(NAMES),
    keep_alives,
    st.sampled_from([None, 4096, 8192]),
    st.sampled_from([None, 0, 4 * GIB, 9 * GIB]),
    st.sampled_from([None, "a" * 64, "b" * 64]),
)
one_card = st.builds(
    lambda index, held, error: card(index, *held, error=error),
    st.integers(0, 2),
    st.lists(st.tuples(PIDS, st.sampled_from([None, 0, GIB, 9 * GIB])), max_size=4),
    st.sampled_from([None, None, None, "lost"]),
)
processes = st.one_of(
    st.builds(lambda pid, at: process(pid, f"program {pid}", started=at), PIDS, st.sampled_from([0.0, 100.0])),
    st.builds(lambda pid, slots: runner(pid, slots=slots), PIDS, st.sampled_from([1, 2])),
    st.builds(lambda pid: replace(process(pid), exists=False, name=None, started_at=None), PIDS),
)
failures = st.sampled_from(FailureKind).map(failure)
readings = st.one_of(
    st.tuples(st.just("nvml"), st.one_of(failures, st.lists(one_card, max_size=3))),
    st.tuples(st.just(ENGINE), st.one_of(failures, st.lists(models, max_size=4))),
    st.tuples(st.just("processes"), st.one_of(failures, st.lists(processes, max_size=5))),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(readings, st.floats(-5, 40)), max_size=40))
def test_no_sequence_of_readings_raises_repeats_itself_or_grows(
    steps: list[tuple[tuple[str, object], float]],
) -> None:
    watch = Watch()
    at = 0.0
    for (source, what), gap in steps:
        at += gap
        before = watch.desk
        sample: object = what
        if isinstance(what, list):
            if source == "nvml":
                watch.cards(at, *what)
            elif source == ENGINE:
                watch.give(ENGINE, engine(*what), at)
            else:
                watch.give("processes", ProcessSample(tuple(what)), at)
        else:
            watch.give(source, sample, at)  # type: ignore[arg-type]
        after = watch.desk
        changes(before, after)
        wakes(before, after)
        new = [event for event in after.events if event not in before.events]
        assert len(new) == len(set(new))
        assert len(after.events) <= EVENT_LIMIT
        for state in after.cards:
            if state.card.memory_total_bytes is not None and state.free_bytes is not None:
                held = sum(holder.memory_bytes for holder in state.holders)
                assert held + state.free_bytes == state.card.memory_total_bytes


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(one_card, max_size=3), st.lists(models, max_size=4), st.lists(processes, max_size=5))
def test_the_same_again_is_never_news(
    some_cards: list[object], some_models: list[object], some_processes: list[object]
) -> None:
    watch = Watch()
    for second in range(4):
        watch.cards(second * 0.1, *some_cards)  # type: ignore[arg-type]
        watch.give(ENGINE, engine(*some_models), second * 0.1)  # type: ignore[arg-type]
        watch.give("processes", ProcessSample(tuple(some_processes)), second * 0.1)  # type: ignore[arg-type]
    assert watch.told == []
