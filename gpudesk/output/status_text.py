"""One desk as plain text: what `gpudesk status` prints, without box drawing, readable by people and by `grep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.card import Card, ProcessAccounting
from gpudesk.domain.desk import HolderKind, MemorySource
from gpudesk.domain.event import Severity
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.output.columns import Column, cut, table, wrapped
from gpudesk.records import dataclass
from gpudesk.units import age, celsius, duration, gibibytes, percent, watts

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.desk import CardState, Desk, LoadedModel
    from gpudesk.domain.engine import Engine
    from gpudesk.domain.event import Event
    from gpudesk.domain.keep_alive import KeepAlive
    from gpudesk.domain.problem import Problem

_BOLD, _RED, _YELLOW, _END = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"

_ASCII = str.maketrans({"–": "-", "—": "-", "…": "~", "°": "", "→": "->", "≈": "~", "×": "x", "·": "-", "−": "-"})
"""Our own signs for a pipe, where nobody knows what reads them."""

PROCESS_ROWS = 12
"""Other processes shown before the rest is summed up: the status is one screen."""


@dataclass(frozen=True, slots=True)
class Style:
    """How the text may look."""

    width: int = 100
    """Cells of one line."""
    color: bool = False
    """Bold headings, yellow and red for what needs attention. Only on a terminal, and never without a word beside."""
    ascii_only: bool = True
    """Our own signs in ASCII. What others named stays as they named it."""
    reserve_bytes: int = 0
    """Memory the user wants left free on each card."""

    def heading(self, text: str) -> str:
        """Mark a heading."""
        return f"{_BOLD}{text}{_END}" if self.color else text

    def alarm(self, text: str) -> str:
        """Mark what is wrong."""
        return f"{_RED}{text}{_END}" if self.color else text

    def caution(self, text: str) -> str:
        """Mark what deserves a look."""
        return f"{_YELLOW}{text}{_END}" if self.color else text

    def plain(self, line: str) -> str:
        """Write our own signs in ASCII where that is wanted."""
        return line.translate(_ASCII) if self.ascii_only else line


def status_lines(
    desk: Desk, style: Style, *, banner: str | None = None, problems: tuple[Problem, ...] = ()
) -> list[str]:
    """Write the whole desk; no line ends in a space."""
    blocks = [
        wrapped(banner.split(", "), style.width) if banner else [],
        _cards(desk, style),
        _models(desk, style),
        _processes(desk, style),
        _engines(desk, style),
        _host(desk),
        _problems((*problems, *desk.problems), style),
    ]
    lines: list[str] = []
    for block in blocks:
        if block:
            lines += ["", *block] if lines else block
    return [style.plain(line) for line in lines]


def _cards(desk: Desk, style: Style) -> list[str]:
    lines: list[str] = []
    for state in desk.cards:
        lines += _card(state, style)
    return lines


def _held_bytes(state: CardState) -> int | None:
    """Return what is not free, the driver's reserve included, so that held and free make the total."""
    if state.free_bytes is None or state.card.memory_total_bytes is None:
        return state.card.memory_used_bytes
    return state.card.memory_total_bytes - state.free_bytes


def _card(state: CardState, style: Style) -> list[str]:
    card = state.card
    free = state.free_bytes if state.free_bytes is not None else card.memory_free_bytes
    heading = style.heading(cut(f"card {card.index}: {card.name or 'unnamed'}", style.width))
    if card.error is not None:
        return [heading, style.alarm(f"  not read: {card.error}")]
    memory = [
        f"{gibibytes(_held_bytes(state), unit=False)} of {gibibytes(card.memory_total_bytes)} held",
        f"{gibibytes(free)} free",
    ]
    if style.reserve_bytes:
        short = free is not None and free < style.reserve_bytes
        memory.append(f"reserve {gibibytes(style.reserve_bytes)}{' NOT KEPT' if short else ''}")
    if card.unified_memory:
        memory.append("shared with the host")
    figures = ["asleep"] if card.asleep else _figures(card)
    lines = [heading, *wrapped([*memory, *figures], style.width, first="  ", rest="    ")]
    lines += wrapped(_holders(state), style.width, first="  held by ", rest="    ")
    for part in card.slices:
        used, total = gibibytes(part.memory_used_bytes, unit=False), gibibytes(part.memory_total_bytes)
        lines.append(f"  slice {part.index}: {part.name or 'unnamed'}, {used} of {total} used")
    lines += [f"  note: {note}" for note in state.notes]
    if not card.asleep and card.process_accounting is not ProcessAccounting.FULL:
        lines.append("  the driver does not tell who holds how much here; sizes of models are their engines' claims")
    return lines


