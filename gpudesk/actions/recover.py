"""What is left to do, or to take back, of an action that was cut off in the middle. Pure: a preview and a desk.

A preview is noted before it is carried out, and forgotten when it has ended, so one that is found at a start belongs
to a gpudesk that was killed. `undo` is also what a failed action goes back by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import observe
from gpudesk.actions.lookup import installed_as, loaded_as, loaded_now, with_tag
from gpudesk.actions.values import Danger, Preview, Refusal, Step, StepKind
from gpudesk.actions.wishes import is_kept_so, kept
from gpudesk.actions.wording import enumerated
from gpudesk.domain.keep_alive import FOREVER, KeepAliveState
from gpudesk.records import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.actions.values import Load
    from gpudesk.domain.desk import Desk

_FINAL = {
    StepKind.PULL: "what was downloaded stays",
    StepKind.DELETE: "what was deleted has to be pulled again",
    StepKind.DERIVE: "a model that was made stays",
}
_MAY_RELOAD = (StepKind.LOAD, StepKind.KEEP_ALIVE, StepKind.PIN)
"""After these a model may have another context than before, wanted or not."""


def finish(preview: Preview, desk: Desk) -> Preview:
    """Return what is left to do of an action that was cut off; without steps when it is all done.

    What a failure goes back to is still what was there before the first try.
    """
    steps = preview.steps
    left = tuple(step for number, step in enumerate(steps) if not _is_done(step, steps[number + 1 :], desk))
    loses = _still_lost(preview, left)
    done = len(steps) - len(left)
    return replace(
        preview,
        steps=left,
        danger=preview.danger if loses and preview.loses else Danger.NONE,
        loses=loses,
        notes=(*preview.notes, f"{done} of {len(steps)} steps were done already") if done else preview.notes,
        expected_seconds=_seconds(left),
        refusal=_unreachable(preview, desk),
    )


def _still_lost(preview: Preview, left: Sequence[Step]) -> tuple[str, ...]:
    """Return what the steps that are left lose: a model that has gone already is not asked about again."""
    if not left:
        return ()
    unloaded = [step.load.name for step in preview.steps if step.kind is StepKind.UNLOAD]
    going = [step.load.name for step in left if step.kind is StepKind.UNLOAD]
    others = [text for text in preview.loses if not text.startswith(tuple(f"{name} (" for name in unloaded))]
    return (*(f"{name} is unloaded" for name in going), *others)


def undo(preview: Preview, desk: Desk) -> Preview:
    """Return what brings back what was there before an action that was cut off; without steps when it is all there."""
    unloads = _loaded_by(preview, desk)
    brought, timers = _to_bring(preview, desk), _timers(preview, desk)
    pins = _pins(preview, desk)
    names = [step.load.name for step in unloads]
    now = loaded_now(desk, {load.engine_url for load in (*preview.before, *(s.load for s in preview.steps))})
    steps = (*unloads, *brought, *timers, *pins)
    return Preview(
        preview.action,
        f"{preview.subject}, undone",
        steps=steps,
        danger=Danger.REVERSIBLE if names else Danger.NONE,
        loses=tuple(f"{name} is unloaded" for name in names),
        notes=tuple(_FINAL[kind] for kind in _FINAL if any(step.kind is kind for step in preview.steps)),
        expected_seconds=_seconds(steps),
        before=now,
        refusal=_unreachable(preview, desk),
    )


def _is_done(step: Step, later: Sequence[Step], desk: Desk) -> bool:
    """Tell whether a step shows on the desk. A model that is unloaded to be loaded otherwise counts when it is."""
    wish, model = step.load, loaded_as(desk, step.load)
    match step.kind:
        case StepKind.LOAD:
            return model is not None and observe.context_seen(desk, wish, model) is True
        case StepKind.UNLOAD:
            again = next((each for each in later if each.kind is StepKind.LOAD and each.load.name == wish.name), None)
            return model is None or (again is not None and _is_done(again, (), desk))
        case StepKind.KEEP_ALIVE:
            if wish.keep_alive is not None and wish.keep_alive.seconds == 0:
                return model is None
            return model is not None and wish.keep_alive is not None and is_kept_so(
                model.keep_alive, wish.keep_alive, desk.taken_at
            )  # fmt: skip
        case StepKind.PIN:
            return _is_pinned(desk, wish)
        case StepKind.UNPIN:
            return not _is_pinned(desk, wish)
        case StepKind.PULL | StepKind.DERIVE:
            return installed_as(desk, wish) is not None
        case StepKind.DELETE:
            return installed_as(desk, wish) is None


def _loaded_by(preview: Preview, desk: Desk) -> tuple[Step, ...]:
    """Return the steps that unload what the action loaded, the last one first."""
    loads = [step.load for step in reversed(preview.steps) if step.kind in (StepKind.LOAD, StepKind.PIN)]
    new = [load for load in loads if not _named(preview.before, load)]
    there = [load for load in new if loaded_as(desk, load) is not None]
    return tuple(Step(StepKind.UNLOAD, load, why="was not there before") for load in dict.fromkeys(there))


def _to_bring(preview: Preview, desk: Desk) -> tuple[Step, ...]:
    """Return the steps that load what was there before and is gone, or has another context because of the action."""
    steps = []
    for load in preview.before:
        model = loaded_as(desk, load)
        changed = any(step.kind in _MAY_RELOAD and step.load.name == load.name for step in preview.steps)
        if model is None or (changed and model.context_length not in (None, load.context_length)):
            steps.append(Step(StepKind.LOAD, loadable(load), why="was there before"))
    return tuple(steps)


def loadable(load: Load) -> Load:
    """Return a load that does not unload: one that was just going stays as long as the engine chooses."""
    going = load.keep_alive is not None and load.keep_alive.wire == 0
    if load.pinned:
        return replace(load, keep_alive=FOREVER)
    return replace(load, keep_alive=None) if going else load


def _timers(preview: Preview, desk: Desk) -> tuple[Step, ...]:
    """Return the steps that set back timers: those that were changed, and those of models that were told to go."""
    steps = []
    for load in preview.before:
        model, wish = loaded_as(desk, load), load.keep_alive
        if model is None or wish is None or wish.wire == 0 or model.keep_alive is None:
            continue
        kinds = {step.kind for step in preview.steps if step.load.name == load.name}
        told_to_go = StepKind.UNLOAD in kinds and model.keep_alive.state is KeepAliveState.STOPPING
        changed = kinds & {StepKind.KEEP_ALIVE, StepKind.PIN} and not is_kept_so(model.keep_alive, wish, desk.taken_at)
        if told_to_go or changed:
            there = replace(load, context_length=model.context_length)
            steps.append(Step(StepKind.KEEP_ALIVE, there, why=f"stayed {kept(wish)} before"))
    return tuple(steps)


def _pins(preview: Preview, desk: Desk) -> tuple[Step, ...]:
    """Return the steps that set pins back."""
    steps = []
    for step in preview.steps:
        before = next((load for load in preview.before if _same(load, step.load)), None)
        was_pinned = before is not None and before.pinned
        if step.kind is StepKind.PIN and not was_pinned and _is_pinned(desk, step.load):
            steps.append(Step(StepKind.UNPIN, step.load, why="was not pinned before"))
        elif step.kind is StepKind.UNPIN and not _is_pinned(desk, step.load):
            steps.append(Step(StepKind.PIN, before or step.load, why="was pinned before"))
    return tuple(steps)


def _is_pinned(desk: Desk, load: Load) -> bool:
    wanted = with_tag(load.name).casefold()
    return any(
        state.wish.engine_url == load.engine_url and with_tag(state.wish.name).casefold() == wanted
        for state in desk.pins
    )


def _same(one: Load, other: Load) -> bool:
    return (one.engine_url, with_tag(one.name).casefold()) == (other.engine_url, with_tag(other.name).casefold())


def _named(loads: Sequence[Load], load: Load) -> bool:
    return any(_same(each, load) for each in loads)


def _seconds(steps: Sequence[Step]) -> float | None:
    known = [step.expected_seconds for step in steps if step.expected_seconds is not None]
    return sum(known) if known else None


def _unreachable(preview: Preview, desk: Desk) -> Refusal | None:
    """Say that an engine cannot be asked."""
    urls = {step.load.engine_url for step in preview.steps}
    silent = [engine for engine in desk.engines if engine.url in urls and not engine.reachable]
    if not silent:
        return None
    return Refusal(f"{enumerated([engine.url for engine in silent])} does not answer", silent[0].hint)
