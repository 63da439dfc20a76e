"""The cards area: one block per card, in the fullest form that fits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gpudesk.ui import graph
from gpudesk.ui.bar import draw_bar, segments_of
from gpudesk.ui.cells import Line, Span, clip_line, fit, fit_line, line_width, spread, wrap
from gpudesk.ui.staleness import stale_seconds
from gpudesk.units import UNKNOWN, celsius, duration, gibibytes, percent, watts
from gpudesk.watch.history import Span as HistorySpan

if TYPE_CHECKING:
    from gpudesk.domain.card import Card
    from gpudesk.domain.desk import CardState
    from gpudesk.ui.scene import Scene

SPAN_WORDS = {HistorySpan.MINUTE: "60 s", HistorySpan.TEN_MINUTES: "10 min"}

HOT_MARGIN_CELSIUS = 5.0
"""A card this close to where it slows itself down is shown as hot."""


class Form(Enum):
    """How much of a card is shown: lines without the graph's, and whether there is a graph."""

    FULL = (3, True)
    """Head, bar, figures, graph."""
    FIGURES = (3, False)
    BAR = (2, False)
    LINE = (1, False)

    @property
    def lines(self) -> int:
        """Lines besides the graph."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class CardsLayout:
    """How the cards share the room they are given."""

    form: Form
    columns: int
    graph_rows: int
    block_lines: int
    """Lines of one card, the empty line after it included where there is one."""


def plan_cards(count: int, width: int, lines: int) -> CardsLayout:
    """Choose the fullest form in which all cards fit, else the smallest one, which then scrolls.

    Args:
        count: how many cards.
        width: cells inside the frame.
        lines: lines inside the frame.
    """
    wide = 2 if width >= 150 and count > 1 else 1
    rows = max(1, -(-count // wide))
    for graph_rows in (4, 3, 2):
        gap = 1 if rows > 1 else 0
        block = Form.FULL.lines + graph_rows + gap
        if rows * block - gap <= lines and width >= 56:
            return CardsLayout(Form.FULL, wide, graph_rows, block)
    for form in (Form.FIGURES, Form.BAR):
        if rows * form.lines <= lines:
            return CardsLayout(form, wide, 0, form.lines)
    return CardsLayout(Form.LINE, wide, 0, 1)


def card_height(count: int, width: int, available: int) -> int:
    """Return the lines the cards would like to have inside their frame, of the `available` ones."""
    if count == 0:
        return min(available, 4)
    layout = plan_cards(count, width, available)
    rows = -(-count // layout.columns)
    gap = 1 if layout.form is Form.FULL and rows > 1 else 0
    return min(available, rows * layout.block_lines - gap)


def _temperature(card: Card) -> Span:
    limit, now = card.temperature_limit_celsius, card.temperature_celsius
    if now is not None and limit is not None and now >= limit:
        return Span(f"{celsius(now)} !", "error")
    if now is not None and limit is not None and now >= limit - HOT_MARGIN_CELSIUS:
        return Span(f"{celsius(now)} hot", "warn")
    return Span(celsius(now), "text")


def _power(card: Card) -> str:
    if card.power_draw_watts is None:
        return f"{UNKNOWN} W"
    if card.power_limit_watts is None:
        return watts(card.power_draw_watts)
    return f"{card.power_draw_watts:.0f}/{card.power_limit_watts:.0f} W"


def vitals(card: Card) -> Line:
    """Return utilization, temperature and power."""
    return (
        Span("util ", "dim"),
        Span(percent(card.utilization_ratio).rjust(5), "text"),
        Span("   "),
        _temperature(card),
        Span("   "),
        Span(_power(card), "text"),
    )


def _state_mark(state: CardState, scene: Scene) -> Line:
    """Return what is out of the ordinary about a card: lost, asleep, stale."""
    card = state.card
    age = stale_seconds(scene.desk.source("nvml"), scene.now, slack=scene.slack)
    spans: list[Span] = []
    if card.asleep:
        spans.append(Span("  ☾ asleep", "dim"))
    if card.unified_memory:
        spans.append(Span("  shared with the host", "dim"))
    if age is not None:
        spans.append(Span(f"  ◷ {duration(age)} old", "warn"))
    return tuple(spans)


def head(state: CardState, scene: Scene, width: int, *, selected: bool) -> Line:
    """Return a card's first line: index, name, what is out of the ordinary, vitals."""
    card = state.card
    name = card.name or "unnamed card"
    left = (
        Span("▸ " if selected else "  ", "accent"),
        Span(f"{card.index} ", "dim"),
        Span(name, "strong", f"card({card.index})"),
        *_state_mark(state, scene),
    )
    if card.error:
        return spread(left, (), width)
    return spread(left, vitals(card), width)


