"""`gpudesk fit --engine llama-server`: what its options mean, what its own `--fit` would change, its command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpudesk.fit.llama_server import LlamaServerOptions, arguments, command_line, fit, load_options
from gpudesk.fit.planner import Planner
from gpudesk.fit.values import LoadOptions
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.arguments.planner_values import AskedModel
    from gpudesk.commands.fit_request import FitRequest
    from gpudesk.fit.llama_server import FitOutcome
    from gpudesk.fit.values import CardBudget, EngineProfile, Wanted
    from gpudesk.sources.model_metadata import FoundModel

UNTRAINED_CONTEXT = 4096
"""Of a file that does not say what it was trained for."""


def options_of(request: FitRequest, asked: AskedModel | None = None) -> LlamaServerOptions:
    """Return the server's options as they were typed; `--ctx` is its `-c`, the cells of all slots together."""
    keys, values = request.kv_cache_type or ("f16", "f16")
    context = (asked.context_length if asked is not None else None) or request.context_length
    return LlamaServerOptions(
        context=context,
        parallel=request.parallel,
        layers_on_gpu=request.layers,
        batch=request.batch,
        kv_cache_type_k=keys,
        kv_cache_type_v=values,
        flash_attention=request.flash_attention,
        fit=request.fit,
    )


def served(
    request: FitRequest, wanted: Sequence[Wanted], found: Sequence[FoundModel], cards: Sequence[CardBudget],
    profile: EngineProfile,
) -> tuple[tuple[Wanted, ...], tuple[str, ...]]:  # fmt: skip
    """Return the models as one server each would load them, one started after the other, and what to know of it."""
    made: list[Wanted] = []
    notes: list[str] = []
    budgets = list(cards)
    for asked, one, each in zip(request.models, wanted, found, strict=True):
        options = options_of(request, asked)
        trained = one.metadata.context_length_trained or UNTRAINED_CONTEXT
        base = LoadOptions(draft=each.draft, lora=each.adapters)
        plain = replace(one, options=load_options(options, trained, base))
        outcome = _outcome(plain, options, trained, budgets, profile) if len(budgets) == 1 else None
        if outcome is not None:
            slots = 1 if options.unified else options.slots
            changed = replace(options, context=outcome.context, layers_on_gpu=outcome.layers_on_gpu)
            plain = replace(one, options=replace(load_options(changed, trained, base),
                                                 context_length=outcome.context // slots))  # fmt: skip
            held = sum(outcome.projected_bytes)
            budgets = [replace(budgets[0], available_bytes=max(0, budgets[0].available_bytes - held))]
            notes += [f"{one.name}: {note}" for note in outcome.notes]
        made.append(plain)
        words = arguments(options, asked.word if asked.word.lower().endswith(".gguf") else one.name)
        notes.append(f"as it was asked: {command_line(words)}")
    if len(cards) > 1 and request.fit:
        notes.append("what --fit changes is told for one card; on several, this is the plan with the options as typed")
    return tuple(made), tuple(notes)


def _outcome(
    plain: Wanted, options: LlamaServerOptions, trained: int, budgets: Sequence[CardBudget], profile: EngineProfile
) -> FitOutcome:
    """Do what `--fit` does on one card."""
    planner = Planner(budgets, profile)
    total = plain.metadata.layer_count + 1
    slots = 1 if options.unified else options.slots

    def projected(context: int, layers: int | None) -> tuple[int]:
        tried = replace(
            plain.options, context_length=context // slots, layers_on_gpu=total if layers is None else layers
        )
        parts = planner.arranger.alone(replace(plain, options=tried), 0).parts
        return (parts.total_bytes - parts.overhead_bytes,)

    overhead = planner.arranger.alone(plain, 0).parts.overhead_bytes
    # What llama.cpp sees as free has the driver's context taken off, and the user's reserve not.
    free = budgets[0].available_bytes + budgets[0].reserve_bytes - overhead
    return fit(options, trained, total, (free,), projected)
