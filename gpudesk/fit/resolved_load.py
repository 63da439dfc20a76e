"""How an engine resolves a request: context, slots, batch and flash attention, as its version sets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.domain.engine import Era
from gpudesk.fit.llama_server import AUTO_PARALLEL
from gpudesk.fit.server_rules import automatic_batch, predicted_bytes, served, version_key
from gpudesk.fit.values import CardBudget, EngineProfile, LoadOptions
from gpudesk.records import dataclass, replace

if TYPE_CHECKING:
    from gpudesk.fit.prepared import Prepared

DEFAULT_BATCH = 512
FIRST_BUILD_WITH_FEW_OUTPUTS = 9538
"""From this llama.cpp build at the latest logits are reserved for one token per slot; b9294 still had all."""
OLLAMA_WITH_FEW_OUTPUTS = (0, 31, 0)
"""0.30 was built when llama.cpp changed; the larger buffer is assumed there."""


@dataclass(frozen=True, slots=True)
class Load:
    """A request as the engine resolves it."""

    context_length: int
    parallel: int
    batch_size: int
    flash_attention: bool
    options: LoadOptions
    outputs: int
    notes: tuple[str, ...] = ()


def resolve(prepared: Prepared, options: LoadOptions, profile: EngineProfile, cards: Sequence[CardBudget]) -> Load:
    """Return context, slots, batch and flash attention as this engine sets them."""
    metadata = prepared.metadata
    if profile.kind == "ollama":
        return _resolve_ollama(prepared, options, profile, cards)
    context = options.context_length or profile.default_context or metadata.context_length_trained or 4096
    notes: list[str] = []
    trained = metadata.context_length_trained
    if trained and context > trained:
        context = trained
        notes.append(f"limited to the {trained} tokens the model was trained for")
    parallel = options.parallel or profile.parallel
    if parallel < 1:
        parallel = AUTO_PARALLEL
        options = replace(options, unified_kv=True)
    wanted = options.flash_attention if options.flash_attention is not None else profile.flash_attention
    flash = wanted is not False
    if not flash and options.kv_cache_type_v != "f16":
        notes.append(f"llama-server refuses {options.kv_cache_type_v} values without flash attention")
    batch = options.batch_size or DEFAULT_BATCH
    return Load(context, parallel, batch, flash, options, _outputs(profile, batch, parallel), tuple(notes))


def _resolve_ollama(
    prepared: Prepared, options: LoadOptions, profile: EngineProfile, cards: Sequence[CardBudget]
) -> Load:
    metadata = prepared.metadata
    made = served(metadata, options, profile, cards)
    notes = list(made.notes)
    context = made.context_length
    trained = metadata.context_length_trained
    if trained and context > trained:
        context = trained
        notes.append(f"limited to the {trained} tokens the model was trained for")
    parallel = 1 if prepared.rules.one_slot else made.parallel
    batch = made.batch_size
    if made.batch_is_automatic and profile.era is Era.LLAMA_SERVER and version_key(profile) >= (0, 30, 0):
        free = [min(card.available_bytes, card.memory_total_bytes) for card in cards]
        predicted = predicted_bytes(metadata, context * parallel)
        batch = automatic_batch(context * parallel, predicted, free, flash=made.flash_attention)
    if not made.flash_attention and (options.kv_cache_type_k, options.kv_cache_type_v) != ("f16", "f16"):
        options = replace(options, kv_cache_type_k="f16", kv_cache_type_v="f16")
        notes.append("without flash attention Ollama ignores the type of the KV cache and takes f16")
    outputs = _outputs(profile, batch, parallel)
    return Load(context, parallel, batch, made.flash_attention, options, outputs, tuple(notes))


def _outputs(profile: EngineProfile, batch: int, parallel: int) -> int:
    """Return for how many tokens of a batch logits are reserved."""
    return batch if reserves_all_outputs(profile) else parallel


def reserves_all_outputs(profile: EngineProfile) -> bool:
    """Tell whether this build reserves logits for every token of a batch (llama.cpp until June 2026, ik_llama.cpp)."""
    if profile.kind == "ollama":
        return profile.era is not Era.LLAMA_SERVER or version_key(profile) < OLLAMA_WITH_FEW_OUTPUTS
    if profile.kind.startswith("ik"):
        return True
    build = (profile.version or "").lstrip("b").split("-")[0]
    return build.isascii() and build.isdecimal() and int(build) < FIRST_BUILD_WITH_FEW_OUTPUTS
