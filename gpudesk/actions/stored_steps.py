"""Steps that change what an engine has on its disk: pull, delete, derive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions.attempt import StepFailedError
from gpudesk.actions.lookup import installed_as
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.ports import PullProgress
    from gpudesk.actions.values import Step
    from gpudesk.cancellation import Cancellation

ORDER_SECONDS = 900.0
"""For making or deleting a model: old versions read the whole file for it."""
LISTED_SECONDS = 15.0
"""For the list of what is installed to say so."""


def pull(attempt: Attempt, step: Step) -> str:
    """Download a model; done when the engine lists it as installed."""
    name, engine = step.load.name, attempt.engine(step.load.engine_url)
    newest: list[PullProgress] = []

    def give(ends: Cancellation) -> None:
        engine.pull(name, lambda progress: newest.__setitem__(slice(None), [progress]), ends)

    def tell() -> None:
        if not newest:
            attempt.tell(f"pulling {name}")
            return
        progress = newest[0]
        attempt.tell(f"pulling {name}: {progress.status}", progress.completed_bytes, progress.total_bytes)

    tell()
    # A download takes as long as it takes; one that stands still is the control's to notice.
    attempt.order(step.load.engine_url, give, tell, None)
    _listed(attempt, step, there=True)
    installed = installed_as(attempt.desk, step.load)
    size = installed.size_bytes if installed is not None else None
    return f"{name} is installed" + (f", {gibibytes(size)}" if size is not None else "")


def delete(attempt: Attempt, step: Step) -> str:
    """Delete a model; done when the engine does not list it any more."""
    engine = attempt.engine(step.load.engine_url)
    _order(attempt, step, f"deleting {step.load.name}", lambda ends: engine.delete(step.load.name, ends))
    _listed(attempt, step, there=False)
    return f"{step.load.name} is deleted"


def derive(attempt: Attempt, step: Step) -> str:
    """Make a model with its context baked in; done when the engine lists it."""
    wish, engine = step.load, attempt.engine(step.load.engine_url)
    if step.source is None or wish.context_length is None:
        raise ValueError("a derived model needs a source and a context")
    source, context = step.source, wish.context_length
    _order(attempt, step, f"making {wish.name}", lambda ends: engine.derive(wish.name, source, context, ends))
    _listed(attempt, step, there=True)
    return f"{wish.name} is installed: {source} with context {context}"


def _order(attempt: Attempt, step: Step, text: str, give: Callable[[Cancellation], None]) -> None:
    attempt.tell(text)
    attempt.order(step.load.engine_url, give, lambda: attempt.tell(text), ORDER_SECONDS)


def _listed(attempt: Attempt, step: Step, *, there: bool) -> None:
    """Wait until the list of what is installed shows it."""
    name, what = step.load.name, "be listed as installed" if there else "be gone from the list"
    not_so = "is not listed as installed" if there else "is still listed"
    attempt.until(
        lambda desk: None if (installed_as(desk, step.load) is not None) is there else f"waiting for {name} to {what}",
        LISTED_SECONDS,
        lambda: StepFailedError(f"the engine says it is done, but {name} {not_so}", "Try again"),
        installed=True,
    )
