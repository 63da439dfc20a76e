"""Previews of what leaves a model loaded: keep-alive, pin, unpin."""

from __future__ import annotations

from gpudesk.actions.leaving import going
from gpudesk.actions.lookup import as_load, is_busy, is_embedding, is_pinned, loaded_as, loaded_now
from gpudesk.actions.planned_steps import unpinned
from gpudesk.actions.ports import Forecaster
from gpudesk.actions.reach import Aim, reach
from gpudesk.actions.values import ActionId, Danger, Load, Preview, Refusal, Step, StepKind
from gpudesk.actions.wishes import is_kept_so, kept, silent_engine
from gpudesk.domain.desk import Desk, LoadedModel
from gpudesk.domain.keep_alive import FOREVER, KeepAliveWish
from gpudesk.domain.model import InstalledModel
from gpudesk.domain.pin import PinWish
from gpudesk.records import replace


def keep(desk: Desk, model: LoadedModel, keep_alive: KeepAliveWish) -> Preview:
    """Preview another keep-alive. The loaded context is sent with it, so that nothing is loaded again; 0 unloads."""
    if keep_alive.seconds is not None and keep_alive.seconds <= 0:
        return going(desk, ActionId.KEEP, [model], ("keep-alive 0 unloads it as soon as it is idle",))
    there = loaded_as(desk, Load(model.engine_url, model.name))
    blank = Preview(ActionId.KEEP, f"{model.name} {kept(keep_alive)}", before=loaded_now(desk, [model.engine_url]))
    if there is None:
        return replace(blank, refusal=Refusal(f"{model.name} is not loaded", f"Load it: gpudesk load {model.name}"))
    refusal = silent_engine(desk, [there])
    if refusal is not None:
        return replace(blank, refusal=refusal)
    if is_kept_so(there.keep_alive, keep_alive, desk.taken_at):
        return replace(blank, notes=(f"{there.name} is kept {_for(keep_alive)} already",))
    notes = []
    if there.context_length is None:
        notes.append(
            f"the engine does not tell the context of {there.name}: if it was loaded with another one than the "
            "default, this loads it again"
        )
    if is_busy(there, desk.taken_at):
        notes.append(f"{there.name} is answering: the timer counts from when that ends")
    steps = [Step(StepKind.KEEP_ALIVE, replace(as_load(there, desk), keep_alive=keep_alive))]
    loses: tuple[str, ...] = ()
    if keep_alive.seconds is not None and is_pinned(desk, there):
        loses = (f"{there.name} is pinned, which means forever: its pin ends",)
        steps = [*unpinned(desk, there), *steps]
    danger = Danger.REVERSIBLE if loses else Danger.NONE
    return replace(blank, steps=tuple(steps), notes=tuple(notes), loses=loses, danger=danger)


def _for(keep_alive: KeepAliveWish) -> str:
    return "forever" if keep_alive.seconds is None else f"for {kept(keep_alive)}"


def pin(
    desk: Desk,
    model: LoadedModel | InstalledModel,
    forecaster: Forecaster,
    *,
    context_length: int | None = None,
    restore: bool = False,
) -> Preview:
    """Preview a pin: the model is loaded if it is not, stays forever, and its loss is noticed.

    Args:
        desk: what is known.
        model: which one.
        forecaster: tells what a load comes to, where one is needed.
        context_length: what it should have; None is what it has, or what the engine chooses.
        restore: put it right when it is lost.
    """
    wish = Load(
        model.engine_url,
        model.name,
        context_length=context_length,
        keep_alive=FOREVER,
        pinned=True,
        embedding=is_embedding(desk, model),
        digest=model.digest,
    )
    preview = reach(desk, Aim(ActionId.PIN, model.name, (wish,), restore_pin=restore), forecaster)
    if preview.refusal is None and not preview.steps:
        return replace(preview, notes=(f"{model.name} is pinned already", *preview.notes))
    return preview


def unpin(desk: Desk, model: LoadedModel | InstalledModel | PinWish) -> Preview:
    """Preview the end of a pin. The model stays loaded, with the keep-alive it has."""
    there = loaded_as(desk, Load(model.engine_url, model.name))
    blank = Preview(ActionId.UNPIN, model.name, before=loaded_now(desk, [model.engine_url]))
    steps = unpinned(desk, there) if there is not None else []
    if not steps and any(
        state.wish.engine_url == model.engine_url and state.wish.name == model.name for state in desk.pins
    ):
        context = model.context_length if isinstance(model, PinWish) else None
        load = Load(model.engine_url, model.name, context_length=context, pinned=True, digest=model.digest)
        steps = [Step(StepKind.UNPIN, load)]
    if not steps:
        return replace(blank, notes=(f"{model.name} is not pinned",))
    if there is None:
        return replace(blank, steps=tuple(steps))
    return replace(blank, steps=tuple(steps), notes=(f"{there.name} stays loaded, with the keep-alive it has",))
