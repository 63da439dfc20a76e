"""Which installed models to have loaded together, one per role: sets that fit with room to work, ranked, with reasons.

For each role the most suitable models are shortlisted, small and large ones, then all combinations are added up and
the best are planned in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from gpudesk.fit.calibration import Calibration
from gpudesk.fit.filling import RANK, Arranged, margin_of
from gpudesk.fit.planner import Planner
from gpudesk.fit.roles import Candidate, Suitability, billions, context_for, suitability
from gpudesk.fit.server_rules import file_bytes
from gpudesk.fit.values import CardBudget, EngineProfile, Resident, Verdict, Wanted
from gpudesk.records import dataclass, replace
from gpudesk.text import enumerated

SHORTLIST = 11
"""Models per role that are looked at closely."""
SHORTLIST_BEST = 5
"""Of them, the most suitable whatever their size."""
LADDER_STEP = 0.85
"""Each of the others is at least this much smaller than the one before."""
SAME_LARGEST = 2
"""How many sets may be built around one model."""
PLANNED_IN_FULL = 14
"""Sets that are planned to the last byte."""
SETS = 5


@dataclass(frozen=True, slots=True)
class RoleChoice:
    """A model in a role."""

    role: str
    name: str
    context_length: int
    reason: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A set of models."""

    choices: tuple[RoleChoice, ...]
    """One per role, in the order of the roles; one model may have several."""
    wanted: tuple[Wanted, ...]
    """Each model once."""
    verdict: Verdict
    total_bytes: int
    free_bytes: int
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Option:
    candidate: Candidate
    fit: Suitability
    total_bytes: int


def suggest(
    installed: Sequence[Candidate],
    roles: Sequence[str],
    cards: Sequence[CardBudget],
    profile: EngineProfile,
    *,
    residents: Sequence[Resident] = (),
    calibration: Calibration | None = None,
    count: int = SETS,
) -> tuple[Suggestion, ...]:
    """Rank sets of installed models for these roles.

    Args:
        installed: the models.
        roles: `chat`, `code`, `autocomplete`, `embed`, `rerank`, `vision`, `tools`.
        cards: with what is free now; residents are taken to make room, so what they hold counts as free.
        profile: the engine.
        residents: models loaded now.
        calibration: measured points.
        count: how many sets to return.

    Returns:
        The best first; those that fit before those that are tight. Empty when a role has no model at all
        (`missing_roles` says which).
    """
    if not cards or not roles:
        return ()
    wanted_roles = tuple(dict.fromkeys(roles))
    everything = [candidate.wanted for candidate in installed]
    planner = Planner(cards, profile, residents=residents, calibration=calibration, replaced=everything)
    room = sum(card.available_bytes for card in planner.arranger.cards)
    sizes = {id(candidate): billions(candidate.wanted.metadata) for candidate in installed}
    lists = [_shortlist(installed, role, room, sizes, planner) for role in wanted_roles]
    if not all(lists):
        return ()
    least = sum(margin_of(card) for card in planner.arranger.cards)
    ranked: list[tuple[float, tuple[_Option, ...]]] = []
    for options in product(*lists):
        total = sum({option.candidate.name: option.total_bytes for option in options}.values())
        if total + least <= room:
            ranked.append((_score(options, total, room), options))
    if not ranked:
        smallest = tuple(min(options, key=lambda option: option.total_bytes) for options in lists)
        ranked.append((0.0, smallest))
    ranked.sort(key=lambda pair: -pair[0])
    found = [_planned(wanted_roles, options, score, planner) for score, options in _varied(ranked)]
    found.sort(key=lambda one: (RANK[one.verdict], -one.score))
    return tuple(found[:count])


def _varied(ranked: Sequence[tuple[float, tuple[_Option, ...]]]) -> list[tuple[float, tuple[_Option, ...]]]:
    """Keep the best sets, few of them around the same largest model."""
    times: dict[str, int] = {}
    kept: list[tuple[float, tuple[_Option, ...]]] = []
    for score, options in ranked:
        largest = max(options, key=lambda option: option.total_bytes).candidate.name
        times[largest] = times.get(largest, 0) + 1
        if times[largest] <= SAME_LARGEST:
            kept.append((score, options))
        if len(kept) == PLANNED_IN_FULL:
            break
    return kept


def missing_roles(installed: Sequence[Candidate], roles: Sequence[str]) -> tuple[str, ...]:
    """Return the roles that no installed model can do."""
    return tuple(
        role for role in dict.fromkeys(roles) if not any(suitability(candidate, role, 1.0) for candidate in installed)
    )


