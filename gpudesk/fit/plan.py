"""The planner: several models on several cards, what is physically true and what the engine will do, kept apart."""

from __future__ import annotations

from collections.abc import Sequence

from gpudesk.fit.alternatives import alternatives as alternatives_to
from gpudesk.fit.calibration import Calibration
from gpudesk.fit.filling import Arranged
from gpudesk.fit.longest_context import longest_context, needs_more_than_there_is
from gpudesk.fit.planner import Planner
from gpudesk.fit.server_scheduler import is_same
from gpudesk.fit.values import (
    CardBudget,
    EngineProfile,
    Estimate,
    FreeEntry,
    Plan,
    Resident,
    ServerForecast,
    Verdict,
    Wanted,
)
from gpudesk.text import enumerated
from gpudesk.units import gibibytes


def plan(
    wanted: Sequence[Wanted],
    cards: Sequence[CardBudget],
    profile: EngineProfile,
    *,
    residents: Sequence[Resident] = (),
    entries: Sequence[FreeEntry] = (),
    calibration: Calibration | None = None,
    alternatives: bool = True,
    installed: Sequence[Wanted] = (),
) -> Plan:
    """Plan a combination.

    Args:
        wanted: the models, in the order they are loaded.
        cards: with what is free now; what residents hold is not free.
        profile: the engine and its settings.
        residents: models loaded now. They stay, except those that are wanted, too: these are counted once, as wanted.
        entries: what is no language model, counted at its peak.
        calibration: measured points.
        alternatives: whether changes that would help, and the longest context, are looked for.
        installed: models that may take the place of a wanted one.
    """
    planner = Planner(cards, profile, residents=residents, entries=entries, calibration=calibration, replaced=wanted)
    arranged = planner.arranged(wanted)
    server = planner.forecast(wanted)
    longest, tight = None, False
    if alternatives and wanted and cards:
        longest = longest_context(planner, wanted)
        if longest is None:
            longest, tight = longest_context(planner, wanted, verdict=Verdict.TIGHT), True
    found = alternatives_to(planner, wanted, arranged, server, installed) if alternatives and cards else ()
    return Plan(
        verdict=arranged.verdict,
        models=arranged.models,
        cards=arranged.cards,
        total_bytes=arranged.total_bytes,
        server=server,
        alternatives=found,
        longest_context=longest,
        longest_is_tight=tight and longest is not None,
        longest_is_trained=longest is not None and longest == wanted[0].metadata.context_length_trained,
        notes=_notes(wanted, arranged, server, planner),
    )


def _notes(wanted: Sequence[Wanted], arranged: Arranged, server: ServerForecast, planner: Planner) -> tuple[str, ...]:
    notes = [note for one, made in zip(wanted, arranged.models, strict=True) for note in _of_model(one, made)]
    notes += _hopeless(wanted, arranged, planner)
    fits = arranged.verdict in (Verdict.FITS, Verdict.TIGHT)
    if fits and server.would_evict:
        advice = next((note.partition("; ")[2] for note in server.notes if "; set num_ctx" in note), "")
        text = f"it would fit, but Ollama will evict {', '.join(server.would_evict)} first"
        notes.append(f"{text}; {advice}" if advice else text)
    if fits and server.spills:
        notes.append("it would fit, but the engine will leave layers on the CPU, because it keeps a margin")
    if planner.own:
        # In the order of the plan: engines list what is loaded in any order.
        names = [resident.name for one in wanted for resident in planner.own if is_same(resident, one)]
        verb, them = ("holds", "it") if len(planner.own) == 1 else ("hold", "them")
        notes.append(f"what {enumerated(names)} {verb} now counts as free: the plan contains {them}")
    return tuple(dict.fromkeys(notes))


def _hopeless(wanted: Sequence[Wanted], arranged: Arranged, planner: Planner) -> list[str]:
    """Say why no context and no type of cache helps: what does not depend on them has no room already."""
    if arranged.verdict in (Verdict.FITS, Verdict.TIGHT) or not planner.cards or not wanted:
        return []
    if any(one.options.layers_on_gpu is not None for one in wanted):
        return []
    if not needs_more_than_there_is(planner, wanted):
        return []
    fixed, room = planner.arranger.fixed_bytes(planner.resolved(wanted)), planner.arranger.room_bytes
    which = "its weights and its process" if len(wanted) == 1 else "the weights and processes of these models"
    return [f"{which} alone take {gibibytes(fixed)} of {gibibytes(room)}: no shorter context makes room for them"]


def _of_model(wanted: Wanted, made: Estimate) -> list[str]:
    missing = made.layers_total - made.layers_on_gpu
    if not missing:
        return []
    where = f"{missing} of {made.layers_total} layers run on the CPU"
    return [f"{wanted.name}: {where}, {gibibytes(made.host_bytes)} in host memory"]
