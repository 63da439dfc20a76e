"""What the parts of a budget take: measured from processes, calculated from headers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpudesk.commands.planning_session import calibration_from, progress_on
from gpudesk.errors import FailureKind, SourceError
from gpudesk.fit.pipeline import Need, calculated_need, declared_need, measured_need, share_need
from gpudesk.fit.values import CardBudget, EngineProfile, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.domain.desk import Desk
    from gpudesk.fit.budget import BudgetFile, Entry
    from gpudesk.fit.calibration import Calibration
    from gpudesk.fit.llama_load import Estimator
    from gpudesk.fit.values import Estimate
    from gpudesk.sources.model_metadata import FoundModel
    from gpudesk.workstation import Workstation

WHOLE_CARD_BYTES = 1 << 50
"""Room for anything: what a model takes when all of it is on a card."""


@dataclass(frozen=True, slots=True)
class Cards:
    """What there is to plan on."""

    budgets: tuple[CardBudget, ...]
    profile: EngineProfile
    notes: tuple[str, ...] = ()
    is_here: bool = False
    """They are this computer's cards, with what is on them now."""


class Here:
    """This computer, looked at when it is needed and once."""

    def __init__(self, means: PlanningMeans) -> None:
        self._means = means
        self._desk: Desk | None = None
        self.workstation: Workstation | None = None

    @property
    def desk(self) -> Desk:
        """What is here now."""
        if self._desk is None:
            from gpudesk.commands.status import LOOK_SECONDS
            from gpudesk.watch.poller import sample_once

            workstation = self.open()
            self._desk = sample_once(workstation.sources, workstation.clock, LOOK_SECONDS)
        return self._desk

    def open(self) -> Workstation:
        """Return its sources."""
        if self.workstation is None:
            self.workstation = self._means.workstation()
        return self.workstation

    def close(self) -> None:
        """Let go of it."""
        if self.workstation is not None:
            self.workstation.close()


def measured_on(file: BudgetFile, cards: Cards, here: Here) -> tuple[Mapping[int, int], BudgetFile]:
    """Return what each process of the file holds, and the file with such entries on the card they are on.

    Raises:
        SourceError: no driver tells what processes hold.
    """
    pids = {entry.pid for entry in file.entries if entry.pid is not None}
    if not pids:
        return {}, file
    if not here.desk.cards:
        raise SourceError(
            FailureKind.MISSING,
            "no driver tells what processes hold, so pid cannot be measured",
            "Declare idle and peak",
        )
    held = _held_by_card(here.desk, pids)
    entries = tuple(_on_its_card(entry, held, cards) for entry in file.entries)
    return {pid: sum(by_card.values()) for pid, by_card in held.items()}, replace(file, entries=entries)


def _held_by_card(desk: Desk, pids: set[int]) -> dict[int, dict[int, int]]:
    """Return bytes by process and index of card."""
    held: dict[int, dict[int, int]] = {}
    for state in desk.cards:
        for process in state.card.processes:
            if process.pid in pids and process.memory_bytes is not None:
                by_card = held.setdefault(process.pid, {})
                # A process may be listed twice, as compute and as graphics, with the same figure.
                by_card[state.card.index] = max(by_card.get(state.card.index, 0), process.memory_bytes)
    return held


def _on_its_card(entry: Entry, held: Mapping[int, Mapping[int, int]], cards: Cards) -> Entry:
    if entry.card is not None or entry.pid is None or entry.pid not in held or not cards.is_here:
        return entry
    by_card = held[entry.pid]
    most = max(by_card, key=lambda index: by_card[index])
    places = [place for place, budget in enumerate(cards.budgets) if budget.index == most]
    return replace(entry, card=places[0]) if places else entry


def given_back(budgets: Sequence[CardBudget], file: BudgetFile, desk: Desk) -> tuple[CardBudget, ...]:
    """Add to what is free what the parts of the pipeline that already run hold, or it would count twice."""
    pids = {entry.pid for entry in file.entries if entry.pid is not None}
    names = {_tagged(entry.model) for entry in file.entries if entry.model is not None}
    held = _held_by_card(desk, pids).values()
    result = []
    for each in budgets:
        back = sum(by_card.get(each.index, 0) for by_card in held)
        back += sum(
            share.memory_bytes
            for model in desk.models
            if model.local and _tagged(model.name) in names
            for share in model.cards
            if share.index == each.index
        )
        result.append(replace(each, available_bytes=min(each.memory_total_bytes, each.available_bytes + back)))
    return tuple(result)


