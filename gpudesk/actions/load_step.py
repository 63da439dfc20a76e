"""The step that loads a model, until it is seen to be on the card as it was wished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import observe, recover
from gpudesk.actions.attempt import StepFailedError
from gpudesk.actions.lookup import loaded_as
from gpudesk.actions.sending import to_send
from gpudesk.actions.values import ActionId
from gpudesk.actions.wording import enumerated
from gpudesk.units import gibibytes, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.actions.attempt import Attempt
    from gpudesk.actions.undertaking import Undertaking
    from gpudesk.actions.values import Load, Step
    from gpudesk.cancellation import Cancellation
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.errors import GpudeskError

VERIFY_SECONDS = 15.0
"""How long it may take to see what an engine says it has done."""
DETAILS_SECONDS = 5.0
"""How long it may take until the engine has told what a model was trained for."""
SETTLE_SECONDS = 2.0
"""The same for several that were loaded one after the other."""
LOAD_SECONDS = 1800.0
LOAD_RATIO = 20.0
"""A load may take this long, or so many times what was expected."""


def load(attempt: Attempt, undertaking: Undertaking, step: Step) -> str:
    """Load a model; done when it is listed as wished, on the card, and everything that was to stay is still there."""
    wish = step.load
    before = attempt.desk
    there = loaded_as(before, wish)
    _check_others(attempt, undertaking, step, there)
    staying = {load for load in undertaking.preview.before if loaded_as(before, load) is not None}
    if there is None:
        undertaking.ours.append(wish)
    began = attempt.now()
    bring(attempt, wish, step.expected_seconds)
    answered = attempt.now()
    seconds = answered - began
    desk = attempt.until(
        lambda desk: _not_loaded_yet(attempt, undertaking, wish, desk, answered),
        VERIFY_SECONDS,
        lambda: _not_seen(attempt, wish),
    )
    pushed_out = [load for load in undertaking.gone(desk) if load in staying]
    if not pushed_out:
        return _loaded(desk, wish, seconds)
    if undertaking.preview.verdict is None and not any(load.pinned for load in pushed_out):
        # Nobody could tell beforehand what the engine would do: without a card to look at it has to be trusted.
        undertaking.given_up.extend(pushed_out)
        return f"{_loaded(desk, wish, seconds)}; the engine unloaded {_names(pushed_out)} for it"
    _bring_back(attempt, undertaking, wish, pushed_out)
    loaded = _loaded(attempt.desk, wish, seconds)
    again = "which is loaded again" if len(pushed_out) == 1 else "which are loaded again"
    return f"{loaded}; the engine had unloaded {_names(pushed_out)} for it, {again}"


def _names(loads: Sequence[Load]) -> str:
    return enumerated([load.name for load in loads])


def _bring_back(attempt: Attempt, undertaking: Undertaking, wish: Load, pushed_out: list[Load]) -> None:
    """Load what the engine unloaded although it was to stay, once; it stays if there is room for both after all.

    Ollama from 0.30 on counts what is free from what was free at an earlier load, and so unloads too many (ollama
    issue 12247); after a load it counts anew.
    """
    trouble = StepFailedError(
        f"loading {wish.name} made {_names(pushed_out)} go, which was to stay",
        "Choose a shorter context, or unload something first; OLLAMA_MAX_LOADED_MODELS may keep no more",
    )
    for load in pushed_out:
        bring(attempt, recover.loadable(load), None)
    attempt.until(
        lambda desk: None if not observe.missing(desk, (wish, *pushed_out)) else f"waiting for {wish.name}",
        SETTLE_SECONDS,
        lambda: trouble,
    )
    model = loaded_as(attempt.desk, wish)
    if undertaking.gone(attempt.desk) or (model is not None and model.cpu_ratio):
        raise trouble


def bring(attempt: Attempt, wish: Load, expected_seconds: float | None) -> None:
    """Let an engine load a model, telling how much of it has come to the cards."""
    engine, text = attempt.engine(wish.engine_url), f"loading {wish.name}"
    attempt.tell(text)
    start, sent = _used(attempt.desk), to_send(attempt, wish, text)

    def give(ends: Cancellation) -> None:
        engine.load(sent, ends)

    def tell() -> None:
        now, total = _used(attempt.ports.watch.desk), wish.memory_bytes
        come = None
        if start is not None and now is not None and total is not None:
            come = min(max(0, now - start), total)
        attempt.tell(text, come, total if come is not None else None)

    tell()
    limit = max(LOAD_SECONDS, LOAD_RATIO * (expected_seconds or 0.0))
    attempt.order(wish.engine_url, give, tell, limit)


def _check_others(attempt: Attempt, undertaking: Undertaking, step: Step, there: LoadedModel | None) -> None:
    """See that a load takes nothing from somebody who came in between: noticed and named, never fought."""
    wish, desk = step.load, attempt.desk
    was_there = loaded_as(undertaking.start, wish) is not None
    if there is not None and not was_there and not observe.context_seen(desk, wish, there):
        raise StepFailedError(
            f"another program loaded {wish.name} meanwhile, with context {there.context_length} "
            f"instead of {wish.context_length}",
            "Let both use the same context, or try again when it is idle",
        )
    others = [*undertaking.strangers(desk), *_back_again(undertaking, desk, wish)]
    if not others or there is not None:
        return
    forecast = attempt.ports.forecaster.forecast(desk, (wish,))
    names = {model.name for model in others}
    hit = sorted(names & set(forecast.would_evict)) or (sorted(names) if forecast.short_bytes else [])
    if hit:
        raise StepFailedError(
            f"{enumerated(hit)} was loaded by another program meanwhile, and {wish.name} has no room beside it",
            f"Unload it (gpudesk unload {hit[0]}) or wait until it goes, then try again",
        )


def _back_again(undertaking: Undertaking, desk: Desk, wish: Load) -> list[LoadedModel]:
    """Return what this action has unloaded and somebody has loaded again."""
    asked = [load for load in undertaking.asked if load.name != wish.name and undertaking.leaves(load)]
    found = [model for load in asked if (model := loaded_as(desk, load)) is not None]
    for model in found:
        undertaking.noticed[model.key] = f"{model.name} was loaded again by another program meanwhile"
    return found


def _not_loaded_yet(
    attempt: Attempt, undertaking: Undertaking, wish: Load, desk: Desk, verifying_since: float
) -> str | None:
    """Say what is not yet seen of a load; None when it is all there."""
    silent = attempt.answering(desk, wish.engine_url)
    if silent is not None:
        return silent
    model = loaded_as(desk, wish)
    if model is None:
        return f"waiting for {wish.name} to be listed"
    context = observe.context_seen(desk, wish, model)
    if context is None and attempt.now() - verifying_since < DETAILS_SECONDS:
        return f"waiting for the engine to tell about {wish.name}"
    if context is False:
        raise StepFailedError(
            f"{wish.name} has context {model.context_length}, not {wish.context_length}: "
            "another program has loaded it again meanwhile",
            "Let both use the same context; `gpudesk derive` bakes one in",
        )
    if model.cpu_ratio and must_be_on_card(undertaking, desk, model):
        raise StepFailedError(
            f"{wish.name} came to lie on the CPU by {percent(model.cpu_ratio)}, where it is slow",
            "Free memory on the card, or choose a shorter context or a smaller model",
        )
    if not model.cpu_ratio and observe.on_cards(desk, model) is False:
        return f"waiting for the driver to show {wish.name}"
    return None


def must_be_on_card(undertaking: Undertaking, desk: Desk, model: LoadedModel) -> bool:
    """Tell whether a model on the CPU is a failure: it was said to fit, or it takes the place of one on the card."""
    verdict = undertaking.preview.verdict
    if verdict in ("fits", "tight"):
        return True
    replaces = undertaking.preview.action is ActionId.SWAP and verdict is None
    return replaces and (bool(desk.cards) or not model.local)


def _not_seen(attempt: Attempt, wish: Load) -> GpudeskError:
    model = loaded_as(attempt.desk, wish)
    if not attempt.heard(attempt.desk, wish.engine_url):
        return StepFailedError(
            f"{wish.engine_url} does not answer any more; whether {wish.name} is loaded cannot be told",
            "See what Ollama says in its log, or start it again",
        )
    if model is None:
        return StepFailedError(
            f"the engine says {wish.name} is loaded, but does not list it", "Another program may have unloaded it"
        )
    return StepFailedError(
        f"the engine says {wish.name} is on the card, but the driver sees nothing of it",
        "It is probably on the CPU: see what Ollama says in its log",
    )


def _loaded(desk: Desk, wish: Load, seconds: float) -> str:
    """Say what was loaded."""
    model = loaded_as(desk, wish)
    assert model is not None
    facts = []
    if model.memory_bytes:
        facts.append(f"{gibibytes(model.memory_bytes)} on the card")
    if model.context_length is not None:
        facts.append(f"context {model.context_length}")
    if model.cpu_ratio:
        facts.append(f"{percent(model.cpu_ratio)} on the CPU")
    if wish.context_length is not None and model.context_length not in (None, wish.context_length):
        facts.append(f"not {wish.context_length}: the engine limits it")
    told = f": {', '.join(facts)}" if facts else ""
    return f"{wish.name} is loaded after {seconds:.1f} s{told}"


def _used(desk: Desk) -> int | None:
    """Return the memory in use on all cards."""
    used = [state.card.memory_used_bytes for state in desk.cards]
    known = [each for each in used if each is not None]
    return sum(known) if known and len(known) == len(used) else None