def _shortlist(
    installed: Sequence[Candidate], role: str, room: int, sizes: dict[int, float], planner: Planner
) -> list[_Option]:
    """Keep the most suitable models that fit at all, and the smallest of the suitable so that there is a way out."""
    judged: list[tuple[Candidate, Suitability]] = []
    for candidate in installed:
        fit = suitability(candidate, role, sizes[id(candidate)])
        if fit is not None:
            judged.append((candidate, fit))
    judged.sort(key=lambda pair: -pair[1].score)
    possible = [pair for pair in judged if file_bytes(pair[0].wanted.metadata) < room]
    kept = possible[:SHORTLIST_BEST]
    # A ladder of sizes below the best: each the most suitable of all that are smaller than the one before.
    least = min((file_bytes(candidate.wanted.metadata) for candidate, _ in kept[:1]), default=0)
    for candidate, fit in possible:
        size = file_bytes(candidate.wanted.metadata)
        if size < least * LADDER_STEP and len(kept) < SHORTLIST:
            kept.append((candidate, fit))
            least = size
    best = kept or sorted(judged, key=lambda pair: file_bytes(pair[0].wanted.metadata))[:1]
    unique = {candidate.name: (candidate, fit) for candidate, fit in best}
    return [
        _Option(candidate, fit, _total(_in_role(candidate, (role,)), planner)) for candidate, fit in unique.values()
    ]


def _in_role(candidate: Candidate, roles: Sequence[str]) -> Wanted:
    one = candidate.wanted
    return replace(one, options=replace(one.options, context_length=context_for(candidate, roles)))


def _total(wanted: Wanted, planner: Planner) -> int:
    return planner.arranger.alone(planner.resolved([wanted])[0], 0).parts.total_bytes


def _score(options: Sequence[_Option], total: int, room: int) -> float:
    """Judge a set: suitability first, then room to work, then few models."""
    suited = sum(option.fit.score for option in options)
    left = (room - total) / room
    comfort = min(1.0, left / 0.15)
    return suited + comfort - 0.3 * len({option.candidate.name for option in options})


def _planned(roles: Sequence[str], options: Sequence[_Option], score: float, planner: Planner) -> Suggestion:
    by_name: dict[str, list[str]] = {}
    for role, option in zip(roles, options, strict=True):
        by_name.setdefault(option.candidate.name, []).append(role)
    candidates = {option.candidate.name: option.candidate for option in options}
    # Large models first: the engine then finds room for the small ones beside them.
    names = sorted(by_name, key=lambda name: -file_bytes(candidates[name].wanted.metadata))
    wanted = tuple(_in_role(candidates[name], by_name[name]) for name in names)
    arranged = planner.arranged(wanted)
    contexts = {one.name: made.context_length for one, made in zip(wanted, arranged.models, strict=True)}
    choices = tuple(
        RoleChoice(role, option.candidate.name, contexts[option.candidate.name], option.fit.reason)
        for role, option in zip(roles, options, strict=True)
    )
    evicted = _evicted(wanted, planner)
    return Suggestion(
        choices=choices,
        wanted=wanted,
        verdict=arranged.verdict,
        total_bytes=arranged.total_bytes,
        free_bytes=arranged.free_bytes,
        score=score - (2.5 if evicted else 0.0),
        reasons=_reasons(by_name, arranged, evicted),
    )


def _evicted(wanted: Sequence[Wanted], planner: Planner) -> tuple[str, ...]:
    """Return which of the set Ollama would make go when they are loaded one after the other on empty cards."""
    if planner.profile.kind != "ollama":
        return ()
    alone = Planner(planner.arranger.cards, planner.profile)
    return alone.forecast(wanted, notes=False).would_evict


def _reasons(by_name: dict[str, list[str]], arranged: Arranged, evicted: Sequence[str]) -> tuple[str, ...]:
    reasons = [f"{name} does {enumerated(roles)}" for name, roles in by_name.items() if len(roles) > 1]
    if arranged.verdict is Verdict.FITS:
        reasons.append("all together with room to spare")
    elif arranged.verdict is Verdict.TIGHT:
        reasons.append("all together, but with nothing to spare")
    else:
        reasons.append("does not go on the cards together")
    if evicted:
        reasons.append(f"loaded one after the other, Ollama would evict {', '.join(evicted)}")
    return tuple(reasons)
