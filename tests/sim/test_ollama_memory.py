"""Bytes: what a runner takes, what the driver shows, what the engine claims, era by era."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpudesk.fit.overhead import overhead
from gpudesk.fit.values import CardBudget, EngineProfile
from gpudesk.sim.cards import GIBIBYTE, MEBIBYTE
from gpudesk.sim.engine_catalog import GEMMA3_12B, GPT_OSS_20B, LLAMA31_8B, QWEN3_14B, catalog, small, synthetic
from gpudesk.sim.engine_memory import RunOptions, compute_bytes, kv_by_layer, projector_bytes
from gpudesk.sim.engine_placement import predicted_bytes
from gpudesk.sim.engine_reported import estimate, graph_estimate
from gpudesk.sim.engine_tensors import projector_tensors, tensors, weights_of
from gpudesk.sim.models import Shape
from gpudesk.sim.ollama_store import size_bytes
from tests.sim.engines import CHAT, COMPLETE, EMBED, Engine

BY_NAME = {model.name: model for model in catalog()}


# -- the cache: llama.cpp b10488 src/llama-kv-cache.cpp, with the runs that were checked against a real llama-server ---


def test_the_cache_of_a_plain_model() -> None:
    """6 layers, 2 heads of 16, 8192 cells, f16: llama-server printed 6.00 MiB."""
    shape = Shape("llama", 6, 64, 128, 4, 2, 256, 8192, key_length=16)
    assert sum(kv_by_layer(shape, RunOptions(8192))) == 6 * MEBIBYTE


def test_the_two_caches_of_a_sliding_window_model() -> None:
    """6 layers, 2 heads of 16, window 512, 8192 cells, batch 512: llama-server printed 1.00 and 0.62 MiB."""
    shape = Shape("gemma3", 6, 64, 128, 4, 2, 256, 8192, key_length=16, sliding_window=512, sliding_pattern=6)
    layers = kv_by_layer(shape, RunOptions(8192))
    assert layers[5] == MEBIBYTE
    assert sum(layers[:5]) == 0.625 * MEBIBYTE


def test_the_caches_with_two_slots_and_eight_bits() -> None:
    """The same with heads of 64, 16384 cells in two slots, q8_0: llama-server printed 4.25 and 2.66 MiB."""
    shape = Shape("gemma3", 6, 64, 128, 4, 2, 256, 8192, key_length=64, sliding_window=512, sliding_pattern=6)
    layers = kv_by_layer(shape, RunOptions(8192, parallel=2, cache_type="q8_0"))
    assert layers[5] == 4.25 * MEBIBYTE
    assert sum(layers[:5]) == 2.65625 * MEBIBYTE


def test_contexts_are_padded_to_256_cells() -> None:
    assert kv_by_layer(LLAMA31_8B, RunOptions(257)) == kv_by_layer(LLAMA31_8B, RunOptions(512))
    assert kv_by_layer(LLAMA31_8B, RunOptions(256)) != kv_by_layer(LLAMA31_8B, RunOptions(257))


def test_latent_attention_keeps_one_row_of_keys_and_no_values() -> None:
    shape = BY_NAME["deepseek-coder-v2:16b"].shape
    assert kv_by_layer(shape, RunOptions(4096))[0] == 4096 * (512 + 64) * 2


def test_encoders_have_no_cache() -> None:
    assert sum(kv_by_layer(BY_NAME[EMBED].shape, RunOptions(2048))) == 0


def test_without_flash_attention_the_scores_are_kept_too() -> None:
    with_it, without = (compute_bytes(LLAMA31_8B, RunOptions(8192, flash_attention=flash)) for flash in (True, False))
    scores = 32 * 8192 * 512 * 4
    assert with_it < scores // 4
    assert scores < without < scores + with_it


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [model for model in catalog() if not model.remote], ids=lambda model: model.name)
def test_weights_add_up_and_have_the_size_on_the_label(model) -> None:  # type: ignore[no-untyped-def]
    weights = weights_of(model)
    listed = sum(tensor.size_bytes for tensor in tensors(model.shape, model.quantization))
    projector = model.shape.projector
    if projector is not None and projector.embedded:
        listed += sum(t.size_bytes for t in projector_tensors(projector, model.shape.embedding_length))
    assert listed <= weights.file <= listed + 16 * MEBIBYTE, "the file is its tensors and a header"
    assert len(weights.layers) == model.shape.block_count
    label = model.parameter_size
    told = float(label[:-1]) * (1e9 if label.endswith("B") else 1e6)
    assert weights.parameter_count == pytest.approx(told, rel=0.25)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [(CHAT, 9.3), (COMPLETE, 0.99), (EMBED, 0.27), ("llama3.1:8b", 4.9), ("gemma3:12b", 8.1), ("gpt-oss:20b", 13.8),
     ("qwen3:30b-a3b", 18.6), ("llama3.3:70b", 42.5), ("deepseek-coder-v2:16b", 8.9), ("codestral:22b", 12.6)],
)  # fmt: skip
def test_sizes_are_those_of_the_real_library(name: str, gigabytes: float) -> None:
    assert size_bytes(BY_NAME[name]) / 1e9 == pytest.approx(gigabytes, rel=0.05)


def test_the_catalog_has_what_a_desk_must_cope_with() -> None:
    models = catalog()
    assert len(models) >= 40
    assert len({model.name for model in models}) == len(models)
    assert len(small()) == 40
    assert [model.name for model in models if model.remote] == ["gpt-oss:120b-cloud"]
    shared = [model for model in models if model.blob_digest == BY_NAME[CHAT].blob_digest]
    assert len(shared) == 2
    assert len({model.digest for model in shared}) == 2, "other parameters, another manifest"
    wanted = {"completion", "tools", "insert", "vision", "embedding", "thinking"}
    assert {capability for model in models for capability in model.capabilities} == wanted
    assert any(model.projector_digest for model in models)
    assert any(model.draft for model in models)


def test_five_hundred_models_have_five_hundred_names_and_files() -> None:
    models = synthetic(500)
    assert len({model.name for model in models}) == 500
    assert len({model.digest for model in models}) == 500


# -- what the driver shows ---------------------------------------------------------------------------------------------


def test_the_card_holds_weights_cache_compute_buffer_and_context() -> None:
    engine = Engine()
    runner = engine.load(CHAT, num_ctx=8192)
    (part,) = runner.placement.cards
    weights = weights_of(BY_NAME[CHAT])
    assert part.weights == sum(weights.layers) + weights.output, "the token embedding stays in host memory"
    assert part.kv_full == 40 * 8192 * 8 * 128 * 2 * 2
    _low, expected, _high = overhead(EngineProfile(), CardBudget(0, "NVIDIA GeForce RTX 4090", 24 * GIBIBYTE, 0))
    assert 0 < abs(part.context - expected) <= 6 * MEBIBYTE, "no two drivers take the same"
    assert engine.held() == part.weights + part.kv_full + part.compute + part.context
    process = engine.cards.cards[0].processes[runner.pid]
    assert process.compute


def test_a_tied_embedding_is_on_the_card_as_well() -> None:
    weights = weights_of(BY_NAME[COMPLETE])
    assert weights.output > weights.input > 0


def test_every_byte_of_a_spilled_model_is_somewhere() -> None:
    whole = Engine(total_gibibytes=40).load("mistral-small3.2:24b", num_ctx=8192)
    part = Engine(total_gibibytes=12).load("mistral-small3.2:24b", num_ctx=8192)

    def weights_and_cache(runner) -> int:  # type: ignore[no-untyped-def]
        cards = sum(c.weights + c.kv_full + c.kv_sliding + c.projector for c in runner.placement.cards)
        return int(cards + runner.placement.host_weights + runner.placement.host_kv)

    assert not part.placement.complete
    assert weights_and_cache(whole) == weights_and_cache(part)


def test_llama_server_leaves_a_gibibyte_and_older_runners_do_not() -> None:
    for version, margin in (("0.33.0", GIBIBYTE), ("0.24.0", 0)):
        engine = Engine(version=version, total_gibibytes=12)
        engine.load("devstral:24b", num_ctx=8192)
        free = engine.cards.cards[0].memory_free_bytes
        assert margin <= free < margin + 700 * MEBIBYTE, version


# -- what the engine claims --------------------------------------------------------------------------------------------


def test_third_era_claims_everything_but_the_context() -> None:
    runner = Engine().load(CHAT, num_ctx=8192)
    (part,) = runner.placement.cards
    assert runner.claim.size == runner.claim.size_vram == part.total - part.context


def test_third_era_forgets_the_full_cache_of_sliding_window_models_and_the_projector() -> None:
    runner = Engine().load("gemma3:12b", num_ctx=16384)
    (part,) = runner.placement.cards
    assert part.kv_full > GIBIBYTE // 2
    assert part.projector > 500 * MEBIBYTE
    assert part.total - runner.claim.size_vram == part.kv_full + part.projector + part.context


def test_third_era_counts_a_draft_instead_of_the_model() -> None:
    runner = Engine().load("qwen3-mtp:14b", num_ctx=4096)
    (part,) = runner.placement.cards
    assert part.draft > 0
    assert runner.claim.size_vram == part.draft + part.kv_full + part.compute


def test_third_era_splits_a_spilled_model() -> None:
    runner = Engine(total_gibibytes=12).load("mistral-small3.2:24b", num_ctx=8192)
    assert 0 < runner.claim.size_vram < runner.claim.size


def test_second_era_claims_host_memory_as_the_card_s_when_all_layers_are_there() -> None:
    runner = Engine(version="0.24.0").load(CHAT, num_ctx=8192)
    placement = runner.placement
    on_card = placement.cards[0].total - placement.cards[0].context
    assert runner.claim.size_vram == runner.claim.size == on_card + placement.host_input + placement.host_compute


def test_first_era_estimates() -> None:
    """ollama llm/memory.go:75 at v0.6.8: 457 MiB, the first layer twice, every layer, the output, and the graph."""
    runner = Engine(version="0.5.4", num_parallel=1).load("llama3.1:8b", num_ctx=8192)
    weights = weights_of(BY_NAME["llama3.1:8b"])
    kv = 8192 * (128 + 128) * 8 * 2
    graph = max(4 * 512 * (1 + 4 * 4096 + 8192 * 33), 4 * 512 * (4096 + 128256))
    first = weights.layers[0] + kv
    expected = 457 * MEBIBYTE + first + sum(weights.layers) + 32 * kv + weights.output + graph
    assert runner.claim.size == runner.claim.size_vram == expected
    assert runner.placement.complete


@pytest.mark.parametrize(
    ("name", "cells"),
    [("gemma2:9b", 42 * 8192), ("gemma3:12b", 8 * 8192 + 40 * (1024 + 512)), ("gpt-oss:20b", 12 * (8192 + 4096 + 512))],
)
def test_first_era_estimates_windows_of_two_families_only(name: str, cells: int) -> None:
    """fs/ggml/ggml.go:648-900 at v0.33.0-rc2 (`GraphSize`)."""
    model = BY_NAME[name]
    row = (model.shape.key_size + model.shape.value_size) * model.shape.head_count_kv * 2
    options = RunOptions(8192, version="0.6.8")
    claim, _layers = estimate(model, options, [], [], 0)
    full, _partial = graph_estimate(model.shape, options, cells * row)
    weights = weights_of(model)
    assert claim.size == sum(weights.layers) + weights.output + cells * row + full


def test_first_era_estimates_the_buffers_of_a_projector_too() -> None:
    model = BY_NAME["qwen2.5vl:7b"]
    options = RunOptions(4096, version="0.6.8")
    claim, _layers = estimate(model, options, [0], [100 * GIBIBYTE], 0)
    held, buffers = projector_bytes(model.shape, model.quantization, "0.6.8")
    assert (held > 0, buffers > 0) == (True, True)
    without, _layers = estimate(
        replace(model, shape=replace(model.shape, projector=None)), options, [0], [100 * GIBIBYTE], 0
    )
    assert claim.size - without.size == held + buffers


def test_first_era_estimates_full_heads_where_attention_is_latent() -> None:
    runner = Engine(version="0.6.8", num_parallel=1).load("deepseek-coder-v2:16b", num_ctx=8192)
    true_kv = runner.placement.cards[0].kv_full
    assert true_kv == 27 * 8192 * (512 + 64 + 512) * 2, "builds of that time keep the latent values as well"
    assert 4 * true_kv < 27 * 8192 * (192 + 128) * 16 * 2
    assert runner.claim.size_vram > runner.placement.card_bytes + GIBIBYTE


def test_the_graph_of_an_unlisted_architecture_is_a_sixth_of_its_cache_per_group() -> None:
    assert graph_estimate(QWEN3_14B, RunOptions(8192), 6000) == (5000, 5000)
    assert graph_estimate(GPT_OSS_20B, RunOptions(8192), 6000) == (16000, 16000)


def test_nothing_of_a_model_on_the_processor_is_claimed_for_the_card() -> None:
    for version in ("0.33.0", "0.24.0", "0.5.4"):
        runner = Engine(cards=0, version=version).load(COMPLETE, num_ctx=2048)
        assert runner.claim.size_vram == 0
        assert runner.claim.size >= sum(weights_of(BY_NAME[COMPLETE]).layers)


def test_the_prediction_knows_neither_windows_nor_key_lengths() -> None:
    """ollama llm/llama_server.go:2681 at v0.33.0-rc2."""
    model = BY_NAME["gemma3:12b"]
    kv = 2 * 48 * 8 * (3840 // 16) * 16384 * 2
    assert predicted_bytes(model, 16384) == weights_of(model).file + kv
    true = sum(kv_by_layer(GEMMA3_12B, RunOptions(16384)))
    assert kv > 3 * true
