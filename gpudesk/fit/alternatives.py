"""What would help where a combination does not fit, or fits and is pulled apart by the engine: ranked, with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpudesk.fit.contexts import longest
from gpudesk.fit.filling import RANK, Arranged, worst
from gpudesk.fit.longest_context import longest_context, with_context
from gpudesk.fit.planner import Planner
from gpudesk.fit.server_policy import keeping_context
from gpudesk.fit.server_rules import file_bytes
from gpudesk.fit.speed import reads_of, slowdown
from gpudesk.fit.swap_cost import swap_seconds
from gpudesk.fit.values import Alternative, Estimate, ServerForecast, Verdict, Wanted
from gpudesk.fit.variants import other_size, same_model
from gpudesk.records import dataclass, replace

SMALLER_MODELS = 3
"""How many smaller models are tried per plan."""
TURNS_MOST = 4
"""More models than this do not take turns in one place."""
LEAST_CONTEXT = 2048
"""A shorter context than this is no help."""
_LONG_CACHE_TYPES = frozenset(("f16", "bf16", "f32"))
_BLOCK = 32
"""Elements of a q8_0 block: a head has to be a multiple of it (llama.cpp refuses others)."""

_COST = {"parallel": 1.0, "kv": 2.0, "context": 3.0, "unload": 4.0, "model": 5.0, "swap": 6.0, "offload": 7.0}
"""What one gives up, from little to much; ranks alternatives with one verdict."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: str
    description: str
    wanted: tuple[Wanted, ...]
    model: str | None = None
    cost: float = 0.0
    seconds: float | None = None


def alternatives(
    planner: Planner,
    wanted: Sequence[Wanted],
    arranged: Arranged,
    server: ServerForecast,
    installed: Sequence[Wanted] = (),
) -> tuple[Alternative, ...]:
    """Return changes after which the verdict is better, or after which the engine evicts nobody; the best first."""
    evicts = bool(server.would_evict)
    if not wanted or (arranged.verdict is Verdict.FITS and not evicts):
        return ()
    found: list[tuple[tuple[float, ...], Alternative]] = []
    for candidate in _candidates(planner, wanted, arranged, evicts, installed):
        result = planner.arranged(candidate.wanted)
        better = RANK[result.verdict] < RANK[arranged.verdict] or _spills_less(candidate, result, arranged)
        keeps = evicts and RANK[result.verdict] <= RANK[arranged.verdict] and not planner.evicts(candidate.wanted)
        if better or keeps:
            rank = (RANK[result.verdict], not keeps if evicts else 0, candidate.cost)
            found.append((rank, _as_alternative(candidate, result, planner, wanted)))
    turns = (_unload(planner, wanted, arranged), _swap(planner, wanted, arranged))
    found += [((RANK[turn.verdict], 1, _COST["swap"]), turn) for turn in turns if turn is not None]
    ranked: dict[str, Alternative] = {}
    for _rank, alternative in sorted(found, key=lambda pair: pair[0]):
        ranked.setdefault(alternative.key, alternative)
    return tuple(ranked.values())


def _spills_less(candidate: _Candidate, result: Arranged, before: Arranged) -> bool:
    """Tell whether both spill, and the change saves a quarter of the layers on the CPU or names their number."""
    if not result.verdict is before.verdict is Verdict.SPILLS:
        return False
    return candidate.key.startswith("offload:") or _missing(result) * 4 <= _missing(before) * 3


def _missing(arranged: Arranged) -> int:
    return sum(made.layers_total - made.layers_on_gpu for made in arranged.models)


def _as_alternative(candidate: _Candidate, result: Arranged, planner: Planner, before: Sequence[Wanted]) -> Alternative:
    slow = None
    if candidate.key.startswith("offload:"):
        position = next(at for at, (old, new) in enumerate(zip(before, candidate.wanted, strict=True)) if old != new)
        slow = slowdown_of(planner, before[position], result.models[position])
    description = candidate.description
    if slow is not None:
        description += f", about {slow:.1f} times slower"
    return Alternative(
        key=candidate.key,
        description=description,
        verdict=result.verdict,
        total_bytes=result.total_bytes,
        free_bytes=result.free_bytes,
        seconds=candidate.seconds,
        model=candidate.model,
        wanted=candidate.wanted,
        slowdown=slow,
    )


