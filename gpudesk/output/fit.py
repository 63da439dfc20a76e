"""A plan as JSON and as text: what `gpudesk fit` prints.

The document is a contract as that of `gpudesk status --json` is: sizes are bytes, unknown is null, keys come in the
order below, and a key may be added at the end of an object without a new `schema_version`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.values import Basis, Verdict
from gpudesk.output.columns import Column, cut, table, wrapped
from gpudesk.text import enumerated
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpudesk.fit.values import Alternative, CardPlan, Estimate, Plan
    from gpudesk.output.desk_json import Value
    from gpudesk.output.status_text import Style

SCHEMA_VERSION = 1

FIELDS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("", (
        ("schema_version", "1"),
        ("verdict", "fits, tight, spills or does not fit: the worst of the cards"),
        ("models", "one per model, in the order asked"),
        ("cards", "one per card of the plan"),
        ("total_bytes", "all models on all cards"),
        ("server", "what this engine version will do, which may differ from what is possible"),
        ("alternatives", "changes that would help, best first"),
    )),
    ("models[]", (
        ("name", ""),
        ("weights_bytes", "on the cards; what stays in host memory is not in it"),
        ("kv_cache_bytes", "recurrent state included"),
        ("compute_bytes", "buffers of the graph"),
        ("projector_bytes", ""),
        ("overhead_bytes", "of the process, on every card it uses"),
        ("total_bytes", "the sum of the five"),
        ("low_bytes", "lower end of the band that holds the measured value 95 times of 100"),
        ("high_bytes", "upper end"),
        ("layers_total", "repeating layers plus the output layer, as -ngl counts"),
        ("layers_on_gpu", ""),
        ("basis", "calculated, calibrated or measured"),
        ("context_length", "tokens per slot"),
    )),
    ("cards[]", (
        ("index", ""),
        ("name", ""),
        ("memory_total_bytes", ""),
        ("available_bytes", "what models may take: others and the reserve are taken off"),
        ("planned_bytes", ""),
    )),
    ("server", (
        ("would_evict", "names of loaded models, in order"),
        ("context_length", "tokens per slot it would give the first model; null when unknown"),
        ("parallel", "slots it would give the first model; null when unknown"),
        ("notes", "in words"),
    )),
    ("alternatives[]", (
        ("key", "stable: context:16384, kv:q8_0, parallel:1, model:NAME, offload:LAYERS, swap"),
        ("description", ""),
        ("verdict", ""),
        ("total_bytes", ""),
        ("free_bytes", "left on all cards"),
        ("seconds", "what a swap costs; null for everything else"),
    )),
)  # fmt: skip
"""Every object of the document: its keys in order, each with what it means."""


def document(plan: Plan) -> dict[str, Value]:
    """Build the JSON document of a plan."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": plan.verdict.value,
        "models": [model_document(estimate) for estimate in plan.models],
        "cards": [_card_document(card) for card in plan.cards],
        "total_bytes": plan.total_bytes,
        "server": {
            "would_evict": list(plan.server.would_evict),
            "context_length": plan.server.context_length,
            "parallel": plan.server.parallel,
            "notes": list(plan.server.notes),
        },
        "alternatives": [_alternative_document(alternative) for alternative in plan.alternatives],
    }


def model_document(estimate: Estimate) -> dict[str, Value]:
    """Build the object of one model."""
    parts = estimate.parts
    return {
        "name": estimate.name,
        "weights_bytes": parts.weights_bytes,
        "kv_cache_bytes": parts.kv_cache_bytes,
        "compute_bytes": parts.compute_bytes,
        "projector_bytes": parts.projector_bytes,
        "overhead_bytes": parts.overhead_bytes,
        "total_bytes": parts.total_bytes,
        "low_bytes": estimate.low_bytes,
        "high_bytes": estimate.high_bytes,
        "layers_total": estimate.layers_total,
        "layers_on_gpu": estimate.layers_on_gpu,
        "basis": estimate.basis.value,
        "context_length": estimate.context_length,
    }


def _card_document(card: CardPlan) -> dict[str, Value]:
    return {
        "index": card.budget.index,
        "name": card.budget.name,
        "memory_total_bytes": card.budget.memory_total_bytes,
        "available_bytes": card.budget.available_bytes,
        "planned_bytes": card.planned_bytes,
    }


def _alternative_document(alternative: Alternative) -> dict[str, Value]:
    return {
        "key": alternative.key,
        "description": alternative.description,
        "verdict": alternative.verdict.value,
        "total_bytes": alternative.total_bytes,
        "free_bytes": alternative.free_bytes,
        "seconds": None if alternative.seconds is None else round(alternative.seconds, 1),
    }


