"""Models for tests of the fit, made by hand: the shapes of published ones, without any file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from gpudesk.fit.metadata import ModelMetadata, Tensor
from gpudesk.fit.placement import Burden
from gpudesk.fit.server_rules import Served
from gpudesk.fit.values import CardBudget, LoadOptions, Wanted
from gpudesk.sim.engine_catalog import catalog
from gpudesk.sim.engine_memory import RunOptions
from gpudesk.sim.engine_placement import burden as simulated_burden
from gpudesk.sim.engine_tensors import projector_tensors, tensors, weights_of
from gpudesk.sim.models import SimulatedModel
from gpudesk.units import GIBIBYTE, MEBIBYTE


def simulated(name: str) -> SimulatedModel:
    """Return a model of the simulated workstation by name."""
    return next(model for model in catalog() if model.name == name)


@lru_cache(maxsize=256)
def metadata_of(model: SimulatedModel) -> ModelMetadata:
    """Describe a simulated model as its header would."""
    shape = model.shape
    weights = weights_of(model)
    projector = shape.projector
    return ModelMetadata(
        architecture=shape.architecture,
        layer_count=shape.block_count,
        embedding_length=shape.embedding_length,
        head_count=(shape.head_count,) * shape.block_count,
        head_count_kv=(shape.listed_head_count_kv,) * shape.block_count,
        key_length=shape.kv_lora_rank + (shape.rope_dimension_count or 64) if shape.kv_lora_rank else shape.key_size,
        value_length=shape.kv_lora_rank or shape.value_size,
        key_length_mla=shape.key_size if shape.kv_lora_rank else None,
        value_length_mla=shape.value_size if shape.kv_lora_rank else None,
        kv_lora_rank=shape.kv_lora_rank,
        rope_dimension_count=shape.rope_dimension_count or (64 if shape.kv_lora_rank else None),
        vocabulary_size=shape.vocabulary,
        feed_forward_length=(shape.feed_forward_length,) * shape.block_count,
        context_length_trained=shape.context_length,
        sliding_window=shape.sliding_window,
        sliding_window_pattern=shape.sliding_pattern,
        expert_count=shape.expert_count or None,
        expert_used_count=shape.expert_used_count or None,
        expert_feed_forward_length=shape.expert_feed_forward_length or None,
        pooling_type=shape.pooling_type,
        causal=shape.causal,
        vision_block_count=projector.blocks if projector else None,
        vision_embedding_length=projector.embedding_length if projector else None,
        vision_head_count=projector.head_count if projector else None,
        vision_image_size=projector.image_size if projector else None,
        vision_patch_size=projector.patch_size if projector else None,
        tensors=tuple(Tensor(one.name, one.type, one.shape) for one in tensors(shape, model.quantization)),
        projector_tensors=tuple(
            Tensor(one.name, one.type, one.shape) for one in projector_tensors(projector, shape.embedding_length)
        )
        if projector
        else (),
        file_bytes=weights.file,
        name=model.name,
    )


def wanted(name: str, **options: object) -> Wanted:
    """Want a model of the simulated workstation."""
    model = simulated(name)
    return Wanted(name, metadata_of(model), LoadOptions(**options), model.blob_digest)  # type: ignore[arg-type]


def burden_in_simulation(
    wanted: Wanted, served: Served, cards: Sequence[CardBudget], *, version: str, cache_type: str = ""
) -> Burden:
    """Return what the simulation makes of a model, its little difference in what the driver takes included."""
    run = RunOptions(
        served.context_length, served.parallel, served.batch_size, cache_type if served.flash_attention else "",
        served.flash_attention, version,
    )  # fmt: skip
    return simulated_burden(simulated(wanted.name), run, cards)


def card(gibibytes: float = 24, *, index: int = 0, free: float | None = None, **more: object) -> CardBudget:
    """Return a card; sizes in GiB."""
    total = int(gibibytes * GIBIBYTE)
    return CardBudget(index, f"card {index}", total, total if free is None else int(free * GIBIBYTE), **more)  # type: ignore[arg-type]


def burden(layers: int = 10, layer_mib: int = 100, **more: object) -> Burden:
    """Return a plain model: equal layers, an output layer of 200 MiB, 10 MiB of KV per layer."""
    values: dict[str, object] = {
        "layers": (layer_mib * MEBIBYTE,) * layers,
        "output_bytes": 200 * MEBIBYTE,
        "kv": (10 * MEBIBYTE,) * layers,
        "compute_bytes": 300 * MEBIBYTE,
        "overhead_bytes": 400 * MEBIBYTE,
    }
    return Burden(**(values | more))  # type: ignore[arg-type]
