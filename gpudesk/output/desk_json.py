"""The JSON contract of `gpudesk status --json`, version 1.

One document per desk; with `--watch` one document per line (NDJSON). Unknown or unsupported is null, never 0 and
never left out. Times are RFC 3339 in UTC with `Z`; sizes are bytes, shares 0..1. Keys come in the order below.
A key may be added at the end of an object without a new `schema_version`; anything else gets a new one.
`schema_fields` gives the same list to programs; `FIELDS` is where both come from.
"""

from __future__ import annotations

import json
import math
from datetime import UTC
from typing import TYPE_CHECKING

from gpudesk.domain.desk import HolderKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gpudesk.domain.card import Driver, Slice
    from gpudesk.domain.desk import CardState, Desk, Holder, LoadedModel
    from gpudesk.domain.engine import Engine
    from gpudesk.domain.host import Host
    from gpudesk.domain.keep_alive import KeepAlive
    from gpudesk.domain.problem import Problem

SCHEMA_VERSION = 1

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("schema_version", "1"),
        ("taken_at", "when the newest reading in the document was taken"),
        ("cards", "one per GPU, in the driver's order"),
        ("engines", "every engine that was asked"),
        ("models", "every loaded model"),
        ("host", "this computer's memory; null when it could not be read"),
        ("problems", "everything wrong right now"),
        ("driver", "the NVIDIA driver; null when it could not be read"),
        ("demo", "true: simulated numbers (--demo)"),
    ),
    "cards[]": (
        ("index", "the driver's index"),
        ("uuid", "the driver's name for this very card"),
        ("name", "product name"),
        ("memory_total_bytes", "all of it"),
        ("memory_used_bytes", "used by anybody, as the driver counts it; its own reserve not included"),
        ("memory_free_bytes", "total minus all holders"),
        ("utilization_ratio", "share of the last sample period in which a kernel ran"),
        ("temperature_celsius", ""),
        ("power_draw_watts", ""),
        ("power_limit_watts", ""),
        ("holders", "who holds memory; together with memory_free_bytes they make memory_total_bytes"),
        ("error", "why this card could not be read; null when it could"),
        ("memory_reserved_bytes", "held back by driver and firmware; part of the unattributed holder"),
        ("asleep", "powered down and left alone"),
        ("unified_memory", "the card shares the host's memory"),
        ("slices", "MIG slices"),
        ("notes", "contradictions between sources that were settled, in words"),
    ),
    "cards[].holders[]": (
        ("kind", "model, process or unattributed"),
        ("model", "only for kind model: its name, as in models[].name"),
        ("name", "for every other kind instead of model: a readable name"),
        ("pids", "the driver's numbering"),
        ("memory_bytes", ""),
        ("engine", "for kind model: the url of its engine; otherwise null"),
        ("memory_source", "driver: measured; engine: claimed"),
        ("note", "what this is made of, or why it is not known"),
    ),
    "cards[].slices[]": (
        ("index", "GPU instance id"),
        ("uuid", ""),
        ("name", ""),
        ("memory_total_bytes", ""),
        ("memory_used_bytes", ""),
        ("memory_free_bytes", ""),
    ),
    "engines[]": (
        ("kind", "ollama"),
        ("url", "without credentials"),
        ("version", ""),
        ("reachable", "the last poll was answered"),
        ("error", "why not"),
        ("hint", "what to do about it"),
        ("local", "runs on this computer"),
        ("clock_skew_seconds", "its clock minus ours; already taken out of every time here"),
    ),
    "models[]": (
        ("name", "as the engine names it"),
        ("engine", "url of its engine"),
        ("digest", "the manifest's"),
        ("memory_bytes", "on the cards: measured where the driver tells, otherwise claimed"),
        ("memory_source", "driver: measured; engine: claimed"),
        ("reported_bytes", "the engine's total claim"),
        ("reported_vram_bytes", "the engine's claim for the cards"),
        ("cards", "how much is on which card"),
        ("context_length", "tokens per slot"),
        ("parallel", "slots"),
        ("kv_cache_type", "f16, q8_0, …; keys/values where they differ"),
        ("cpu_ratio", "share in host memory; above 0 the model has spilled"),
        ("keep_alive", "the engine's timer; null when unknown"),
        ("pin", "none, held or lost"),
        ("local", "false: in a remote engine, never on this computer's cards"),
        ("difference_bytes", "measured minus claimed; null unless both are known"),
        ("explanations", "what explains the difference"),
        ("pids", "its runner's processes"),
        ("parameter_size", ""),
        ("quantization", ""),
        ("host_memory_bytes", "resident host memory of its runner"),
        ("shares_runner_with", "other names of the same weights: one runner, counted once"),
    ),
    "models[].cards[]": (("index", ""), ("memory_bytes", "")),
    "models[].keep_alive": (
        ("state", "timed, forever or stopping"),
        ("expires_at", "null when forever"),
        ("remaining_seconds", "at taken_at; null unless timed"),
    ),
    "host": (("memory_total_bytes", ""), ("memory_available_bytes", "what programs can get without swapping")),
    "problems[]": (("source", ""), ("message", ""), ("hint", "what to do about it")),
    "driver": (("version", ""), ("nvml_version", ""), ("cuda_version", "newest CUDA it supports")),
}
"""Every object of the document: its keys in order, each with what it means."""


