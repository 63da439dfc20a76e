"""The small rules that domain values carry themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gpudesk.domain.desk import Desk, LoadedModel, SourceState
from gpudesk.domain.model import EngineModel
from gpudesk.domain.process import Runner, RunnerKind


@pytest.mark.parametrize(
    ("size", "vram", "ratio"),
    [
        (10, 10, 0.0),
        (10, 0, 1.0),
        (100, 52, 0.48),
        (10, 12, 0.0),
        (10, -3, 1.0),
        (0, 0, None),
        (-1, 0, None),
        (None, 5, None),
        (5, None, None),
    ],
)
def test_cpu_ratio_stays_between_zero_and_one(size: int | None, vram: int | None, ratio: float | None) -> None:
    result = EngineModel("m", "http://e", size_bytes=size, size_vram_bytes=vram).cpu_ratio
    assert result == (ratio if ratio is None else pytest.approx(ratio))


@pytest.mark.parametrize(
    ("total", "parallel", "per_slot"),
    [(16384, 2, 8192), (16384, None, 16384), (16384, 0, 16384), (None, 4, None), (4097, 4, 1024)],
)
def test_context_per_slot(total: int | None, parallel: int | None, per_slot: int | None) -> None:
    runner = Runner(RunnerKind.LLAMA_SERVER, context_total=total, parallel=parallel)
    assert runner.context_per_slot == per_slot


def test_a_model_is_known_by_engine_and_name() -> None:
    assert LoadedModel("m:1b", "http://a:1").key == "http://a:1 m:1b"
    assert LoadedModel("m:1b", "http://a:1").key != LoadedModel("m:1b", "http://b:1").key


def test_a_desk_finds_its_sources_by_name() -> None:
    state = SourceState("nvml")
    desk = Desk(datetime(2026, 1, 1, tzinfo=UTC), sources=(SourceState("host"), state))
    assert desk.source("nvml") is state
    assert desk.source("none") is None