def _tagged(name: str) -> str:
    return name.casefold() if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest".casefold()


def needs_of(
    file: BudgetFile, cards: Cards, measured: Mapping[int, int], means: PlanningMeans, here: Here
) -> dict[str, Need]:
    """Return what each entry takes, by its name.

    Raises:
        UsageError: a model that is not installed, a process that holds nothing.
        SourceError: nobody to tell about a model.
    """
    needs: dict[str, Need] = {}
    for entry in file.entries:
        declared = declared_need(entry)
        if declared is not None:
            needs[entry.name] = declared
        elif entry.pid is not None:
            needs[entry.name] = measured_need(entry, measured)
        elif entry.fraction is not None:
            needs[entry.name] = share_need(entry, cards.budgets)
    models = [entry for entry in file.entries if entry.model is not None or entry.gguf is not None]
    if models:
        needs |= _calculated(models, cards, means, here, needs)
    return needs


def _calculated(
    models: Sequence[Entry], cards: Cards, means: PlanningMeans, here: Here, known: Mapping[str, Need]
) -> dict[str, Need]:
    """Estimate language models from their headers, each as if a card had room for all of it."""
    calibration = calibration_from(means.points_directory)
    if means.demo:
        here.open()  # names are those of the simulation, which must run to tell about them
    source = means.metadata(here.workstation)
    try:
        found = source.find([entry.model or entry.gguf or "" for entry in models], None, progress_on(sys.stderr))
    finally:
        source.close()
    others = sum(need.idle_bytes for need in known.values())
    calculated: dict[str, Need] = {}
    for entry, model in zip(models, found, strict=True):
        calculated[entry.name] = need = _calculated_one(entry, model, cards, calibration, others)
        others += need.idle_bytes
    return calculated


def _calculated_one(
    entry: Entry, found: FoundModel, cards: Cards, calibration: Calibration | None, others_bytes: int
) -> Need:
    """Estimate one model; `others_bytes` is what the parts before it hold, should they be on the same card."""
    from gpudesk.fit.estimate import estimate

    card = cards.budgets[min(entry.card or 0, len(cards.budgets) - 1)]
    options = replace(
        entry.options,
        context_length=entry.options.context_length or found.parameters.get("num_ctx"),
        flash_attention=cards.profile.flash_attention,
        batch_size=found.parameters.get("num_batch") or None,
        draft=found.draft,
        lora=found.adapters,
    )
    wanted = Wanted(found.name, found.metadata, options, found.blob_digest)

    def alone(one: Wanted, profile: EngineProfile, on: CardBudget) -> Estimate:
        return estimate(one, profile, (on,), calibration=calibration)

    if entry.engine == "llama-server":
        return _by_llama_server(entry, wanted, card, cards, alone, others_bytes if len(cards.budgets) == 1 else 0)
    return calculated_need(entry, alone(wanted, cards.profile, replace(card, available_bytes=WHOLE_CARD_BYTES)))


def _by_llama_server(
    entry: Entry, wanted: Wanted, card: CardBudget, cards: Cards, alone: Estimator, others_bytes: int
) -> Need:
    from gpudesk.fit.llama_load import plan_load
    from gpudesk.fit.llama_server import LlamaServerOptions, command_line

    options = LlamaServerOptions(
        context=entry.options.context_length,
        parallel=entry.options.parallel,
        layers_on_gpu=entry.options.layers_on_gpu,
        kv_cache_type_k=entry.options.kv_cache_type_k,
        kv_cache_type_v=entry.options.kv_cache_type_v,
        fit=entry.fit,
    )
    load = plan_load(
        wanted,
        options,
        card,
        alone,
        model_path=entry.gguf or wanted.name,
        taken_bytes=others_bytes,
        backend=cards.profile.backend,
    )
    need = calculated_need(entry, load.estimate)
    return replace(need, notes=(*need.notes, command_line(load.arguments)))
