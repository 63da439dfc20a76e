"""Bringing back what was there before an action failed or was canceled.

It goes as far as it can: whatever cannot be brought back is told by name, with the reason and with what to type.
What somebody else loaded meanwhile is left alone, even where that means that something does not come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import observe, recover
from gpudesk.actions.attempt import Attempt, StepFailedError
from gpudesk.actions.load_step import VERIFY_SECONDS, bring
from gpudesk.actions.lookup import engine_at, loaded_as
from gpudesk.actions.unload_step import unload
from gpudesk.actions.values import ActionId, StepKind
from gpudesk.actions.wording import enumerated
from gpudesk.errors import FailureKind, GpudeskError
from gpudesk.records import dataclass
from gpudesk.units import percent

if TYPE_CHECKING:
    from gpudesk.actions.undertaking import Undertaking
    from gpudesk.actions.values import Load, Step
    from gpudesk.domain.desk import Desk

ENGINE_BACK_SECONDS = 15.0
"""How long an engine that has died may take to be back: systemd starts Ollama again after 3 s
(ollama scripts/install.sh, RestartSec)."""

TIMER_SECONDS = 300.0
"""How long it may take until a timer that was set back is shown: a request may be running, and is waited for."""
ROUNDS = 3
"""Bringing one model back can push out another that would have had room: Ollama from 0.30 on counts what is free from
what was free at an earlier load (ollama issue 12247). Then that one is brought back as well."""


@dataclass(frozen=True, slots=True)
class Return:
    """How far it came."""

    whole: bool
    """Everything is as it was."""
    message: str
    missing: tuple[Load, ...] = ()
    hint: str | None = None


def roll_back(attempt: Attempt, undertaking: Undertaking, *, canceled: bool) -> Return:
    """Bring back what was there.

    Args:
        attempt: a new one, that nobody cancels and no deadline ends.
        undertaking: what was carried out.
        canceled: it was taken back. Otherwise an action that only makes models go leaves those gone that have gone.
    """
    way = _WayBack(attempt, undertaking, keeps_gone=not canceled)
    attempt.tell("bringing back what was there")
    way.wait_for_engines()
    way.set_pins_back()
    for _ in range(ROUNDS):
        steps = way.steps()
        if not steps:
            break
        for step in steps:
            way.take(step)
    return way.summary()


class _WayBack:
    """What was brought back so far, and what could not be."""

    def __init__(self, attempt: Attempt, undertaking: Undertaking, *, keeps_gone: bool) -> None:
        self._attempt = attempt
        self._undertaking = undertaking
        departs = undertaking.preview.action in (ActionId.UNLOAD, ActionId.FREE)
        self._keeps_gone = keeps_gone and departs
        self._done: dict[str, str] = {}
        self._failed: set[str] = set()
        self._trouble: list[str] = []
        self._hint: str | None = None

    def wait_for_engines(self) -> None:
        """Wait a while for engines that do not answer; look once in any case."""

        def seen(desk: Desk) -> str | None:
            silent = [url for url in self._undertaking.urls if not self._attempt.heard(desk, url)]
            return f"waiting for {enumerated(silent)} to answer" if silent else None

        try:
            self._attempt.until(seen, ENGINE_BACK_SECONDS, lambda: StepFailedError("no answer"))
        except StepFailedError:
            for url in self._undertaking.urls:
                engine = engine_at(self._attempt.desk, url)
                if engine is not None and not self._attempt.heard(self._attempt.desk, url):
                    self._fail(engine.error or f"{url} does not answer", engine.hint or "Start Ollama again")

    def set_pins_back(self) -> None:
        """Store the pins as they were, as far as the action touched them."""
        pins, before = self._attempt.ports.pins, {(p.engine_url, p.name): p for p in self._undertaking.pins}
        touched = [s.load for s in self._undertaking.preview.steps if s.kind in (StepKind.PIN, StepKind.UNPIN)]
        try:
            now = {(p.engine_url, p.name): p for p in pins.read()} if touched else {}
            for load in touched:
                key = (load.engine_url, load.name)
                if key in before and now.get(key) != before[key]:
                    pins.put(before[key])
                elif key not in before and key in now:
                    pins.remove(*key)
        except GpudeskError as error:
            self._fail(f"the pin of {enumerated([load.name for load in touched])}: {error.message}", error.hint)

    def steps(self) -> list[Step]:
        """Return what is to be taken back, as things are now, without what could not be."""
        steps = recover.undo(self._undertaking.preview, self._attempt.desk).steps
        return [step for step in steps if step.load.name not in self._failed and self._is_wanted(step)]

    def _is_wanted(self, step: Step) -> bool:
        match step.kind:
            case StepKind.UNLOAD:
                wanted = step.load.name in {load.name for load in self._undertaking.ours}
            case StepKind.LOAD:
                wanted = not self._stays_gone(step.load)
            case _:
                wanted = step.kind is StepKind.KEEP_ALIVE
        return wanted and self._attempt.heard(self._attempt.desk, step.load.engine_url)

    def take(self, step: Step) -> None:
        """Take one step back; one that fails does not keep the others from being taken."""
        load = step.load
        try:
            if step.kind is StepKind.UNLOAD:
                unload(self._attempt, self._undertaking, step)
                self._done[load.name] = f"{load.name} is unloaded again"
            elif step.kind is StepKind.LOAD:
                self._bring(load)
            else:
                self._set_back(load)
        except GpudeskError as error:
            self._failed.add(load.name)
            what = "unloading" if step.kind is StepKind.UNLOAD else "bringing back"
            self._fail(f"{what} {load.name}: {error.message}", error.hint)

    def _set_back(self, load: Load) -> None:
        """Give a model its time back; one that goes at the same moment is loaded again by the same request."""
        began = self._attempt.now()
        bring(self._attempt, load, None)

        def seen(desk: Desk) -> str | None:
            model, wish = loaded_as(desk, load), load.keep_alive
            if model is None or wish is None:
                return f"waiting for {load.name} to be listed"
            if observe.timer_seen(desk, wish, model, self._attempt.now() - began):
                return None
            return f"waiting for {load.name} to end its request"

        self._attempt.until(seen, TIMER_SECONDS, lambda: StepFailedError("its keep-alive is not what it was"))
        self._done[load.name] = f"{load.name} stays as before"

    def _stays_gone(self, load: Load) -> bool:
        if self._undertaking.expired(load, self._attempt.desk):
            return True
        return self._keeps_gone and self._undertaking.leaves(load)

    def _bring(self, load: Load) -> None:
        """Load what was there, unless that would push out what somebody else has loaded since."""
        attempt, undertaking = self._attempt, self._undertaking
        others = undertaking.strangers(attempt.desk)
        if others:
            forecast = attempt.ports.forecaster.forecast(attempt.desk, (load,))
            names = {model.name for model in others}
            if forecast.short_bytes or names & set(forecast.would_evict):
                raise StepFailedError(
                    f"{enumerated(sorted(names))}, loaded by another program meanwhile, takes its room",
                    f"When that may go: gpudesk swap {sorted(names)[0]} {load.name}",
                )
        bring(attempt, load, None)
        desk = attempt.until(
            lambda desk: None if loaded_as(desk, load) is not None else f"waiting for {load.name} to be listed",
            VERIFY_SECONDS,
            lambda: StepFailedError("the engine says it is loaded, but does not list it"),
        )
        model = loaded_as(desk, load)
        assert model is not None
        facts = [] if model.context_length is None else [f"context {model.context_length}"]
        if load.pinned:
            facts.append("pinned")
        before = loaded_as(undertaking.start, load)
        if model.cpu_ratio and not (before is not None and before.cpu_ratio):
            facts.append(f"but {percent(model.cpu_ratio)} of it on the CPU")
            self._hint = self._hint or f"Free memory on the card, then: {typed(load)}"
        self._done[load.name] = f"{load.name} is back" + (f" ({', '.join(facts)})" if facts else "")

    def summary(self) -> Return:
        """Say how far it came, by a last look."""
        desk = self._attempt.look()
        missing = tuple(load for load in self._undertaking.preview.before if self._is_missing(load, desk))
        left = [load for load in self._undertaking.preview.before if self._keeps_gone and loaded_as(desk, load) is None]
        words = [*self._done.values(), *self._undertaking.noticed.values(), *self._trouble]
        if missing:
            words.append(f"{enumerated([load.name for load in missing])} could not be brought back")
            typing = "; ".join(typed(load) for load in missing)
            self._hint = f"{self._hint.rstrip('.')}, then: {typing}" if self._hint else f"To try again: {typing}"
        elif not words:
            words.append("nothing else has changed" if left else "everything is as it was")
        whole = not missing and not self._trouble and not left
        return Return(whole, "; ".join(words), missing, self._hint)

    def _is_missing(self, load: Load, desk: Desk) -> bool:
        """Tell whether something that was there is not; behind an engine that is dead nothing is there."""
        if loaded_as(self._undertaking.start, load) is None or self._stays_gone(load):
            return False
        state = desk.source(observe.source_name(load.engine_url))
        if state is not None and state.failure is not None and state.failure.kind is FailureKind.UNREACHABLE:
            return True
        return bool(observe.missing(desk, (load,)))

    def _fail(self, message: str, hint: str | None) -> None:
        self._trouble.append(message)
        self._hint = self._hint or hint


def typed(load: Load) -> str:
    """Return the command that loads a model as it was."""
    words = ["gpudesk load", load.name]
    if load.context_length is not None:
        words.append(f"--ctx {load.context_length}")
    return " ".join(words)
