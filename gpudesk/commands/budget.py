"""`gpudesk budget`: what a mixed pipeline takes, idle and at its peak."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gpudesk.commands.budget_needs import WHOLE_CARD_BYTES, Cards, Here, given_back, measured_on, needs_of
from gpudesk.errors import ExitCode, UsageError
from gpudesk.fit.budget import BudgetFile, read_budget
from gpudesk.fit.pipeline import GIGABYTE, budget, card_budget, simple_budget
from gpudesk.fit.values import Verdict
from gpudesk.paths import shortened
from gpudesk.planning.situation import described, of_desk, profile_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpudesk.commands.planning_session import PlanningMeans
    from gpudesk.output.desk_json import Value

SIZE_LIMIT_BYTES = 1 << 20
"""A budget larger than this is something else by mistake."""


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


def request_from(given: Mapping[str, Any]) -> BudgetRequest:
    """Make the request of the options of the command line."""
    return BudgetRequest(
        path=Path(given["file"]).expanduser(),
        simple=given.get("simple", False),
        cards=tuple(given.get("card", ())),
        memory=tuple(given.get("vram", ())),
        as_json=given.get("json", False),
    )


def run(request: BudgetRequest, means: PlanningMeans, out: TextIO) -> int:
    """Add up, print, and return the exit code: 0 fits or tight, 1 spills or does not fit.

    Raises:
        UsageError: the file is wrong, a card nobody knows, a model that is not installed.
        SourceError: the file cannot be read; no card; nobody to tell about a model.
    """
    where = shortened(request.path)
    file = read_budget(_text(request.path, where), where)
    here = Here(means)
    try:
        return _simple(request, file, where, here, out) if request.simple else _full(request, file, means, here, out)
    finally:
        here.close()


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


def _full(request: BudgetRequest, file: BudgetFile, means: PlanningMeans, here: Here, out: TextIO) -> int:
    from gpudesk.fit.claims import check_claims
    from gpudesk.output.budget import budget_document, budget_lines

    cards = _cards(request, file, means, here)
    measured, file = measured_on(file, cards, here)
    if cards.is_here:
        cards = replace(cards, budgets=given_back(cards.budgets, file, here.desk))
    needs = needs_of(file, cards, measured, means, here)
    result = budget(file, cards.budgets, needs)
    result = replace(result, notes=(*cards.notes, *result.notes))
    claims = check_claims(file.claims, result, _memory_of)
    if request.as_json:
        _write_json(budget_document(file, result, claims), out)
    else:
        _write_lines(budget_lines(file, result, claims), out)
    return _exit_code(result.verdict)


def _cards(request: BudgetRequest, file: BudgetFile, means: PlanningMeans, here: Here) -> Cards:
    """Take the cards of the command line, else of the file, else of this computer."""
    reserve = file.reserve_bytes or means.settings.reserve_bytes
    if request.is_described:
        told = described(request.cards, request.memory, reserve_bytes=reserve, environment=os.environ)
        return Cards(told.cards, told.profile, told.notes)
    if file.cards:
        known = [
            _memory_of(card.name) if card.memory_bytes is None and card.name is not None else None
            for card in file.cards
        ]
        budgets = tuple(
            card_budget(card, index, reserve, memory)
            for index, (card, memory) in enumerate(zip(file.cards, known, strict=True))
        )
        return Cards(budgets, profile_of(None, os.environ))
    found = of_desk(here.desk, reserve_bytes=reserve, environment=os.environ)
    return Cards(found.cards, found.profile, found.notes, is_here=True)


def _memory_of(name: str) -> int | None:
    from gpudesk.fit.card_table import find_card

    card = find_card(name)
    return card.memory_total_bytes if card is not None else None


def _simple(request: BudgetRequest, file: BudgetFile, where: str, here: Here, out: TextIO) -> int:
    from gpudesk.output.budget import simple_document, simple_lines, simple_verdict

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


def _simple_cards(request: BudgetRequest, file: BudgetFile, here: Here) -> tuple[list[int], tuple[str, ...]]:
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


def _simple_host(request: BudgetRequest, file: BudgetFile, here: Here) -> tuple[int, tuple[str, ...]]:
    if file.host_bytes is not None:
        return file.host_bytes, ()
    if not request.is_described and not file.cards:
        host = here.desk.host
        if host is not None and host.memory_total_bytes is not None:
            return host.memory_total_bytes, ()
    return WHOLE_CARD_BYTES, ("host memory is not limited: the file has no host_memory",)


def _exit_code(verdict: Verdict) -> int:
    return ExitCode.OK if verdict in (Verdict.FITS, Verdict.TIGHT) else ExitCode.FAILED


def _write_json(content: dict[str, Value], out: TextIO) -> None:
    from gpudesk.output.desk_json import to_json

    out.write(to_json(content, indented=True) + "\n")


def _write_lines(lines: Sequence[str], out: TextIO) -> None:
    encoding = out.encoding or "utf-8"
    for line in lines:
        out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
