"""The step that unloads a model, until the driver has its memory back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import observe
from gpudesk.actions.attempt import StepFailedError
from gpudesk.actions.lookup import loaded_as
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.undertaking import Undertaking
    from gpudesk.actions.values import Step
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.errors import GpudeskError

ANSWER_SECONDS = 60.0
"""For the answer to the order; the model goes later."""
BUSY_SECONDS = 300.0
"""How long a model may go on answering before it is given up that it goes."""
MATCH_SECONDS = 2.0
"""How long the engine may take to tell which file a model is made of, by which its process is found."""
RELEASE_SECONDS = 30.0
"""How long the driver may take to give memory back; a second is much."""


def unload(attempt: Attempt, undertaking: Undertaking, step: Step) -> str:
    """Unload a model; done when its engine lists it no more and the driver has its memory back."""
    wish = step.load
    model = loaded_as(attempt.desk, wish)
    if model is None:
        return f"{wish.name} was gone already"
    model = _matched(attempt, model)
    watched = _Leaving(attempt, model)
    undertaking.asked.append(wish)
    began = attempt.now()
    attempt.tell(f"unloading {wish.name}")
    engine = attempt.engine(wish.engine_url)
    attempt.ports.watch.dismissing(wish.engine_url, (model.name, *model.shares_runner_with))
    attempt.order(wish.engine_url, lambda ends: engine.unload(wish, ends), watched.tell, ANSWER_SECONDS)
    attempt.until(watched.seen, BUSY_SECONDS, watched.late)
    back = attempt.now() - began
    gone = back if watched.gone_after is None else watched.gone_after
    if not watched.held.total_bytes:
        return f"{wish.name} is gone from the engine after {gone:.1f} s"
    memory = gibibytes(watched.held.total_bytes)
    return f"{wish.name} is gone from the engine after {gone:.1f} s, {memory} back on the card after {back:.1f} s"


def _matched(attempt: Attempt, model: LoadedModel) -> LoadedModel:
    """Wait a moment until it is known where a model is: afterwards that cannot be seen any more."""
    until = attempt.now() + MATCH_SECONDS

    def seen(desk: Desk) -> str | None:
        found = next((each for each in desk.models if each.key == model.key), None)
        known = found is None or observe.is_matched(desk, found) or attempt.now() >= until
        return None if known else f"looking where {model.name} is"

    if not observe.is_matched(attempt.desk, model):
        attempt.until(seen, 2 * MATCH_SECONDS, lambda: StepFailedError(f"{model.name} cannot be found"))
    return next((each for each in attempt.desk.models if each.key == model.key), model)


class _Leaving:
    """A model on its way out: first its engine lists it no more, then the driver has its memory back."""

    def __init__(self, attempt: Attempt, model: LoadedModel) -> None:
        self.held = observe.held_memory(attempt.desk, model)
        self.gone_after: float | None = None
        self._attempt = attempt
        self._model = model

    def tell(self) -> None:
        self._attempt.tell(f"unloading {self._model.name}")

    def seen(self, desk: Desk) -> str | None:
        """Say what is still waited for."""
        name = self._model.name
        silent = self._attempt.answering(desk, self._model.engine_url)
        if silent is not None:
            return silent
        there = next((each for each in desk.models if each.key == self._model.key), None)
        elapsed = self._attempt.elapsed_seconds
        if there is not None:
            if not observe.same_runner(self._model, there):
                raise StepFailedError(
                    f"another program loaded {name} again while it was being unloaded",
                    "See who asks for it (an editor, a script), stop that, and try again",
                )
            busy = there.keep_alive is not None and there.keep_alive.state is KeepAliveState.STOPPING
            return f"waiting for {name} to end its request" if busy and elapsed > 1.0 else f"unloading {name}"
        if self.gone_after is None:
            self.gone_after = elapsed
        still = observe.still_held(desk, self.held)
        if not still:
            return None
        if elapsed - self.gone_after >= RELEASE_SECONDS:
            raise StepFailedError(
                f"{name} is gone from the engine, but the driver has not given back {gibibytes(still)} "
                f"after {elapsed - self.gone_after:.0f} s",
                "Look with nvidia-smi for a process that hangs and end it; if there is none, restart Ollama",
            )
        return f"waiting for the driver to take back {gibibytes(still)}"

    def late(self) -> GpudeskError:
        """Say that it took too long."""
        return StepFailedError(
            f"{self._model.name} is still answering after {BUSY_SECONDS:.0f} s",
            "Wait until its request has ended, or stop who asks",
        )
