"""The first line of the screen: which engines answer, the driver, the host's memory, the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.domain.pin import Pin
from gpudesk.ui.cells import Line, Span, line_width, spread
from gpudesk.ui.staleness import stale_seconds
from gpudesk.ui.view_models import host_of
from gpudesk.ui.view_states import down_word
from gpudesk.units import duration, gibibytes

if TYPE_CHECKING:
    from gpudesk.domain.engine import Engine
    from gpudesk.ui.scene import Scene


def engine_line(engine: Engine, scene: Scene, *, several: bool) -> Line:
    """Return an engine's state as glyph and word."""
    state = scene.desk.source(f"{engine.kind.value} {engine.url}")
    where = f" {host_of(engine.url)}" if several or not engine.local else ""
    name = f"{engine.kind.value}{where}"
    if state is None or state.last_taken_at is None:
        return (Span("◌ ", "dim"), Span(f"{name} asking…", "dim"))
    if not engine.reachable:
        return (Span("✗ ", "error"), Span(f"{name} {down_word(engine, scene.desk)}", "error"))
    age = stale_seconds(state, scene.now, slack=scene.slack)
    if age is not None:
        return (Span("◷ ", "warn"), Span(f"{name} {engine.version or ''}".rstrip(), "text"),
                Span(f" {duration(age)} old", "warn"))  # fmt: skip
    return (Span("● ", "good"), Span(f"{name} {engine.version or ''}".rstrip(), "text"), Span(" up", "dim"))


def alarms_line(scene: Scene) -> Line:
    """Return how many alarms and lost pins there are; a click shows the problems, which say what to do."""
    lost = sum(state.pin is Pin.LOST for state in scene.desk.pins)
    counts = ((len(scene.desk.alarms), "alarm"), (lost, "lost pin"))
    words = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    return (Span(f"! {', '.join(words)}", "warn", "screen.tab('problems')"), Span("  ")) if words else ()


def title_line(scene: Scene, width: int, *, read_only: bool = False) -> Line:
    """Return the title line; what is least needed goes first where it is narrow."""
    engines: list[Span] = []
    several = sum(engine.local for engine in scene.desk.engines) > 1
    for engine in scene.desk.engines:
        engines += [*engine_line(engine, scene, several=several), Span("  ")]
    if not scene.desk.engines:
        engines = [Span("◌ looking for engines", "dim")]
    left = (Span(" gpudesk ", "brand"), Span(" "), *engines)
    clock = Span(f"{scene.now.astimezone():%H:%M:%S} ", "strong")
    extras: list[Line] = [line for line in (alarms_line(scene),) if line]
    if read_only:
        extras.append((Span("read-only", "accent"), Span("  ")))
    host = scene.desk.host
    if host is not None and host.memory_total_bytes and host.memory_available_bytes is not None:
        used = host.memory_total_bytes - host.memory_available_bytes
        total = gibibytes(host.memory_total_bytes)
        extras.append((Span("host ", "dim"), Span(f"{gibibytes(used, unit=False)}/{total}"), Span("  ")))
    driver = scene.desk.driver
    if driver is not None and driver.version:
        extras.append((Span("driver ", "dim"), Span(driver.version), Span("  ")))
    right: Line = (clock,)
    for extra in extras:
        if line_width(left) + line_width(extra) + line_width(right) + 2 <= width:
            right = (*extra, *right)
    return spread(left, right, width)
