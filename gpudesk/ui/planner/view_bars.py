"""The cards under a plan: what is there now, what would be there, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.desk import HolderKind
from gpudesk.fit.values import Verdict
from gpudesk.ui.bar import (
    FREE_FILL,
    MODEL_FILLS_WITHOUT_COLOR,
    RESERVE_FILL,
    UNATTRIBUTED_FILL,
    Segment,
    draw_bar,
    segments_of,
)
from gpudesk.ui.cells import Line, Span, clip, fit, fit_line, line_width, spread
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.planner.choices import Change, Choice
from gpudesk.ui.view_cards import legend_line
from gpudesk.units import gibibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.domain.desk import CardState, Holder
    from gpudesk.fit.values import CardBudget, CardPlan, Plan
    from gpudesk.ui.scene import Scene
    from gpudesk.watch.planning import Ground

LABEL = 5
"""Cells of `now` and `plan` before the bars."""

SIGNS = {
    Verdict.FITS: ("✓", "good"), Verdict.TIGHT: ("≈", "warn"), Verdict.SPILLS: ("◐", "warn"),
    Verdict.DOES_NOT_FIT: ("✗", "error"),
}  # fmt: skip
"""Each verdict's glyph and role; its word always stands beside it."""


def verdict_spans(verdict: Verdict) -> Line:
    """Return glyph and word."""
    sign, role = SIGNS[verdict]
    return (Span(f"{sign} {verdict.value}", role),)


def card_lines_wanted(count: int, room: int) -> int:
    """Return the lines of one card: 4 with figures, 3 both bars, 2 the plan's bar, 1 the head."""
    return next((lines for lines in (4, 3, 2, 1) if count * lines <= room), 1)


def state_of(budget: CardBudget, scene: Scene, ground: Ground) -> CardState | None:
    """Return the card of this computer behind a budget."""
    if ground.described is not None:
        return None
    return next((state for state in scene.desk.cards if state.card.index == budget.index), None)


def planned_segments(
    position: int, budget: CardBudget, plan: Plan | None, choices: Sequence[Choice], scene: Scene, ground: Ground
) -> list[Segment]:
    """Divide a card as it would be: models of the plan, those that stay beside, others, free, reserve.

    The figures of others are those of now; what the plan has too much is cut from free, which then is nothing.
    """
    state = state_of(budget, scene, ground)
    by_name = {choice.name: choice for choice in choices}
    segments: list[Segment] = []
    for estimate in plan.models if plan is not None else ():
        taken = estimate.by_card[position].total_bytes if position < len(estimate.by_card) else 0
        choice = by_name.get(estimate.name)
        if taken > 0:
            mark = choice.mark if choice is not None else None
            coming = choice is None or choice.change in (Change.COMES, Change.RELOADS)
            segments.append(_model_segment(estimate.name, mark, taken, scene, coming=coming))
    others = _others(state, budget, scene, by_name)
    held = sum(segment.memory_bytes for segment in (*segments, *others))
    free = max(0, budget.memory_total_bytes - held)
    reserve = min(budget.reserve_bytes, free)
    rest = []
    if free - reserve > 0:
        figure = gibibytes(free - reserve, unit=False)
        rest.append(Segment(f"free {figure}", "", free - reserve, "fill-free", FREE_FILL, ""))
    if reserve > 0:
        label = f"{RESERVE_FILL} reserve {gibibytes(reserve, unit=False)}"
        rest.append(Segment(label, RESERVE_FILL, reserve, "fill-reserve", RESERVE_FILL, ""))
    return [*segments, *others, *rest]


def _model_segment(name: str, mark: int | None, size: int, scene: Scene, *, coming: bool) -> Segment:
    tag = f"+{letter(mark)}".strip() if coming else letter(mark)
    text = f"{tag} {name} {gibibytes(size, unit=False)}"
    fill = " " if scene.colored else MODEL_FILLS_WITHOUT_COLOR[shade(mark) % len(MODEL_FILLS_WITHOUT_COLOR)]
    return Segment(text, tag, size, f"fill-{shade(mark)}", fill, text)


def _others(state: CardState | None, budget: CardBudget, scene: Scene, by_name: dict[str, Choice]) -> list[Segment]:
    """Return what is no model of the list: processes, unattributed, models of engines that the plan is not about."""
    if state is None:
        held = budget.memory_total_bytes - budget.available_bytes - budget.reserve_bytes
        if held <= 0:
            return []
        text = f"{UNATTRIBUTED_FILL} others {gibibytes(held, unit=False)}"
        return [Segment(text, UNATTRIBUTED_FILL, held, "fill-unattributed", UNATTRIBUTED_FILL, text)]
    from dataclasses import replace

    kept = tuple(
        holder for holder in state.holders if holder.kind is not HolderKind.MODEL or _stays_as_it_is(holder, by_name)
    )
    only = replace(state, holders=kept, free_bytes=0)
    return segments_of(only, scene.marks, colored=scene.colored)


