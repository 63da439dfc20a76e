"""The planner's state: the list, the newest plan, and what every key changes; nothing of the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpudesk.errors import GpudeskError
from gpudesk.ui.marks import assign_marks
from gpudesk.ui.planner import choices as rules
from gpudesk.ui.planner.choices import Change, Choice
from gpudesk.ui.planner.headers import Headers
from gpudesk.ui.planner.thinking import Answer, Thinking
from gpudesk.watch.planning import Ground, Handover

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpudesk.fit.values import Plan, Wanted
    from gpudesk.ui.scene import Scene
    from gpudesk.watch.planning import PlannableModel, Planning

UNDO_STEPS = 50
GRAIN_BYTES = 32 << 20
"""Free memory that moves by less than this is no reason for a new plan."""
OTHERS_MOST = 6
"""Smaller models that are offered to the planner in place of chosen ones."""


class Board:
    """What is chosen and what comes of it. Used from one thread; its two callbacks come from others."""

    def __init__(self, planning: Planning, *, answered: Callable[[Answer], None], read: Callable[[], None]) -> None:
        """Begin with nothing chosen.

        Args:
            planning: who reads headers and plans.
            answered: told plans that were made in a thread of their own.
            read: told that more headers are known.
        """
        self._planning = planning
        self.choices: tuple[Choice, ...] = ()
        self.plan: Plan | None = None
        self.problem: str | None = None
        self.ground = Ground()
        self.seconds: float | None = None
        """What the newest plan took to make."""
        self.partial = False
        """Alternatives are still looked for."""
        self.thinking = Thinking(answered)
        self.headers = Headers(planning, read)
        self._described: Ground | None = None
        self._undo: list[tuple[Choice, ...]] = []
        self._asked_for: object = None
        self._gathered_from: tuple[object, ...] = ()

    def stop(self) -> None:
        """Leave no thread with work."""
        self.thinking.stop()
        self.headers.stop()

    @property
    def is_described(self) -> bool:
        """The cards are not those of this computer."""
        return self._described is not None

    @property
    def leaving(self) -> tuple[str, ...]:
        """Loaded models that shall not stay."""
        return rules.leaving(self.choices) if self._described is None else ()

    @property
    def handover(self) -> Handover | None:
        """The plan, ready to leave the planner."""
        if self.plan is None:
            return None
        wanted = tuple(each.wanted for each in rules.chosen(self.choices))
        restart = any(each.change is Change.RESTART for each in self.choices)
        return Handover(self.plan, wanted, self.leaving, self.ground, restart)

    def named(self, name: str) -> Choice | None:
        """Return a choice."""
        return next((each for each in self.choices if each.name == name), None)

    # --- what the world brings ----------------------------------------------------------------------------------

    def look(self, scene: Scene) -> None:
        """Take a new moment: cards, loaded models, headers may have changed."""
        self.ground = self._described if self._described is not None else self._planning.ground(scene.desk)
        self._gather(scene)
        self._ask()

    def _gather(self, scene: Scene) -> None:
        desk = scene.desk
        known, failures = self.headers.known()
        basis = (desk.models, desk.installed, known, failures)
        if self._gathered_from and all(
            new is old or new == old for new, old in zip(basis, self._gathered_from, strict=True)
        ):
            return
        self._gathered_from = basis
        self.choices = self._marked(rules.gathered(desk, self.choices, known, failures, scene.marks))
        missing = [choice for choice in self.choices if choice.installed is not None and choice.model is None]
        missing.sort(key=lambda choice: not choice.chosen)
        self.headers.want([choice.installed for choice in missing if choice.installed is not None])

    def _marked(self, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        """Give models that are chosen and not loaded a letter of their own."""
        taken = {choice.name: choice.mark for choice in choices if choice.mark is not None}
        names = [choice.name for choice in choices if choice.chosen or choice.loaded is not None]
        marks = assign_marks(taken, [*taken, *names])
        return tuple(
            choice if choice.mark is not None or choice.name not in marks else replace(choice, mark=marks[choice.name])
            for choice in choices
        )

    def take(self, answer: Answer) -> None:
        """Take an answer, unless it was overtaken."""
        if answer.sequence != self.thinking.sequence:
            return
        self.plan, self.problem, self.seconds = answer.plan, answer.problem, answer.seconds
        self.partial = answer.partial
        self._place_estimates()

    def add_file(self, model: PlannableModel) -> None:
        """Choose a model that was read from a file."""
        self.headers.add(model)
        if self.named(model.name) is None:
            self.change((*self.choices, Choice(model.name, model=model, chosen=True)))
        else:
            self.change(rules.changed(self.choices, model.name, model=model, chosen=True))

    # --- planning -----------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Plan anew when something that matters changed."""
        models, away, ground = rules.chosen(self.choices), self.leaving, self.ground
        question = (tuple((each.name, each.options) for each in models), away, _grain(ground))
        if question == self._asked_for:
            return
        self._asked_for = question
        if not models or not ground.cards:
            self.thinking.drop()
            self.plan, self.problem = None, None
            self._place_estimates()
            return
        wanted, others = tuple(each.wanted for each in models), self._others(models)
        answer = self.thinking.ask(
            lambda: self._planning.plan(wanted, ground, leaving=away, installed=others),
            lambda: self._planning.plan(wanted, ground, leaving=away, alternatives=False),
        )
        if answer is not None:
            self.take(answer)

    def _others(self, models: tuple[Choice, ...]) -> tuple[Wanted, ...]:
        """Return installed models of the same family that are smaller, the largest first."""
        sizes = {
            each.installed.family: each.installed.size_bytes
            for each in models
            if each.installed is not None and each.installed.family and each.installed.size_bytes
        }
        found = [
            (choice.installed.size_bytes, choice)
            for choice in self.choices
            if choice.plannable and not choice.chosen and choice.installed is not None and choice.installed.size_bytes
            and choice.installed.size_bytes < sizes.get(choice.installed.family or "", 0)
        ]  # fmt: skip
        found.sort(key=lambda pair: -pair[0])
        return tuple(choice.wanted for _, choice in found[:OTHERS_MOST])

    def _place_estimates(self) -> None:
        estimates = {each.name: each for each in self.plan.models} if self.plan is not None else {}
        self.choices = tuple(
            choice if choice.estimate is estimates.get(choice.name)
            else replace(choice, estimate=estimates.get(choice.name))
            for choice in self.choices
        )  # fmt: skip

    # --- what keys change ---------------------------------------------------------------------------------------

    def change(self, choices: tuple[Choice, ...]) -> None:
        """Take changed choices and plan."""
        if choices == self.choices:
            return
        self._undo = [*self._undo[1 - UNDO_STEPS :], self.choices]
        self.choices = self._marked(choices)
        self._ask()

    def toggle(self, choice: Choice) -> None:
        """Add a model to the plan or take it out."""
        if choice.model is None:
            self.headers.first(choice.name)
        self.change(rules.changed(self.choices, choice.name, chosen=not choice.chosen))

    def set(self, choice: Choice, settings: rules.Settings) -> None:
        """Give a model other settings; setting one chooses it."""
        self.change(rules.changed(self.choices, choice.name, settings=settings, chosen=True))

    def alternative(self, number: int) -> bool:
        """Take an alternative, counted from 1; False when it changes nothing here."""
        if self.plan is None or not 1 <= number <= len(self.plan.alternatives):
            return False
        changed = rules.applied(self.choices, self.plan.alternatives[number - 1])
        if changed is None or changed == self.choices:
            return False
        self.change(changed)
        return True

    def undo(self) -> bool:
        """Take back the last change; False when there is none."""
        if not self._undo:
            return False
        before = {choice.name: choice for choice in self._undo.pop()}
        self.choices = tuple(
            replace(choice, chosen=before[choice.name].chosen, settings=before[choice.name].settings)
            if choice.name in before else replace(choice, chosen=False)
            for choice in self.choices
        )  # fmt: skip
        self._ask()
        return True

    def plan_with(self, cards: str | None) -> None:
        """Plan with cards that need not be here; None is this computer again. Seen at the next look.

        Raises:
            GpudeskError: a card nobody knows.
        """
        self._described = None if cards is None else self._planning.described(cards)
        self.choices = tuple(replace(choice, here=cards is None) for choice in self.choices)


def read_file(planning: Planning, path: str) -> PlannableModel | str:
    """Return the model of a file, or in words why there is none."""
    try:
        return planning.read_file(path)
    except GpudeskError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - a file from anywhere must not take the screen down
        return f"{path} cannot be read: {type(error).__name__}: {error}"


def _grain(ground: Ground) -> object:
    """Return what of the ground decides about a plan, free memory in coarse steps."""
    cards = tuple(
        (card.index, card.name, card.memory_total_bytes, card.available_bytes // GRAIN_BYTES) for card in ground.cards
    )
    residents = tuple(
        (each.name, each.memory_bytes // GRAIN_BYTES, each.keep_alive_seconds is None) for each in ground.residents
    )
    return cards, residents, ground.profile, ground.problem
