"""Steps that occur in many previews."""

from __future__ import annotations

from collections.abc import Iterable

from gpudesk.actions.lookup import as_load, is_pinned, pins_of
from gpudesk.actions.room import UNLOAD_SECONDS
from gpudesk.actions.values import Step, StepKind
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.records import replace


def leave(desk: Desk, model: LoadedModel, why: str | None = None) -> list[Step]:
    """Return the steps that make a model go; a pin on it ends first, or the guard would put it right at once."""
    return [*unpinned(desk, model), Step(StepKind.UNLOAD, as_load(model, desk), UNLOAD_SECONDS, why)]


def unpinned(desk: Desk, model: LoadedModel) -> list[Step]:
    """Return the steps that end the pins of a model, under all of its names."""
    load = as_load(model, desk)
    names = [state.wish.name for state in pins_of(desk, model.engine_url, model.name, *model.shares_runner_with)]
    if not names and is_pinned(desk, model):
        names = [model.name]
    return [Step(StepKind.UNPIN, replace(load, name=name)) for name in names]


def total_seconds(steps: Iterable[Step]) -> float | None:
    """Add up what loading and unloading is expected to take; None where that of one of them is not known."""
    total = 0.0
    for step in steps:
        if step.kind in (StepKind.LOAD, StepKind.UNLOAD):
            if step.expected_seconds is None:
                return None
            total += step.expected_seconds
    return total
