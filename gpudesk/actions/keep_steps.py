"""Steps that leave a model loaded: keep-alive, pin, unpin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import observe
from gpudesk.actions.attempt import StepFailedError
from gpudesk.actions.load_step import load
from gpudesk.actions.lookup import loaded_as, with_tag
from gpudesk.actions.sending import to_send
from gpudesk.actions.wishes import kept
from gpudesk.domain.keep_alive import FOREVER, KeepAliveState
from gpudesk.domain.pin import PinWish
from gpudesk.errors import StoreError
from gpudesk.records import replace

if TYPE_CHECKING:
    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.undertaking import Undertaking
    from gpudesk.actions.values import Load, Step
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.errors import GpudeskError

ANSWER_SECONDS = 60.0
"""For the answer; it needs the scheduler's locks (ollama server/sched.go:445 at v0.33.0-rc2)."""
SHOWN_SECONDS = 300.0
"""The new timer is told when the requests that are running have ended (ollama server/sched.go:367)."""

RUNNER_SECONDS = 3.0
"""How long a runner that is not seen any more is looked for: without a card, a new one is found by a search."""


def keep(attempt: Attempt, undertaking: Undertaking, step: Step) -> str:
    """Set a keep-alive; done when the engine shows it for the same runner."""
    wish = step.load
    assert wish.keep_alive is not None
    there = loaded_as(attempt.desk, wish)
    if there is None:
        raise StepFailedError(f"{wish.name} is not loaded any more", f"Load it: gpudesk load {wish.name}")
    # Without the context it has, Ollama would load it again (server/sched.go:1381 `needsReload`).
    wish = replace(wish, context_length=there.context_length or wish.context_length)
    undertaking.asked.append(wish)
    set_timer(attempt, wish, there)
    return f"{wish.name} stays {_for_how_long(wish)}, and was not loaded again"


def set_timer(attempt: Attempt, wish: Load, there: LoadedModel) -> None:
    """Set the timer of a loaded model, and see that it is set and nothing else has changed."""
    began = attempt.now()
    text = f"keeping {wish.name} {_for_how_long(wish)}"
    engine = attempt.engine(wish.engine_url)
    attempt.tell(text)
    sent = to_send(attempt, wish, text)
    attempt.order(
        wish.engine_url, lambda ends: engine.keep_alive(sent, ends), lambda: attempt.tell(text), ANSWER_SECONDS
    )

    def seen(desk: Desk) -> str | None:
        silent = attempt.answering(desk, wish.engine_url)
        if silent is not None:
            return silent
        model = loaded_as(desk, wish)
        if model is None:
            raise StepFailedError(f"{wish.name} went while its keep-alive was set", f"gpudesk load {wish.name}")
        if not observe.same_runner(there, model) or model.context_length != there.context_length:
            raise StepFailedError(
                f"{wish.name} was loaded again, with context {model.context_length}: its options had been other ones",
                "What it had in its cache is lost; nothing else is",
            )
        if there.pids and not model.pids and attempt.now() - began < RUNNER_SECONDS:
            return f"waiting to see the process of {wish.name}"
        assert wish.keep_alive is not None
        if observe.timer_seen(desk, wish.keep_alive, model, attempt.now() - began):
            return None
        busy = model.keep_alive is not None and model.keep_alive.state is KeepAliveState.STOPPING
        return f"waiting for {wish.name} to end its request" if busy else f"waiting for {wish.name} to show it"

    attempt.until(seen, SHOWN_SECONDS, lambda: _not_shown(attempt, wish))


def _not_shown(attempt: Attempt, wish: Load) -> GpudeskError:
    return StepFailedError(
        f"{wish.name} does not show the new keep-alive after {attempt.elapsed_seconds:.0f} s",
        "A request may still be running, or another program sets its own: see gpudesk status",
    )


def _for_how_long(wish: Load) -> str:
    assert wish.keep_alive is not None
    return "forever" if wish.keep_alive.seconds is None else f"for {kept(wish.keep_alive)}"


def pin(attempt: Attempt, undertaking: Undertaking, step: Step) -> str:
    """Store a pin; done when it is stored and the model is loaded with a keep-alive of forever."""
    wish = replace(step.load, keep_alive=FOREVER, pinned=True)
    model = loaded_as(attempt.desk, wish)
    stored = PinWish(
        engine_url=wish.engine_url,
        name=wish.name,
        digest=wish.digest or (model.digest if model is not None else None),
        context_length=wish.context_length or (model.context_length if model is not None else None),
        restore=step.restore_pin,
        since=attempt.ports.watch.clock.now(),
    )
    attempt.tell(f"pinning {wish.name}")
    attempt.ports.pins.put(stored)
    if not any(_same(each, wish) for each in attempt.ports.pins.read()):
        raise StoreError(f"the pin of {wish.name} was stored, but is not there", "Another gpudesk may have removed it")
    seen = f"{wish.name} is pinned"
    if model is None:
        seen += "; " + load(attempt, undertaking, replace(step, load=wish))
    elif model.keep_alive is None or model.keep_alive.state is not KeepAliveState.FOREVER:
        wish = replace(wish, context_length=model.context_length or wish.context_length)
        undertaking.asked.append(wish)
        set_timer(attempt, wish, model)
    return seen


def unpin(attempt: Attempt, step: Step) -> str:
    """Forget a pin; the model stays as it is."""
    attempt.tell(f"unpinning {step.load.name}")
    removed = attempt.ports.pins.remove(step.load.engine_url, step.load.name)
    # Seen before the model goes or gets a timer, or that would count as the loss of a pin.
    attempt.look()
    return f"{step.load.name} is not pinned any more" if removed else f"{step.load.name} was not pinned"


def _same(pin: PinWish, wish: Load) -> bool:
    return pin.engine_url == wish.engine_url and with_tag(pin.name).casefold() == with_tag(wish.name).casefold()
