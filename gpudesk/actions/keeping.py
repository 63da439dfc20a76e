"""Previews of what leaves a model loaded: keep-alive, pin, unpin."""

from __future__ import annotations

from gpudesk.actions.ports import Forecaster
from gpudesk.actions.values import Preview
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinWish


def keep(desk: Desk, model: LoadedModel, keep_alive: KeepAliveWish) -> Preview:
    """Preview another keep-alive. The loaded context is sent with it, so that nothing is loaded again; 0 unloads."""
    raise NotImplementedError


def pin(
    desk: Desk,
    model: LoadedModel | InstalledModel,
    forecaster: Forecaster,
    *,
    context_length: int | None = None,
    restore: bool = False,
) -> Preview:
    """Preview a pin: the model is loaded if it is not, stays forever, and its loss is noticed.

    Args:
        desk: what is known.
        model: which one.
        forecaster: tells what a load comes to, where one is needed.
        context_length: what it should have; None is what it has, or what the engine chooses.
        restore: put it right when it is lost.
    """
    raise NotImplementedError


def unpin(desk: Desk, model: LoadedModel | InstalledModel | PinWish) -> Preview:
    """Preview the end of a pin. The model stays loaded, with the keep-alive it has."""
    raise NotImplementedError
