"""What the screen asks and what it gets: worked out beside the screen's thread, because files and headers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gpudesk.arguments.planner_values import AskedModel
from gpudesk.editor_desk import SAY_WHICH, EditorChoice, Option, Picked
from gpudesk.errors import GpudeskError
from gpudesk.exports.chosen import ROLES, Together
from gpudesk.exports.overview import EditorState, state_of
from gpudesk.exports.values import Chosen, Export, Role, Way
from gpudesk.records import dataclass, replace
from gpudesk.ui.beside import Beside

if TYPE_CHECKING:
    from pathlib import Path

    from gpudesk.domain.desk import Desk
    from gpudesk.ui.editors.port import EditorPort

RESIDENT, SUGGESTED, BY_HAND = "loaded", "suggested", "by hand"
SET_PREFIX = "set "
_CHOOSE = "Choose a model for a role: enter on it lists them"
OPTIONS_JUDGED = 40
"""Models of a role whose fit is worked out; the best ones come first."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be worked out."""

    desk: Desk
    editor: str | None = None
    """Id of the selected editor."""
    origin: str = RESIDENT
    """`loaded`, `suggested`, `set NAME`, `by hand`."""
    words: tuple[tuple[Role, AskedModel], ...] = ()
    """By hand: the models."""
    way: Way | None = None
    into: Path | None = None
    """Another file than the usual one, or its folder."""
    judge: Role | None = None
    """Also tell what each model that could do this role would come to."""


@dataclass(frozen=True, slots=True)
class RoleOption:
    """A model for a role, with what choosing it would come to."""

    name: str
    reason: str
    chosen: bool = False
    together: Together | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    question: Question
    states: tuple[EditorState, ...] = ()
    origins: tuple[str, ...] = (RESIDENT, SUGGESTED)
    picked: Picked | None = None
    chosen: Chosen | None = None
    together: Together | None = None
    export: Export | None = None
    options: Mapping[Role, tuple[Option, ...]] | None = None
    judged: tuple[RoleOption, ...] = ()
    choice_problem: str | None = None
    """Why there are no models."""
    export_problem: str | None = None
    """Why there is no change to show."""


class Worker:
    """Works out one thing after the other; of questions asked meanwhile only the newest."""

    def __init__(self, port: EditorPort, tell: Callable[[Answer], None]) -> None:
        """Begin; nothing is read before something is asked.

        Args:
            port: what to work with.
            tell: called with each answer, from the worker's thread.
        """
        self._port, self._tell = port, tell
        self._beside: Beside[Question] = Beside("gpudesk editors", self._work_out)
        self._choice: EditorChoice | None = None
        self._options: tuple[object, Mapping[Role, tuple[Option, ...]]] | None = None

    def ask(self, question: Question) -> None:
        """Have something worked out."""
        self._beside.ask(question)

    @property
    def idle(self) -> bool:
        """Everything that was asked has been told."""
        return self._beside.idle

    def stop(self) -> None:
        """Work out nothing more."""
        self._beside.stop()

    def _work_out(self, question: Question) -> None:
        try:
            answer = self._answer(question)
        except Exception as error:  # noqa: BLE001 - a file nobody foresaw must not take the screen down with it
            answer = Answer(question, export_problem=f"{type(error).__name__}: {error}")
        if not self._beside.overtaken:
            self._tell(answer)

    def _answer(self, question: Question) -> Answer:
        from gpudesk.exports.registry import editors

        port, desk = self._port, question.desk
        known = editors()
        choice = self._choice_on(desk)
        looked = [state_of(each, port.around, desk, choice.why_apart) for each in known]
        states = tuple(sorted(looked, key=lambda state: not state.found))
        origins = (RESIDENT, SUGGESTED, *(SET_PREFIX + name for name in choice.set_names()))
        options = self._options_on(desk, choice)
        picked, chosen, together, export = None, None, None, None
        choice_problem, export_problem = None, None
        try:
            picked = _picked(choice, question)
            chosen = choice.complete(picked)
            together = choice.judge(chosen.models)
        except GpudeskError as error:
            hint = _CHOOSE if error.hint == SAY_WHICH else error.hint
            choice_problem = f"{error.message}. {hint}" if hint else error.message
        wanted = question.editor or states[0].id
        editor = next((each for each in known if each.id == wanted), known[0])
        if chosen is not None:
            way = question.way if question.way in editor.ways else editor.ways[0]
            try:
                export = editor.export(chosen, port.around, way, into=question.into)
                export = replace(export, named=question.into is not None)
            except GpudeskError as error:
                export_problem = f"{error.message}. {error.hint}" if error.hint else error.message
        judged = _judged(choice, question.judge, chosen, options) if question.judge is not None else ()
        return Answer(
            question, states, origins, picked, chosen, together, export, options, judged, choice_problem,
            export_problem,
        )  # fmt: skip

    def _choice_on(self, desk: Desk) -> EditorChoice:
        if self._choice is None:
            self._choice = EditorChoice(desk, self._port.planning, self._port.sets)
        else:
            self._choice = self._choice.moved(desk)
        return self._choice

    def _options_on(self, desk: Desk, choice: EditorChoice) -> Mapping[Role, tuple[Option, ...]]:
        if self._options is None or self._options[0] != desk.installed:
            self._options = (desk.installed, {role: choice.options(role) for role in ROLES})
        return self._options[1]


def words_of(chosen: Chosen | None) -> dict[Role, AskedModel]:
    """Return chosen models as somebody would name them, to change one of them."""
    words: dict[Role, AskedModel] = {}
    for role in ROLES:
        model = chosen.of(role) if chosen is not None else None
        if model is not None:
            words[role] = AskedModel(model.name)
    return words


def _picked(choice: EditorChoice, question: Question) -> Picked:
    if question.origin == BY_HAND:
        return choice.by_hand(dict(question.words))
    if question.origin == SUGGESTED:
        return choice.suggested()
    if question.origin.startswith(SET_PREFIX):
        return choice.of_set(question.origin.removeprefix(SET_PREFIX))
    return choice.resident() or choice.suggested()


def _judged(
    choice: EditorChoice, role: Role, chosen: Chosen | None, options: Mapping[Role, tuple[Option, ...]]
) -> tuple[RoleOption, ...]:
    """Tell of each model for a role whether it fits with the models of the other roles."""
    words = words_of(chosen)
    now = words.get(role)
    found = []
    for number, option in enumerate(options[role]):
        together = None
        if number < OPTIONS_JUDGED:
            try:
                picked = choice.by_hand({**words, role: AskedModel(option.name)})
                together = choice.judge(choice.complete(picked, judged=False).models)
            except GpudeskError as error:
                together = Together(note=error.message)
        found.append(RoleOption(option.name, option.reason, now is not None and now.word == option.name, together))
    # Those that do not stay loaded with the others come last, whatever they are good for.
    return tuple(sorted(found, key=lambda each: each.together is not None and each.together.stays is False))