def totals(state: CardState, scene: Scene) -> Line:
    """Return used, free, total and reserve in figures."""
    card = state.card
    used = sum(holder.memory_bytes for holder in state.holders) if state.free_bytes is not None else None
    if used is None:
        used = card.memory_used_bytes
    spans = [
        Span("held ", "dim"),
        Span(gibibytes(used, unit=False), "strong"),
        Span("  free ", "dim"),
        Span(gibibytes(state.free_bytes, unit=False), "strong"),
        Span("  of ", "dim"),
        Span(gibibytes(card.memory_total_bytes), "text"),
    ]
    if scene.reserve_bytes:
        kept = state.free_bytes is None or state.free_bytes >= scene.reserve_bytes
        spans += [
            Span("  reserve ", "dim"),
            Span(gibibytes(scene.reserve_bytes, unit=False), "text" if kept else "warn"),
        ]
        if not kept:
            spans.append(Span(" ! cut into", "warn"))
    return tuple(spans)


def _legend(unlabeled: list[Span]) -> Line:
    spans: list[Span] = []
    for index, span in enumerate(unlabeled):
        if index:
            spans.append(Span("   "))
        spans.append(span)
    return tuple(spans)


def bar_and_legend(state: CardState, scene: Scene, width: int) -> tuple[Line, Line]:
    """Return the bar and, for the holders whose label did not fit into it, the legend."""
    segments = segments_of(state, scene.marks, reserve_bytes=scene.reserve_bytes, colored=scene.colored)
    line, unlabeled = draw_bar(segments, width)
    entries = [
        Span(segment.legend, segment.role.replace("fill-", "mark-") if segment.role[5:].isdecimal() else "dim")
        for segment in unlabeled
    ]
    return line, _legend(entries)


def history_lines(state: CardState, scene: Scene, width: int, rows: int) -> list[Line]:
    """Draw memory held and utilization side by side, `rows` lines high, with a fixed 0..1 range."""
    points = scene.history.points(state.card.index, scene.span) if scene.history is not None else ()
    gap = 3
    half = (width - gap) // 2
    word = SPAN_WORDS[scene.span]
    label = 7
    memory = graph.area([point.used_ratio for point in points], half - label, rows)
    busy = graph.area([point.utilization_ratio for point in points], width - gap - half - label, rows)
    lines: list[Line] = []
    for row in range(rows):
        left = "memory" if row == 0 else word if row == 1 else ""
        right = "util" if row == 0 else word if row == 1 else ""
        lines.append(
            (
                Span(fit(left, label), "dim"),
                Span(memory[row], "graph-memory"),
                Span(" " * gap),
                Span(fit(right, label), "dim"),
                Span(busy[row], "graph-utilization"),
            )
        )
    return lines