def schema_fields() -> tuple[tuple[str, str], ...]:
    """Return every path of the document with its meaning: `cards[].holders[].kind`."""
    return tuple(
        (f"{place}.{key}" if place else key, meaning) for place, keys in FIELDS.items() for key, meaning in keys
    )


def timestamp(moment: datetime | None) -> str | None:
    """Write an aware time as RFC 3339 in UTC, to the millisecond: `2026-11-21T09:30:00.000Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(value: float | None, digits: int = 3) -> float | None:
    """Round what was measured; what JSON has no word for (not a number, infinity) is unknown."""
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _holder(holder: Holder) -> dict[str, Value]:
    return {
        "kind": holder.kind.value,
        "model" if holder.kind is HolderKind.MODEL else "name": holder.name,
        "pids": list(holder.pids),
        "memory_bytes": holder.memory_bytes,
        "engine": holder.engine_url,
        "memory_source": holder.source.value,
        "note": holder.note,
    }


def _slice(part: Slice) -> dict[str, Value]:
    return {
        "index": part.index,
        "uuid": part.uuid,
        "name": part.name,
        "memory_total_bytes": part.memory_total_bytes,
        "memory_used_bytes": part.memory_used_bytes,
        "memory_free_bytes": part.memory_free_bytes,
    }


def _card(state: CardState) -> dict[str, Value]:
    card = state.card
    return {
        "index": card.index,
        "uuid": card.uuid,
        "name": card.name,
        "memory_total_bytes": card.memory_total_bytes,
        "memory_used_bytes": card.memory_used_bytes,
        "memory_free_bytes": state.free_bytes if state.free_bytes is not None else card.memory_free_bytes,
        "utilization_ratio": _number(card.utilization_ratio),
        "temperature_celsius": _number(card.temperature_celsius),
        "power_draw_watts": _number(card.power_draw_watts),
        "power_limit_watts": _number(card.power_limit_watts),
        "holders": [_holder(holder) for holder in state.holders],
        "error": card.error,
        "memory_reserved_bytes": card.memory_reserved_bytes,
        "asleep": card.asleep,
        "unified_memory": card.unified_memory,
        "slices": [_slice(part) for part in card.slices],
        "notes": list(state.notes),
    }


def _engine(engine: Engine) -> dict[str, Value]:
    return {
        "kind": engine.kind.value,
        "url": engine.url,
        "version": engine.version,
        "reachable": engine.reachable,
        "error": engine.error,
        "hint": engine.hint,
        "local": engine.local,
        "clock_skew_seconds": _number(engine.clock_skew_seconds),
    }


def _keep_alive(keep_alive: KeepAlive | None, now: datetime) -> dict[str, Value] | None:
    if keep_alive is None:
        return None
    seen = keep_alive.at(now)
    return {
        "state": seen.state.value,
        "expires_at": timestamp(seen.expires_at),
        "remaining_seconds": _number(seen.remaining_seconds(now)),
    }


def _model(model: LoadedModel, now: datetime) -> dict[str, Value]:
    return {
        "name": model.name,
        "engine": model.engine_url,
        "digest": model.digest,
        "memory_bytes": model.memory_bytes,
        "memory_source": model.memory_source.value,
        "reported_bytes": model.reported_bytes,
        "reported_vram_bytes": model.reported_vram_bytes,
        "cards": [{"index": share.index, "memory_bytes": share.memory_bytes} for share in model.cards],
        "context_length": model.context_length,
        "parallel": model.parallel,
        "kv_cache_type": model.kv_cache_type,
        "cpu_ratio": _number(model.cpu_ratio, 4),
        "keep_alive": _keep_alive(model.keep_alive, now),
        "pin": model.pin.value,
        "local": model.local,
        "difference_bytes": model.difference_bytes,
        "explanations": list(model.explanations),
        "pids": list(model.pids),
        "parameter_size": model.parameter_size,
        "quantization": model.quantization,
        "host_memory_bytes": model.host_memory_bytes,
        "shares_runner_with": list(model.shares_runner_with),
    }


def _host(host: Host | None) -> dict[str, Value] | None:
    if host is None:
        return None
    return {
        "memory_total_bytes": host.memory_total_bytes,
        "memory_available_bytes": host.memory_available_bytes,
    }


def _problem(problem: Problem) -> dict[str, Value]:
    return {"source": problem.source, "message": problem.message, "hint": problem.hint}


def _driver(driver: Driver | None) -> dict[str, Value] | None:
    if driver is None:
        return None
    return {"version": driver.version, "nvml_version": driver.nvml_version, "cuda_version": driver.cuda_version}


def document(desk: Desk, *, problems: tuple[Problem, ...] = (), demo: bool = False) -> dict[str, Value]:
    """Build the document of one desk.

    Args:
        desk: what is known.
        problems: of the configuration, said before the desk's own.
        demo: the numbers are simulated.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "taken_at": timestamp(desk.taken_at),
        "cards": [_card(state) for state in desk.cards],
        "engines": [_engine(engine) for engine in desk.engines],
        "models": [_model(model, desk.taken_at) for model in desk.models],
        "host": _host(desk.host),
        "problems": [_problem(problem) for problem in (*problems, *desk.problems)],
        "driver": _driver(desk.driver),
        "demo": demo,
    }


def to_json(content: dict[str, Value], *, indented: bool = False) -> str:
    """Write a document as JSON in ASCII, on one line unless `indented`."""
    if indented:
        return json.dumps(content, indent=2, allow_nan=False)
    return json.dumps(content, separators=(",", ":"), allow_nan=False)
