from __future__ import annotations

from dataclasses import replace

from gpudesk.fit.llama_load import plan_load
from gpudesk.fit.llama_server import LlamaServerOptions
from gpudesk.fit.metadata import ModelMetadata
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, Parts, Wanted
from gpudesk.units import GIBIBYTE, MEBIBYTE

METADATA = ModelMetadata("llama", 32, 4096, (32,) * 32, (8,) * 32, 128, 128, context_length_trained=131072)
WANTED = Wanted("m", METADATA)
OVERHEAD = 400 * MEBIBYTE


def card(gibibytes: float) -> CardBudget:
    """An empty card."""
    return CardBudget(0, "c", round(gibibytes * GIBIBYTE), round(gibibytes * GIBIBYTE))


def estimator(wanted: Wanted, profile: EngineProfile, on: CardBudget) -> Estimate:
    """A model of 4 GiB with 128 KiB of KV per cell."""
    options = wanted.options
    assert profile.kind == "llama-server"
    assert options.context_length is not None
    assert options.parallel is not None
    layers = 33 if options.layers_on_gpu is None else options.layers_on_gpu
    cells = options.context_length * (1 if options.unified_kv else options.parallel)
    parts = Parts(
        weights_bytes=4 * GIBIBYTE * layers // 33,
        kv_cache_bytes=131072 * cells * layers // 33,
        compute_bytes=300 * MEBIBYTE,
        overhead_bytes=OVERHEAD,
    )
    total = parts.total_bytes
    return Estimate("m", parts, total, total, (parts,), 0, 33, layers, options.context_length, options.parallel)


def test_a_smaller_context_leaves_the_margin_beside_the_overhead() -> None:
    load = plan_load(WANTED, LlamaServerOptions(), card(12), estimator, model_path="m.gguf")
    left = 12 * GIBIBYTE - load.estimate.parts.total_bytes
    assert load.outcome.layers_on_gpu is None
    assert 1024 * MEBIBYTE <= left < 1024 * MEBIBYTE + 256 * 131072
    assert load.estimate.context_length == load.outcome.context
    assert load.estimate.parallel == 4
    context = str(load.outcome.context)
    assert load.arguments == ("llama-server", "-m", "m.gguf", "-c", context, "-ngl", "all", "--fit", "off")


def test_what_is_there_already_counts() -> None:
    alone = plan_load(WANTED, LlamaServerOptions(), card(12), estimator, model_path="m.gguf")
    beside = plan_load(WANTED, LlamaServerOptions(), card(12), estimator, model_path="m.gguf", taken_bytes=2 * GIBIBYTE)
    assert abs((alone.outcome.context - beside.outcome.context) * 131072 - 2 * GIBIBYTE) <= 256 * 131072


def test_layers_go_when_the_context_was_asked_for() -> None:
    load = plan_load(WANTED, LlamaServerOptions(context=8192), card(4), estimator, model_path="m.gguf")
    assert load.outcome.layers_on_gpu is not None
    assert 0 < load.outcome.layers_on_gpu < 33
    assert load.estimate.layers_on_gpu == load.outcome.layers_on_gpu
    assert load.estimate.parts.total_bytes <= 3 * GIBIBYTE
    assert "the context of 8192 was set by hand and stays" in load.estimate.notes


def test_slots_by_hand_divide_what_is_planned() -> None:
    load = plan_load(WANTED, LlamaServerOptions(context=8192, parallel=2), card(24), estimator, model_path="m.gguf")
    assert (load.estimate.context_length, load.estimate.parallel) == (4096, 2)
    assert load.estimate.parts.kv_cache_bytes == 8192 * 131072
    assert "-np" in load.arguments


def test_a_model_that_does_not_tell_its_context() -> None:
    silent = replace(WANTED, metadata=replace(METADATA, context_length_trained=None))
    load = plan_load(silent, LlamaServerOptions(), card(24), estimator, model_path="m.gguf")
    assert load.outcome.context == 4096
