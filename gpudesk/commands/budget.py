"""`gpudesk budget`: what a mixed pipeline takes, idle and at its peak."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands.fit import Means, calibration_from, progress_on
from gpudesk.commands.planning import described, of_desk, profile_of
from gpudesk.errors import ExitCode, FailureKind, SourceError, UsageError
from gpudesk.fit.budget import BudgetFile, Entry, read_budget
from gpudesk.fit.pipeline import (
    GIGABYTE,
    Need,
    budget,
    calculated_need,
    card_budget,
    declared_need,
    measured_need,
    share_need,
    simple_budget,
)
from gpudesk.fit.values import CardBudget, EngineProfile, Verdict, Wanted
from gpudesk.paths import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.domain.desk import Desk
    from gpudesk.fit.calibration import Calibration
    from gpudesk.output import Value
    from gpudesk.sources.model_metadata import FoundModel
    from gpudesk.workstation import Workstation

SIZE_LIMIT_BYTES = 1 << 20
"""A budget larger than this is something else by mistake."""

_WHOLE_CARD_BYTES = 1 << 50
"""Room for anything: what a model takes when all of it is on a card."""


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """What was typed."""

    path: Path
    simple: bool = False
    cards: tuple[str, ...] = ()
    memory: tuple[int, ...] = ()
    as_json: bool = False

    @property
    def is_described(self) -> bool:
        """The cards are told on the command line."""
        return bool(self.cards or self.memory)


@dataclass(frozen=True, slots=True)
class _Cards:
    """What there is to plan on."""

    budgets: tuple[CardBudget, ...]
    profile: EngineProfile
    notes: tuple[str, ...] = ()
    is_here: bool = False
    """They are this computer's cards, with what is on them now."""


def request_from(given: Mapping[str, Any]) -> BudgetRequest:
    """Make the request of the options of the command line."""
    return BudgetRequest(
        path=Path(given["file"]).expanduser(),
        simple=given.get("simple", False),
        cards=tuple(given.get("card", ())),
        memory=tuple(given.get("vram", ())),
        as_json=given.get("json", False),
    )


def run(request: BudgetRequest, means: Means, out: TextIO) -> int:
    """Add up, print, and return the exit code: 0 fits or tight, 1 spills or does not fit.

    Raises:
        UsageError: the file is wrong, a card nobody knows, a model that is not installed.
        SourceError: the file cannot be read; no card; nobody to tell about a model.
    """
    where = shortened(request.path)
    file = read_budget(_text(request.path, where), where)
    here = _Here(means)
    try:
        return _simple(request, file, where, here, out) if request.simple else _full(request, file, means, here, out)
    finally:
        here.close()


class _Here:
    """This computer, looked at when it is needed and once."""

    def __init__(self, means: Means) -> None:
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


def _text(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {where}", "gpudesk budget FILE.toml") from error
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror or error}") from error
    if len(raw) > SIZE_LIMIT_BYTES:
        raise UsageError(f"{where} is larger than 1 MiB, so it is no budget")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{where} is not UTF-8 at line {line}", "Save the file as UTF-8") from error


def _full(request: BudgetRequest, file: BudgetFile, means: Means, here: _Here, out: TextIO) -> int:
    from gpudesk.budget_output import budget_document, budget_lines
    from gpudesk.fit.claims import check_claims

    cards = _cards(request, file, means, here)
    measured, file = _measured(file, cards, here)
    needs = _needs(file, cards, measured, means, here)
    if cards.is_here:
        cards = replace(cards, budgets=_given_back(cards.budgets, file, here.desk))
    result = budget(file, cards.budgets, needs)
    result = replace(result, notes=(*cards.notes, *result.notes))
    claims = check_claims(file.claims, result, _memory_of)
    if request.as_json:
        _write_json(budget_document(file, result, claims), out)
    else:
        _write_lines(budget_lines(file, result, claims), out)
    return _exit_code(result.verdict)


def _cards(request: BudgetRequest, file: BudgetFile, means: Means, here: _Here) -> _Cards:
    """Take the cards of the command line, else of the file, else of this computer."""
    reserve = file.reserve_bytes or means.settings.reserve_bytes
    if request.is_described:
        told = described(request.cards, request.memory, reserve_bytes=reserve, environment=os.environ)
        return _Cards(told.cards, told.profile, told.notes)
    if file.cards:
        known = [
            _memory_of(card.name) if card.memory_bytes is None and card.name is not None else None
            for card in file.cards
        ]
        budgets = tuple(
            card_budget(card, index, reserve, memory)
            for index, (card, memory) in enumerate(zip(file.cards, known, strict=True))
        )
        return _Cards(budgets, profile_of(None, os.environ))
    found = of_desk(here.desk, reserve_bytes=reserve, environment=os.environ)
    return _Cards(found.cards, found.profile, found.notes, is_here=True)


def _memory_of(name: str) -> int | None:
    from gpudesk.fit.card_table import find_card

    card = find_card(name)
    return card.memory_total_bytes if card is not None else None


