"""The answer in words: verdict, what the engine would do by itself, alternatives, and every model's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpudesk.fit.values import Verdict
from gpudesk.output.fit import costs_words, longest_words, notes_beside, without_advice
from gpudesk.ui.cells import Line, Span, cells, clip_line, fit, fit_line, wrap
from gpudesk.ui.detail_lines import heading, paragraphs
from gpudesk.ui.planner.view_bars import SIGNS
from gpudesk.ui.planner.view_choices import band_words, basis_words
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.values import Alternative, Estimate, Plan
    from gpudesk.ui.planner.choices import Choice
    from gpudesk.watch.planning import Ground

ALTERNATIVES = 9
"""As many as there are digits."""
DIFFERS = "it would fit, but"
"""How the plan's notes begin that set the engine's answer against the physical one."""
STAYS = "stays as it is"
"""How the forecast's notes end about models that nothing happens to."""
_NAME = 26
_FIGURE = 8
_PARTS = (
    ("weights", "weights_bytes"), ("KV", "kv_cache_bytes"), ("compute", "compute_bytes"),
    ("projector", "projector_bytes"), ("overhead", "overhead_bytes"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the headers are read."""

    done: int = 0
    total: int = 0
    seconds: float = 0.0

    @property
    def going_on(self) -> bool:
        """Some are not read yet."""
        return self.done < self.total


def reading_words(reading: Reading) -> str:
    """Say how far the headers are read: `reading headers 12 of 60, 3s`."""
    return f"reading headers {reading.done} of {reading.total}, {duration(reading.seconds)}"


def verdict_line(plan: Plan, width: int) -> Line:
    """Return the whole plan's verdict with its figures, the most needed first."""
    available = sum(card.budget.available_bytes for card in plan.cards)
    low, high = (sum(getattr(each, end) for each in plan.models) for end in ("low_bytes", "high_bytes"))
    sign, role = SIGNS[plan.verdict]
    spans = [Span(f"{sign} {plan.verdict.value}", f"{role}")]
    cpu = spilled_words(plan)
    pieces = [f": {cpu}" if cpu else "", f"  takes {gibibytes(plan.total_bytes)}"]
    if len(plan.models) > 0:
        pieces.append(f" ({gibibytes(low, unit=False)} to {gibibytes(high, unit=False)})")
    pieces.append(f" of {gibibytes(available)} available")
    room = width - cells(spans[0].text)
    for piece in pieces:
        if piece and cells(piece) <= room:
            spans.append(Span(piece, "strong" if piece.startswith(": ") else "text"))
            room -= cells(piece)
    return tuple(spans)


def spilled_words(plan: Plan) -> str:
    """Say what runs on the CPU: `9 of 49 layers of qwen3:32b on the CPU`."""
    if plan.verdict is not Verdict.SPILLS:
        return ""
    parts = [
        f"{each.layers_total - each.layers_on_gpu} of {each.layers_total} layers of {each.name} on the CPU"
        for each in plan.models
        if each.layers_on_gpu < each.layers_total
    ]
    return ", ".join(parts)


def answer_lines(
    plan: Plan | None,
    choices: Sequence[Choice],
    ground: Ground,
    reading: Reading,
    width: int,
    problem: str | None = None,
    selected: str | None = None,
    *,
    partial: bool = False,
) -> list[Line]:
    """Return everything there is to say, most important first.

    Args:
        plan: the newest one; None while there is none.
        choices: the list.
        ground: cards and engine.
        reading: how far the headers are read.
        width: cells.
        problem: why there is no plan.
        selected: name of the model under the cursor, whose parts come first.
        partial: alternatives are still looked for.
    """
    lines: list[Line] = []
    if reading.going_on:
        lines.append((Span(f"… {reading_words(reading)}", "accent"),))
    if problem is not None:
        lines += paragraphs([problem], width, mark="!", role="error")
    lines += [
        line
        for choice in choices
        if choice.chosen and choice.failure is not None
        for line in paragraphs([choice.failure], width, mark="!", role="error")
    ]
    if plan is None or not plan.models:
        if not lines:
            lines = _nothing(ground, width)
        return lines
    lines.append(verdict_line(plan, width))
    lines += paragraphs(spilled_paragraphs(plan, width), width, mark="◐", role="warn")
    lines += _server(plan, ground, width)
    lines += _longest(plan, width)
    lines += [(), (Span("… looking for alternatives", "dim"),)] if partial else _alternatives(plan, width)
    lines += parts_lines(plan, width, selected)
    lines += _server_details(plan, ground, width)
    others = [note for note in notes_beside(plan) if not note.startswith(DIFFERS)]
    notes = [*ground.notes, *others, *settings_notes(choices, ground)]
    if notes:
        lines += [(), heading("Notes")]
    lines += paragraphs(dict.fromkeys(notes), width)
    return lines


def spilled_paragraphs(plan: Plan, width: int) -> list[str]:
    """Return what runs on the CPU where the verdict's line was too short for it."""
    words = spilled_words(plan)
    whole = "".join(span.text for span in verdict_line(plan, width))
    return [words] if words and words not in whole else []


def _nothing(ground: Ground, width: int) -> list[Line]:
    if not ground.cards:
        return paragraphs(["choose a card first: c shows the table"], width)
    return paragraphs(["choose models with space; every change is planned at once, nothing is loaded"], width)


def _server(plan: Plan, ground: Ground, width: int) -> list[Line]:
    """Say in a line what the engine will do by itself: another question than what is possible."""
    server = plan.server
    differs = [note for note in plan.notes if note.startswith(DIFFERS)]
    deeds = []
    if server.would_evict:
        deeds.append(f"evicts {', '.join(server.would_evict)}")
    if server.spills:
        deeds.append("puts layers on the CPU")
    if differs:
        return paragraphs(differs, width, mark="!", role="warn")
    if deeds:
        return paragraphs([f"{ground.engine} by itself {' and '.join(deeds)}"], width, mark="!", role="warn")
    return paragraphs([f"{ground.engine} by itself evicts nobody"], width, mark="✓", role="dim")


def _server_details(plan: Plan, ground: Ground, width: int) -> list[Line]:
    """Say how the engine will load, and why it does what it does."""
    server = plan.server
    settings = [
        word if value == 1 and word == "1 slot" else f"{value} {word}"
        for value, word in (
            (server.context_length, "tokens"),
            (server.parallel, "1 slot" if server.parallel == 1 else "slots"),
            (server.batch_size, "batch"),
        )
        if value is not None
    ]
    if not settings and not server.notes:
        return []
    lines: list[Line] = [(), heading(f"{ground.engine} by itself")]
    if settings:
        lines += paragraphs([f"loads {plan.models[0].name} with {', '.join(settings)}"], width, role="dim")
    # The list says of each model whether it stays; the first lines, whom Ollama evicts and what would avoid it.
    notes = [without_advice(note, plan.notes) for note in server.notes if not note.endswith(STAYS)]
    return lines + paragraphs(notes, width)


def _alternatives(plan: Plan, width: int) -> list[Line]:
    shown = plan.alternatives[:ALTERNATIVES]
    if not shown:
        return []
    title = (*heading("Alternatives"), Span("  best first, by their digit", "dim"))
    lines: list[Line] = [(), clip_line(title, width)]
    figures = 30 if width >= 90 else 15
    for number, each in enumerate(shown, start=1):
        lines.append(_alternative(number, each, width, figures))
    return lines


def _alternative(number: int, each: Alternative, width: int, figures: int) -> Line:
    """Return one alternative: digit, what changes, verdict, total, left, seconds."""
    action = f"screen.alternative({number})"
    sign, role = SIGNS[each.verdict]
    total, left = gibibytes(each.total_bytes, unit=False), gibibytes(each.free_bytes, unit=False)
    costs = f", {costs_words(each)}" if each.seconds is not None else ""
    tail = f"{total} GiB, {left} left{costs}" if figures > 20 else f"{total}, {left} left"
    verdict = f"{sign} {each.verdict.value:<13}"
    room = max(8, width - 2 - cells(verdict) - 1 - figures)
    return fit_line(
        (
            Span(f"{number} ", "key", action),
            Span(fit(each.description, room), "text", action),
            Span(f" {verdict}", role, action),
            Span(fit(tail, figures, right=True), "dim", action),
        ),
        width,
    )


def _longest(plan: Plan, width: int) -> list[Line]:
    if plan.longest_context is None:
        return []
    return paragraphs([longest_words(plan)], width, mark="→")


def parts_lines(plan: Plan, width: int, selected: str | None) -> list[Line]:
    """Return every model's parts as a table where there is room, else a line or two each; the selected one first."""
    models = sorted(plan.models, key=lambda each: each.name != selected)
    titles = [
        title for title, name in _PARTS if name != "projector_bytes" or any(e.parts.projector_bytes for e in models)
    ]
    lines: list[Line] = [(), (*heading("Parts"), Span("  GiB", "dim"))]
    needed = (len(titles) + 1) * _FIGURE + 13 + 16
    if width >= needed + 14:
        name_width = min(_NAME, width - needed)
        head = "".join(title.rjust(_FIGURE + (2 if title in ("projector", "overhead") else 0)) for title in titles)
        lines.append((Span(f"{'':{name_width}}{head}{'total':>{_FIGURE}}{'band':>13}  basis", "head"),))
        lines += [_parts_row(each, titles, name_width) for each in models]
    else:
        for each in models:
            lines += _parts_text(each, titles, width)
    for each in models:
        notes = list(each.notes)
        if each.layers_on_gpu < each.layers_total:
            notes.insert(0, f"{each.layers_on_gpu} of {each.layers_total} layers on the card, "
                            f"{gibibytes(each.host_bytes)} in host memory")  # fmt: skip
        lines += paragraphs([f"{each.name}: {note}" for note in notes], width)
    return lines


def _size(size: int) -> str:
    return gibibytes(size, unit=False)


def _parts_row(each: Estimate, titles: Sequence[str], name_width: int) -> Line:
    spans = [Span(fit(each.name, name_width), "strong")]
    for title, name in _PARTS:
        if title in titles:
            wide = _FIGURE + (2 if title in ("projector", "overhead") else 0)
            spans.append(Span(_size(getattr(each.parts, name)).rjust(wide)))
    spans += [
        Span(_size(each.parts.total_bytes).rjust(_FIGURE), "strong"),
        Span(band_words(each).rjust(13), "dim"),
        Span(f"  {basis_words(each)}", "dim"),
    ]
    return tuple(spans)


def _parts_text(each: Estimate, titles: Sequence[str], width: int) -> list[Line]:
    total = f"{each.name} {_size(each.parts.total_bytes)} ({band_words(each)}, {basis_words(each)})"
    parts = " + ".join(f"{title} {_size(getattr(each.parts, name))}" for title, name in _PARTS if title in titles)
    lines: list[Line] = [(Span(text, "strong" if not index else ""),) for index, text in enumerate(wrap(total, width))]
    return [*lines, *((Span("  "), Span(text, "dim")) for text in wrap(f"= {parts}", max(8, width - 2)))]


def settings_notes(choices: Sequence[Choice], ground: Ground) -> list[str]:
    """Say what the plan sets apart and Ollama cannot: it has one setting for all models."""
    if ground.profile.kind != "ollama":
        return []
    wanted = [choice for choice in choices if choice.chosen]
    notes = []
    kinds = {choice.settings.kv_cache_type or ground.profile.kv_cache_type for choice in wanted}
    if len(kinds) > 1:
        told = ", ".join(sorted(kinds))
        notes.append(f"the plan has {told}, but Ollama has one KV type for all models (OLLAMA_KV_CACHE_TYPE)")
    slots = {choice.settings.parallel for choice in wanted if choice.settings.parallel is not None}
    if len(slots) > 1:
        told = ", ".join(str(count) for count in sorted(slots))
        notes.append(f"the plan has {told} slots, but Ollama has one number for all models (OLLAMA_NUM_PARALLEL)")
    return notes
