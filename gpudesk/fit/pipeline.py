"""What a mixed pipeline takes on each card, idle and at its peak.

Every part has two numbers: what it holds while it waits and what it holds while it works. Both are added up per card,
because parts of a pipeline may work at the same time; what it comes to when they take turns is told too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from gpudesk.errors import UsageError
from gpudesk.fit.budget import BudgetFile, CardEntry, Entry
from gpudesk.fit.filling import margin_of
from gpudesk.fit.simple import FACTOR, SimpleModel, SimplePlan, file_size, simple_plan
from gpudesk.fit.values import CardBudget, Estimate, FreeEntry, Verdict
from gpudesk.fit.vllm import ABOVE_SHARE_BYTES, VllmInstance, VllmShare, plan_instances, share_bytes, weights_bytes
from gpudesk.records import dataclass

GIGABYTE = 10**9

_UNIFIED_SMALL_BYTES = 36 * 10**9
_ORDER = (Verdict.FITS, Verdict.TIGHT, Verdict.SPILLS, Verdict.DOES_NOT_FIT)


class Origin(StrEnum):
    """Where the two numbers of a part come from."""

    DECLARED = "declared"
    MEASURED = "measured"
    CALCULATED = "calculated"
    CALIBRATED = "calibrated"
    SHARE = "share"
    """A fraction of the card, taken whatever the model needs."""
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Need:
    """What one part takes, all of its copies together."""

    idle_bytes: int
    peak_bytes: int
    origin: Origin
    notes: tuple[str, ...] = ()
    layers: tuple[int, int] | None = None
    """Of a language model: how many layers are on the card, of how many; fewer is a spill."""

    @property
    def spills(self) -> bool:
        """Whether some layers would run on the CPU."""
        return self.layers is not None and self.layers[0] < self.layers[1]


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One part and where it goes."""

    entry: Entry
    need: Need
    card: int
    """Place in the list of cards."""

    @property
    def free_entry(self) -> FreeEntry:
        """The same for the planner of language models, which has to leave room for it."""
        return FreeEntry(self.entry.name, self.need.idle_bytes, self.need.peak_bytes)


@dataclass(frozen=True, slots=True)
class CardTotal:
    """One card of the budget."""

    budget: CardBudget
    idle_bytes: int
    peak_bytes: int
    turns_bytes: int
    """The most held when only one part works at a time."""
    verdict: Verdict
    """At the peak."""
    shares: tuple[VllmShare, ...] = ()
    """Its vLLM instances, in the order they are started."""
    notes: tuple[str, ...] = ()

    @property
    def idle_headroom_bytes(self) -> int:
        """What stays available while everything waits; negative when too little."""
        return self.budget.available_bytes - self.idle_bytes

    @property
    def peak_headroom_bytes(self) -> int:
        """What stays available while everything works; negative when too little."""
        return self.budget.available_bytes - self.peak_bytes


@dataclass(frozen=True, slots=True)
class Budget:
    """The answer."""

    rows: tuple[BudgetRow, ...]
    cards: tuple[CardTotal, ...]
    idle_bytes: int
    peak_bytes: int
    verdict: Verdict
    notes: tuple[str, ...] = ()


def usable_bytes(memory_bytes: int, *, unified: bool) -> int:
    """Return what a GPU may have of a memory.

    An Apple chip may wire about two thirds of the memory up to 36 GB and three quarters above, unless
    `iogpu.wired_limit_mb` says otherwise: Metal reports 65 to 75 % as `recommendedMaxWorkingSetSize`
    (sgl-project/sglang#29949, gpustack/gpustack#1375).
    """
    if not unified:
        return memory_bytes
    return memory_bytes * 2 // 3 if memory_bytes <= _UNIFIED_SMALL_BYTES else memory_bytes * 3 // 4


def card_budget(card: CardEntry, index: int, reserve_bytes: int, known_bytes: int | None = None) -> CardBudget:
    """Turn a card as written into one to plan on.

    Args:
        card: the card of the file.
        index: its place.
        reserve_bytes: left free.
        known_bytes: its memory when the file tells only the name.

    Raises:
        UsageError: the reserve takes all of it, or nobody knows how large it is.
    """
    total = card.memory_bytes if card.memory_bytes is not None else known_bytes
    name = card.name or f"card {index}"
    if total is None:
        raise UsageError(f"card {name} is not known", 'Add memory = "24GB" to its [[card]]')
    usable = usable_bytes(total, unified=card.unified)
    if reserve_bytes >= usable:
        raise UsageError(f"the reserve leaves nothing of {name}: {gb_text(reserve_bytes)} of {gb_text(usable)}")
    return CardBudget(index, name, total, usable - reserve_bytes)


