"""Loaded models for the desk: the engine's row joined with the runner and what is held on the cards."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.domain.desk import CardShare, LoadedModel, MemorySource
from gpudesk.domain.explain import explain_difference
from gpudesk.domain.model import EngineModel
from gpudesk.domain.placing import CardTable, Placing
from gpudesk.domain.process import Runner, RunnerKind


def loaded_models(placing: Placing, tables: Sequence[CardTable]) -> list[LoadedModel]:
    """Return one row per name of the group; the first carries the memory."""
    names = tuple(model.name for model in placing.group.models)
    first = _carrier(placing, placing.group.models[0], tables, names[1:])
    return [first, *(_alias(model, first, names) for model in placing.group.models[1:])]


def _carrier(placing: Placing, model: EngineModel, tables: Sequence[CardTable], others: tuple[str, ...]) -> LoadedModel:
    group = placing.group
    runner = group.runners[0].runner if group.runners else None
    memory_bytes = placing.memory_bytes
    measured = placing.is_measured
    claim = model.size_vram_bytes
    return LoadedModel(
        name=model.name,
        engine_url=group.engine_url,
        digest=model.digest,
        local=group.local,
        memory_bytes=memory_bytes,
        memory_source=MemorySource.DRIVER if measured else MemorySource.ENGINE,
        reported_bytes=model.size_bytes,
        reported_vram_bytes=claim,
        cards=tuple(
            CardShare(table.settled.card.index, share)
            for position, table in enumerate(tables)
            if (share := placing.share(position)) > 0
        ),
        context_length=_context_length(model, runner),
        parallel=runner.parallel if runner else None,
        kv_cache_type=kv_cache_type(runner),
        cpu_ratio=model.cpu_ratio,
        keep_alive=model.keep_alive,
        pids=group.pids,
        runner=runner,
        host_memory_bytes=group.resident_bytes,
        parameter_size=model.parameter_size,
        quantization=model.quantization,
        family=_family(placing, model),
        shares_runner_with=others,
        difference_bytes=memory_bytes - claim if measured and memory_bytes is not None and claim is not None else None,
        explanations=_explanations(placing, model, runner, tables),
    )


def _alias(model: EngineModel, first: LoadedModel, names: tuple[str, ...]) -> LoadedModel:
    """Return the row of another name for the same weights: same runner, no memory of its own."""
    return LoadedModel(
        name=model.name,
        engine_url=first.engine_url,
        digest=model.digest,
        local=first.local,
        memory_bytes=0,
        memory_source=first.memory_source,
        reported_bytes=model.size_bytes,
        reported_vram_bytes=model.size_vram_bytes,
        context_length=_context_length(model, first.runner),
        parallel=first.parallel,
        kv_cache_type=first.kv_cache_type,
        cpu_ratio=model.cpu_ratio,
        keep_alive=model.keep_alive,
        pids=first.pids,
        runner=first.runner,
        parameter_size=model.parameter_size,
        quantization=model.quantization,
        family=model.family or first.family,
        shares_runner_with=(first.name, *(name for name in names if name not in (first.name, model.name))),
        explanations=(f"shares the runner of {first.name}, where its memory is counted",),
    )


def _context_length(model: EngineModel, runner: Runner | None) -> int | None:
    if model.context_length is not None:
        return model.context_length
    return runner.context_per_slot if runner else None


def _family(placing: Placing, model: EngineModel) -> str | None:
    return model.family or (placing.group.details.family if placing.group.details else None)


def kv_cache_type(runner: Runner | None) -> str | None:
    """Return the type of the context cache, `keys/values` when they differ; None when nobody tells.

    An absent argument means f16 only for runners whose command line carries the context at all: from v0.11.5 to
    v0.24.0 it travels by HTTP (ollama llm/server.go:294 at v0.12.6), and before v0.5.4 it was not an argument.
    """
    if runner is None:
        return None
    keys, values = runner.kv_cache_type_k, runner.kv_cache_type_v
    if keys is None and values is None:
        return "f16" if _tells_by_absence(runner) else None
    keys, values = keys or "f16", values or "f16"
    return keys if keys == values else f"{keys}/{values}"


def _tells_by_absence(runner: Runner) -> bool:
    return runner.context_total is not None and runner.kind in (RunnerKind.LLAMA_SERVER, RunnerKind.OLLAMA_RUNNER)


def _explanations(
    placing: Placing, model: EngineModel, runner: Runner | None, tables: Sequence[CardTable]
) -> tuple[str, ...]:
    """Say what explains the difference, or why there is only the engine's claim."""
    group = placing.group
    memory_bytes = placing.memory_bytes
    if placing.is_measured and memory_bytes is not None:
        return explain_difference(
            model,
            measured_bytes=memory_bytes,
            era=group.era,
            runner=runner,
            details=group.details,
            card_count=max(1, len(placing.measured)),
        )
    if not group.local or not placing.claim_bytes:
        return ()
    if placing.claimed:
        reason = "the driver does not tell this process's memory here; the engine's claim stands in"
        return (reason, "cut to what the driver shows in use") if placing.cut else (reason,)
    if placing.unplaced:
        return ("the engine's claim: the driver does not tell on which card it is",)
    if not tables:
        return ("the engine's claim: no card can be read",)
    return ("the engine's claim: no process on the cards could be found to hold it",)
