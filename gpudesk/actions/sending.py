"""What an engine is asked with: a wish, put so that only what it says changes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gpudesk.actions.attempt import StepFailedError
from gpudesk.actions.wishes import as_sent, needs_training
from gpudesk.errors import SourceError

if TYPE_CHECKING:
    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.values import Load
    from gpudesk.cancellation import Cancellation

TOLD_SECONDS = 10.0
"""How long an engine has to tell what a model was trained for; it reads the header of the file for it."""


def to_send(attempt: Attempt, wish: Load, text: str) -> Load:
    """Return a wish as its engine is to be asked, asking first what that depends on where nobody has told it yet.

    An engine that does not tell in time is asked as wished: at worst the model is loaded once more by the next client.

    Args:
        attempt: what this is a part of.
        wish: the model, and how it shall be.
        text: what is told meanwhile.
    """
    told: list[int | None] = [None]
    if needs_training(attempt.desk, wish):
        engine = attempt.engine(wish.engine_url)

        def ask(ends: Cancellation) -> None:
            told[0] = engine.trained_context(wish, ends)

        with contextlib.suppress(SourceError, StepFailedError):
            attempt.order(wish.engine_url, ask, lambda: attempt.tell(text), TOLD_SECONDS)
    return as_sent(attempt.desk, wish, told[0])
