"""The cards area: one block per card, in the fullest form that fits."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from rich.cells import cell_len

from gpudesk.records import dataclass
from gpudesk.ui import graph
from gpudesk.ui.bar import draw_bar, segments_of
from gpudesk.ui.cells import Line, Span, clip, clip_line, fit, fit_line, line_width, spread, wrap
from gpudesk.ui.staleness import stale_seconds
from gpudesk.units import UNKNOWN, celsius, duration, gibibytes, percent, watts
from gpudesk.watch.history import Span as HistorySpan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.domain.card import Card
    from gpudesk.domain.desk import CardState
    from gpudesk.ui.bar import Segment
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
    framed_head: bool = False
    """The one card's head stands in the frame instead of in its block."""


def plan_cards(count: int, width: int, lines: int, *, boxed: bool = False) -> CardsLayout:
    """Choose the fullest form in which all cards fit, else the smallest one, which then scrolls.

    Args:
        count: how many cards.
        width: cells inside the frame.
        lines: lines inside the frame.
        boxed: there is a box, whose first line takes the head of a single card.
    """
    if boxed and count == 1:
        graph_rows = min(4, max(0, lines - 2))
        if graph_rows >= 2:
            return CardsLayout(Form.FULL, 1, graph_rows, 2 + graph_rows, framed_head=True)
        return CardsLayout(Form.FIGURES, 1, 0, 2, framed_head=True)
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


def card_height(count: int, width: int, available: int, *, boxed: bool = False) -> int:
    """Return the lines the cards would like to have inside their frame, of the `available` ones."""
    if count == 0:
        return min(available, 4)
    layout = plan_cards(count, width, available, boxed=boxed)
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


def name_line(state: CardState, scene: Scene, *, role: str = "strong") -> Line:
    """Return a card's index, name, and what is out of the ordinary about it."""
    card = state.card
    return (
        Span(f"{card.index} ", "dim"),
        Span(card.name or "unnamed card", role, f"card({card.index})"),
        *_state_mark(state, scene),
    )


def head(state: CardState, scene: Scene, width: int, *, selected: bool) -> Line:
    """Return a card's first line: name and vitals."""
    card = state.card
    left = (Span("▸ " if selected else "  ", "accent"), *name_line(state, scene))
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


def legend_line(unlabeled: Sequence[Segment], width: int) -> Line:
    """Return the entries that fit whole, and how many more there are."""
    spans: list[Span] = []
    room = width
    for index, segment in enumerate(unlabeled):
        tag, rest = segment.legend[:1], segment.legend[1:]
        left = len(unlabeled) - index - 1
        more = f"  +{left} more" if left else ""
        gap = "   " if index else ""
        needed = cell_len(gap + segment.legend)
        if needed + cell_len(more) > room:
            hidden = left + 1
            note = f"{'  ' if index else ''}+{hidden} more"
            if index == 0 and room >= 12:
                spans.append(Span(clip(segment.legend, room), "dim"))
            elif cell_len(note) <= room:
                spans.append(Span(note, "dim"))
            break
        room -= needed
        role = f"mark-{segment.role[5:]}" if segment.role[5:].isdecimal() else "dim"
        spans += [Span(gap), Span(tag, role), Span(rest, "dim")]
    return tuple(spans)


def bar_and_legend(state: CardState, scene: Scene, width: int, legend_width: int) -> tuple[Line, Line]:
    """Return the bar and, for the holders whose label did not fit into it, the legend."""
    segments = segments_of(state, scene.marks, reserve_bytes=scene.reserve_bytes, colored=scene.colored, width=width)
    line, unlabeled = draw_bar(segments, width)
    return line, legend_line(unlabeled, legend_width)


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
    bar, _ = bar_and_legend(state, scene, max(0, room), 0)
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
    lines = [] if layout.framed_head else [head(state, scene, width, selected=selected)]
    indent = Span("" if layout.framed_head else "  ")
    inner = width - len(indent.text)
    if state.card.error:
        lines.extend((indent, Span(text, "error")) for text in wrap(f"! {state.card.error}", inner))
    else:
        figures = totals(state, scene)
        bar, legend = bar_and_legend(state, scene, inner, max(0, inner - line_width(figures) - 3))
        lines.append((indent, *bar))
        if layout.form is not Form.BAR:
            lines.append((indent, *spread(figures, legend, inner)))
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
