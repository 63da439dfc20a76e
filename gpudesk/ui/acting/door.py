"""The planner's door: its plan becomes an action, or a working set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.actions import previews
from gpudesk.actions.values import ActionId, Load, Preview, Refusal
from gpudesk.domain.working_set import SetModel, WorkingSet
from gpudesk.ui.acting.proposal import Proposal
from gpudesk.watch.planning import Purpose

if TYPE_CHECKING:
    from gpudesk.domain.desk import Desk
    from gpudesk.ui.acting.acts import Acts
    from gpudesk.watch.planning import Handover


def hand_over(acts: Acts, purpose: Purpose, handover: Handover) -> None:
    """Take a plan."""
    if purpose is Purpose.SAVE:
        from gpudesk.ui.acting.saving import save

        save(acts, lambda name: working_set(handover, name), note=not_kept(handover))
        return
    forecaster = acts.acting.ports.forecaster

    def make(desk: Desk) -> Preview:
        refusal = _refusal(handover, desk)
        if refusal is not None:
            return Preview(ActionId.APPLY, "the plan", refusal=refusal)
        leaving = [model for model in desk.models if model.name in handover.leaving]
        return previews.arrange(desk, wanted_loads(handover, desk), leaving, forecaster)

    acts.propose(Proposal(ActionId.APPLY, "the plan", make))


def contexts(handover: Handover) -> dict[str, int]:
    """Return the context of each model of the plan, as asked for or as the engine will choose it."""
    made = {each.name: each.context_length for each in handover.plan.models}
    asked = {each.name: each.options.context_length for each in handover.wanted}
    return {name: context for name in asked if (context := asked[name] or made.get(name))}


def wanted_loads(handover: Handover, desk: Desk) -> list[Load]:
    """Return the plan's models as they shall be loaded, on the engine that has them."""
    known = contexts(handover)
    engines = sorted(desk.engines, key=lambda engine: not engine.local)
    first = engines[0].url if engines else ""
    loads = []
    for one in handover.wanted:
        urls = {each.engine_url for each in desk.installed if each.name == one.name}
        url = next((engine.url for engine in engines if engine.url in urls), first)
        loads.append(Load(url, one.name, context_length=known.get(one.name)))
    return loads


def working_set(handover: Handover, name: str) -> WorkingSet:
    """Return the plan as a working set."""
    known = contexts(handover)
    return WorkingSet(name, tuple(SetModel(one.name, known.get(one.name)) for one in handover.wanted))


def not_kept(handover: Handover) -> str | None:
    """Say what of a plan no working set keeps, since no request can ask for it."""
    if not handover.needs_restart:
        return None
    from gpudesk.ui.planner.handover import engine_settings

    settings = " and ".join(engine_settings(handover))
    return f"slots and KV type are not kept: they belong to {handover.ground.engine} ({settings})"


def _refusal(handover: Handover, desk: Desk) -> Refusal | None:
    """Say why a plan cannot be carried out from here."""
    if handover.ground.described is not None:
        return Refusal(
            f"this is planned for {handover.ground.described}, not for the cards here", "c goes back to them"
        )
    if handover.needs_restart:
        from gpudesk.ui.planner.handover import engine_settings

        settings = " and ".join(engine_settings(handover))
        engine = handover.ground.engine
        return Refusal(
            f"slots and KV type belong to {engine}: no request can change them",
            f"Start {engine} again with {settings}, then come back",
        )
    installed = {each.name for each in desk.installed} | {model.name for model in desk.models}
    strangers = [one.name for one in handover.wanted if one.name not in installed]
    if strangers:
        return Refusal(f"{strangers[0]} is no installed model", "Import it into the engine first")
    return None