def plan_lines(plan: Plan, style: Style, *, engine: str, banner: str | None = None, explain: bool = False) -> list[str]:
    """Write a plan as text, the verdict first.

    Args:
        plan: the answer.
        style: how text may look where it goes.
        engine: what would load the models: `Ollama 0.33.0`.
        banner: says that the cards are simulated.
        explain: tell how each part came about.
    """
    blocks = [
        wrapped(banner.split(", "), style.width) if banner else [],
        _verdict(plan, style),
        _cards(plan, style),
        _models(plan, style),
        _server(plan, engine, style),
        _alternatives(plan, style),
    ]
    if explain:
        from gpudesk.output.fit_explain import explanation

        blocks.append(explanation(plan, style))
    lines: list[str] = []
    for block in blocks:
        if block:
            lines += ["", *block] if lines else block
    return [style.plain(line) for line in lines]


def basis_words(estimate: Estimate) -> str:
    """Say where an estimate comes from: `calibrated (7 points)`."""
    if estimate.basis is Basis.CALCULATED:
        return estimate.basis.value
    return f"{estimate.basis.value} ({estimate.points} point{'' if estimate.points == 1 else 's'})"


def layers_words(estimate: Estimate) -> str:
    """Say how much of a model is on the cards: `all`, or `40 of 49`."""
    if estimate.layers_on_gpu >= estimate.layers_total:
        return "all"
    return f"{estimate.layers_on_gpu} of {estimate.layers_total}"


def verdict_words(plan: Plan) -> str:
    """Say the verdict with its numbers, as a sentence without an end."""
    names = [estimate.name for estimate in plan.models]
    shown = names if len(names) < 4 else [*names[:2], f"{len(names) - 2} more"]
    subject = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    verb = "takes" if len(names) == 1 else "take"
    available = sum(card.budget.available_bytes for card in plan.cards)
    if plan.verdict is Verdict.DOES_NOT_FIT and not plan.total_bytes:
        return f"{plan.verdict.value}: not one layer of {subject} has room in {gibibytes(available)} available"
    low, high = (sum(getattr(each, end) for each in plan.models) for end in ("low_bytes", "high_bytes"))
    sentence = (
        f"{plan.verdict.value}: {subject} {verb} {gibibytes(plan.total_bytes)} "
        f"({gibibytes(low, unit=False)} to {gibibytes(high, unit=False)}) of {gibibytes(available)} available"
    )
    if plan.verdict is Verdict.SPILLS:
        cpu = [
            f"{each.layers_total - each.layers_on_gpu} of {each.layers_total} layers"
            + (f" of {each.name}" if len(names) > 1 else "")
            for each in plan.models
            if each.layers_on_gpu < each.layers_total
        ]
        host = gibibytes(sum(each.host_bytes for each in plan.models if each.layers_on_gpu < each.layers_total))
        sentence += f"; {enumerated(cpu)} run on the CPU ({host})" if cpu else ""
    return sentence


def _verdict(plan: Plan, style: Style) -> list[str]:
    words = verdict_words(plan)
    if plan.verdict is Verdict.FITS:
        line = style.heading(words)
    elif plan.verdict is Verdict.TIGHT:
        line = style.caution(words)
    else:
        line = style.alarm(words)
    return [line, *(f"  {note}" for note in notes_beside(plan))]


def notes_beside(plan: Plan) -> list[str]:
    """Return the notes of a plan without what its verdict says already: which layers run on the CPU."""
    said = [f"{each.name}: {each.layers_total - each.layers_on_gpu} of {each.layers_total} layers run on the CPU"
            for each in plan.models] if plan.total_bytes else []  # fmt: skip
    return [note for note in plan.notes if not any(note.startswith(words) for words in said)]


def _cards(plan: Plan, style: Style) -> list[str]:
    lines = []
    for card in plan.cards:
        budget = card.budget
        left = budget.available_bytes - card.planned_bytes
        rest = f"{gibibytes(left)} left" if left >= 0 else f"{gibibytes(-left)} too much"
        sizes = [
            f"{gibibytes(budget.memory_total_bytes)}",
            f"{gibibytes(budget.available_bytes)} available",
            f"{gibibytes(card.planned_bytes)} planned (up to {gibibytes(card.high_bytes, unit=False)})",
            rest,
        ]
        lines.append(style.heading(cut(f"card {budget.index}: {budget.name}: {card.verdict.value}", style.width)))
        lines += wrapped(sizes, style.width, first="  ", rest="    ")
    return lines


