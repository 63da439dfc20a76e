"""`gpudesk suggest`: which installed models fit together, one per role."""

from __future__ import annotations

from typing import TextIO

from gpudesk.commands.fit import FitRequest, Means
from gpudesk.errors import ExitCode


def run(roles: tuple[str, ...], request: FitRequest, means: Means, out: TextIO) -> int:
    """Rank the sets, print them, and return the exit code."""
    raise NotImplementedError((roles, request, means, out, ExitCode.OK))