def _figures(card: Card) -> list[str]:
    """Return what is known beside memory; what is not known is left out of a sentence."""
    limit = f" of {watts(card.power_limit_watts)}" if card.power_limit_watts is not None else ""
    figures = (
        (card.utilization_ratio, f"busy {percent(card.utilization_ratio)}"),
        (card.temperature_celsius, celsius(card.temperature_celsius)),
        (card.power_draw_watts, watts(card.power_draw_watts) + limit),
    )
    return [text for value, text in figures if value is not None]


def _holders(state: CardState) -> list[str]:
    parts = []
    for holder in state.holders:
        claimed = " claimed" if holder.kind is HolderKind.MODEL and holder.source is MemorySource.ENGINE else ""
        note = f" ({holder.note})" if holder.note else ""
        parts.append(f"{holder.name} {gibibytes(holder.memory_bytes)}{claimed}{note}")
    return parts


def where(model: LoadedModel) -> str:
    """Say where a model runs, loudly when a part of it runs on the processor."""
    if model.cpu_ratio is None:
        return ""
    if model.cpu_ratio <= 0:
        return "100 % GPU"
    return f"{percent(model.cpu_ratio)} CPU SPILLED" if model.cpu_ratio < 1 else "100 % CPU"


def remaining(keep_alive: KeepAlive | None, now: datetime) -> str:
    """Say how long a model stays."""
    if keep_alive is None:
        return ""
    seen = keep_alive.at(now)
    if seen.state is KeepAliveState.TIMED:
        return duration(seen.remaining_seconds(now))
    return seen.state.value


_MODEL_COLUMNS = (
    Column("MODEL"),
    Column("DRIVER", right=True),
    Column("ENGINE SAYS", right=True, rank=1),
    Column("DIFF", right=True, rank=3),
    Column("CONTEXT", right=True, rank=2),
    Column("SLOTS", right=True, rank=5),
    Column("KV", rank=4),
    Column("RUNS ON"),
    Column("STAYS"),
    Column("PIN", rank=6),
    Column("ENGINE", rank=7),
)


def _models(desk: Desk, style: Style) -> list[str]:
    several = len(desk.engines) > 1
    rows = []
    for model in desk.models:
        measured = model.memory_bytes if model.memory_source is MemorySource.DRIVER else None
        difference = model.difference_bytes
        sign = "+" if difference is not None and difference > 0 else ""
        rows.append(
            (
                model.name,
                gibibytes(measured) if model.local else "remote",
                gibibytes(model.reported_vram_bytes),
                "" if difference is None else f"{sign}{gibibytes(difference, unit=False)}",
                "" if model.context_length is None else str(model.context_length),
                "" if model.parallel is None else str(model.parallel),
                model.kv_cache_type or "",
                where(model),
                remaining(model.keep_alive, desk.taken_at),
                "" if model.pin.value == "none" else model.pin.value,
                model.engine_url if several else "",
            )
        )
    if not rows:
        return ["no model is loaded"] if any(engine.reachable for engine in desk.engines) else []
    lines = table(_MODEL_COLUMNS, rows, style.width)
    body = [
        style.caution(line) if (model.cpu_ratio or 0) > 0 else line
        for line, model in zip(lines[1:], desk.models, strict=True)
    ]
    return [style.heading(lines[0]), *body, *_shared(desk)]


def _shared(desk: Desk) -> list[str]:
    return [
        f"  {model.name} and {', '.join(model.shares_runner_with)} are one runner, counted once"
        for model in desk.models
        if model.shares_runner_with
    ]


