"""Everything that goes to stderr from the command line; stdout carries data only."""

from __future__ import annotations

import sys

from gpudesk.domain.problem import Problem
from gpudesk.errors import GpudeskError


def say(text: str) -> None:
    """Write one message; a closed or missing stderr is nobody's problem."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the one place that may
    except (OSError, ValueError, AttributeError):
        return


def report(error: GpudeskError) -> None:
    """Write what was wrong and what to do about it."""
    say(f"gpudesk: {error.message}")
    if error.hint:
        say(f"  {error.hint}")


def warn(problems: tuple[Problem, ...]) -> None:
    """Write problems that do not stop anything."""
    for problem in problems:
        say(f"gpudesk: {problem.source}: {problem.message}")
        if problem.hint:
            say(f"  {problem.hint}")
