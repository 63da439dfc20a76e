"""What `gpudesk budget` prints: a budget or the simple planner's answer, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.budget import BudgetFile, Units
from gpudesk.fit.pipeline import GIGABYTE, Origin
from gpudesk.fit.simple import FACTOR, Place
from gpudesk.fit.values import Verdict
from gpudesk.output.columns import Column, table
from gpudesk.units import GIBIBYTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.claims import ClaimedFigure
    from gpudesk.fit.pipeline import Budget, BudgetRow, CardTotal
    from gpudesk.fit.simple import SimplePlan
    from gpudesk.fit.vllm import VllmShare
    from gpudesk.output.desk_json import Value

SCHEMA_VERSION = 1

_ORIGIN_WORDS = {
    Origin.SHARE: "share of the card",
    Origin.TABLE: "from the table",
}


_COLUMNS = (
    Column("entry"),
    Column("idle", right=True),
    Column("peak", right=True),
    Column("basis", rank=2),
    Column("card", rank=1),
)


def size_text(size_bytes: int, units: Units) -> str:
    """Write a size in the units of the file, one decimal."""
    divisor = GIGABYTE if units is Units.GB else GIBIBYTE
    return f"{size_bytes / divisor:.1f} {units.value}"


def budget_lines(
    file: BudgetFile, result: Budget, claims: Sequence[ClaimedFigure] = (), *, width: int = 120
) -> list[str]:
    """Write a budget as text, the verdict first."""
    units = file.units
    rows = [_row(row, result, units) for row in result.rows]
    rows.append(("total", size_text(result.idle_bytes, units), size_text(result.peak_bytes, units), "", ""))
    lines = [f"{file.title}: {result.verdict.value}" if file.title else result.verdict.value.capitalize(), ""]
    lines += table(_COLUMNS, rows, width)
    lines.append("")
    lines += [line for total in result.cards for line in _card_lines(total, units)]
    notes = [*result.notes, *(f"{row.entry.name}: {note}" for row in result.rows for note in _row_notes(row))]
    if notes:
        lines += ["", *notes]
    if claims:
        lines += ["", *(claim_line(figure, units) for figure in claims)]
    return lines


def _row(row: BudgetRow, result: Budget, units: Units) -> tuple[str, ...]:
    need = row.need
    name = row.entry.name if row.entry.count == 1 else f"{row.entry.count} x {row.entry.name}"
    where = result.cards[row.card].budget.name if len(result.cards) > 1 else ""
    origin = _ORIGIN_WORDS.get(need.origin, need.origin.value)
    return (name, size_text(need.idle_bytes, units), size_text(need.peak_bytes, units), origin, where)


def _row_notes(row: BudgetRow) -> tuple[str, ...]:
    need = row.need
    if not need.spills or need.layers is None:
        return need.notes
    on_card, total = need.layers
    return (f"{total - on_card} of {total} layers on the CPU", *need.notes)


def _card_lines(total: CardTotal, units: Units) -> list[str]:
    budget = total.budget
    available = size_text(budget.available_bytes, units)
    if budget.available_bytes < budget.memory_total_bytes:
        available += f" available of {size_text(budget.memory_total_bytes, units)}"
    head = f"{budget.name}, {available}: {total.verdict.value}"
    idle, peak = (_left(size, units) for size in (total.idle_headroom_bytes, total.peak_headroom_bytes))
    lines = [head, f"  idle {size_text(total.idle_bytes, units)}, {idle}"]
    lines.append(f"  peak {size_text(total.peak_bytes, units)}, {peak}")
    if total.turns_bytes < total.peak_bytes:
        lines.append(f"  one at a time {size_text(total.turns_bytes, units)}")
    return lines + [f"  {_share_line(share, units)}" for share in total.shares]


def _left(headroom_bytes: int, units: Units) -> str:
    if headroom_bytes < 0:
        return f"{size_text(-headroom_bytes, units)} too much"
    return f"{size_text(headroom_bytes, units)} left"


def _share_line(share: VllmShare, units: Units) -> str:
    words = [f"{share.instance.name}: {share.start.value} with {size_text(share.share_bytes, units)}"]
    if share.kv_bytes is not None:
        words.append(f"KV cache {size_text(max(0, share.kv_bytes), units)}")
    if share.max_concurrency is not None:
        words.append(f"{share.max_concurrency:.2f} requests of {share.instance.max_model_len} tokens at once")
    elif share.kv_tokens is not None:
        words.append(f"{share.kv_tokens} tokens")
    return ", ".join(words)


def claim_line(figure: ClaimedFigure, units: Units) -> str:
    """Write a published figure beside the right one."""
    said = f"{figure.source}, {figure.what}: article value {size_text(figure.claimed_bytes, units)}"
    if figure.right:
        return f"{said}, right"
    return f"{said}, right is {size_text(figure.actual_bytes, units)} ({figure.note})"


def budget_document(file: BudgetFile, result: Budget, claims: Sequence[ClaimedFigure] = ()) -> dict[str, Value]:
    """Build the JSON document of a budget."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.verdict.value,
        "title": file.title,
        "entries": [_entry_value(row) for row in result.rows],
        "cards": [_card_value(total) for total in result.cards],
        "idle_bytes": result.idle_bytes,
        "peak_bytes": result.peak_bytes,
        "claims": [_claim_value(figure) for figure in claims],
        "notes": list(result.notes),
    }


