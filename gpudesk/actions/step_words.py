"""The words for a step, the same on the screen and in a shell."""

from __future__ import annotations

from gpudesk.actions.values import Step, StepKind
from gpudesk.units import duration

_VERBS = {
    StepKind.LOAD: "load",
    StepKind.UNLOAD: "unload",
    StepKind.KEEP_ALIVE: "keep-alive of",
    StepKind.PIN: "pin",
    StepKind.UNPIN: "end the pin of",
    StepKind.PULL: "download",
    StepKind.DELETE: "delete",
    StepKind.DERIVE: "make",
}


def step_words(step: Step, *, because: bool = True) -> str:
    """Say what a step does: `load qwen3:14b with context 8192, stays forever`."""
    load = step.load
    words = f"{_VERBS[step.kind]} {load.name}"
    if step.kind is StepKind.LOAD and load.context_length is not None:
        words += f" with context {load.context_length}"
    if step.kind is StepKind.DERIVE:
        words += f" out of {step.source} with context {load.context_length}"
    if step.kind in (StepKind.LOAD, StepKind.KEEP_ALIVE) and load.keep_alive is not None:
        kept = "forever" if load.keep_alive.seconds is None else duration(load.keep_alive.seconds)
        words += f", stays {kept}" if step.kind is StepKind.LOAD else f" becomes {kept}"
    if step.kind is StepKind.PIN and step.restore_pin:
        words += ", put right when it is lost"
    return f"{words} ({step.why})" if step.why and because else words
