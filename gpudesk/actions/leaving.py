"""Previews of what only makes models go: unload, free the card."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.values import Preview
from gpudesk.domain.desk import Desk, LoadedModel


def unload(desk: Desk, models: Sequence[LoadedModel]) -> Preview:
    """Preview the unloading of models the user named. An idle one without a pin goes without being asked about."""
    raise NotImplementedError


def free(desk: Desk, need_bytes: int | None = None, card_index: int | None = None) -> Preview:
    """Preview making room for something that is no model: a game, a render. `before` is what `restore` takes.

    Args:
        desk: what is known.
        need_bytes: how much must be free on the card in the end; None is everything models hold.
        card_index: which card; None with `need_bytes` is the one where least goes, without it all cards.
    """
    raise NotImplementedError