def declared_need(entry: Entry) -> Need | None:
    """Return the need of an entry that tells it itself; None when it has to be measured or calculated."""
    idle, peak = entry.idle_bytes, entry.peak_bytes
    if entry.pid is not None or entry.model is not None or entry.gguf is not None or entry.fraction is not None:
        return None
    if idle is not None or peak is not None:
        low, high = (idle if idle is not None else peak), (peak if peak is not None else idle)
        notes = () if idle is not None and peak is not None else ("only one of idle and peak is told: taken for both",)
        return Need((low or 0) * entry.count, (high or 0) * entry.count, Origin.DECLARED, notes)
    if entry.parameters_billion is None or entry.quantization is None:
        return None
    size = file_size(entry.parameters_billion, entry.quantization)
    table_notes = ("size from a table, a short context assumed", *([size.note] if size.note else []))
    idle_bytes, peak_bytes = round(size.size_gb * GIGABYTE), round(size.size_gb * FACTOR * GIGABYTE)
    return Need(idle_bytes * entry.count, peak_bytes * entry.count, Origin.TABLE, table_notes)


def measured_need(entry: Entry, measured: Mapping[int, int]) -> Need:
    """Return what a running process holds right now; a declared peak stands beside it.

    Raises:
        UsageError: the driver knows no such process.
    """
    if entry.pid is None or entry.pid not in measured:
        raise UsageError(
            f"entry {entry.name}: pid {entry.pid} holds no memory on any card",
            "Look at `gpudesk status` for the processes that do, or declare idle and peak",
        )
    now = measured[entry.pid]
    if entry.peak_bytes is None:
        return Need(now, now, Origin.MEASURED, ("measured now: a peak was not seen and is not declared",))
    note = (f"holds more now than its declared peak of {gb_text(entry.peak_bytes)}",) if now > entry.peak_bytes else ()
    return Need(now, max(now, entry.peak_bytes), Origin.MEASURED, note)


def calculated_need(entry: Entry, estimate: Estimate) -> Need:
    """Return what a language model takes: llama.cpp reserves every buffer when it loads.

    Idle is what to expect, the peak is the upper end of the band.
    """
    origin = Origin.CALCULATED if not estimate.points else Origin.CALIBRATED
    idle = estimate.parts.total_bytes
    peak = max(idle, estimate.high_bytes)
    layers = (estimate.layers_on_gpu, estimate.layers_total)
    return Need(idle * entry.count, peak * entry.count, origin, estimate.notes, layers)


def share_need(entry: Entry, cards: Sequence[CardBudget]) -> Need:
    """Return what a vLLM instance takes: its share, and up to 0.8 GB more.

    Raises:
        UsageError: there are several cards and it does not say which.
    """
    if entry.card is None and len(cards) != 1:
        raise UsageError(
            f"entry {entry.name}: card is missing, expected 0 to {len(cards) - 1}: a fraction is of one card"
        )
    if entry.fraction is None or (entry.card or 0) >= len(cards):
        raise UsageError(f"entry {entry.name}: card is {entry.card}, expected 0 to {len(cards) - 1}")
    share = share_bytes(entry.fraction, cards[entry.card or 0].memory_total_bytes)
    return Need(share * entry.count, (share + ABOVE_SHARE_BYTES[2]) * entry.count, Origin.SHARE)


def vllm_instance(entry: Entry) -> VllmInstance:
    """Return an entry as vLLM would be started."""
    weights = entry.weights_bytes
    if weights is None and entry.parameters_billion is not None and entry.quantization is not None:
        weights = weights_bytes(entry.parameters_billion, entry.quantization)
    return VllmInstance(
        name=entry.name,
        fraction=entry.fraction or 0.0,
        weights_bytes=weights,
        kv_bytes_per_token=entry.kv_bytes_per_token,
        max_model_len=entry.options.context_length,
        lora_slots=entry.lora_slots,
        lora_slot_bytes=entry.lora_slot_bytes,
    )


def budget(file: BudgetFile, cards: Sequence[CardBudget], needs: Mapping[str, Need]) -> Budget:
    """Add everything up.

    Args:
        file: what was asked.
        cards: what there is.
        needs: what each entry takes, by its name.

    Raises:
        UsageError: there is no card, or an entry names one that does not exist.
    """
    if not cards:
        raise UsageError("there is no card to plan on", "Name one: --card, --vram, or [[card]] in the file")
    rows = _placed(file.entries, cards, needs)
    totals = tuple(_total(card, [row for row in rows if row.card == place]) for place, card in enumerate(cards))
    used = [total for place, total in enumerate(totals) if any(row.card == place for row in rows)]
    verdict = max((total.verdict for total in used), key=_ORDER.index, default=Verdict.FITS)
    idle, peak = sum(row.need.idle_bytes for row in rows), sum(row.need.peak_bytes for row in rows)
    notes = tuple(note for total in used for note in (*_card_notes(total), *total.notes))
    return Budget(rows, totals, idle, peak, verdict, notes)