def slowdown_of(planner: Planner, wanted: Wanted, made: Estimate) -> float | None:
    """Return how many times slower a partly offloaded model answers than whole on the first card."""
    if made.layers_on_gpu >= made.layers_total or not planner.cards:
        return None
    whole_wanted = replace(wanted, options=replace(wanted.options, layers_on_gpu=None))
    resolved = planner.resolved([whole_wanted])[0]
    whole = planner.arranger.alone(resolved, 0)
    bandwidth = planner.cards[0].bandwidth_bytes_per_second
    on_card = made.parts.weights_bytes
    off_card = max(0, whole.parts.weights_bytes - on_card)
    kv_off = max(0, whole.parts.kv_cache_bytes - made.parts.kv_cache_bytes)
    active = _active(wanted)
    return slowdown(
        reads_of(whole.parts.weights_bytes, 0, active=active, kv_card_bytes=whole.parts.kv_cache_bytes // 2),
        reads_of(
            on_card, off_card, active=active,
            kv_card_bytes=made.parts.kv_cache_bytes // 2, kv_host_bytes=kv_off // 2,
        ),
        card_bytes_per_second=bandwidth,
    )  # fmt: skip


def _active(wanted: Wanted) -> float:
    """Return the share of the weights one token reads, nearly all of a mixture's weights being experts."""
    metadata = wanted.metadata
    if not metadata.expert_count or not metadata.expert_used_count:
        return 1.0
    return min(1.0, 0.08 + 0.92 * metadata.expert_used_count / metadata.expert_count)


# -- candidates --------------------------------------------------------------------------------------------------------


def _candidates(
    planner: Planner, wanted: Sequence[Wanted], arranged: Arranged, evicts: bool, installed: Sequence[Wanted]
) -> Iterator[_Candidate]:
    yield from _one_slot(planner, wanted)
    short = next(_short_cache(wanted, arranged), None)
    if short is not None:
        yield short
    yield from _less_context(planner, wanted, arranged, evicts, short)
    yield from _smaller_model(wanted, installed)
    if arranged.verdict is not Verdict.FITS:
        yield from _offload(planner, wanted, arranged)


def _one_slot(planner: Planner, wanted: Sequence[Wanted]) -> Iterator[_Candidate]:
    resolved = planner.resolved(wanted)
    changed = tuple(
        replace(one, options=replace(one.options, parallel=1)) if (asked.options.parallel or 1) > 1 else one
        for one, asked in zip(wanted, resolved, strict=True)
    )
    if changed != tuple(wanted):
        yield _Candidate("parallel:1", "one slot per model instead of several", changed, cost=_COST["parallel"])


def _short_cache(wanted: Sequence[Wanted], arranged: Arranged) -> Iterator[_Candidate]:
    """Offer q8_0 for every cache: Ollama has one setting for all models."""

    def can(one: Wanted, made: Estimate) -> bool:
        options, metadata = one.options, one.metadata
        long = options.kv_cache_type_k in _LONG_CACHE_TYPES or options.kv_cache_type_v in _LONG_CACHE_TYPES
        blocks = metadata.key_length % _BLOCK == 0 and metadata.value_length % _BLOCK == 0
        return bool(made.parts.kv_cache_bytes and long and blocks and options.flash_attention is not False)

    changed = tuple(
        replace(one, options=replace(one.options, kv_cache_type_k="q8_0", kv_cache_type_v="q8_0", flash_attention=True))
        if can(one, made)
        else one
        for one, made in zip(wanted, arranged.models, strict=True)
    )
    if any(old is not new for old, new in zip(wanted, changed, strict=True)):
        yield _Candidate("kv:q8_0", "KV cache in q8_0 instead of f16", changed, cost=_COST["kv"])


def _less_context(
    planner: Planner, wanted: Sequence[Wanted], arranged: Arranged, evicts: bool, short: _Candidate | None
) -> Iterator[_Candidate]:
    """Offer a shorter context for the model with the largest cache, and a longer one of those with a `short` cache."""
    position = max(range(len(wanted)), key=lambda at: arranged.models[at].parts.kv_cache_bytes)
    made = arranged.models[position]
    if not made.parts.kv_cache_bytes and made.layers_on_gpu == made.layers_total:
        return
    one, present = wanted[position], made.context_length

    def candidate(context: int, among: Sequence[Wanted], cost: float, also: str = "", said: str = "") -> _Candidate:
        return _Candidate(
            f"{also}context:{context}",
            f"{said}{one.name} with a context of {context} instead of {present}",
            (*among[:position], with_context(among[position], context), *among[position + 1 :]),
            one.name,
            cost + _COST["context"] + (1 - context / present) * 3,
        )

    fitting = None
    if arranged.verdict is not Verdict.FITS:
        fitting = _fitting_context(planner, wanted, position, present)
    keeping = None
    if evicts and planner.profile.kind == "ollama":
        keeping = keeping_context(wanted, position, planner.sequence)
    for context in (fitting, keeping):
        if context is not None and LEAST_CONTEXT <= context < present:
            yield candidate(context, wanted, 0.0)
    if short is None or arranged.verdict is Verdict.FITS or planner.arranged(short.wanted).verdict is Verdict.FITS:
        return
    both = _fitting_context(planner, short.wanted, position, present)
    if both is not None and both >= LEAST_CONTEXT and both > (fitting or 0):
        yield candidate(both, short.wanted, _COST["kv"], "kv:q8_0+", "KV cache in q8_0, and ")


def _fitting_context(planner: Planner, wanted: Sequence[Wanted], position: int, below: int) -> int | None:
    """Return the longest familiar context that fits; where none does, that fits tightly."""
    found = longest_context(planner, wanted, position, below=below, least=LEAST_CONTEXT)
    return found or longest_context(planner, wanted, position, below=below, least=LEAST_CONTEXT, verdict=Verdict.TIGHT)


def _smaller_model(wanted: Sequence[Wanted], installed: Sequence[Wanted]) -> Iterator[_Candidate]:
    """Offer smaller files of the same model or family, the largest first, in place of the largest wanted ones."""
    names = {one.name for one in wanted}
    order = sorted(range(len(wanted)), key=lambda at: -file_bytes(wanted[at].metadata))
    left = SMALLER_MODELS
    for position in order:
        one = wanted[position]
        size = file_bytes(one.metadata)
        smaller = [
            other
            for other in installed
            if other.name not in names
            and (same_model(one, other) or other_size(one, other))
            and size // 5 < file_bytes(other.metadata) < size * 97 // 100
        ]
        smaller.sort(key=lambda other: (not same_model(one, other), -file_bytes(other.metadata)))
        for other in smaller[:left]:
            left -= 1
            lost = 1 - file_bytes(other.metadata) / size
            what = "a smaller quantization" if same_model(one, other) else "a smaller model of the family"
            yield _Candidate(
                f"model:{other.name}",
                f"{other.name} instead of {one.name}: {what}",
                (*wanted[:position], replace(other, options=one.options), *wanted[position + 1 :]),
                one.name,
                _COST["model"] + lost,
            )


def _offload(planner: Planner, wanted: Sequence[Wanted], arranged: Arranged) -> Iterator[_Candidate]:
    """Offer to leave layers of the largest model on the CPU: as many on the card as fit well."""
    position = max(range(len(wanted)), key=lambda at: file_bytes(wanted[at].metadata))
    one, total = wanted[position], arranged.models[position].layers_total
    if one.options.layers_on_gpu is not None:
        return

    def with_layers(layers: int) -> tuple[Wanted, ...]:
        changed = replace(one, options=replace(one.options, layers_on_gpu=layers))
        return (*wanted[:position], changed, *wanted[position + 1 :])

    best = longest(
        range(1, total),
        lambda layers: planner.is_as_good(with_layers(layers), Verdict.SPILLS),
        guess=arranged.models[position].layers_on_gpu or None,
    )
    if best:
        yield _Candidate(
            f"offload:{best}",
            f"{best} of {total} layers of {one.name} on the card, the rest on the CPU",
            with_layers(best),
            one.name,
            _COST["offload"],
        )


# -- one after the other -----------------------------------------------------------------------------------------------


def _unload(planner: Planner, wanted: Sequence[Wanted], arranged: Arranged) -> Alternative | None:
    """Offer to unload what is loaded and not wanted; the seconds are those of loading it again."""
    others = [resident for resident in planner.others if any(resident.by_card)]
    if not others or arranged.verdict is Verdict.FITS:
        return None
    result = planner.emptied().arrange(planner.resolved(wanted))
    if RANK[result.verdict] >= RANK[arranged.verdict]:
        return None
    names = ", ".join(resident.name for resident in others)
    seconds = sum(swap_seconds(resident.memory_bytes) for resident in others)
    return Alternative(
        "unload", f"unload {names} first", result.verdict, result.total_bytes, result.free_bytes, seconds,
        wanted=tuple(wanted),
    )  # fmt: skip


def _swap(planner: Planner, wanted: Sequence[Wanted], arranged: Arranged) -> Alternative | None:
    """Offer to have the largest wanted models one at a time, the others beside whichever it is."""
    if len(wanted) < 2 or arranged.verdict is Verdict.FITS:
        return None
    order = sorted(range(len(wanted)), key=lambda at: -file_bytes(wanted[at].metadata))
    for taking_turns in range(2, min(TURNS_MOST, len(wanted)) + 1):
        turns, staying = order[:taking_turns], order[taking_turns:]
        results = []
        for turn in turns:
            kept = [wanted[at] for at in sorted((turn, *staying))]
            results.append(planner.arranged(kept))
        verdict = worst([result.verdict for result in results])
        if RANK[verdict] < RANK[arranged.verdict]:
            names = " and ".join(wanted[at].name for at in sorted(turns))
            seconds = max(swap_seconds(file_bytes(wanted[at].metadata)) for at in turns)
            largest = max(results, key=lambda result: result.total_bytes)
            return Alternative(
                "swap", f"{names} one at a time", verdict,
                largest.total_bytes, min(result.free_bytes for result in results), seconds,
                wanted=tuple(wanted[at] for at in sorted((turns[0], *staying))),
            )  # fmt: skip
    return None