def _processes(desk: Desk, style: Style) -> list[str]:
    held: dict[tuple[str, tuple[int, ...]], list[tuple[int, int]]] = {}
    for state in desk.cards:
        for holder in state.holders:
            if holder.kind is HolderKind.PROCESS:
                held.setdefault((holder.name, holder.pids), []).append((state.card.index, holder.memory_bytes))
    if not held:
        return []
    users = {process.pid: process.user for process in desk.processes}
    ordered = sorted(held.items(), key=lambda item: -sum(size for _, size in item[1]))
    rows = [
        (
            name,
            gibibytes(sum(size for _, size in shares)),
            ",".join(str(index) for index, _ in shares),
            " ".join(str(pid) for pid in pids[:4]) + (" ..." if len(pids) > 4 else ""),
            (users.get(pids[0]) if pids else None) or "",
        )
        for (name, pids), shares in ordered[:PROCESS_ROWS]
    ]
    columns = (Column("OTHER PROCESS"), Column("MEMORY", right=True), Column("CARD", rank=2), Column("PID", rank=1),
               Column("USER", rank=3))  # fmt: skip
    lines = table(columns, rows, style.width)
    left = ordered[PROCESS_ROWS:]
    if left:
        rest = sum(size for _, shares in left for _, size in shares)
        lines.append(f"and {len(left)} more with {gibibytes(rest)}")
    return [style.heading(lines[0]), *lines[1:]]


def _engines(desk: Desk, style: Style) -> list[str]:
    return [_engine(engine, desk, style) for engine in desk.engines]


def _engine(engine: Engine, desk: Desk, style: Style) -> str:
    name = f"{engine.kind.value} {engine.version or ''}".rstrip()
    place = engine.url if engine.local else f"{engine.url} (remote)"
    if engine.reachable:
        return f"engine {name} at {place}"
    state = desk.source(f"{engine.kind.value} {engine.url}")
    seen = state.last_value_at if state is not None else None
    since = f", last answer {age((desk.taken_at - seen).total_seconds())}" if seen is not None else ""
    told_below = any(problem.message == engine.error for problem in desk.problems)
    reason = f" ({engine.error})" if engine.error and not told_below else ""
    return style.alarm(f"engine {name} at {place}: no answer{since}{reason}")


def _host(desk: Desk) -> list[str]:
    if desk.host is None or desk.host.memory_total_bytes is None:
        return []
    available, total = desk.host.memory_available_bytes, desk.host.memory_total_bytes
    return [f"host memory {gibibytes(available, unit=False)} of {gibibytes(total)} available"]


def _problems(problems: tuple[Problem, ...], style: Style) -> list[str]:
    lines = []
    for problem in problems:
        lines.append(style.alarm(f"problem: {problem.source}: {problem.message}"))
        if problem.hint:
            lines.append(f"  -> {problem.hint}")
    return lines


def change_line(desk: Desk, style: Style) -> str:
    """Write one desk as one line for `--watch`: time, cards, models."""
    parts = [desk.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ")]
    for state in desk.cards:
        card = state.card
        parts.append(
            f"card {card.index}: not read"
            if card.error is not None
            else f"card {card.index}: {gibibytes(_held_bytes(state), unit=False)}/"
            f"{gibibytes(card.memory_total_bytes)} {percent(card.utilization_ratio)} "
            f"{celsius(card.temperature_celsius)} {watts(card.power_draw_watts)}"
        )
    for model in desk.models:
        words = (model.name, gibibytes(model.memory_bytes), where(model), remaining(model.keep_alive, desk.taken_at))
        parts.append(" ".join(word for word in words if word))
    parts += [f"{engine.url}: no answer" for engine in desk.engines if not engine.reachable]
    line = " | ".join(parts)
    return style.plain(line)


def event_line(event: Event, style: Style) -> str:
    """Write one event as one line for `--watch`."""
    severity = "" if event.severity is Severity.INFO else f" {event.severity.value.upper()}"
    line = f"{event.at.strftime('%Y-%m-%dT%H:%M:%SZ')} event{severity}: {event.message}"
    return style.plain(line)