_COLUMNS = (
    Column("MODEL"),
    Column("TOTAL", right=True),
    Column("LOW", right=True, rank=3),
    Column("HIGH", right=True),
    Column("WEIGHTS", right=True),
    Column("KV", right=True),
    Column("COMPUTE", right=True, rank=2),
    Column("PROJECTOR", right=True, rank=4),
    Column("OVERHEAD", right=True, rank=2),
    Column("CONTEXT", right=True, rank=1),
    Column("SLOTS", right=True, rank=6),
    Column("ON GPU", rank=1),
    Column("BASIS", rank=5),
)


def _size(size_bytes: int) -> str:
    return gibibytes(size_bytes, unit=False)


def _models(plan: Plan, style: Style) -> list[str]:
    rows = []
    for each in plan.models:
        parts = each.parts
        rows.append((
            each.name, gibibytes(parts.total_bytes), _size(each.low_bytes), _size(each.high_bytes),
            _size(parts.weights_bytes), _size(parts.kv_cache_bytes), _size(parts.compute_bytes),
            _size(parts.projector_bytes) if parts.projector_bytes else "", _size(parts.overhead_bytes),
            str(each.context_length), str(each.parallel), layers_words(each), basis_words(each),
        ))  # fmt: skip
    lines = table(_COLUMNS, rows, style.width)
    notes = [f"  {each.name}: {note}" for each in plan.models for note in each.notes]
    if plan.longest_context is not None and plan.models:
        notes.append(f"  {longest_words(plan)}")
    return [style.heading(lines[0]), *lines[1:], *notes] if lines else notes


def longest_words(plan: Plan) -> str:
    """Say the longest context, and what ends it: `longest context that fits for qwen3:8b: 40960, the trained limit`."""
    how = "that is only tight" if plan.longest_is_tight else "that fits"
    trained = ", the trained limit" if plan.longest_is_trained else ""
    return f"longest context {how} for {plan.models[0].name}: {plan.longest_context}{trained}"


def _server(plan: Plan, engine: str, style: Style) -> list[str]:
    """Say what the engine will do by itself."""
    server = plan.server
    words = []
    if server.would_evict and not any(" evict " in note for note in server.notes):
        words.append(f"evict {', '.join(server.would_evict)} first")
    if server.spills and not any(" on the CPU" in note for note in server.notes):
        words.append("put some layers on the CPU")
    settings = [
        f"{value} {word}"
        for value, word in (
            (server.context_length, "tokens of context"),
            (server.parallel, "slot" if server.parallel == 1 else "slots"),
        )
        if value is not None
    ]
    if server.batch_size is not None:
        settings.append(f"batches of {server.batch_size}")
    if settings:
        words.append(f"load {plan.models[0].name if plan.models else 'it'} with {', '.join(settings)}")
    sentence = f"{engine} will {'; '.join(words)}" if words else ""
    marked = style.caution(sentence) if server.would_evict or server.spills else sentence
    notes = [without_advice(note, plan.notes) for note in server.notes]
    return [*([marked] if sentence else []), *(f"  {note}" for note in notes)]


def without_advice(note: str, said: Sequence[str]) -> str:
    """Leave out the advice of a note where the verdict has given the same above."""
    rule, _, advice = note.rpartition("; set num_ctx")
    return rule if rule and any(each.endswith(f"; set num_ctx{advice}") for each in said) else note


def _alternatives(plan: Plan, style: Style) -> list[str]:
    if not plan.alternatives:
        return []
    columns = (Column("ALTERNATIVE"), Column("VERDICT"), Column("TOTAL", right=True), Column("LEFT", right=True),
               Column("COSTS", right=True))  # fmt: skip
    rows = [
        (
            each.description,
            each.verdict.value,
            gibibytes(each.total_bytes),
            gibibytes(each.free_bytes),
            costs_words(each),
        )
        for each in plan.alternatives
    ]
    lines = table(columns, rows, style.width)
    return [style.heading(lines[0]), *lines[1:]]


def costs_words(alternative: Alternative) -> str:
    """Say what an alternative costs, to the nearest second: `11s`; nothing where it costs none."""
    return "" if alternative.seconds is None else duration(max(1, round(alternative.seconds)))


def suggestion_rows(rows: Sequence[Sequence[str]], columns: Sequence[Column], style: Style) -> list[str]:
    """Lay out any table of plans the way plans are laid out here."""
    lines = table(columns, rows, style.width)
    return [style.plain(line) for line in ([style.heading(lines[0]), *lines[1:]] if lines else [])]