def _measured(file: BudgetFile, cards: _Cards, here: _Here) -> tuple[Mapping[int, int], BudgetFile]:
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


def _on_its_card(entry: Entry, held: Mapping[int, Mapping[int, int]], cards: _Cards) -> Entry:
    if entry.card is not None or entry.pid is None or entry.pid not in held or not cards.is_here:
        return entry
    by_card = held[entry.pid]
    most = max(by_card, key=lambda index: by_card[index])
    places = [place for place, budget in enumerate(cards.budgets) if budget.index == most]
    return replace(entry, card=places[0]) if places else entry


def _given_back(budgets: Sequence[CardBudget], file: BudgetFile, desk: Desk) -> tuple[CardBudget, ...]:
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


def _needs(file: BudgetFile, cards: _Cards, measured: Mapping[int, int], means: Means, here: _Here) -> dict[str, Need]:
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
        needs |= _calculated(models, cards, means, here)
    return needs


def _calculated(models: Sequence[Entry], cards: _Cards, means: Means, here: _Here) -> dict[str, Need]:
    """Estimate language models from their headers, each as if a card had room for all of it."""
    calibration = calibration_from(means.points_directory)
    if means.demo:
        here.open()  # names are those of the simulation, which must run to tell about them
    source = means.metadata(here.workstation)
    try:
        found = source.find([entry.model or entry.gguf or "" for entry in models], None, progress_on(sys.stderr))
    finally:
        source.close()
    return {
        entry.name: _calculated_one(entry, model, cards, calibration)
        for entry, model in zip(models, found, strict=True)
    }


def _calculated_one(entry: Entry, found: FoundModel, cards: _Cards, calibration: Calibration | None) -> Need:
    from gpudesk.fit.estimate import estimate

    card = cards.budgets[min(entry.card or 0, len(cards.budgets) - 1)]
    roomy = replace(card, available_bytes=_WHOLE_CARD_BYTES)
    options = replace(
        entry.options,
        context_length=entry.options.context_length or found.parameters.get("num_ctx"),
        flash_attention=cards.profile.flash_attention,
        batch_size=found.parameters.get("num_batch") or None,
        draft=found.draft,
        lora=found.adapters,
    )
    wanted = Wanted(found.name, found.metadata, options, found.blob_digest)
    return calculated_need(entry, estimate(wanted, cards.profile, (roomy,), calibration=calibration))


def _simple(request: BudgetRequest, file: BudgetFile, where: str, here: _Here, out: TextIO) -> int:
    from gpudesk.budget_output import simple_document, simple_lines, simple_verdict

    sizes, notes = _simple_cards(request, file, here)
    host, host_notes = _simple_host(request, file, here)
    plan = simple_budget(file, where, sum(sizes), host)
    if len(sizes) > 1:
        notes = (*notes, f"{len(sizes)} cards taken as one: the simple planner knows no other")
    card_gb = sum(sizes) / GIGABYTE
    if request.as_json:
        _write_json(simple_document(plan, file.title, card_gb, (*notes, *host_notes)), out)
    else:
        _write_lines(simple_lines(plan, file.title, card_gb, (*notes, *host_notes)), out)
    return _exit_code(simple_verdict(plan))


def _simple_cards(request: BudgetRequest, file: BudgetFile, here: _Here) -> tuple[list[int], tuple[str, ...]]:
    """Return the cards as the guides count them: the size on the box."""
    from gpudesk.fit.card_table import card_named
    from gpudesk.fit.claims import vendor_bytes

    if request.is_described:
        return [*(vendor_bytes(card_named(name).memory_total_bytes) for name in request.cards), *request.memory], ()
    if file.cards:
        return [
            card.memory_bytes if card.memory_bytes is not None
            else vendor_bytes(card_named(card.name or "").memory_total_bytes)
            for card in file.cards
        ], ()  # fmt: skip
    found = of_desk(here.desk)
    note = "counted as if the card were empty: the simple planner does not look at what others hold"
    return [vendor_bytes(card.memory_total_bytes) for card in found.cards], (note,)


def _simple_host(request: BudgetRequest, file: BudgetFile, here: _Here) -> tuple[int, tuple[str, ...]]:
    if file.host_bytes is not None:
        return file.host_bytes, ()
    if not request.is_described and not file.cards:
        host = here.desk.host
        if host is not None and host.memory_total_bytes is not None:
            return host.memory_total_bytes, ()
    return _WHOLE_CARD_BYTES, ("host memory is not limited: the file has no host_memory",)


def _exit_code(verdict: Verdict) -> int:
    return ExitCode.OK if verdict in (Verdict.FITS, Verdict.TIGHT) else ExitCode.FAILED


def _write_json(content: dict[str, Value], out: TextIO) -> None:
    from gpudesk.output import to_json

    out.write(to_json(content, indented=True) + "\n")


def _write_lines(lines: Sequence[str], out: TextIO) -> None:
    encoding = out.encoding or "utf-8"
    for line in lines:
        out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