def card_line(state: CardState, scene: Scene, width: int, *, selected: bool) -> Line:
    """Return a card on one line: index, name, bar, figures."""
    card = state.card
    used = sum(holder.memory_bytes for holder in state.holders)
    left = (
        Span("▸ " if selected else "  ", "accent"),
        Span(f"{card.index} ", "dim"),
        Span(fit(_short_name(card.name), 9), "strong", f"card({card.index})"),
        *_state_mark(state, scene),
        Span(" "),
    )
    if card.error:
        return fit_line((*left, Span(f"! {card.error}", "error")), width)
    right = (
        Span(f" {gibibytes(used, unit=False):>5}/{gibibytes(card.memory_total_bytes):<9}", "text"),
        Span(f"{percent(card.utilization_ratio):>5} ", "text"),
        Span(f"{celsius(card.temperature_celsius):>6}", "dim"),
    )
    room = width - line_width(left) - line_width(right)
    bar, _ = bar_and_legend(state, scene, max(0, room))
    return fit_line((*left, *bar, *right), width)


def _short_name(name: str | None) -> str:
    """Drop the words every card's name begins with: `NVIDIA GeForce RTX 4090` is `RTX 4090`."""
    short = name or "unnamed"
    for word in ("NVIDIA ", "GeForce ", "Tesla "):
        short = short.removeprefix(word)
    return short


def card_block(state: CardState, scene: Scene, layout: CardsLayout, width: int, *, selected: bool) -> list[Line]:
    """Return one card in the layout's form, exactly `layout.block_lines` lines of `width` cells."""
    if layout.form is Form.LINE:
        return [card_line(state, scene, width, selected=selected)]
    lines = [head(state, scene, width, selected=selected)]
    indent = Span("  ")
    inner = width - 2
    if state.card.error:
        lines.extend((indent, Span(text, "error")) for text in wrap(f"! {state.card.error}", inner))
    else:
        bar, legend = bar_and_legend(state, scene, inner)
        lines.append((indent, *bar))
        if layout.form is not Form.BAR:
            lines.append((indent, *spread(totals(state, scene), legend, inner)))
        if layout.graph_rows:
            lines.extend((indent, *line) for line in history_lines(state, scene, inner, layout.graph_rows))
    lines = lines[: layout.block_lines]
    lines.extend(() for _ in range(layout.block_lines - len(lines)))
    return [fit_line(line, width) for line in lines]


def no_cards(scene: Scene, width: int) -> list[Line]:
    """Say why there is no card: still looking, or what was looked for and what to do."""
    state = scene.desk.source("nvml")
    if state is None or (state.failure is None and state.last_value_at is None):
        return [(Span("  … looking for cards", "dim"),)]
    if state.failure is None:
        return [
            (Span("  ! the driver answers, but reports no card", "warn"),),
            (Span("    gpudesk doctor says what was found", "dim"),),
        ]
    lines: list[Line] = [(Span(f"  ! {text}" if not i else f"    {text}", "error"),)
                         for i, text in enumerate(wrap(state.failure.message, width - 4))]  # fmt: skip
    if state.failure.hint:
        lines += [(Span(f"  → {text}" if not i else f"    {text}", "text"),)
                  for i, text in enumerate(wrap(state.failure.hint, width - 4))]  # fmt: skip
    lines.append((Span("    engines and models below are shown all the same, in the engines' own figures", "dim"),))
    return [clip_line(line, width) for line in lines]


def cards_lines(scene: Scene, layout: CardsLayout, width: int, *, selected: int | None) -> list[Line]:
    """Return all blocks under (and beside) each other; `selected` is a position among the cards."""
    states = scene.desk.cards
    if not states:
        return no_cards(scene, width)
    gap = 3
    column_width = (width - gap * (layout.columns - 1)) // layout.columns
    lines: list[Line] = []
    for start in range(0, len(states), layout.columns):
        blocks = [
            card_block(state, scene, layout, column_width, selected=start + offset == selected)
            for offset, state in enumerate(states[start : start + layout.columns])
        ]
        for parts in zip(*blocks, strict=True):
            joined: list[Span] = []
            for part in parts:
                if joined:
                    joined.append(Span(" " * gap))
                joined.extend(part)
            lines.append(tuple(joined))
    return lines
