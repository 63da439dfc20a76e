"""Everything known of one thing: the detail view's contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.ui.cells import Span
from gpudesk.ui.detail_lines import Detail, Target
from gpudesk.ui.view_card_detail import card_detail
from gpudesk.ui.view_model_detail import model_detail
from gpudesk.ui.view_other_details import other_detail

if TYPE_CHECKING:
    from gpudesk.ui.scene import Scene


def gone(target: Target) -> Detail:
    """Say that what the view was about is no longer there."""
    name = target.key.rsplit(" ", 1)[-1]
    return Detail((Span(name, "strong"),), ((), (Span("no longer on the desk", "warn"),)))


def detail(target: Target, scene: Scene, width: int) -> Detail:
    """Return what to show of a target."""
    shown: Detail | None
    if target.kind == "model":
        shown = model_detail(target.key, scene, width)
    elif target.kind == "card":
        shown = card_detail(int(target.key), scene, width)
    else:
        shown = other_detail(target, scene, width)
    return gone(target) if shown is None else shown
