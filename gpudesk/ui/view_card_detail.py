"""Everything known of one card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.card import Card, ProcessAccounting
from gpudesk.domain.desk import CardState, HolderKind, MemorySource
from gpudesk.ui.bar import PROCESS_FILL, UNATTRIBUTED_FILL, holder_key
from gpudesk.ui.cells import Line, Span, fit, line_width
from gpudesk.ui.detail_lines import Detail, fact, heading, paragraphs
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.view_cards import bar_and_legend, history_lines, totals
from gpudesk.units import celsius, gibibytes, percent, watts

if TYPE_CHECKING:
    from gpudesk.domain.desk import Holder
    from gpudesk.ui.scene import Scene

ACCOUNTING = {
    ProcessAccounting.FULL: "every process with its memory",
    ProcessAccounting.PIDS_ONLY: "processes without their memory (WSL and Windows): models show the engine's figures",
    ProcessAccounting.NONE: "no process list: not supported, not allowed, or the call failed",
}


def card_detail(index: int, scene: Scene, width: int) -> Detail | None:
    """Return the detail of the card with an index, None when there is none."""
    state = next((state for state in scene.desk.cards if state.card.index == index), None)
    if state is None:
        return None
    card = state.card
    title = (Span(f"{card.index} ", "dim"), Span(card.name or "unnamed card", "title-focus"))
    lines: list[Line] = []
    if card.error:
        lines += [*paragraphs([card.error], width, mark="!", role="error"), ()]
    else:
        bar, _ = bar_and_legend(state, scene, width, 0)
        lines += [bar, totals(state, scene), (), *history_lines(state, scene, width, 4), ()]
    lines += _holders(state, scene, width)
    lines += _figures(card, width)
    notes = [*state.notes, *(f"{problem.message}{f': {problem.hint}' if problem.hint else ''}"
                             for problem in card.problems)]  # fmt: skip
    if notes:
        lines += [heading("Notes"), *paragraphs(notes, width)]
    return Detail(title, tuple(lines))


def _holder_line(holder: Holder, scene: Scene, width: int) -> Line:
    if holder.kind is HolderKind.MODEL:
        mark = scene.marks.get(holder_key(holder))
        tag = Span(letter(mark), f"mark-{shade(mark)}")
    else:
        tag = Span(PROCESS_FILL if holder.kind is HolderKind.PROCESS else UNATTRIBUTED_FILL, "dim")
    claimed = "~" if holder.source is MemorySource.ENGINE else ""
    pids = ", ".join(f"{pid}" for pid in holder.pids)
    right = (
        Span(f"{claimed}{gibibytes(holder.memory_bytes):>9}", "strong"),
        Span(fit(f"  pid {pids}" if pids else "", 18), "dim"),
    )
    name = fit(holder.name, max(8, width - 2 - line_width(right)))
    return (tag, Span(" "), Span(name, "strong" if holder.kind is HolderKind.MODEL else ""), *right)


def _holders(state: CardState, scene: Scene, width: int) -> list[Line]:
    """Every holder and the free rest: together the total."""
    lines = [heading("Who holds it")]
    for holder in state.holders:
        lines.append(_holder_line(holder, scene, width))
        if holder.note:
            lines.extend((Span("  "), *line) for line in paragraphs([holder.note], width - 2))
    room = max(8, width - 2 - 27)
    lines.append((Span("  "), Span(fit("free", room)), Span(f"{gibibytes(state.free_bytes):>9}", "strong")))
    total = gibibytes(state.card.memory_total_bytes)
    lines.append((Span("  "), Span(fit("total", room), "dim"), Span(f"{total:>9}", "dim")))
    return [*lines, ()]


def _figures(card: Card, width: int) -> list[Line]:
    """The driver's figures."""
    fan = None if card.fan_ratio is None else percent(card.fan_ratio)
    limit = card.temperature_limit_celsius
    warm = celsius(card.temperature_celsius) + (f", slows down at {celsius(limit)}" if limit is not None else "")
    power = watts(card.power_draw_watts) + (f" of {watts(card.power_limit_watts)}" if card.power_limit_watts else "")
    graphics, memory = card.graphics_clock_megahertz, card.memory_clock_megahertz
    lines = [heading("The card")]
    lines += fact("utilization", percent(card.utilization_ratio), width)
    lines += fact("temperature", warm, width)
    lines += fact("power", power, width)
    lines += fact("fan", fan, width)
    lines += fact("clock, graphics", None if graphics is None else f"{graphics} MHz", width)
    lines += fact("clock, memory", None if memory is None else f"{memory} MHz", width)
    lines += fact("driver's reserve", gibibytes(card.memory_reserved_bytes), width)
    lines += fact("driver tells", ACCOUNTING[card.process_accounting], width)
    if card.unified_memory:
        lines += fact("memory", "shared with the host: total and free are the host's", width)
    lines += fact("PCI", card.pci_bus_id, width)
    lines += fact("UUID", card.uuid, width)
    lines.append(())
    if card.slices:
        lines.append(heading("Slices (MIG)"))
        for part in card.slices:
            used, total = gibibytes(part.memory_used_bytes, unit=False), gibibytes(part.memory_total_bytes)
            lines += fact(f"{part.index} {part.name or ''}", f"{used} of {total} held", width)
        lines.append(())
    return lines