def _entry_value(row: BudgetRow) -> dict[str, Value]:
    need_layers = row.need.layers
    return {
        "name": row.entry.name,
        "kind": row.entry.kind.value,
        "count": row.entry.count,
        "idle_bytes": row.need.idle_bytes,
        "peak_bytes": row.need.peak_bytes,
        "basis": row.need.origin.value,
        "card": row.card,
        "layers_on_gpu": need_layers[0] if need_layers is not None else None,
        "layers_total": need_layers[1] if need_layers is not None else None,
        "notes": list(row.need.notes),
    }


def _card_value(total: CardTotal) -> dict[str, Value]:
    return {
        "index": total.budget.index,
        "name": total.budget.name,
        "memory_total_bytes": total.budget.memory_total_bytes,
        "available_bytes": total.budget.available_bytes,
        "idle_bytes": total.idle_bytes,
        "peak_bytes": total.peak_bytes,
        "one_at_a_time_bytes": total.turns_bytes,
        "verdict": total.verdict.value,
        "instances": [_share_value(share) for share in total.shares],
        "notes": list(total.notes),
    }


def _share_value(share: VllmShare) -> dict[str, Value]:
    return {
        "name": share.instance.name,
        "fraction": share.instance.fraction,
        "share_bytes": share.share_bytes,
        "start": share.start.value,
        "kv_cache_bytes": share.kv_bytes,
        "kv_cache_tokens": share.kv_tokens,
        "max_concurrency": round(share.max_concurrency, 2) if share.max_concurrency is not None else None,
        "low_bytes": share.held_bytes[0],
        "high_bytes": share.held_bytes[2],
    }


def _claim_value(figure: ClaimedFigure) -> dict[str, Value]:
    return {
        "source": figure.source,
        "figure": figure.what,
        "claimed_bytes": figure.claimed_bytes,
        "actual_bytes": figure.actual_bytes,
        "right": figure.right,
        "note": figure.note,
    }


def simple_lines(plan: SimplePlan, title: str | None, card_gb: float, notes: Sequence[str] = ()) -> list[str]:
    """Write the simple planner's answer, in GB as its guide prints it."""
    head = f"simple planner: file size from a table times {FACTOR}, by priority, on {card_gb:.4g} GB"
    names = max(len(placement.model.name) for placement in plan.placements)
    quantizations = max(len(placement.model.quantization) for placement in plan.placements)
    lines = [f"{title}: {simple_verdict(plan).value}" if title else simple_verdict(plan).value.capitalize(), head, ""]
    lines += [
        f"{placement.model.priority:>3}  {placement.model.name:<{names}}  "
        f"{placement.model.quantization:<{quantizations}}  {placement.need_gb:6.2f} GB  {placement.place.value}"
        for placement in plan.placements
    ]
    lines += ["", f"card {plan.card_gb:.2f} GB, host memory {plan.host_gb:.2f} GB"]
    lines += [f"{placement.model.name}: {placement.note}" for placement in plan.placements if placement.note]
    return [*lines, *plan.warnings, *notes]


def simple_verdict(plan: SimplePlan) -> Verdict:
    """Return the verdict: a model in host memory is a spill."""
    places = {placement.place for placement in plan.placements}
    if Place.NOWHERE in places:
        return Verdict.DOES_NOT_FIT
    return Verdict.SPILLS if Place.HOST in places else Verdict.FITS


def simple_document(plan: SimplePlan, title: str | None, card_gb: float, notes: Sequence[str] = ()) -> dict[str, Value]:
    """Build the JSON document of the simple planner."""
    return {
        "schema_version": SCHEMA_VERSION,
        "planner": "simple",
        "verdict": simple_verdict(plan).value,
        "title": title,
        "models": [
            {
                "name": placement.model.name,
                "priority": placement.model.priority,
                "parameters_billion": placement.model.parameters_billion,
                "quantization": placement.model.quantization,
                "need_bytes": round(placement.need_gb * GIGABYTE),
                "place": placement.place.value,
                "note": placement.note,
            }
            for placement in plan.placements
        ],
        "card_total_bytes": round(card_gb * GIGABYTE),
        "card_bytes": round(plan.card_gb * GIGABYTE),
        "host_bytes": round(plan.host_gb * GIGABYTE),
        "warnings": list(plan.warnings),
        "notes": list(notes),
    }
