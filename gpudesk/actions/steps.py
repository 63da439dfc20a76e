"""Which steps there are: each carries one thing out and returns what was seen, or raises why it did not come to that.

Undoing is `roll_back`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.keep_steps import keep, pin, unpin
from gpudesk.actions.load_step import load
from gpudesk.actions.stored_steps import delete, derive, pull
from gpudesk.actions.unload_step import unload
from gpudesk.actions.values import StepKind

if TYPE_CHECKING:
    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.undertaking import Undertaking
    from gpudesk.actions.values import Step


def carry_out(attempt: Attempt, undertaking: Undertaking, step: Step) -> str:
    """Carry out one step; return what was seen. Raises `GpudeskError`."""
    match step.kind:
        case StepKind.LOAD:
            return load(attempt, undertaking, step)
        case StepKind.UNLOAD:
            return unload(attempt, undertaking, step)
        case StepKind.KEEP_ALIVE if step.load.keep_alive is not None and step.load.keep_alive.seconds == 0:
            return unload(attempt, undertaking, step)
        case StepKind.KEEP_ALIVE:
            return keep(attempt, undertaking, step)
        case StepKind.PIN:
            return pin(attempt, undertaking, step)
        case StepKind.UNPIN:
            return unpin(attempt, step)
        case StepKind.PULL:
            return pull(attempt, step)
        case StepKind.DELETE:
            return delete(attempt, step)
        case StepKind.DERIVE:
            return derive(attempt, step)
