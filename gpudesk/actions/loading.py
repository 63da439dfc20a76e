"""Previews of what loads one model: load, swap."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import runners
from gpudesk.actions.ports import Forecaster
from gpudesk.actions.reach import Aim, reach
from gpudesk.actions.values import ActionId, Load, Preview
from gpudesk.actions.wording import enumerated
from gpudesk.domain.desk import Desk, LoadedModel


def load(desk: Desk, wish: Load, forecaster: Forecaster) -> Preview:
    """Preview a load. It never makes a pinned model go: where only that would make room, it is refused.

    gpudesk unloads idle models without a pin itself, the ones that come back soonest, so that the engine, which knows
    no pins, never has to choose.

    Args:
        desk: what is known.
        wish: which model and how; its digest and `embedding` are filled in from the desk.
        forecaster: tells what it comes to.
    """
    return reach(desk, Aim(ActionId.LOAD, wish.name, (wish,)), forecaster)


def swap(desk: Desk, leaving: Sequence[LoadedModel], wish: Load, forecaster: Forecaster) -> Preview:
    """Preview the exchange of loaded models for another one, which must end on the card whole.

    Args:
        desk: what is known.
        leaving: what goes, named by the user; a pinned one among them is a loss that is asked about.
        wish: what comes.
        forecaster: tells what it comes to.
    """
    going = runners(leaving)
    subject = f"{enumerated([model.name for model in going])} to {wish.name}" if going else wish.name
    return reach(desk, Aim(ActionId.SWAP, subject, (wish,), going, whole=True), forecaster)