def _placed(entries: Sequence[Entry], cards: Sequence[CardBudget], needs: Mapping[str, Need]) -> tuple[BudgetRow, ...]:
    """Give every part a card: the one it names, else, largest first, the one with most left at the peak."""
    left = [card.available_bytes for card in cards]
    chosen: dict[str, int] = {}
    for entry in entries:
        if entry.card is not None:
            if entry.card >= len(cards):
                raise UsageError(f"entry {entry.name}: card is {entry.card}, expected 0 to {len(cards) - 1}")
            chosen[entry.name] = entry.card
            left[entry.card] -= needs[entry.name].peak_bytes
    waiting = [entry for entry in entries if entry.card is None]
    for entry in sorted(waiting, key=lambda entry: -needs[entry.name].peak_bytes):
        place = max(range(len(cards)), key=lambda place: (left[place], -place))
        chosen[entry.name] = place
        left[place] -= needs[entry.name].peak_bytes
    return tuple(BudgetRow(entry, needs[entry.name], chosen[entry.name]) for entry in entries)


def _total(card: CardBudget, rows: Sequence[BudgetRow]) -> CardTotal:
    needs = [row.need for row in rows]
    idle = sum(need.idle_bytes for need in needs)
    peak = sum(need.peak_bytes for need in needs)
    turns = idle + max((need.peak_bytes - need.idle_bytes for need in needs), default=0)
    verdict = verdict_of(card, peak)
    if any(need.spills for need in needs):
        verdict = max(verdict, Verdict.SPILLS, key=_ORDER.index)
    instances = [
        vllm_instance(row.entry) for row in rows if row.need.origin is Origin.SHARE for _ in range(row.entry.count)
    ]
    if not instances:
        return CardTotal(card, idle, peak, turns, verdict)
    others = sum(row.need.idle_bytes for row in rows if row.need.origin is not Origin.SHARE)
    plan = plan_instances(instances, card.memory_total_bytes, max(0, card.available_bytes - others))
    inside = tuple(f"{share.instance.name}: {note}" for share in plan.shares for note in share.notes)
    verdict = max(verdict, plan.verdict, key=_ORDER.index)
    return CardTotal(card, idle, peak, turns, verdict, plan.shares, (*inside, *plan.notes))


def verdict_of(card: CardBudget, needed_bytes: int) -> Verdict:
    """Judge one number against one card: whole programs do not spill; buffers of others come and go."""
    left = card.available_bytes - needed_bytes
    if left < 0:
        return Verdict.DOES_NOT_FIT
    return Verdict.FITS if left >= margin_of(card) else Verdict.TIGHT


def _card_notes(total: CardTotal) -> tuple[str, ...]:
    name = total.budget.name
    if total.peak_headroom_bytes >= 0:
        return ()
    if total.idle_headroom_bytes < 0:
        return (f"{name}: not even idle, {gb_text(-total.idle_headroom_bytes)} too much",)
    if total.turns_bytes <= total.budget.available_bytes:
        return (f"{name}: fits while only one part works at a time, {gb_text(total.turns_bytes)}",)
    return (f"{name}: fits idle, but {gb_text(-total.peak_headroom_bytes)} too much when everything works",)


def simple_models(file: BudgetFile, where: str) -> tuple[SimpleModel, ...]:
    """Return the models of a file for the simple planner, `count` of each.

    Raises:
        UsageError: an entry has no parameters and quantization.
    """
    models = []
    for number, entry in enumerate(file.entries, start=1):
        if entry.parameters_billion is None or entry.quantization is None:
            raise UsageError(
                f"{where}: entry {number} ({entry.name}): parameters is missing, expected billions of parameters with "
                "a quantization: the simple planner knows nothing else",
                "Leave --simple out for everything that is no language model",
            )
        priority = number if entry.priority is None else entry.priority
        model = SimpleModel(entry.name, entry.parameters_billion, entry.quantization, priority)
        models += [model] * entry.count
    return tuple(models)


def simple_budget(file: BudgetFile, where: str, card_bytes: int, host_bytes: int) -> SimplePlan:
    """Ask the simple planner."""
    return simple_plan(simple_models(file, where), card_bytes / GIGABYTE, host_bytes / GIGABYTE)


def gb_text(size_bytes: int) -> str:
    """Write GB as published budgets do, one decimal and only where needed: `9.7 GB`, `32 GB`."""
    return f"{round(size_bytes / GIGABYTE, 1):g} GB"