def _stays_as_it_is(holder: Holder, by_name: dict[str, Choice]) -> bool:
    """Tell whether a loaded model is neither planned anew nor to be unloaded."""
    choice = by_name.get(holder.name)
    return choice is None or (choice.chosen and not choice.plannable)


def figures(position: int, plan: Plan | None, budget: CardBudget, segments: Sequence[Segment]) -> Line:
    """Return what would be free, the reserve, and what is too much."""
    held = sum(each.memory_bytes for each in segments if each.role not in ("fill-free", "fill-reserve"))
    left = budget.memory_total_bytes - held - budget.reserve_bytes
    spans = [Span("free after ", "dim"), Span(gibibytes(max(0, left), unit=False), "strong")]
    card = plan.cards[position] if plan is not None and position < len(plan.cards) else None
    if card is not None and card.planned_bytes:
        planned = gibibytes(card.planned_bytes, unit=False)
        spans += [Span("  planned ", "dim"), Span(planned, "strong"),
                  Span(f" up to {gibibytes(card.high_bytes, unit=False)}", "dim")]  # fmt: skip
    spans += [Span("  of ", "dim"), Span(gibibytes(budget.memory_total_bytes), "text")]
    if budget.reserve_bytes:
        spans += [Span("  reserve ", "dim"), Span(gibibytes(budget.reserve_bytes, unit=False), "text")]
    if left < 0:
        spans.append(Span(f"  ! {gibibytes(-left)} too much", "error"))
    return tuple(spans)


def card_block(
    position: int, plan: Plan | None, choices: Sequence[Choice], scene: Scene, ground: Ground, width: int, lines: int
) -> list[Line]:
    """Return one card in `lines` lines of `width` cells: head, now, plan, figures."""
    budget = ground.cards[position]
    card: CardPlan | None = plan.cards[position] if plan is not None and position < len(plan.cards) else None
    state = state_of(budget, scene, ground)
    segments = planned_segments(position, budget, plan, choices, scene, ground)
    bar, unlabeled = draw_bar(segments, max(0, width - LABEL))
    told = figures(position, plan, budget, segments)
    verdict = verdict_spans(card.verdict) if card is not None else (Span("nothing chosen", "dim"),)
    name: Line = (Span(f"{budget.index} ", "dim"), Span(budget.name, "strong"), Span("  "))
    if ground.described is not None:
        name = (*name, Span("not in this computer  ", "dim"))
    if lines < 4:
        head = spread((*name, *verdict), told, width) if line_width(told) < width // 2 else (*name, *verdict)
    else:
        head = (*name, *verdict)
    planned: Line = (Span(fit("plan", LABEL), "accent"), *bar)
    result = [fit_line(head, width), fit_line(planned, width)][: max(1, lines)]
    if lines >= 3:
        result.insert(1, fit_line(_now(state, scene, width), width))
    if lines >= 4:
        legend = legend_line(unlabeled, max(0, width - LABEL - line_width(told) - 3))
        result.append(fit_line((Span(" " * LABEL), *spread(told, legend, max(0, width - LABEL))), width))
    return result[:lines]


def _now(state: CardState | None, scene: Scene, width: int) -> Line:
    if state is None:
        return (Span(fit("now", LABEL), "dim"), Span("a card that is only planned with: nothing is loaded", "dim"))
    segments = segments_of(
        state, scene.marks, reserve_bytes=scene.reserve_bytes, colored=scene.colored, width=width - LABEL
    )
    bar, _ = draw_bar(segments, max(0, width - LABEL))
    return (Span(fit("now", LABEL), "dim"), *bar)


def cards_lines(
    plan: Plan | None, choices: Sequence[Choice], scene: Scene, ground: Ground, width: int, room: int
) -> list[Line]:
    """Return the blocks of all cards, at most `room` lines; the last line tells of cards that did not fit."""
    if ground.problem is not None or not ground.cards:
        from gpudesk.ui.cells import wrap

        words = ground.problem or "no card is known yet"
        lines: list[Line] = [(Span(text, "error"),) for text in wrap(f"! {words}", width)]
        lines += [(Span(text, "text"),) for text in wrap("→ c chooses a card from the table to plan with", width)]
        return lines[:room]
    each = card_lines_wanted(len(ground.cards), room)
    lines = []
    for position in range(len(ground.cards)):
        lines += card_block(position, plan, choices, scene, ground, width, each)
    if len(lines) > room > 0:
        hidden = len(lines) - room + 1
        lines = [*lines[: room - 1], (Span(clip(f"+{hidden} more cards, all counted below", width), "dim"),)]
    return lines
