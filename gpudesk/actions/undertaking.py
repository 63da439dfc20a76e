"""What is being carried out, and what became of it so far: what `steps` add to and `roll_back` goes by."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from gpudesk.actions import observe
from gpudesk.actions.lookup import loaded_as
from gpudesk.actions.values import StepKind
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.records import dataclass

if TYPE_CHECKING:
    from gpudesk.actions.values import Load, Preview
    from gpudesk.domain.desk import Desk, LoadedModel
    from gpudesk.domain.pin import PinWish

MAY_GO = (StepKind.UNLOAD, StepKind.DELETE)


@dataclass(slots=True, eq=False)
class Undertaking:
    """A preview on its way. Used by one thread."""

    preview: Preview
    start: Desk
    """When it began."""
    pins: tuple[PinWish, ...] = ()
    """When it began."""
    ours: list[Load] = field(default_factory=list)
    """What it began to load, and nobody else had loaded before."""
    asked: list[Load] = field(default_factory=list)
    """What an engine was asked to unload or to keep for another time."""
    given_up: list[Load] = field(default_factory=list)
    """What the engine unloaded by itself where nobody could tell that it would."""
    noticed: dict[str, str] = field(default_factory=dict)
    """What others did meanwhile, a sentence each, by the model it is about."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The engines concerned."""
        urls = [step.load.engine_url for step in self.preview.steps] + [load.engine_url for load in self.preview.before]
        return tuple(dict.fromkeys(urls))

    def leaves(self, load: Load) -> bool:
        """Tell whether a model is meant to go."""
        return any(
            step.kind in MAY_GO and (step.load.engine_url, step.load.name) == (load.engine_url, load.name)
            for step in self.preview.steps
        )

    def strangers(self, desk: Desk) -> tuple[LoadedModel, ...]:
        """Return what somebody else has loaded meanwhile, what was unloaded and is back included."""
        known = (*self.preview.before, *self.ours, *(s.load for s in self.preview.steps if s.kind is StepKind.LOAD))
        found = observe.strangers(desk, self.urls, known)
        for model in found:
            self.noticed[model.key] = f"{model.name} was loaded by another program meanwhile"
        return found

    def gone(self, desk: Desk) -> tuple[Load, ...]:
        """Return what was there when this began, was to stay, has time left, and is not there any more."""
        return tuple(
            load
            for load in observe.missing(desk, self.preview.before)
            if load not in self.given_up
            and not self.leaves(load)
            and not self.expired(load, desk)
            and loaded_as(self.start, load) is not None
        )

    def expired(self, load: Load, desk: Desk) -> bool:
        """Tell whether a model's own time was up by now: then nobody took it away."""
        model = loaded_as(self.start, load)
        timer = None if model is None else model.keep_alive
        if timer is not None:
            return timer.at(desk.taken_at).state is KeepAliveState.STOPPING
        return load.keep_alive is not None and load.keep_alive.seconds is not None and load.keep_alive.seconds <= 0
