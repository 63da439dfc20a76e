"""Previews of what changes models on the engine's disk: pull, delete, derive."""

from __future__ import annotations

from gpudesk.actions.values import Preview
from gpudesk.domain.desk import Desk
from gpudesk.domain.model import InstalledModel


def pull(desk: Desk, name: str, engine_url: str | None = None) -> Preview:
    """Preview a download; None is the first engine."""
    raise NotImplementedError


def delete(desk: Desk, installed: InstalledModel) -> Preview:
    """Preview a deletion: unloaded and unpinned first; names what else uses the file, which then stays on disk."""
    raise NotImplementedError


def derive(desk: Desk, installed: InstalledModel, context_length: int, new_name: str | None = None) -> Preview:
    """Preview a model with its context baked in, so that all clients agree on it; it shares the file of the first.

    Args:
        desk: what is known.
        installed: what it is made of.
        context_length: what it shall have.
        new_name: its name; None keeps the family in it: `qwen2.5-coder:1.5b` becomes `qwen2.5-coder-16k:1.5b`.
    """
    raise NotImplementedError
