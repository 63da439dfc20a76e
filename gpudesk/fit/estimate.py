"""What one model would take on the cards of a plan: all parts put together.

The arithmetic of each part is in its own module; here a request is resolved as the engine would (context, slots,
batch, flash attention), the parts are placed on the cards, and the band is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.fit import projector
from gpudesk.fit.band import Uncertainty, band
from gpudesk.fit.builds import takes_mixed_input
from gpudesk.fit.compute import GraphOptions, compute_bytes, pipeline_bytes
from gpudesk.fit.envelope import envelope
from gpudesk.fit.kv_cache import KvLayout, kv_cache, padded
from gpudesk.fit.overhead import overhead
from gpudesk.fit.placement import Burden, Placement, card_groups, margin_bytes, place
from gpudesk.fit.prepared import Prepared, prepare
from gpudesk.fit.resolved_load import Load, resolve
from gpudesk.fit.speculation import drafted_tokens, loads_prediction, prediction_cache_bytes
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, Parts, Wanted
from gpudesk.fit.weights import adapter_bytes
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.fit.calibration import Calibration

LOADS_REMEMBERED = 512
"""Loads of one model that are not laid out anew."""
REORDERING = frozenset(["vulkan", "metal"])
"""Backends with an order of their own (`graph_optimize` of ggml/src/ggml-vulkan and ggml-metal)."""
PROJECTOR_ON_HOST = "the part that sees runs on the CPU: Ollama does not put it on so full a card"
MATRICES_OF_A_LAYER = 3
"""The largest matrix of a layer is about a third of it: gate, up or down projection."""


def estimate(
    wanted: Wanted,
    profile: EngineProfile,
    cards: Sequence[CardBudget],
    *,
    calibration: Calibration | None = None,
) -> Estimate:
    """Say what one model takes, by part and by card.

    Args:
        wanted: the model and how it would be loaded.
        profile: the engine that would load it.
        cards: where it may go; a model that does not fit is placed as far as it goes.
        calibration: measured points that correct overhead and compute.
    """
    prepared = prepare(wanted.metadata)
    drafted = drafted_tokens(wanted.metadata, wanted.options, profile)
    options = wanted.options
    if drafted != (options.drafted_tokens or 0):
        options = replace(options, drafted_tokens=drafted)
    load = resolve(prepared, options, profile, cards)
    cache = _cache(prepared, load, profile)
    compute = _compute(prepared, load, profile)
    overheads = tuple(overhead(profile, card) for card in cards)
    burden = _burden(prepared, load, profile, cache, compute, tuple(each[1] for each in overheads))
    held = prepared.projector_bytes
    placement = _placed(burden, load, profile, cards, held)
    if held and _leaves_projector(placement, held, load, profile, cards):
        seeing = burden.first_card.projector_bytes
        alone = replace(burden.first_card, projector_bytes=0)
        burden, held = replace(burden, first_card=alone, host_bytes=burden.host_bytes + seeing), 0
        load = replace(load, notes=(*load.notes, PROJECTOR_ON_HOST))
        placement = _placed(burden, load, profile, cards, held)
    if len(cards) > 1 and placement.complete and sum(count > 0 for count in placement.layers_by_card) > 1:
        # Only a model that lies whole on several cards runs as a pipeline.
        several = compute + _pipeline(prepared, cache, load, profile)
        placement = _placed(replace(burden, compute_bytes=several), load, profile, cards, held)
    made = _estimate(wanted, prepared, load, profile, placement, overheads)
    return made if calibration is None else calibration.corrected(made, wanted, profile, cards)


def _leaves_projector(
    placement: Placement, held: int, load: Load, profile: EngineProfile, cards: Sequence[CardBudget]
) -> bool:
    """Tell whether the projector does not go on the cards on which the model goes."""
    if profile.kind != "ollama" or profile.era is not Era.LLAMA_SERVER or load.options.layers_on_gpu == 0:
        return False
    pairs = [*zip(cards, placement.by_card, strict=True)]
    used = [card for card, parts in pairs if parts.total_bytes] or [card for card, _ in pairs]
    free = [card.available_bytes + card.reserve_bytes for card in used]
    return projector.stays_on_host(held, free, load.options.layers_on_gpu, placement.layers_total)


def _placed(
    burden: Burden, load: Load, profile: EngineProfile, cards: Sequence[CardBudget], projector_bytes: int
) -> Placement:
    """Place a model as the engine does.

    Ollama with llama-server keeps room for a projector twice: in the target it gives, and in llama-server's own
    estimate (ollama llm/llama_server.go:722 at v0.33.0-rc2, llama.cpp tools/server/server-context.cpp:1003 at b10488).
    """
    layers = load.options.layers_on_gpu
    margin = margin_bytes(profile)
    if profile.kind == "ollama" and profile.era is Era.LLAMA_SERVER and layers is None:
        margin += projector_bytes
    return place(
        burden,
        cards,
        layers_on_gpu=layers,
        groups=card_groups(cards, profile),
        margin=margin,
        experts_to_host=profile.era is Era.LLAMA_SERVER,
    )


def _cache(prepared: Prepared, load: Load, profile: EngineProfile) -> KvLayout:
    """Return the cache of every layer, remembered: a search asks for the same load on ever other cards."""
    options = load.options
    key = (
        load.context_length, load.parallel, load.batch_size, load.flash_attention, profile.era,
        options.kv_cache_type_k, options.kv_cache_type_v, options.unified_kv, options.swa_full, options.draft is None,
        options.drafted_tokens,
    )  # fmt: skip
    found = prepared.caches.get(key)
    if found is None:
        found = kv_cache(
            prepared.metadata, options, load.context_length, load.parallel, profile.era,
            known=prepared.rules, batch=load.batch_size, flash_attention=load.flash_attention,
        )  # fmt: skip
        if len(prepared.caches) >= LOADS_REMEMBERED:
            prepared.caches.clear()
        prepared.caches[key] = found
    return found


def _compute(prepared: Prepared, load: Load, profile: EngineProfile) -> int:
    """Return the compute buffer of a card, which never falls when the context grows.

    Laying out a graph is the longest part of an estimate, so the contexts that were are remembered.
    """
    kept = load.options
    key = (
        load.batch_size, load.outputs, load.flash_attention, load.parallel, kept.kv_cache_type_k,
        kept.kv_cache_type_v, kept.unified_kv, kept.swa_full, kept.drafted_tokens, profile.kind, profile.version,
        profile.era, profile.backend,
    )  # fmt: skip
    found = prepared.computed.get(key)
    if found is None:
        if len(prepared.computed) >= LOADS_REMEMBERED:
            prepared.computed.clear()
        found = prepared.computed[key] = {}

    def at(context: int) -> int:
        cache = _cache(prepared, replace(load, context_length=context), profile)
        return compute_bytes(prepared.metadata, prepared.rules, cache, _graph(load, profile, context))

    return envelope(padded(load.context_length), found, at)


def _pipeline(prepared: Prepared, cache: KvLayout, load: Load, profile: EngineProfile) -> int:
    """Return what each of several cards takes more."""
    options = _graph(load, profile, padded(load.context_length))
    return pipeline_bytes(prepared.metadata, prepared.rules, cache, options)


def _graph(load: Load, profile: EngineProfile, context: int) -> GraphOptions:
    kept = load.options
    return GraphOptions(
        batch=min(load.batch_size, context),
        outputs=load.outputs,
        flash_attention=load.flash_attention,
        kv_cache_type_k=kept.kv_cache_type_k,
        kv_cache_type_v=kept.kv_cache_type_v,
        streams=1 if kept.unified_kv else load.parallel,
        backend=profile.backend,
        mixed_input=takes_mixed_input(profile),
        sequences=load.parallel * (1 + (kept.drafted_tokens or 0)),
    )


def _burden(
    prepared: Prepared,
    load: Load,
    profile: EngineProfile,
    cache: KvLayout,
    compute: int,
    overheads: tuple[int, ...],
) -> Burden:
    layout = prepared.weights
    layers = layout.layers
    if layout.prediction_bytes and loads_prediction(prepared.metadata, profile, load.options.drafted_tokens or 0):
        # They lie with the last layer.
        layers = (*layers[:-1], layers[-1] + layout.prediction_bytes)
    return Burden(
        layers=layers,
        output_bytes=layout.output_bytes,
        kv=cache.layers,
        compute_bytes=compute,
        overhead_bytes=overheads,
        first_card=_beside(prepared, load, profile, cache, compute),
        host_bytes=layout.host_bytes,
        experts=layout.experts,
        # Matrices of layers on the host are copied to the card for every batch, the largest of a layer at a time
        # (`offload_op` in ggml/src/ggml-cuda/ggml-cuda.cu).
        compute_partial_bytes=compute + max(layout.layers, default=0) // MATRICES_OF_A_LAYER,
    )


def _beside(prepared: Prepared, load: Load, profile: EngineProfile, cache: KvLayout, compute: int) -> Parts:
    """Return what lies whole on the first used card: projector, adapters, draft model or what own drafts take."""
    seeing = projector.projector(prepared.metadata, profile.era, prepared.projector_bytes)
    adapters = adapter_bytes(load.options.lora)
    if load.options.draft is None:
        if not (load.options.drafted_tokens and prepared.metadata.prediction_layers):
            return Parts(weights_bytes=adapters, projector_bytes=seeing)
        streams = 1 if load.options.unified_kv else load.parallel
        return Parts(
            weights_bytes=adapters,
            kv_cache_bytes=prediction_cache_bytes(prepared.metadata, cache, streams),
            # A second graph of one layer, reserved at the same batch: as large where layers decide the size.
            compute_bytes=compute,
            projector_bytes=seeing,
        )
    draft = prepare(load.options.draft)
    options = replace(
        load.options, draft=None, drafted_tokens=0, lora=(), context_length=load.context_length, parallel=load.parallel
    )
    # The draft model has the target's context, slots and batch (llama.cpp common/speculative.cpp).
    same = replace(load, options=options)
    cache = _cache(draft, same, profile)
    return Parts(
        weights_bytes=adapters + draft.weights.card_bytes,
        kv_cache_bytes=cache.total,
        compute_bytes=_compute(draft, same, profile),
        projector_bytes=seeing,
    )


def _estimate(
    wanted: Wanted,
    prepared: Prepared,
    load: Load,
    profile: EngineProfile,
    placement: Placement,
    overheads: Sequence[tuple[int, int, int]],
) -> Estimate:
    parts = total_of(placement.by_card)
    used = [number for number, each in enumerate(placement.by_card) if each.total_bytes]
    metadata = prepared.metadata
    held = prepared.projector_bytes
    seeing_high = 0
    if held:
        seeing_high = projector.projector_high(metadata, profile.era, held) - projector.projector(
            metadata, profile.era, held
        )
    low, high = band(
        parts.total_bytes,
        Uncertainty(
            weights_bytes=parts.weights_bytes,
            kv_cache_bytes=parts.kv_cache_bytes,
            compute_bytes=parts.compute_bytes,
            overhead_low_bytes=sum(overheads[number][1] - overheads[number][0] for number in used),
            overhead_high_bytes=sum(overheads[number][2] - overheads[number][1] for number in used),
            projector_high_bytes=seeing_high if parts.projector_bytes else 0,
            cards=len(used),
            known=prepared.rules.known,
            exact_weights=prepared.weights.known,
            reordered=profile.backend in REORDERING,
        ),
    )
    notes = (*load.notes, *prepared.rules.notes, *metadata.notes)
    if not prepared.weights.known:
        notes += ("the tensors are not known: the size of the file stands for the weights",)
    return Estimate(
        name=wanted.name,
        parts=parts,
        low_bytes=low,
        high_bytes=high,
        by_card=placement.by_card,
        host_bytes=placement.host_bytes,
        layers_total=placement.layers_total,
        layers_on_gpu=placement.layers_on_gpu,
        context_length=load.context_length,
        parallel=load.parallel,
        notes=notes,
    )


def total_of(by_card: Sequence[Parts]) -> Parts:
    """Return the sum of several cards' parts."""
    return Parts(
        weights_bytes=sum(parts.weights_bytes for parts in by_card),
        kv_cache_bytes=sum(parts.kv_cache_bytes for parts in by_card),
        compute_bytes=sum(parts.compute_bytes for parts in by_card),
        projector_bytes=sum(parts.projector_bytes for parts in by_card),
        overhead_bytes=sum(parts.overhead_bytes for parts in by_card),
    )
