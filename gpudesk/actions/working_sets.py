"""Previews over several models at once: apply a working set, restore what was there, carry out a plan."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.actions.lookup import engine_at, is_pinned, loaded_as, runners
from gpudesk.actions.ports import Forecaster
from gpudesk.actions.reach import Aim, reach
from gpudesk.actions.values import ActionId, Load, Preview
from gpudesk.actions.wishes import MINUTE, likely_wish
from gpudesk.actions.wording import enumerated, refused
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import FOREVER
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.records import replace


def apply(desk: Desk, working_set: WorkingSet, forecaster: Forecaster) -> Preview:
    """Preview the difference between what is loaded and a working set, in an order that fits at every step.

    A set that cannot fit is refused, saying which part and by how much. Pinned models that are not in it stay, and so
    does everything else if the set says so, as long as there is room.
    """
    name = working_set.name
    if not desk.engines:
        return refused(ActionId.APPLY, name, "no engine is known", "Start Ollama, or name one in the configuration")
    if not working_set.models:
        hint = f"Save what is loaded now: gpudesk set save {name}"
        return refused(ActionId.APPLY, name, f"{name} has no models", hint)
    first = desk.engines[0].url
    wanted = tuple(as_wish(model, first) for model in working_set.models)
    urls = {load.engine_url for load in wanted}
    own = {model.key for load in wanted if (model := loaded_as(desk, load)) is not None}
    others = [model for model in runners(desk.models) if model.engine_url in urls and model.key not in own]
    pins = [model.name for model in others if is_pinned(desk, model)]
    leaving = () if working_set.keeps_others else tuple(model for model in others if not is_pinned(desk, model))
    notes = (f"{enumerated(pins)} stay{'s' if len(pins) == 1 else ''}: pinned, though not in {name}",) if pins else ()
    aim = Aim(
        ActionId.APPLY,
        name,
        wanted,
        leaving,
        named=False,
        others_may_leave=working_set.keeps_others,
        whole=True,
        notes=notes,
        whys={model.key: f"is not in {name}" for model in leaving},
    )
    return reach(desk, aim, forecaster)


def as_wish(model: SetModel, default_engine_url: str) -> Load:
    """Say how a model of a working set shall be loaded."""
    return Load(
        engine_url=model.engine_url or default_engine_url,
        name=model.name,
        context_length=model.context_length,
        keep_alive=FOREVER if model.pinned and model.keep_alive is None else model.keep_alive,
        pinned=model.pinned,
    )


def restore(desk: Desk, snapshot: Sequence[Load], forecaster: Forecaster) -> Preview:
    """Preview bringing back what was loaded (`Preview.before`): what is missing is loaded, as it was.

    What is loaded beside it stays where there is room.
    """
    subject = enumerated([load.name for load in snapshot])
    if not snapshot:
        return Preview(ActionId.RESTORE, "what was there", notes=("nothing was loaded then",))
    return reach(desk, Aim(ActionId.RESTORE, subject, tuple(_lasting(load) for load in snapshot)), forecaster)


def _lasting(load: Load) -> Load:
    """Return a load without a timer that is about to end: a few seconds left were no wish."""
    seconds = load.keep_alive.seconds if load.keep_alive is not None else None
    if seconds is not None and seconds < MINUTE:
        return replace(load, keep_alive=FOREVER if load.pinned else None)
    return load


def arrange(desk: Desk, wanted: Sequence[Load], leaving: Sequence[LoadedModel], forecaster: Forecaster) -> Preview:
    """Preview a plan of the planner ("make it so"): these are loaded, those go, everything else stays if it can."""
    subject = enumerated([load.name for load in wanted]) or enumerated([model.name for model in leaving]) or "nothing"
    aim = Aim(ActionId.APPLY, subject, tuple(wanted), runners(leaving))
    return reach(desk, aim, forecaster)


def present_set(desk: Desk, name: str) -> WorkingSet:
    """Return what is loaded now as a working set. Engines are named only where there are several."""
    models = runners(desk.models)
    first = desk.engines[0].url if desk.engines else None
    several = {model.engine_url for model in models} - {first}
    return WorkingSet(
        name,
        tuple(
            SetModel(
                model.name,
                context_length=model.context_length,
                keep_alive=FOREVER if is_pinned(desk, model) else likely_wish(model, desk.taken_at),
                pinned=is_pinned(desk, model),
                engine_url=model.engine_url if several else None,
            )
            for model in models
            if engine_at(desk, model.engine_url) is not None
        ),
    )
