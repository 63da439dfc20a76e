"""Drafting with a model's own blocks: which engines do it, which load the blocks all the same, and what it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.domain.engine import Era
from gpudesk.fit.estimate import estimate
from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.fit.speculation import drafted_tokens, loads_prediction
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions, Parts, Wanted
from gpudesk.units import GIBIBYTE, MEBIBYTE
from tests.fit import report

BLOCK = Tensor("blk.64.nextn.eh_proj.weight", "Q4_K", (10240, 5120))
BLOCK_BYTES = 10240 * 5120 // 256 * 144
PLAIN = report.HEADERS["Qwen3.8-27B"]().metadata()
OWN = replace(PLAIN, prediction_layers=1, tensors=(*PLAIN.tensors, BLOCK))
CARD = CardBudget(0, "RTX 4090", 512 * GIBIBYTE, 512 * GIBIBYTE)
OLLAMA = EngineProfile(version="0.33.0")
NEW = EngineProfile(kind="llama-server", version="b10566")
OLD = EngineProfile(kind="llama-server", version="b10068")


def parts(metadata: ModelMetadata, profile: EngineProfile, drafted: int | None = None, parallel: int = 1) -> Parts:
    options = LoadOptions(context_length=8192, parallel=parallel, batch_size=2048, drafted_tokens=drafted)
    return estimate(Wanted("m", metadata, options), profile, (CARD,)).parts


@pytest.mark.parametrize(
    ("metadata", "profile", "asked", "drafted"),
    [
        (OWN, OLLAMA, None, 4),
        (OWN, OLLAMA, 0, 0),
        (OWN, OLLAMA, 2, 2),
        (PLAIN, OLLAMA, None, 0),
        (PLAIN, OLLAMA, 2, 0),
        (OWN, NEW, None, 0),
        (OWN, NEW, 3, 3),
        (OWN, EngineProfile(version="0.24.0", era=Era.LAYOUT), 4, 0),
        (replace(OWN, architecture="glm4moe"), OLLAMA, None, 0),
    ],
)
def test_who_drafts(metadata: ModelMetadata, profile: EngineProfile, asked: int | None, drafted: int) -> None:
    assert drafted_tokens(metadata, LoadOptions(drafted_tokens=asked), profile) == drafted


def test_a_model_beside_it_drafts_by_default() -> None:
    options = LoadOptions(draft=PLAIN)
    assert (drafted_tokens(PLAIN, options, OLLAMA), drafted_tokens(PLAIN, options, NEW)) == (4, 3)


@pytest.mark.parametrize(
    ("architecture", "profile", "drafted", "loads"),
    [
        ("qwen35", NEW, 0, False),
        ("qwen35", NEW, 3, True),
        ("qwen35", OLD, 0, True),
        ("qwen35", EngineProfile(kind="llama-server"), 0, False),
        ("qwen35", OLLAMA, 0, True),
        ("glm4moe", OLD, 0, False),
        ("glm4moe", EngineProfile(version="0.24.0", era=Era.LAYOUT), 0, True),
    ],
)
def test_who_loads_the_blocks(architecture: str, profile: EngineProfile, drafted: int, loads: bool) -> None:
    assert loads_prediction(replace(OWN, architecture=architecture), profile, drafted) is loads


def test_blocks_that_are_skipped_take_nothing() -> None:
    assert parts(OWN, NEW) == parts(PLAIN, NEW)


def test_an_old_build_holds_the_blocks_without_using_them() -> None:
    held, plain = parts(OWN, OLD), parts(PLAIN, OLD)
    assert held == replace(plain, weights_bytes=plain.weights_bytes + BLOCK_BYTES)


def test_drafting_takes_a_cache_a_graph_and_states() -> None:
    """Measured with this model at 8192 tokens: 32 MiB of cache, and a second buffer of 520 MiB."""
    drafting, plain = parts(OWN, NEW, 2), parts(PLAIN, NEW)
    state = 149.62 * 2 * MEBIBYTE
    assert drafting.kv_cache_bytes - plain.kv_cache_bytes == pytest.approx(32 * MEBIBYTE + state, abs=MEBIBYTE / 8)
    assert drafting.compute_bytes - plain.compute_bytes == pytest.approx(520 * MEBIBYTE, rel=0.04)
    assert drafting.weights_bytes - plain.weights_bytes == BLOCK_BYTES


def test_drafting_ahead_of_more_tokens_never_takes_less() -> None:
    taken = [parts(OWN, OLLAMA, drafted, parallel=2).total_bytes for drafted in range(6)]
    assert taken == sorted(taken)
    assert len(set(taken)) == len(taken)
