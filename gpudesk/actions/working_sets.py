"""Previews over several models at once: apply a working set, restore what was there, carry out a plan."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.ports import Forecaster
from gpudesk.actions.values import Load, Preview
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.working_set import WorkingSet


def apply(desk: Desk, working_set: WorkingSet, forecaster: Forecaster) -> Preview:
    """Preview the difference between what is loaded and a working set, in an order that fits at every step.

    A set that cannot fit is refused, saying which part and by how much. Pinned models that are not in it stay.
    """
    raise NotImplementedError


def restore(desk: Desk, snapshot: Sequence[Load], forecaster: Forecaster) -> Preview:
    """Preview bringing back what was loaded (`Preview.before`): what is missing is loaded, as it was."""
    raise NotImplementedError


def arrange(desk: Desk, wanted: Sequence[Load], leaving: Sequence[LoadedModel], forecaster: Forecaster) -> Preview:
    """Preview a plan of the planner ("make it so"): these are loaded, those go, everything else stays."""
    raise NotImplementedError


def present_set(desk: Desk, name: str) -> WorkingSet:
    """Return what is loaded now as a working set. Engines are named only where there are several."""
    raise NotImplementedError
