"""The list to choose from, and the table of cards to plan with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.values import Basis
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.planner.choices import Change, Choice
from gpudesk.ui.tables import Column, Table
from gpudesk.units import UNKNOWN, gibibytes

if TYPE_CHECKING:
    from gpudesk.fit.card_table import KnownCard
    from gpudesk.fit.values import Estimate
    from gpudesk.ui.scene import Scene

_DASH: Line = (Span(UNKNOWN, "faint"),)
_CHANGE_ROLES = {
    Change.NONE: "faint", Change.STAYS: "good", Change.COMES: "accent", Change.GOES: "warn", Change.RELOADS: "warn",
    Change.RESTART: "warn",
}  # fmt: skip


def _box_cell(choice: Choice, _scene: Scene) -> Line:
    if choice.failure is not None:
        return (Span(" ! ", "error"),)
    action = f"choose('{choice.name}')" if "'" not in choice.name and "\\" not in choice.name else ""
    return (Span("[x]", "accent", action) if choice.chosen else Span("[ ]", "dim", action),)


def _mark_cell(choice: Choice, _scene: Scene) -> Line:
    if choice.mark is None or not (choice.chosen or choice.loaded):
        return (Span(" "),)
    return (Span(letter(choice.mark), f"mark-{shade(choice.mark)}"),)


def _name_cell(choice: Choice, _scene: Scene) -> Line:
    return (Span(choice.name, "strong" if choice.chosen else ""),)


def _size_cell(choice: Choice, _scene: Scene) -> Line:
    if choice.failure is not None:
        return (Span("no header", "error"),)
    if choice.chosen and choice.estimate is None and choice.loaded is not None:
        return (Span(f"now {gibibytes(choice.loaded.memory_bytes, unit=False)}", "dim"),)
    if choice.chosen and choice.model is None:
        return (Span("… reading", "dim"),)
    if choice.chosen and choice.estimate is not None:
        return (Span(gibibytes(choice.estimate.parts.total_bytes, unit=False), "strong"),)
    size = choice.installed.size_bytes if choice.installed is not None else None
    return _DASH if size is None else (Span(f"file {gibibytes(size, unit=False)}", "dim"),)


def _band_cell(choice: Choice, _scene: Scene) -> Line:
    if not choice.chosen or choice.estimate is None:
        return ()
    return (Span(band_words(choice.estimate), "dim"),)


def band_words(estimate: Estimate) -> str:
    """Return the band: `13.9–14.6`."""
    low, high = gibibytes(estimate.low_bytes, unit=False), gibibytes(estimate.high_bytes, unit=False)
    return f"{low}–{high}"


def basis_words(estimate: Estimate) -> str:
    """Say where an estimate comes from: `calibrated, 7 points`."""
    if estimate.basis is Basis.CALCULATED:
        return estimate.basis.value
    return f"{estimate.basis.value}, {estimate.points} point{'' if estimate.points == 1 else 's'}"


def _context_cell(choice: Choice, _scene: Scene) -> Line:
    if not choice.chosen:
        return ()
    asked = choice.options.context_length
    told = choice.estimate.context_length if choice.estimate is not None else None
    if asked is None:
        return _DASH if told is None else (Span(f"{told}", "dim"),)
    if told is not None and told != asked:
        return (Span(f"!{told}", "warn"),)
    return (Span(f"{asked}"),)


def _slots_cell(choice: Choice, _scene: Scene) -> Line:
    if not choice.chosen:
        return ()
    slots = choice.estimate.parallel if choice.estimate is not None else choice.options.parallel
    return _DASH if slots is None else (Span(f"×{slots}", "dim" if slots == 1 else "text"),)


def _kv_cell(choice: Choice, _scene: Scene) -> Line:
    if not choice.chosen:
        return ()
    keys, values = choice.options.kv_cache_type_k, choice.options.kv_cache_type_v
    return (Span(keys if keys == values else f"{keys}/{values}", "dim" if keys == "f16" else "text"),)


def _change_cell(choice: Choice, _scene: Scene) -> Line:
    return (Span(choice.change.value, _CHANGE_ROLES[choice.change]),)


def _size_order(choice: Choice, _scene: Scene) -> int | None:
    if choice.chosen and choice.estimate is not None:
        return choice.estimate.parts.total_bytes
    return choice.installed.size_bytes if choice.installed is not None else None


CHOICES: Table[Choice] = Table(
    id="choices",
    key=lambda choice: choice.name,
    haystack=lambda choice: " ".join(
        (choice.name, (choice.installed.family or "") if choice.installed else "file",
         (choice.installed.quantization or "") if choice.installed else "")
    ),
    # Rows are kept between two plans: they depend on nothing but their choice.
    basis=lambda _scene: None,
    columns=(
        Column("box", "", 3, _box_cell, help="[x] is in the plan, ! has no header to plan with"),
        Column("mark", " ", 1, _mark_cell, help="The letter of the model in the card's bar"),
        Column("name", "MODEL", 14, _name_cell, grow=1, order=lambda choice, _: choice.name.lower()),
        Column("size", "GiB", 9, _size_cell, right=True, order=_size_order, largest_first=True,
               help="What it would take on the cards; for models that are not in the plan the size of the file"),
        Column("band", "BAND", 11, _band_cell, right=True, rank=3,
               help="The measured value is expected between, 95 times of 100"),
        Column("context", "CONTEXT", 7, _context_cell, right=True, rank=0,
               help="Tokens per slot; dim is the engine's own choice, ! is less than was asked for"),
        Column("slots", "SLOTS", 5, _slots_cell, right=True, rank=2, help="Requests served at once"),
        Column("kv", "KV", 6, _kv_cell, rank=1, help="Number format of the context's cache"),
        Column("change", "PLAN", 7, _change_cell, order=lambda choice, _: choice.change.value,
               help="It stays, comes, goes, reloads with another context, or needs a restart of the engine"),
    ),
)  # fmt: skip


def _card_memory(card: KnownCard, _scene: Scene) -> Line:
    return (Span(gibibytes(card.memory_total_bytes), "strong"),)


def _card_bandwidth(card: KnownCard, _scene: Scene) -> Line:
    return (Span(f"{card.bandwidth_bytes_per_second / 1e9:.0f} GB/s"),)


KNOWN_CARDS: Table[KnownCard] = Table(
    id="known",
    key=lambda card: card.name,
    haystack=lambda card: card.name,
    basis=lambda _scene: None,
    columns=(
        Column("name", "CARD TO PLAN WITH", 20, lambda card, _: (Span(card.name, "strong"),), grow=1,
               order=lambda card, _: card.name),
        Column("memory", "MEMORY", 9, _card_memory, right=True, largest_first=True,
               order=lambda card, _: card.memory_total_bytes),
        Column("bandwidth", "BANDWIDTH", 10, _card_bandwidth, right=True, rank=1, largest_first=True,
               order=lambda card, _: card.bandwidth_bytes_per_second),
        Column("backend", "API", 5, lambda card, _: (Span(card.backend, "dim"),), rank=2),
    ),
)  # fmt: skip
