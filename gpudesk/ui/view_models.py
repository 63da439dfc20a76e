"""Loaded models as rows: who holds what, how it runs, and how long it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpudesk.domain.desk import LoadedModel, MemorySource
from gpudesk.domain.keep_alive import KeepAliveState
from gpudesk.domain.pin import Pin
from gpudesk.ui.cells import Line, Span
from gpudesk.ui.marks import letter, shade
from gpudesk.ui.tables import Column, Table
from gpudesk.units import UNKNOWN, duration, gibibytes

if TYPE_CHECKING:
    from datetime import datetime

    from gpudesk.domain.keep_alive import KeepAlive
    from gpudesk.ui.scene import Scene

SOON_SECONDS = 60.0
"""A model that leaves within a minute is shown in the warning color."""
NOTABLE_DIFFERENCE_RATIO = 0.10
"""From this share of the claim on, the difference to the driver's figure is shown in the warning color."""

_DASH = (Span(UNKNOWN, "faint"),)


def host_of(url: str) -> str:
    """Return host and port of an engine's URL, the port left out where it is Ollama's own."""
    parts = urlsplit(url)
    host = parts.hostname or url
    return host if parts.port in (None, 11434) else f"{host}:{parts.port}"


def elsewhere(url: str, scene: Scene) -> str:
    """Return ` @host` for an engine that is not the one and only local one, otherwise nothing."""
    local = [engine.url for engine in scene.desk.engines if engine.local]
    return "" if local == [url] else f" @{host_of(url)}"


def mark_cell(model: LoadedModel, scene: Scene) -> Line:
    """The letter that the bar uses for this model."""
    mark = scene.marks.get(model.key)
    return (Span(letter(mark), f"mark-{shade(mark)}"),)


def name_cell(model: LoadedModel, scene: Scene) -> Line:
    """Name, and the engine where there are several."""
    spans = [Span(model.name, "strong")]
    if where := elsewhere(model.engine_url, scene):
        spans.append(Span(where, "dim"))
    if model.shares_runner_with:
        spans.append(Span(" = " + ", ".join(model.shares_runner_with), "dim"))
    return tuple(spans)


def memory_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Memory on the cards; a tilde where it is the engine's word and not the driver's."""
    if model.memory_bytes is None:
        return _DASH
    figure = gibibytes(model.memory_bytes, unit=False)
    if model.memory_source is MemorySource.ENGINE:
        return (Span(f"~{figure}", "dim"),)
    return (Span(figure, "strong"),)


def claim_cell(model: LoadedModel, _scene: Scene) -> Line:
    """What the engine says it holds on the cards."""
    if model.reported_vram_bytes is None:
        return _DASH
    return (Span(gibibytes(model.reported_vram_bytes, unit=False), "dim"),)


def difference_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Measured minus claimed."""
    if model.difference_bytes is None:
        return _DASH
    text = gibibytes(model.difference_bytes, unit=False)
    if not text.startswith("-") and model.difference_bytes > 0:
        text = f"+{text}"
    claimed = model.reported_vram_bytes or 0
    notable = abs(model.difference_bytes) > claimed * NOTABLE_DIFFERENCE_RATIO
    return (Span(text, "warn" if notable else "dim"),)


def context_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Context per slot, in tokens."""
    return _DASH if model.context_length is None else (Span(f"{model.context_length}"),)


def slots_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Slots: requests served at the same time."""
    return _DASH if model.parallel is None else (Span(f"×{model.parallel}", "dim" if model.parallel == 1 else "text"),)


def kv_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Type of the context's cache."""
    return _DASH if model.kv_cache_type is None else (Span(model.kv_cache_type, "dim"),)


def share_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Where it runs: all on the card, or how much on the CPU, loudly."""
    if model.cpu_ratio is None:
        return _DASH
    if model.cpu_ratio <= 0:
        return (Span("100 % GPU", "good"),)
    share = max(1, round(model.cpu_ratio * 100))
    return (Span(f"! {min(share, 100)} % CPU", "loud"),)


def keep_alive_line(keep_alive: KeepAlive | None, now: datetime) -> Line:
    """Return a keep-alive as it stands at `now`: counting down, forever, or stopping."""
    if keep_alive is None:
        return _DASH
    current = keep_alive.at(now)
    if current.state is KeepAliveState.FOREVER:
        return (Span("∞ forever", "accent"),)
    if current.state is KeepAliveState.STOPPING:
        return (Span("stopping…", "warn"),)
    remaining = current.remaining_seconds(now)
    if remaining is None:
        return _DASH
    return (Span(duration(remaining), "warn" if remaining < SOON_SECONDS else "text"),)


def keep_alive_cell(model: LoadedModel, scene: Scene) -> Line:
    """How long the engine keeps it."""
    return keep_alive_line(model.keep_alive, scene.now)


def pin_cell(model: LoadedModel, _scene: Scene) -> Line:
    """Whether it is pinned, and whether the pin holds."""
    if model.pin is Pin.HELD:
        return (Span("held", "good"),)
    if model.pin is Pin.LOST:
        return (Span("! lost", "error"),)
    return (Span("·", "faint"),)


def _keep_alive_order(model: LoadedModel, scene: Scene) -> float | None:
    if model.keep_alive is None:
        return None
    current = model.keep_alive.at(scene.now)
    if current.state is KeepAliveState.FOREVER:
        return float("inf")
    return current.remaining_seconds(scene.now) or 0.0


LOADED: Table[LoadedModel] = Table(
    id="loaded",
    key=lambda model: model.key,
    haystack=lambda model: f"{model.name} {model.engine_url}",
    columns=(
        Column("mark", " ", 1, mark_cell, help="The letter of the model in the card's bar"),
        Column("name", "LOADED MODEL", 18, name_cell, grow=1, order=lambda model, _: model.name.lower()),
        Column("memory", "GiB", 6, memory_cell, right=True, largest_first=True,
               order=lambda model, _: model.memory_bytes,
               help="Memory on the cards, measured by the driver; ~ is the engine's claim where the driver cannot say"),
        Column("claim", "CLAIMED", 7, claim_cell, right=True, rank=5, largest_first=True,
               order=lambda model, _: model.reported_vram_bytes,
               help="What the engine says it holds on the cards, GiB (size_vram of /api/ps)"),
        Column("difference", "DIFF", 5, difference_cell, right=True, rank=3, largest_first=True,
               order=lambda model, _: model.difference_bytes,
               help="Measured minus claimed, GiB; enter tells what explains it"),
        Column("context", "CONTEXT", 7, context_cell, right=True, rank=2, largest_first=True,
               order=lambda model, _: model.context_length, help="Tokens of context in each slot"),
        Column("slots", "SLOTS", 5, slots_cell, right=True, rank=6, largest_first=True,
               order=lambda model, _: model.parallel,
               help="Requests served at once; memory for context is CONTEXT × SLOTS"),
        Column("kv", "KV", 5, kv_cell, rank=7, order=lambda model, _: model.kv_cache_type,
               help="Number format of the context's cache"),
        Column("share", "RUNS ON", 11, share_cell, order=lambda model, _: model.cpu_ratio, largest_first=True,
               help="100 % GPU, or the share that spilled to the CPU and makes it slow"),
        Column("keep_alive", "STAYS", 9, keep_alive_cell, order=_keep_alive_order,
               help="The engine's keep-alive: time left, forever, or stopping"),
        Column("pin", "PIN", 6, pin_cell, rank=1, order=lambda model, _: model.pin.value,
               help="gpudesk's wish that it stays: held or lost"),
    ),
)  # fmt: skip
