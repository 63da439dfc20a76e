"""A load by llama-server, planned: what `--fit` will do on this card, what it takes, and what to type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gpudesk.fit.llama_server import FitOutcome, LlamaServerOptions, arguments, fit, load_options, profile
from gpudesk.fit.values import CardBudget, EngineProfile, Estimate, Wanted
from gpudesk.records import dataclass

Estimator = Callable[[Wanted, EngineProfile, CardBudget], Estimate]
"""Estimates one model on one card that has room for anything."""

_ROOM_BYTES = 1 << 50
_UNKNOWN_TRAINED = 4096


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """The answer."""

    outcome: FitOutcome
    estimate: Estimate
    arguments: tuple[str, ...]
    """The command line that does exactly this."""


def plan_load(
    wanted: Wanted,
    options: LlamaServerOptions,
    card: CardBudget,
    estimator: Estimator,
    *,
    model_path: str,
    taken_bytes: int = 0,
    version: str | None = None,
    backend: str = "cuda",
) -> PlannedLoad:
    """Plan one model on one card.

    Args:
        wanted: the model; its options tell draft model and adapters only.
        options: the server's options.
        card: where it goes.
        estimator: what a model takes.
        model_path: for the command line.
        taken_bytes: what else will be on the card by then.
        version: of llama-server.
        backend: decides the overhead.
    """
    engine = profile(options, version=version, backend=backend)
    trained = wanted.metadata.context_length_trained or _UNKNOWN_TRAINED
    roomy = replace(card, available_bytes=_ROOM_BYTES)

    def at(context: int, layers: int | None) -> Estimate:
        chosen = replace(options, context=context, layers_on_gpu=layers)
        return estimator(replace(wanted, options=load_options(chosen, trained, wanted.options)), engine, roomy)

    def projected(context: int, layers: int | None) -> tuple[int, ...]:
        parts = at(context, layers).parts
        return (parts.total_bytes - parts.overhead_bytes,)

    whole = at(trained if options.context is None else options.context or trained, options.layers_on_gpu)
    free = card.available_bytes - taken_bytes - whole.parts.overhead_bytes
    outcome = fit(options, trained, whole.layers_total, (free,), projected)
    found = at(outcome.context, outcome.layers_on_gpu)
    notes = (*found.notes, *outcome.notes)
    return PlannedLoad(outcome, replace(found, notes=notes), arguments(options, model_path, outcome=outcome))
