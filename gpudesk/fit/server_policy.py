"""What this Ollama version will do with a combination, in words and numbers; the rules are in `server_scheduler`.

This is the server's own view, wrong sizes included; what is physically true is `fit.plan`'s other answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gpudesk.domain.engine import Era
from gpudesk.fit.contexts import familiar, longest
from gpudesk.fit.llama_server import AUTO_PARALLEL, DEFAULT_BATCH
from gpudesk.fit.load_sequence import LoadSequence
from gpudesk.fit.server_rules import served
from gpudesk.fit.server_scheduler import BurdenOf, Step, is_same, max_loaded
from gpudesk.fit.values import CardBudget, EngineProfile, Resident, ServerForecast, Wanted
from gpudesk.records import replace
from gpudesk.text import enumerated
from gpudesk.units import gibibytes


def forecast(
    wanted: Sequence[Wanted],
    profile: EngineProfile,
    cards: Sequence[CardBudget],
    *,
    residents: Sequence[Resident] = (),
    burden_of: BurdenOf | None = None,
    notes: bool = True,
) -> ServerForecast:
    """Say what the server will do when these models are asked for, one after the other.

    Context, slots and batch are those of the first model. For an engine that is not Ollama nothing is evicted.
    """
    return forecast_of(wanted, LoadSequence(profile, cards, residents, burden_of), notes=notes)


def forecast_of(wanted: Sequence[Wanted], sequence: LoadSequence, *, notes: bool = True) -> ServerForecast:
    """Say the same of loads in a sequence that may have been played before."""
    if not wanted:
        return ServerForecast()
    if sequence.profile.kind != "ollama":
        return _other_engine(wanted[0], sequence.profile)
    steps = sequence.steps(wanted)
    first = steps[0]
    evicted = tuple(dict.fromkeys(resident.name for step in steps for resident in step.evicted))
    evicting = next((step for step in steps if step.evicted), None)
    return ServerForecast(
        would_evict=evicted,
        evicts_because=_why(evicting, sequence.profile, len(sequence.cards)) if evicting is not None else None,
        context_length=first.served.context_length,
        parallel=first.served.parallel,
        batch_size=first.served.batch_size,
        spills=any(step.spills for step in steps),
        on_cards=tuple((step.residents[-1].name, step.residents[-1].memory_bytes) for step in steps if step.spills),
        notes=_notes(wanted, steps, sequence) if notes else (),
    )


def _other_engine(wanted: Wanted, profile: EngineProfile) -> ServerForecast:
    """Say what llama-server does: it loads what its command line names, and evicts nobody."""
    options = wanted.options
    notes = []
    context = options.context_length or profile.default_context
    if context is None:
        context = wanted.metadata.context_length_trained
        notes.append("without -c, llama-server takes the trained context and lowers it to 4096 at least until it fits")
    parallel = options.parallel or profile.parallel
    if parallel < 1:
        parallel = AUTO_PARALLEL
        notes.append(f"without -np, llama-server has {parallel} slots that share the context")
    return ServerForecast(
        context_length=context, parallel=parallel, batch_size=options.batch_size or DEFAULT_BATCH, notes=tuple(notes)
    )


def context_without_eviction(
    wanted: Sequence[Wanted],
    position: int,
    profile: EngineProfile,
    cards: Sequence[CardBudget],
    residents: Sequence[Resident] = (),
    burden_of: BurdenOf | None = None,
) -> int | None:
    """Return the longest familiar context of one wanted model with which the server evicts nobody; None without one."""
    return keeping_context(wanted, position, LoadSequence(profile, cards, residents, burden_of))


def keeping_context(wanted: Sequence[Wanted], position: int, sequence: LoadSequence) -> int | None:
    """Return the same of loads in a sequence that may have been played before."""
    if sequence.is_too_many(wanted):
        return None
    one = wanted[position]
    ask = served(one.metadata, one.options, sequence.profile, sequence.cards)

    def keeps_all(context: int) -> bool:
        changed = replace(one, options=replace(one.options, context_length=context))
        tried = [*wanted[:position], changed, *wanted[position + 1 :]]
        return not sequence.steps(tried, until_eviction=True)[-1].evicted

    return longest(familiar(ask.context_length), keeps_all)


def _notes(wanted: Sequence[Wanted], steps: Sequence[Step], sequence: LoadSequence) -> tuple[str, ...]:
    profile, cards = sequence.profile, sequence.cards
    notes: list[str] = []
    advised = False
    for position, (one, step) in enumerate(zip(wanted, steps, strict=True)):
        prefix = f"{one.name}: " if len(wanted) > 1 else ""
        notes += [prefix + note for note in step.served.notes]
        if step.already_loaded:
            notes.append(f"{one.name} is loaded already and stays as it is")
        if settings := _server_settings(one, step, profile):
            notes.append(f"{one.name}: the plan counts on an Ollama that was started with {settings}")
        if step.reloads:
            notes.append(f"{one.name} reloads: it is there with another context")
        if step.evicted:
            names = ", ".join(resident.name for resident in step.evicted)
            rule = _why(step, profile, len(cards))
            context = None
            if not advised:
                context = keeping_context(wanted, position, sequence)
                advised = True
            advice = f"; set num_ctx {context} and it will not" if context is not None else ""
            notes.append(f"Ollama will evict {names} before it loads {one.name}: {rule}{advice}")
            asked = wanted[:position]
            also = [resident.name for resident in step.evicted if any(is_same(resident, each) for each in asked)]
            notes += [f"{name} will be missing then, though the plan wants it there" for name in also]
            notes += _unsure(step)
            notes += [
                f"neither a pin nor a keep-alive of forever protects {resident.name} from Ollama"
                for resident in step.evicted
                if resident.pinned or resident.keep_alive_seconds is None
            ]
        if step.spills:
            notes.append(f"Ollama will put layers of {one.name} on the CPU: by its own count not all of them have room")
    return tuple(dict.fromkeys(notes))


def _unsure(step: Step) -> list[str]:
    """Say who else may go: an engine evicts by how long a timer was set for and shows only when it ends."""
    notes = []
    staying = [resident for resident in step.residents[:-1] if not resident.busy]
    for gone in step.evicted:
        others = [other for other in staying if not gone.busy and _may_go_before(other, gone)]
        if others:
            doubtful = [each.name for each in (gone, *others) if each.keep_alive_bounds is not None]
            which = " or ".join(other.name for other in others)
            notes.append(
                f"it may be {which} instead of {gone.name}: the shortest keep-alive goes first, and how long that of "
                f"{enumerated(doubtful)} was set for is not known"
            )
    return notes


def _may_go_before(other: Resident, gone: Resident) -> bool:
    if other.keep_alive_bounds is None and gone.keep_alive_bounds is None:
        return False
    return _keep_alive(other)[0] < _keep_alive(gone)[1]


def _keep_alive(resident: Resident) -> tuple[float, float]:
    """Return the least and the most a keep-alive may be."""
    seconds = resident.keep_alive_seconds
    if resident.keep_alive_bounds is not None:
        return resident.keep_alive_bounds
    return (inf, inf) if seconds is None or seconds < 0 else (seconds, seconds)


def _server_settings(one: Wanted, step: Step, profile: EngineProfile) -> str:
    """Name the variables the server has to have for this plan and is not known to have; no request can change them.

    Source: ollama envconfig/config.go (OLLAMA_KV_CACHE_TYPE, OLLAMA_NUM_PARALLEL) at v0.33.0-rc2.
    """
    options, settings = one.options, []
    told = options.parallel is not None
    if told and step.served.parallel != served(one.metadata, replace(options, parallel=None), profile, ()).parallel:
        settings.append(f"OLLAMA_NUM_PARALLEL={step.served.parallel}")
    types = (options.kv_cache_type_k, options.kv_cache_type_v)
    if types != (profile.kv_cache_type,) * 2 and one.metadata.pooling_type is None:
        settings.append(f"OLLAMA_KV_CACHE_TYPE={options.kv_cache_type_k}")
    return " and ".join(settings)


def _why(step: Step, profile: EngineProfile, cards: int) -> str:
    """Say which rule makes them go: the count, the memory, or first one and then the other."""
    most = max_loaded(profile, cards)
    too_many = len(step.residents) + len(step.evicted) - most
    count = f"it keeps at most {most} model{'' if most == 1 else 's'} loaded"
    if too_many >= len(step.evicted) or step.refused_bytes is None:
        return count
    predicted, believed = (gibibytes(size) for size in step.refused_bytes)
    memory = f"by its own estimate it has no room in the {believed} it believes to be free"
    if profile.era is Era.LLAMA_SERVER:
        memory = f"it predicts {predicted} for it and allows itself 80 % of the {believed} it believes to be free"
    return f"{count}, and {memory}" if too_many > 0 else memory
